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
