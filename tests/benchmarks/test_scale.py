"""The curves, the scale over workers and the large table, at a size that shows their rules."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import curves, scale, streams
from benchmarks.peers.coprocess import program
from benchmarks.peers.environments import PeerUnavailable
from models.data import frappe, small_graphs, synthetic_graph


@pytest.fixture
def built() -> None:
    try:
        program("simulation")
    except PeerUnavailable as error:
        pytest.skip(str(error))


@pytest.mark.usefixtures("built")
def test_a_worker_s_bytes_do_not_depend_on_the_others_and_shards_bear_the_sum():
    one, four = scale.workers_scale((1, 4), 60, 20, dimension=4, batch=16)
    alone, together = one.trained.formats["float32"], four.trained.formats["float32"]
    assert one.trained.capacity == four.trained.capacity > 0
    assert together.worker.wire == pytest.approx(alone.worker.wire, rel=0.05)
    assert four.trained.messages == pytest.approx(one.trained.messages, rel=0.05)
    for many, single in zip(together.shards, alone.shards, strict=True):
        assert many.wire == pytest.approx(4 * single.wire, rel=0.05)
    # On a new table somebody else's push makes a row one that has values.
    assert four.new.formats["float32"].worker.received.rows > one.new.formats["float32"].worker.received.rows
    assert four.new.formats["float32"].worker.sent.gradients == pytest.approx(together.worker.sent.gradients, rel=0.01)


@pytest.mark.usefixtures("built")
def test_the_modelled_time_is_round_trips_and_the_busiest_link():
    (found,) = (point.trained for point in scale.workers_scale((2,), 20, 10, dimension=4, batch=16))
    slow, fast = (scale.step_seconds(found, rate, round_trip=0.5) for rate in (1e3, 2e3))
    assert slow - found.rounds * 0.5 == pytest.approx(2 * (fast - found.rounds * 0.5))
    assert scale.step_seconds(found, 1e300, round_trip=0.5) == pytest.approx(found.rounds * 0.5)


@pytest.mark.usefixtures("built")
def test_rows_of_the_large_table_are_there_when_they_are_trained():
    found = scale.parameters(3, workers=2, size=50, rows=20, dimension=64)
    make = scale.zipf_ids(50)
    ids = np.concatenate([make(number) for number in range(6)])
    assert found.distinct == np.unique(ids).size
    assert ids.min() >= 0 and scale.IDS // 2 < ids.max() < scale.IDS


def test_what_would_not_fit_is_refused_before_it_begins():
    with pytest.raises(MemoryError, match=r"rows of 4096 values and 2 caches of 20 rows would take .* GiB; exp"):
        scale.parameters(3, workers=2, size=50, rows=20, limit=1 << 20)


@pytest.mark.usefixtures("built")
def test_the_curves_begin_with_the_middle_and_hybrid_is_the_same_for_all_of_a_table():
    settings = {"stalenesses": (0, 100), "shares": (0.05, 0.1), "batches": (8,), "dimension": 4, "workers": 2}
    points = list(curves.bytes_points(8, **settings))
    assert [(p.batch, p.staleness, p.share, p.trained) for p in points] == [
        (128, 100, 0.1, False),
        (128, 100, 0.1, True),
        (128, 0, 0.1, False),
        (128, 100, 0.05, False),
        (8, 100, 0.1, False),
    ]
    assert points[0].hybrid is points[2].hybrid is points[3].hybrid
    assert points[0].ratio("bfloat16", "float32") < points[0].ratio("float32", "float32") < 1
    assert points[2].ratio("float32", "float32") == pytest.approx(1, abs=0.02)  # at s = 0 every row is fetched


@pytest.mark.usefixtures("built")
def test_larger_caches_miss_less_and_lfu_less_than_lru_on_a_skewed_graph():
    stream = streams.generated_graph("ogbn-mag", 0.01, 400, 60)
    rates = {(policy, share): one.miss_rate for policy, share, one in curves.miss_rates(stream, 40, (0.05, 0.15))}
    for policy in curves.POLICIES:
        assert rates[policy, 0.15] < rates[policy, 0.05]
    assert rates["lfu", 0.05] < rates["lru", 0.05]


def test_streams_say_whether_they_are_real(monkeypatch):
    graph = synthetic_graph.generate("reddit", 0.001, 0)
    stream = streams.sampled("reddit", graph, 4, 3)
    assert stream.name.startswith("generated graph like reddit") and stream.table == graph.vocabulary_size
    assert [batch.shape for batch in stream.batches] == [(4 * 31,)] * 3
    monkeypatch.delenv(streams.FOLDER_VARIABLE, raising=False)
    assert list(streams.real(4, 3)) == []


def test_logs_at_hand_give_real_streams(tmp_path, monkeypatch):
    names = np.array([f"field{i}" for i in range(10)])
    np.savez(tmp_path / frappe.FILE, ids=np.arange(1000).reshape(100, 10), label=np.ones(100), fields=names)
    user, item = np.divmod(np.arange(40), 4)
    np.savez(tmp_path / "gowalla_train.npz", user=user, item=item)
    monkeypatch.setenv(streams.FOLDER_VARIABLE, str(tmp_path))
    rows, pairs = streams.real(4, 30)
    assert rows.name.startswith("real rows of Frappe") and len(rows.batches) == 30
    assert pairs.name.startswith("real graph gowalla_train") and pairs.table == 10 + 4
    assert pairs.key in small_graphs.LOGS
    for batch in pairs.batches:
        users, items = batch.reshape(4, 2).T
        assert (users < 10).all() and (items >= 10).all()
