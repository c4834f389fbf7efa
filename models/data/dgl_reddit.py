"""Reddit as DGL publishes it: `reddit_data.npz` and `reddit_graph.npz` in one folder.

Posts of September 2014, two of which are neighbours when one person commented on
both; the class is the community (Hamilton et al., "Inductive Representation
Learning on Large Graphs", 2017): 232,965 nodes, 114,615,892 directed edges, 602
features, 41 classes. HET embeds the number of the post, its only field.

`reddit_data.npz` has feature (n, 602), label (n,) and node_types (n,) of 1
(train), 2 (validation) or 3 (test); `reddit_graph.npz` is the adjacency matrix
as scipy.sparse.save_npz writes it, both directions in it.
"""

from __future__ import annotations

import os

import numpy as np

from models.data import graph_files
from models.data.graph import Graph, of_matrix

DATA, ADJACENCY = "reddit_data.npz", "reddit_graph.npz"


def load(path: str | os.PathLike[str] | None = None, *, features: bool = False) -> Graph:
    """Loads the graph.

    Args:
      path: the folder; None takes the folder HET_TF_DATA names.
      features: load the published features too (float32, 0.6 GB).

    Raises:
      FileNotFoundError: a file is not there.
      ValueError: a file is not of the form above.
    """
    folder = graph_files.folder_of(path, (DATA, ADJACENCY))
    held = graph_files.arrays(folder / DATA, ("label", "node_types", *(("feature",) if features else ())))
    pointers, neighbours = of_matrix(graph_files.matrix(folder / ADJACENCY))
    nodes = len(pointers) - 1
    label, kind = held["label"], held["node_types"]
    if label.shape != (nodes,) or kind.shape != (nodes,) or label.dtype.kind not in "iu":
        raise ValueError(
            f"{folder / DATA}: label is {label.dtype} {label.shape}, node_types {kind.shape}; expected integers "
            f"({nodes},), as {ADJACENCY} has nodes"
        )
    if not np.isin(kind, (1, 2, 3)).all():
        raise ValueError(f"{folder / DATA}: node_types are {np.unique(kind)}; expected 1 (train), 2 and 3 (test)")
    return Graph(
        name="reddit",
        real=True,
        pointers=pointers,
        neighbours=neighbours,
        ids=np.arange(nodes)[:, None],
        vocabulary_size=nodes,
        labels=label.astype(np.int64),
        classes=int(label.max()) + 1,
        train=np.flatnonzero(kind == 1),
        validation=np.flatnonzero(kind == 2),
        test=np.flatnonzero(kind == 3),
        **({"features": held["feature"].astype(np.float32)} if features else {}),
    )
