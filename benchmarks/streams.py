"""Streams of ids that workers look up: generated clicks and graphs, and real logs and graphs where they are at hand."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from models.data import frappe, neighbours, small_graphs, synthetic_graph
from models.data.graph import Graph
from models.data.graph_files import FOLDER_VARIABLE
from models.data.synthetic_criteo import Generator

CRITEO_FIELDS = 26
FANOUTS = (5, 5)


@dataclass(frozen=True, eq=False)
class Stream:
    """Batches of one worker, held, so that many caches can be tried on the same ones.

    Attributes:
      name: what it is, real or generated.
      table: rows that a cache's share is taken of.
      of: what these rows are.
      key: the graph or log.
    """

    key: str
    name: str
    batches: list[np.ndarray]
    table: int
    of: str = "the table"


def criteo(batch: int, seed: int = 0) -> Callable[[int], np.ndarray]:
    """Batch of a number: the ids of `batch` rows with Criteo's cardinalities and skew, int64 (26 * batch,)."""
    rows = Generator.of(seed)
    return lambda number: rows.batch(number, batch).ids.reshape(-1)


def criteo_stream(batch: int, steps: int) -> Stream:
    """Its table, of 33.8 M rows, is never touched as a whole: shares are of the ids touched."""
    make = criteo(batch)
    batches = [make(number) for number in range(steps)]
    name = f"generated: Criteo's cardinalities and skew, batch {batch}, {steps} steps"
    return Stream("criteo", name, batches, np.unique(np.concatenate(batches)).size, "the ids touched")


def sampled(key: str, graph: Graph, batch: int, steps: int, seed: int = 0) -> Stream:
    """Fields of training nodes and of their sampled neighbours, as GraphSAGE looks them up."""
    data = neighbours.training(graph, batch, FANOUTS, steps, seed=seed)
    batches = [np.asarray(inputs["ids"]).reshape(-1) for inputs, _ in data.as_numpy_iterator()]
    fanouts = "x".join(map(str, FANOUTS))
    name = f"{graph.source}, {batch} nodes with {fanouts} neighbours sampled, {graph.fields} ids each, {steps} steps"
    return Stream(key, name, batches, graph.vocabulary_size)


def generated_graph(key: str, factor: float, batch: int, steps: int) -> Stream:
    """Of synthetic_graph.PUBLISHED; batches of `factor` times as many nodes, so that they stay as small a part."""
    return sampled(key, synthetic_graph.generate(key, factor), max(1, round(factor * batch)), steps)


def log(key: str, graph: Graph, batch: int, steps: int, seed: int = 0) -> Stream:
    """User and item of a log's entries, in random order (it has none of its own), over and over."""
    stream = np.random.default_rng(seed)
    sources = np.repeat(np.arange(graph.nodes), np.diff(graph.pointers))
    one_way = sources < graph.neighbours
    pairs = np.stack([sources[one_way], graph.neighbours[one_way]], axis=1)

    def rows() -> Iterator[np.ndarray]:
        while True:
            order = stream.permutation(len(pairs))
            for first in range(0, len(order) - batch + 1, batch):
                yield pairs[order[first : first + batch]].reshape(-1)

    made = rows()
    batches = [next(made) for _ in range(steps)]
    return Stream(key, f"{graph.source}, {batch} pairs of user and item, {steps} steps", batches, graph.vocabulary_size)


def frappe_log(batch: int, steps: int, seed: int = 0) -> Stream:
    rows = frappe.load().split(seed)[0]
    order = np.random.default_rng(seed).permutation(len(rows))
    starts = (np.arange(steps) * batch) % (len(order) - batch)
    batches = [rows.ids[order[start : start + batch]].reshape(-1) for start in starts]
    return Stream("frappe", f"real rows of Frappe, batch {batch}, {steps} steps", batches, int(rows.ids.max()) + 1)


def real(batch: int, steps: int) -> Iterator[Stream]:
    """Those whose files are in the folder HET_TF_DATA; none if it is not set."""
    folder = os.environ.get(FOLDER_VARIABLE)
    if not folder:
        return
    if os.path.exists(os.path.join(folder, frappe.FILE)):
        yield frappe_log(batch, steps)
    for key in (*small_graphs.MUSAE, *small_graphs.LOGS):
        if os.path.exists(os.path.join(folder, f"{key}.npz")):
            graph = small_graphs.load(key)
            yield log(key, graph, batch, steps) if key in small_graphs.LOGS else sampled(key, graph, batch, steps)
