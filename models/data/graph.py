"""A graph whose nodes are to be classified, and what its readers build it with.

`Graph` is what every reader and the generator give, and what `neighbours.py`
samples from. Nodes are numbered from 0. What is embedded of a node are its
*fields*, as in HET's experiments: its own id, and ids of what it has (authors,
topics, words), all in one id space of `vocabulary_size` ids.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy import sparse


@dataclass(frozen=True, eq=False)
class Graph:
    """Neighbours, fields, labels and the parts of the nodes; checked when made.

    Raises:
      ValueError: the arrays do not fit each other; says which and how.
    """

    name: str
    real: bool  # False: generated
    pointers: np.ndarray  # int64 (nodes + 1,): node v's neighbours are neighbours[pointers[v]:pointers[v + 1]]
    neighbours: np.ndarray  # int32 or int64 (edges,), in both directions where edges have none
    ids: np.ndarray  # int64 (nodes, fields); ids[:, 0] is the node's own
    vocabulary_size: int
    labels: np.ndarray  # int64 (nodes,), or float32 (nodes, classes) of 0 and 1 where a node has many or none
    classes: int  # 0: the nodes have no labels
    train: np.ndarray  # int64 node numbers, as the two others; a node is in one of them at most
    validation: np.ndarray
    test: np.ndarray
    features: np.ndarray = field(default_factory=lambda: np.empty((0, 0), np.float32))  # float32 (nodes, width)

    def __post_init__(self) -> None:
        if not self.features.size:
            object.__setattr__(self, "features", np.empty((self.nodes, 0), np.float32))
        shapes = {"ids": self.ids.shape[:1], "labels": self.labels.shape[:1], "features": self.features.shape[:1]}
        for name, shape in shapes.items():
            if shape != (self.nodes,):
                raise ValueError(f"{self.name}: {name} are of {shape} nodes; expected {self.nodes}, as pointers have")
        if self.pointers[0] != 0 or self.pointers[-1] != self.edges or (np.diff(self.pointers) < 0).any():
            raise ValueError(f"{self.name}: pointers do not rise from 0 to the {self.edges} edges")
        if not self.edges:
            raise ValueError(f"{self.name} has no edges; expected a graph with some")
        self._check("neighbours", self.neighbours, self.nodes)
        self._check("ids", self.ids, self.vocabulary_size)
        if self.multi_label:
            if self.labels.shape[1] != self.classes or not ((self.labels == 0) | (self.labels == 1)).all():
                raise ValueError(
                    f"{self.name}: labels have the shape {self.labels.shape}; expected 0 or 1 for each of "
                    f"{self.classes} classes"
                )
        else:
            self._check("labels", self.labels, self.classes)
        parts = np.concatenate([self.train, self.validation, self.test])
        self._check("train, validation and test", parts, self.nodes)
        if len(np.unique(parts)) != len(parts):
            raise ValueError(f"{self.name}: a node is twice in train, validation and test; expected disjoint parts")

    def _check(self, name: str, numbers: np.ndarray, end: int) -> None:
        if numbers.dtype.kind not in "iu":
            raise ValueError(f"{self.name}: {name} are {numbers.dtype}; expected integers")
        if numbers.size and (numbers.min() < 0 or numbers.max() >= end):
            raise ValueError(f"{self.name}: {name} go from {numbers.min()} to {numbers.max()}; expected 0 to {end - 1}")

    @property
    def nodes(self) -> int:
        return len(self.pointers) - 1

    @property
    def edges(self) -> int:
        """Entries of the adjacency matrix: an edge without direction counts twice."""
        return len(self.neighbours)

    @property
    def fields(self) -> int:
        return self.ids.shape[1]

    @property
    def multi_label(self) -> bool:
        return self.labels.ndim == 2

    @property
    def source(self) -> str:
        """What it is, for reports."""
        return f"{'real' if self.real else 'generated'} graph {self.name}"


def by_source(sources: np.ndarray, targets: np.ndarray, nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Pointers and targets, grouped by source, of pairs that may occur more than once; the order within is kept."""
    # One row per pair: turning rows into columns is a counting sort that merges nothing.
    rows = sparse.csr_array((targets, sources, np.arange(len(sources) + 1)), shape=(len(sources), nodes))
    columns = rows.tocsc()
    return columns.indptr.astype(np.int64), columns.data


def both_ways(sources: np.ndarray, targets: np.ndarray, nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Pointers and neighbours of edges without direction, each kept once; no node neighbours itself."""
    keep = sources != targets
    ends = (sources[keep], targets[keep])
    one_way = sparse.coo_array((np.ones(len(ends[0]), bool), ends), shape=(nodes, nodes)).tocsr()
    return of_matrix(one_way + one_way.T)


def of_matrix(matrix: sparse.sparray | sparse.spmatrix) -> tuple[np.ndarray, np.ndarray]:
    """Pointers and neighbours of an adjacency matrix: of its entries that are not 0, each kept once."""
    rows = sparse.csr_array(matrix)
    rows.sum_duplicates()
    rows.eliminate_zeros()
    return rows.indptr.astype(np.int64), rows.indices


def bags(owners: np.ndarray, values: np.ndarray, nodes: int, width: int, none: int) -> np.ndarray:
    """The first `width` values of every node, int64 (nodes, width); `none` where it has fewer."""
    pointers, values = by_source(owners, values, nodes)
    at = pointers[:-1, None] + np.arange(width)
    there = at < pointers[1:, None]
    filled = np.full((nodes, width), none, np.int64)
    filled[there] = values[at[there]]
    return filled


def split(nodes: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Train, validation and test nodes, 8:1:1 (the two others rounded down), shuffled by `seed`."""
    order = np.random.default_rng(seed).permutation(nodes)
    tenth = nodes // 10
    train, validation, test = np.split(order, [nodes - 2 * tenth, nodes - tenth])
    return train, validation, test
