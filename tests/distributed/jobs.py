"""Ways to run a script on several workers: the launcher, or TF_CONFIG alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from processes import clean_environment, free_ports

PATIENCE_SECONDS = 180


def launch(
    script: Path, *arguments: str, workers: int, shards: int, options: Sequence[str] = (), fails: bool = False
) -> str:
    """`het-tf launch`; returns its output."""
    command = [sys.executable, "-m", "het_tf.cli.main", "launch", "--workers", str(workers), "--shards", str(shards)]
    done = subprocess.run(
        [*command, *options, str(script), *arguments],
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert (done.returncode != 0) is fails, done.stdout
    return done.stdout


def cluster(ps: int, worker: int, *, chief: bool = True) -> dict[str, list[str]]:
    """A cluster of TF_CONFIG on free loopback ports; a chief in place of the first worker."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(ps + worker)]
    workers = addresses[ps:]
    jobs = {"ps": addresses[:ps], "chief": workers[:1], "worker": workers[1:]} if chief else {
        "ps": addresses[:ps],
        "worker": workers,
    }
    return {name: listed for name, listed in jobs.items() if listed}


@contextmanager
def tasks(
    script: Path,
    arguments: Sequence[str],
    described: dict[str, list[str]],
    folder: Path,
    kinds: Collection[str] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Iterator[dict[tuple[str, int], subprocess.Popen[bytes]]]:
    """One process per task (of these kinds), all running the same script; what is left at the end is killed."""
    with ExitStack() as stack:
        running = {}
        for kind, addresses in described.items():
            for index in range(len(addresses) if kinds is None or kind in kinds else 0):
                config = {"cluster": described, "task": {"type": kind, "index": index}}
                log = stack.enter_context(open(log_of(folder, kind, index), "wb"))
                process = subprocess.Popen(
                    [sys.executable, str(script), *arguments],
                    env=clean_environment(TF_CONFIG=json.dumps(config), **(environ or {})),
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
                stack.callback(_end, process)
                running[kind, index] = process
        yield running


def log_of(folder: Path, kind: str, index: int) -> Path:
    return folder / f"{kind}.{index}.log"


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def reports(folder: Path, workers: int) -> list[dict[str, Any]]:
    return [json.loads((folder / f"rank.{rank}.json").read_text()) for rank in range(workers)]
