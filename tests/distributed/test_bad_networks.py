"""Networks that are cut, half-open or slow for a while: training waits, goes on, and ends with the same bits."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks import network
from het_tf.shard_process import server_binary
from processes import ROOT, clean_environment, needs_namespaces

WORKER = ROOT / "tools" / "check" / "chaos_worker.py"
STEPS, PATIENCE_SECONDS = 400, 180
TRAINER, SHARD, PORT = 0, 1, 7071


def train(where: network.Network, folder: Path, address: str) -> subprocess.Popen[bytes]:
    folder.mkdir()
    command = where.command(TRAINER, [sys.executable, str(WORKER), str(folder), str(STEPS), "0", "tower"])
    with (folder / "worker.log").open("wb") as log:
        return subprocess.Popen(command, env=clean_environment(HET_TF_SHARDS=address), stdout=log, stderr=log)


def serve(where: network.Network, folder: Path) -> subprocess.Popen[str]:
    listen = f"{where.address(SHARD)}:{PORT if where.emulated else 0}"
    command = [str(server_binary()), "--insecure", "--listen", listen, "--push-log", str(folder / "log")]
    return subprocess.Popen(where.command(SHARD, command), stdout=subprocess.PIPE, text=True)


def address_of(shard: subprocess.Popen[str]) -> str:
    assert shard.stdout is not None
    found = re.search(r"listening on (\S+)", shard.stdout.readline())
    assert found
    return found[1]


@contextlib.contextmanager
def ended(process: subprocess.Popen) -> Iterator[None]:
    try:
        yield
    finally:
        process.kill()
        process.wait()


def wait_for_step(folder: Path, worker: subprocess.Popen[bytes], step: int) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    file = folder / "rank.0.step"
    while not (file.exists() and int(file.read_text() or 0) >= step):
        assert worker.poll() is None, (folder / "worker.log").read_text()
        assert time.monotonic() < deadline, "the worker does not train"
        time.sleep(0.01)


def found_in(folder: Path, worker: subprocess.Popen[bytes]) -> dict[str, bytes]:
    assert worker.wait(PATIENCE_SECONDS) == 0, (folder / "worker.log").read_text()
    with np.load(folder / "found.npz") as loaded:
        return {name: value.tobytes() for name, value in loaded.items()}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("undisturbed")
    where = network.loopback()
    shard = serve(where, folder)
    with ended(shard):
        return found_in(folder / "worker", train(where, folder / "worker", address_of(shard)))


@needs_namespaces
@pytest.mark.parametrize("fault", ["cut", "half-open", "slow"])
def test_training_waits_and_goes_on(tmp_path, undisturbed, fault):
    with network.emulated(2, network.FREE) as where, contextlib.ExitStack() as stack:
        shard = serve(where, tmp_path)
        stack.enter_context(ended(shard))
        worker = train(where, tmp_path / "worker", address_of(shard))
        stack.enter_context(ended(worker))
        for step in (50, 150, 250):
            wait_for_step(tmp_path / "worker", worker, step)
            if fault == "slow":
                where.limit(0.002 if step < 250 else network.FREE)
                continue
            where.plug(SHARD, connected=False)
            if fault == "half-open" and step == 150:
                # Nobody hears that it is gone; who comes back knows no connection of before.
                shard.send_signal(signal.SIGKILL)
                shard.wait()
                shard = serve(where, tmp_path)
                stack.enter_context(ended(shard))
                address_of(shard)
            # How long the fault lasts is the fault.
            time.sleep(2.0)
            where.plug(SHARD, connected=True)
        assert found_in(tmp_path / "worker", worker) == undisturbed
