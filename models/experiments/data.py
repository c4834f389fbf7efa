"""The batches of an experiment: Criteo rows or a graph's nodes, real or generated, in two files.

Systems whose tables are plain variables need ids from 0 to the size of the table.
Criteo's ids, which are 64-bit, are hashed to `vocabulary` rows (all 26 fields into
one table), for every system alike; a graph's are such numbers already.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from models.data import criteo, neighbours, synthetic_criteo
from models.data.graph import Graph
from models.experiments import records
from models.experiments.records import Batch
from models.experiments.spec import Data

CRITEO_ROWS = 45_840_617  # in the published training file
HELD_OUT_SHARE = 0.1


@dataclasses.dataclass(frozen=True)
class Made:
    """Files of batches and what they are.

    Attributes:
      source: what it is, for reports.
      epoch: examples of the whole training set.
    """

    data: Data
    source: str
    real: bool
    epoch: int


def hashed(ids: np.ndarray, vocabulary: int) -> np.ndarray:
    """Any int64 ids to [0, vocabulary), all alike likely."""
    return (synthetic_criteo.mix64(ids.astype(np.uint64)) % np.uint64(vocabulary)).astype(np.int64)


def criteo_rows(
    folder: Path, file: Path | None, *, batch: int, batches: int, held_out: int, vocabulary: int, seed: int
) -> Made:
    """`batches` batches to train on and `held_out` others.

    Raises:
      ValueError: the file has too few rows.
    """
    data = Data(str(folder / "train.bin"), str(folder / "held_out.bin"), vocabulary, (26,), (13,))

    def arrays(elements: Iterator) -> Iterator[Batch]:
        for features, label in elements:
            yield Batch(hashed(features["ids"], vocabulary), features["dense"], label)

    if file is None:
        rows = synthetic_criteo.Generator.of(seed)

        def generated(first: int, count: int) -> Iterator[Batch]:
            for step in range(first, first + count):
                made = rows.batch(step, batch)
                yield Batch(hashed(made.ids, vocabulary), made.dense, made.label)

        records.write(Path(data.train), generated(0, batches), data, batch)
        records.write(Path(data.held_out), generated(batches, held_out), data, batch)
        return Made(data, "generated rows (Criteo's cardinalities and skew, planted labels)", False, CRITEO_ROWS)
    train = criteo.dataset(file, batch, repeat=True, holdout=HELD_OUT_SHARE).take(batches)
    other = criteo.dataset(file, batch, holdout=HELD_OUT_SHARE, held_out=True, drop_remainder=True).take(held_out)
    records.write(Path(data.train), arrays(train.as_numpy_iterator()), data, batch)
    if not records.write(Path(data.held_out), arrays(other.as_numpy_iterator()), data, batch):
        raise ValueError(f"{file} has fewer than {batch} rows to hold out: make the batch smaller")
    with file.open("rb") as opened:
        lines = sum(1 for _ in opened)
    return Made(data, f"real rows of {file.name}", True, round(lines * (1 - HELD_OUT_SHARE)))


def graph_nodes(
    folder: Path, graph: Graph, *, batch: int, batches: int, held_out: int, fanouts: tuple[int, ...], seed: int
) -> Made:
    """`batches` batches of training nodes with sampled neighbours, and up to `held_out` of test nodes.

    Raises:
      ValueError: there are fewer nodes than a batch.
    """
    visited = neighbours.visited(fanouts)
    width = graph.features.shape[1]
    data = Data(
        str(folder / "train.bin"),
        str(folder / "held_out.bin"),
        graph.vocabulary_size,
        (visited, graph.fields),
        (visited, width) if width else (),
        "features",
        graph.classes,
        graph.multi_label,
        fanouts,
    )

    def arrays(elements: Iterator) -> Iterator[Batch]:
        for features, label in elements:
            if len(label) == batch:
                dense = features["features"] if width else np.empty((batch, 0), np.float32)
                yield Batch(features["ids"], dense, label if graph.multi_label else label[:, None])

    train = neighbours.training(graph, batch, fanouts, batches, seed=seed)
    test = neighbours.evaluation(graph, graph.test, batch, fanouts, seed=seed).take(held_out)
    records.write(Path(data.train), arrays(train.as_numpy_iterator()), data, batch)
    if not records.write(Path(data.held_out), arrays(test.as_numpy_iterator()), data, batch):
        raise ValueError(f"{graph.name} has fewer than {batch} test nodes: make the batch smaller")
    return Made(data, graph.source, graph.real, len(graph.train))
