"""What caches and shards exchange, on streams small enough to know what must come out."""

from __future__ import annotations

import math
import subprocess

import numpy as np
import pytest

from benchmarks.peers.coprocess import program
from benchmarks.peers.environments import PeerUnavailable
from benchmarks.simulation import Result, simulate


@pytest.fixture(autouse=True)
def built() -> None:
    try:
        program("simulation")
    except PeerUnavailable as error:
        pytest.skip(str(error))


def all_of_64(steps: int, workers: int = 1) -> list[np.ndarray]:
    return [np.arange(64)] * (steps * workers)


def skewed(number: int) -> np.ndarray:
    """300 ids of which a few are hot."""
    return (np.random.default_rng([7, number]).random(300) ** 4 * 2000).astype(np.int64)


def without_processor(result: Result) -> dict:
    return {name: value for name, value in vars(result).items() if name not in ("cpu_seconds", "peak_resident_bytes")}


def test_without_a_cache_every_row_is_pulled_and_its_gradient_pushed():
    formats = ("float32", "bfloat16", "int8")
    found = simulate(all_of_64(6), workers=1, steps=6, warm=2, dimension=8, rows=0, formats=formats)
    assert (found.distinct, found.capacity, found.ids, found.unique) == (64, 0, 64, 64)
    assert (found.hit_rate, found.miss_rate, found.invalid_rate) == (0, 1, 0)
    assert (found.messages, found.rounds, found.shard_messages) == (4, 2, (2, 2))
    exact = found.formats["float32"].worker
    rates = 2 * 4  # a message's learning rate, which counts as gradients
    assert exact.received.rows == exact.sent.gradients - rates == 64 * 32
    # Ids are small differences: a byte or two each.
    assert 2 * 64 <= exact.sent.ids <= 4 * 64 and exact.received.ids == 0
    half, quarter = found.formats["bfloat16"].worker, found.formats["int8"].worker
    assert half.received.rows == half.sent.gradients - rates == 64 * 16
    assert quarter.received.rows == quarter.sent.gradients - rates == 64 * (8 + 4)  # a scale
    assert exact.wire > exact.payload > half.payload > quarter.payload


def test_with_everything_cached_no_row_travels_between_expiries():
    found = simulate(all_of_64(10), workers=1, steps=10, warm=2, dimension=8, share=1.0)
    assert (found.hit_rate, found.capacity) == (1, 64)
    assert found.formats["float32"].worker.payload < 64 * 4  # ids to validate


def test_a_row_that_nobody_has_pushed_to_travels_without_values_unless_trained_before():
    fresh = [np.arange(64) + 64 * step for step in range(4)]
    untrained, trained = (
        simulate(fresh, workers=1, steps=4, dimension=8, rows=0, trained=trained).formats["float32"].worker
        for trained in (False, True)
    )
    assert trained.received.rows == 64 * 32
    assert 64 / 8 <= untrained.received.rows <= 64 / 8 + 2  # a bit each, of two shards
    assert trained.sent == untrained.sent


def test_what_workers_send_is_what_shards_receive():
    found = simulate(skewed, workers=3, steps=30, warm=10, shards=2, dimension=4, staleness=5, rows=50)
    wire = found.formats["float32"]
    assert sum(shard.received.wire for shard in wire.shards) == pytest.approx(3 * wire.worker.sent.wire)
    assert sum(shard.sent.rows for shard in wire.shards) == pytest.approx(3 * wire.worker.received.rows)
    assert sum(found.shard_messages) == pytest.approx(3 * found.messages)
    assert wire.busiest >= max(wire.busiest_worker, wire.busiest_shard)
    assert wire.busiest_worker >= max(wire.worker.sent.wire, wire.worker.received.wire)
    assert found.hit_rate + found.miss_rate + found.invalid_rate == pytest.approx(1)
    assert found.ids == 300 and found.unique < 300


def test_a_run_is_a_function_of_its_ids_however_they_come_and_whatever_is_counted():
    settings = {"workers": 2, "steps": 20, "warm": 5, "dimension": 4, "staleness": math.inf, "policy": "lru"}
    one = simulate(skewed, rows=100, **settings)
    assert without_processor(one) == without_processor(simulate(map(skewed, range(40)), rows=100, **settings))
    distinct = np.unique(np.concatenate(list(map(skewed, range(40))))).size
    assert one.distinct == distinct
    shared = simulate(skewed, share=100.5 / distinct, **settings)
    assert without_processor(one) == without_processor(shared)
    uncounted = simulate(skewed, rows=100, formats=(), **settings)
    assert uncounted.formats == {} and uncounted.hit_rate == one.hit_rate and uncounted.messages == one.messages


def test_bytes_of_values_grow_with_the_dimension_and_nothing_else_does():
    narrow, middle, wide = (
        simulate(skewed, workers=2, steps=20, warm=5, dimension=dimension, rows=100).formats["float32"].worker
        for dimension in (4, 8, 32)
    )
    for one, two, three in ((narrow.sent, middle.sent, wide.sent), (narrow.received, middle.received, wide.received)):
        assert three.rows - one.rows == pytest.approx(7 * (two.rows - one.rows))
        assert three.gradients - one.gradients == pytest.approx(7 * (two.gradients - one.gradients))
        assert (three.ids, three.clocks) == (one.ids, one.clocks)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"rows": None}, "rows is None and share is None; expected one"),
        ({"rows": 4, "share": 0.1}, "rows is 4 and share is 0.1; expected one"),
        ({"rows": None, "share": 1.5}, "--share is '1.5', expected a number from 0 to 1"),
        ({"staleness": 1.5}, "staleness is 1.5; expected a whole number"),
        ({"formats": ("float64",)}, "unknown formats ['float64']; expected some of float32"),
        ({"steps": 4}, "there are 3 batches; expected 4, one for each step and worker"),
        ({"warm": 3}, "3 of 3 steps do not count"),
        ({"shards": 0}, "1 workers and 0 shards were asked for, expected one at least"),
        ({"dimension": 0}, "dimension"),
        ({"policy": "random"}, "random"),
        ({"workers": -1}, "--workers: '-1', expected a whole number from 0"),
    ],
)
def test_it_refuses(wrong, message):
    settings = {"workers": 1, "steps": 3, "warm": 0, "dimension": 4, "rows": 8}
    with pytest.raises(ValueError) as raised:
        simulate(all_of_64(3), **{**settings, **wrong})
    assert message in str(raised.value)


def test_it_refuses_a_stream_that_ends_early():
    options = ["--workers", "1", "--steps", "2", "--warm", "1", "--dimension", "4"]
    result = subprocess.run(
        [str(program("simulation")), *options], input=np.array([1, 5], np.int64).tobytes(), capture_output=True
    )
    assert result.returncode == 1
    assert b"the ids end within the batch of step 1, worker 0" in result.stderr
