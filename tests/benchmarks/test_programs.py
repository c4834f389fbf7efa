"""The C++ programs of the benchmarks, on inputs small enough to know what must come out."""

from __future__ import annotations

import json
import os
import subprocess

import numpy as np
import pytest

from benchmarks.peers.coprocess import Coprocess, program
from benchmarks.peers.environments import PeerUnavailable


def built(name: str) -> str:
    try:
        return str(program(name))
    except PeerUnavailable as error:
        pytest.skip(str(error))


def wire_bytes(ids: np.ndarray, *, workers: int, warm: int, share: float, staleness: int, dimension: int) -> dict:
    """`ids` is int64 (steps, workers, size)."""
    steps, _, size = ids.shape
    numbers = (workers, steps, warm, size, share, staleness, 2, dimension)
    result = subprocess.run(
        [built("wire_bytes"), *map(str, numbers)], input=ids.tobytes(), stdout=subprocess.PIPE, check=True
    )
    return json.loads(result.stdout)


def test_without_hits_payload_is_the_rows_and_gradients_of_every_step():
    # 64 ids, each step all of them, and no cache to speak of: every row is pulled and pushed.
    ids = np.tile(np.arange(64, dtype=np.int64), (6, 1, 1))
    found = wire_bytes(ids, workers=1, warm=2, share=0.0, staleness=0, dimension=8)
    assert (found["distinct"], found["capacity"], found["unique"], found["hit_rate"]) == (64, 0, 64, 0)
    assert found["without_cache"] == 64 * 2 * (8 + 32)
    values = 64 * 2 * 32
    # Ids are small differences: a byte or two each.
    assert values + 2 * 64 <= found["float32"]["payload"] <= values + 4 * 64
    assert values // 2 + 2 * 64 <= found["16 bits"]["payload"] <= values // 2 + 4 * 64
    assert values // 4 <= found["8 bits"]["payload"] <= values // 4 + 2 * 64 * 4 + 4 * 64
    assert found["float32"]["wire"] > found["float32"]["payload"]


def test_with_everything_cached_no_row_travels_between_expiries():
    ids = np.tile(np.arange(64, dtype=np.int64), (10, 1, 1))
    found = wire_bytes(ids, workers=1, warm=2, share=1.0, staleness=100, dimension=8)
    assert found["hit_rate"] == 1
    assert found["float32"]["payload"] < 64 * 4  # ids to validate


def test_it_refuses_a_stream_that_ends_early():
    result = subprocess.run(
        [built("wire_bytes"), *["1", "2", "1", "8", "0.5", "1", "1", "4"]], input=b"12345678", capture_output=True
    )
    assert result.returncode == 1
    assert b"the ids end after 8 bytes of 128" in result.stderr


def test_the_limit_does_the_work(tmp_path):
    ids = np.array([[1, 1, 0, 1]], np.int64)
    file = tmp_path / "ids.bin"
    ids.tofile(file)
    for threads in (1, 2):
        command = [built("limit"), str(file), "1", "4", "3", "2", str(threads)]
        with Coprocess("limit", command, os.environ) as limit:
            limit.wait_until_ready()
            limit.begin(1)
            before = limit.answer("seconds")["first"]
            limit.begin(10)
            after = limit.answer("seconds")["first"]
        # Id 1 comes three times a step, with 1e-3 and a rate of 0.01 each.
        assert before - after == pytest.approx(10 * 3 * 1e-5, rel=1e-2)


def test_the_exchange_moves_what_it_says():
    from het_tf.shard_process import ShardProcess

    with (
        ShardProcess() as shard,
        subprocess.Popen([built("exchange"), "echo"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as echo,
    ):
        assert echo.stdout is not None and echo.stdin is not None
        address = json.loads(echo.stdout.readline())["address"]
        numbers = ["8", "4096", "2", "2", "0.001"]
        result = subprocess.run(
            [built("exchange"), "client", shard.address, address, *numbers], stdout=subprocess.PIPE, check=True
        )
        echo.stdin.close()
    pull, push = map(json.loads, result.stdout.splitlines())
    assert (pull["kind"], push["kind"], pull["rows"], push["rows"]) == ("pull", "push", 128, 128)
    assert pull["received"] >= 4096 and push["sent"] >= 4096
    assert pull["sent"] < 4096 and push["received"] < 4096
    assert all(len(one[name]) == 2 and min(one[name]) > 0 for one in (pull, push) for name in ("het_tf", "grpc"))
