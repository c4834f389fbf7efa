"""Small real graphs: social networks with classes (MUSAE), and user-item logs without.

They do not come with the project: .npz files, in the folder that is given or
that HET_TF_DATA names.

musae_git.npz, musae_facebook.npz (Rozemberczki et al., "Multi-scale Attributed
Node Embedding", 2021): edges (m, 2), label (n,), and the words of a node as
feat_ptr (n + 1,) and feat_ids. Fields are the node's id and its words, absent
ones as an id of their own. Train, validation and test are 8:1:1 by seed.

amazon_book_kgat.npz and gowalla_train.npz: user and item, one pair per entry. An
item's node number comes after the users'. Without classes: there is nothing to
predict, but much to sample and to cache.
"""

from __future__ import annotations

import os

import numpy as np

from models.data import graph_files
from models.data.graph import Graph, bags, both_ways, split

MUSAE = ("musae_git", "musae_facebook")
LOGS = ("amazon_book_kgat", "gowalla_train")


def load(name: str, path: str | os.PathLike[str] | None = None, *, seed: int = 0) -> Graph:
    """Loads one of the graphs above.

    Args:
      name: one of `MUSAE` or `LOGS`.
      path: the folder of its file; None takes the folder HET_TF_DATA names.
      seed: of the parts of the nodes.

    Raises:
      FileNotFoundError: the file is not there.
      ValueError: another name, or the file is not of the form above.
    """
    if name not in (*MUSAE, *LOGS):
        raise ValueError(f"there is no graph {name!r} here; expected one of {', '.join((*MUSAE, *LOGS))}")
    file = graph_files.folder_of(path, (f"{name}.npz",)) / f"{name}.npz"
    if name in LOGS:
        held = graph_files.arrays(file, ("user", "item"))
        user, item = held["user"].astype(np.int64), held["item"].astype(np.int64)
        if user.ndim != 1 or user.shape != item.shape or not user.size:
            raise ValueError(f"{file}: user is {user.shape}, item {item.shape}; expected as many of each, and some")
        users = int(user.max()) + 1
        nodes = users + int(item.max()) + 1
        ids, vocabulary = np.arange(nodes)[:, None], nodes
        labels, classes = np.empty((nodes, 0), np.float32), 0
        sources, targets = user, item + users
    else:
        held = graph_files.arrays(file, ("edges", "label", "feat_ptr", "feat_ids"))
        labels = held["label"].astype(np.int64)
        nodes, classes = len(labels), int(labels.max()) + 1
        if held["edges"].ndim != 2 or held["edges"].shape[1] != 2 or held["feat_ptr"].shape != (nodes + 1,):
            raise ValueError(
                f"{file}: edges are {held['edges'].shape}, feat_ptr {held['feat_ptr'].shape}; expected (m, 2) and "
                f"({nodes + 1},), as there are {nodes} labels"
            )
        sources, targets = held["edges"].T
        ids, vocabulary = _with_words(held["feat_ptr"], held["feat_ids"].astype(np.int64), nodes)
    if min(sources.min(), targets.min()) < 0 or max(sources.max(), targets.max()) >= nodes:
        raise ValueError(f"{file}: the nodes of edges are not all in 0 to {nodes - 1}")
    pointers, neighbours = both_ways(sources, targets, nodes)
    train, validation, test = split(nodes, seed)
    return Graph(name, True, pointers, neighbours, ids, vocabulary, labels, classes, train, validation, test)


def _with_words(pointers: np.ndarray, words: np.ndarray, nodes: int) -> tuple[np.ndarray, int]:
    """The fields of all nodes, and how many ids there are."""
    own = np.arange(nodes)[:, None]
    if not words.size:
        return own, nodes
    counts = np.diff(pointers)
    none = nodes + int(words.max()) + 1
    owners = np.repeat(np.arange(nodes), counts)
    return np.concatenate([own, bags(owners, words + nodes, nodes, int(counts.max()), none)], axis=1), none + 1
