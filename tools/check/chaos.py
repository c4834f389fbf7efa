"""Kills shards in the middle of training, again and again: nothing that was acknowledged may be lost.

    python tools/check/chaos.py --kills 200              # one worker: every bit as without a kill
    python tools/check/chaos.py --kills 200 --workers 2  # rows that can be counted

A job of `het-tf launch --durability log` with two shards trains chaos_worker.py and
saves a checkpoint every fifty steps. SIGKILL hits a shard, sometimes both, at a random
moment, and the next one comes at a random time after it is back. With two workers
every complete checkpoint is counted, too: its rows are those of its step. Prints one
JSON object; ends with 1 and the job's output when anything is not as it has to be.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Annotated

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import psutil
import typer

from het_tf import checkpoint
from het_tf.checkpoint import contents

PROJECT = Path(__file__).resolve().parents[2]
WORKER = Path(__file__).with_name("chaos_worker.py")
BATCH, FIELDS = 32, 4  # chaos_worker.py's
# Steps per kill: what is trained between two of them, and more than enough.
STEPS_PER_KILL, SAVE_EVERY = 150, 50
BACK_SECONDS = 60.0


class Job:
    """A launched job, whose words are read as they come."""

    def __init__(self, folder: Path, workers: int, steps: int, kind: str, durability: str) -> None:
        folder.mkdir()
        self.folder = folder
        command = [sys.executable, "-m", "het_tf.cli.main", "launch", "--workers", str(workers), "--shards", "2"]
        command += ["--checkpoint-dir", str(folder / "checkpoints"), "--durability", durability]
        described = ("HOROVOD_", "OMPI_", "PMI_", "HET_TF_", "TF_CONFIG")
        environ = {name: value for name, value in os.environ.items() if not name.startswith(described)}
        self.process = subprocess.Popen(
            [*command, str(WORKER), str(folder), str(steps), str(SAVE_EVERY), kind],
            cwd=PROJECT,
            env=environ | {"PYTHONPATH": str(PROJECT), "TF_CPP_MIN_LOG_LEVEL": "2"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self.back = 0
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self.lines.append(line)
                self.back += "it came back from its log" in line
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def shards(self) -> list[psutil.Process]:
        with contextlib.suppress(psutil.NoSuchProcess):
            children = psutil.Process(self.process.pid).children()
            return [child for child in children if child.name() == "het-tf-shard"]
        return []

    def trains(self) -> bool:
        return (self.folder / "rank.0.step").exists()

    def wait_until_back(self, count: int) -> bool:
        """False when the job has ended."""
        with self._changed:
            came = self._changed.wait_for(lambda: self.back >= count or self.process.poll() is not None, BACK_SECONDS)
        if not came:
            raise RuntimeError(f"a shard is not back after {BACK_SECONDS:g} s")
        return self.back >= count

    def end(self) -> None:
        self.process.terminate()
        self.process.wait()
        self._reader.join()


def disturb(job: Job, kills: int, seed: int) -> tuple[int, list[float]]:
    """Kills shards until the job has ended or enough were killed; how many, and in how many seconds they were back."""
    draw = random.Random(seed)
    while not job.trains() and job.process.poll() is None:
        time.sleep(0.05)
    killed, seconds = 0, []
    while killed < kills and job.process.poll() is None:
        time.sleep(draw.uniform(0.0, 0.3))
        shards = job.shards()
        chosen = shards if draw.random() < 0.2 else draw.sample(shards, min(1, len(shards)))
        begin = time.monotonic()
        for shard in chosen[: kills - killed]:
            with contextlib.suppress(psutil.NoSuchProcess):
                shard.send_signal(signal.SIGKILL)
                killed += 1
        if not job.wait_until_back(killed):
            break
        if chosen:
            seconds.append(time.monotonic() - begin)
    return killed, seconds


def check_checkpoints(job: Job) -> int:
    """How many there are; raises RuntimeError when one has rows of another moment than it says."""
    directory = job.folder / "checkpoints"
    found = checkpoint.list(directory)
    for manifest in found:
        total = sum(rows.values[:, 0].sum(dtype=np.float64) for rows in contents.rows_of(directory, manifest.name, "t"))
        # Each step's global batch adds its number of ids, whatever their order.
        expected = manifest.step * BATCH * FIELDS
        if total != expected:
            raise RuntimeError(f"checkpoint {manifest.name} has {total} updates, expected {expected}")
    return len(found)


def main(
    kills: Annotated[int, typer.Option(min=1, help="SIGKILLs.")] = 20,
    workers: Annotated[int, typer.Option(min=1, max=2, help="1: every bit is compared; 2: rows are counted.")] = 1,
    durability: Annotated[str, typer.Option(help="log or log-sync.")] = "log",
    seed: Annotated[int, typer.Option(help="Of the moments.")] = 1,
) -> None:
    kind = "tower" if workers == 1 else "sum"
    steps = STEPS_PER_KILL * kills
    with tempfile.TemporaryDirectory() as place, contextlib.ExitStack() as stack:
        if workers == 1:
            undisturbed = Job(Path(place) / "undisturbed", workers, steps, kind, "checkpoint")
            stack.callback(undisturbed.end)
            if undisturbed.process.wait() != 0:
                fail(undisturbed, "the job fails without a kill")
        job = Job(Path(place) / "disturbed", workers, steps, kind, durability)
        stack.callback(job.end)
        begin = time.monotonic()
        try:
            killed, seconds = disturb(job, kills, seed)
        except RuntimeError as error:
            fail(job, str(error))
        code = job.process.wait()
        if code != 0:
            fail(job, f"the job has ended with {code} after {killed} kills")
        took = time.monotonic() - begin
        with np.load(job.folder / "found.npz") as loaded:
            found = dict(loaded)
        if kind == "sum":
            expected = {"rows": found.pop("expected")}
        else:
            with np.load(undisturbed.folder / "found.npz") as loaded:
                expected = dict(loaded)
        different = [name for name, value in expected.items() if found[name].tobytes() != value.tobytes()]
        if different:
            fail(job, f"{', '.join(different)} differ after {killed} kills (seed {seed})")
        checkpoints = len(checkpoint.list(job.folder / "checkpoints"))
        if kind == "sum":
            try:
                checkpoints = check_checkpoints(job)
            except RuntimeError as error:
                fail(job, str(error))
        if checkpoints == 0:
            fail(job, "there is no checkpoint")
        if killed < kills:
            fail(job, f"the job has ended before the last of {kills} kills ({killed}): too few steps")
        print(
            json.dumps(
                {
                    "kills": killed,
                    "workers": workers,
                    "durability": durability,
                    "seed": seed,
                    "steps": steps,
                    "checkpoints_kept": checkpoints,
                    "seconds": round(took, 1),
                    "back_after_median": round(statistics.median(seconds), 3),
                    "back_after_most": round(max(seconds), 3),
                    "equal": "every bit" if kind == "tower" else "every count",
                }
            )
        )


def fail(job: Job, why: str) -> None:
    sys.stderr.write("".join(job.lines[-200:]))
    typer.echo(f"chaos: {why}", err=True)
    raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
