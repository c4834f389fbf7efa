"""Data of experiments: files of batches give back what was written, ids fit the tables, real data is called real."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from models.data import synthetic_criteo, synthetic_graph
from models.experiments import data, records
from models.experiments.records import Batch
from models.experiments.spec import Data, Model, Spec, System


def batches(count, rows=4, ids=100):
    random = np.random.default_rng(0)
    for _ in range(count):
        yield Batch(
            random.integers(0, ids, (rows, 3)),
            random.normal(size=(rows, 2)).astype(np.float32),
            random.integers(0, 2, (rows, 1)).astype(np.float32),
        )


def test_every_worker_reads_its_batches_as_they_were_written(tmp_path):
    described = Data(str(tmp_path / "train"), "", 100, (3,), (2,))
    assert records.write(tmp_path / "train", batches(5), described, 4) == 5
    written = list(batches(5))
    for rank in range(2):
        read = list(records.read(described.train, described, 4, first=rank, every=2).as_numpy_iterator())
        assert len(read) == (3, 2)[rank]
        for mine, theirs in zip(read, written[rank::2], strict=True):
            assert all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in zip(mine, theirs, strict=True))


def test_a_batch_that_does_not_fit_is_refused(tmp_path):
    described = Data(str(tmp_path / "train"), "", 50, (3,), (2,))
    with pytest.raises(ValueError, match=r"outside of \[0, 50\)"):
        records.write(tmp_path / "train", batches(5), described, 4)
    with pytest.raises(ValueError, match="expected"):
        records.write(tmp_path / "train", batches(1, rows=3), described, 4)


def test_ids_are_spread_over_the_vocabulary():
    ids = synthetic_criteo.Generator.of(0).batch(0, 4096).ids
    distinct = np.unique(ids)
    places = data.hashed(distinct, 1 << 20)
    assert places.min() >= 0 and places.max() < 1 << 20
    # As of random places: of n in m cells about n * n / 2 m fall together.
    together = len(places) - len(np.unique(places))
    assert together < len(places) ** 2 / (1 << 20)
    assert np.array_equal(data.hashed(distinct, 1 << 20), places)


def test_rows_of_a_file_are_called_real_and_generated_ones_generated(tmp_path):
    file = tmp_path / "train.txt"
    synthetic_criteo.write(file, 600)
    sizes = {"batch": 16, "batches": 30, "held_out": 2, "vocabulary": 1000, "seed": 0}
    real = data.criteo_rows(tmp_path, file, **sizes)
    assert real.real and real.source == "real rows of train.txt" and real.epoch == 540
    assert len(list(records.read(real.data.train, real.data, 16))) == 30
    assert len(list(records.read(real.data.held_out, real.data, 16))) == 2
    generated = data.criteo_rows(tmp_path, None, **sizes)
    assert not generated.real and "generated" in generated.source
    with pytest.raises(ValueError, match="smaller"):
        data.criteo_rows(tmp_path, file, **{**sizes, "batch": 200})


def test_nodes_of_a_graph(tmp_path):
    graph = synthetic_graph.generate("reddit", 0.002, 0)
    made = data.graph_nodes(tmp_path, graph, batch=8, batches=3, held_out=2, fanouts=(2, 3), seed=0)
    first = next(iter(records.read(made.data.train, made.data, 8)))
    assert first.ids.shape == (8, 1 + 2 + 6, graph.fields) and first.label.shape == (8, 1)
    assert not made.real and made.epoch == len(graph.train)


def test_what_processes_are_told_is_what_was_meant():
    described = Data("a", "b", 7, (2, 3), (2, 5), "features", 4, True, (5, 5))
    spec = Spec(System.het_cache, Model.deepfm, described, 8, 16, 0.1, 3, float("inf"), 0.1, "lfu", ("h:1",), ("h:2",))
    assert Spec.from_json(spec.to_json()) == spec
    assert spec.tables == {"rows": 16, "weights": 1}
    assert dataclasses.replace(spec, model=Model.dcn).tables == {"rows": 16}
