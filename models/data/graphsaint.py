"""Graphs in the form in which GraphSAINT publishes them: Amazon, also Reddit, Yelp and others.

A folder with
  adj_full.npz    the adjacency matrix (scipy.sparse.save_npz), both directions in it
  adj_train.npz   the same of the edges between training nodes, of the same shape
  feats.npy       features (n, width)
  class_map.json  node number: its class, or a list of 0 and 1 for every class
  role.json       "tr", "va", "te": node numbers

Amazon has 1,598,960 nodes, 132,169,734 edges, 200 features and 107 classes, of
which a product may have many (Zeng et al., "GraphSAINT", 2020). It is another
graph than HET's "Amazon" of 17 fields, which comes from Cluster-GCN's Amazon2M.
The only field is the number of the node.
"""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from models.data import graph_files
from models.data.graph import Graph, of_matrix

CLASSES, ROLES, FEATURES = "class_map.json", "role.json", "feats.npy"


class Adjacency(StrEnum):
    """Which edges: all, or those between training nodes."""

    full = "adj_full.npz"
    train = "adj_train.npz"


def load(path: str | os.PathLike[str], *, adjacency: Adjacency = Adjacency.full, features: bool = False) -> Graph:
    """Loads a graph; its name is the folder's.

    Args:
      adjacency: all edges, or those between training nodes only, for training
        that must not see the others.
      features: load the published features too.

    Raises:
      FileNotFoundError: a file is not there.
      ValueError: a file is not of the form above.
    """
    needed = (adjacency, CLASSES, ROLES, *((FEATURES,) if features else ()))
    folder = graph_files.folder_of(path, needed)
    pointers, neighbours = of_matrix(graph_files.matrix(folder / adjacency))
    nodes = len(pointers) - 1
    labels = _labels(folder / CLASSES, nodes)
    roles = graph_files.json_object(folder / ROLES)
    if not {"tr", "va", "te"} <= roles.keys():
        raise ValueError(f"{folder / ROLES} has {sorted(roles)}; expected tr, va and te")
    train, validation, test = (np.array(roles[part], np.int64) for part in ("tr", "va", "te"))
    return Graph(
        name=folder.resolve().name,
        real=True,
        pointers=pointers,
        neighbours=neighbours,
        ids=np.arange(nodes)[:, None],
        vocabulary_size=nodes,
        labels=labels,
        classes=labels.shape[1] if labels.ndim == 2 else int(labels.max()) + 1,
        train=train,
        validation=validation,
        test=test,
        **({"features": _features(folder / FEATURES)} if features else {}),
    )


def _labels(file: Path, nodes: int) -> np.ndarray:
    """int64 (nodes,), or float32 (nodes, classes)."""
    held = graph_files.json_object(file)
    try:
        given: list[Any] = [held[str(node)] for node in range(nodes)]
        labels = np.array(given)
    except KeyError as error:
        raise ValueError(f"{file} has no class of node {error}; expected one for each of {nodes} nodes") from error
    except ValueError as error:
        raise ValueError(f"{file}: some nodes have lists of other lengths; expected one 0 or 1 per class") from error
    if labels.dtype.kind not in "iu" or labels.ndim > 2:
        raise ValueError(f"{file} holds {given[0]!r}; expected a class, or a list of 0 and 1, for every node")
    return labels.astype(np.float32 if labels.ndim == 2 else np.int64)


def _features(file: Path) -> np.ndarray:
    try:
        held = np.load(file)
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"{file} is not an .npy file ({error}); download it again") from error
    if held.ndim != 2:
        raise ValueError(f"{file} has the shape {held.shape}; expected (nodes, width)")
    return held.astype(np.float32)
