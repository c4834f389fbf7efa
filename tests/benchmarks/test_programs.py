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


def test_durability_measures_every_way_and_leaves_what_it_wrote(tmp_path):
    command = [built("durability"), str(tmp_path), "20000", "4", "20000", "2", "0.01"]
    found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    for name in ("none", "log", "synced", "idle", "busy", "checkpoint"):
        assert len(found[name]) == 2 and min(found[name]) > 0
    assert found["recovery_from_log"] > 0 and found["recovery_from_checkpoint"] > 0
    # 20480 rows of an id, a clock and four floats.
    assert found["checkpoint_bytes"] > 20480 * 32
    # The third and last one: one with the log, one per turn of the large table.
    assert (tmp_path / "c3" / "shard-0-of-1.het").stat().st_size == found["checkpoint_bytes"]
