"""A shard that dies in the middle of training ends the job, with words, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

import jobs
from processes import clean_environment

SCRIPT = Path(__file__).with_name("endless.py")


def wait_until_training(folder: Path, workers: int, running: list[subprocess.Popen[bytes]]) -> None:
    deadline = time.monotonic() + jobs.PATIENCE_SECONDS
    while not all((folder / f"rank.{rank}.ready").exists() for rank in range(workers)):
        assert time.monotonic() < deadline, "the workers do not train"
        for process in running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.1)
                raise AssertionError(f"{process.args} ended with {process.returncode}")


@pytest.mark.parametrize("staleness", [0, 10])
def test_every_worker_of_a_tf_config_ends_with_an_error_that_names_the_shard(tmp_path, staleness):
    cluster = jobs.cluster(2, 2)
    with jobs.tasks(SCRIPT, [str(tmp_path), str(staleness)], cluster, tmp_path) as running:
        wait_until_training(tmp_path, 2, list(running.values()))
        os.kill(running["ps", 1].pid, signal.SIGKILL)
        for kind, index in (("chief", 0), ("worker", 0)):
            code = running[kind, index].wait(jobs.PATIENCE_SECONDS)
            said = jobs.log_of(tmp_path, kind, index).read_text()
            assert code != 0, said
            assert f"shard 1 ({cluster['ps'][1]})" in said
        assert running["ps", 0].poll() is None, "the other shard serves on"


def test_a_launched_job_ends_and_leaves_no_process(tmp_path):
    log = tmp_path / "launcher.log"
    with log.open("wb") as sink:
        launcher = subprocess.Popen(
            [sys.executable, "-m", "het_tf.cli.main", "launch", "-n", "2", "-m", "2", str(SCRIPT), str(tmp_path), "10"],
            env=clean_environment(),
            stdout=sink,
            stderr=subprocess.STDOUT,
        )
    family = []
    try:
        wait_until_training(tmp_path, 2, [launcher])
        family = psutil.Process(launcher.pid).children(recursive=True)
        shards = [process for process in family if process.name() == "het-tf-shard"]
        assert len(shards) == 2
        shards[1].kill()
        assert launcher.wait(jobs.PATIENCE_SECONDS) != 0
        said = log.read_text(errors="replace").splitlines()
        for rank in range(2):  # the launcher says so as well, on lines of its own
            assert any(line.startswith(f"[{rank}]<") and "shard 1 (" in line for line in said), said
        _, alive = psutil.wait_procs(family, timeout=30)
        assert not alive
    finally:
        for process in [launcher, *family]:
            with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
                process.kill()
        launcher.wait()
