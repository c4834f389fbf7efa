"""The shards of a launched job: started together, started again one by one, stopped together.

Thread-safety: everything here belongs to the launcher's main thread, but for the
events, which any thread may put.
"""

from __future__ import annotations

import queue
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from het_tf.security import Security
from het_tf.serving import Serving
from het_tf.shard_process import ShardError, ShardProcess, describe_status, push_log_of

# What has ended or come: "shard", "workers" or "signal", its number, its status.
Events = queue.SimpleQueue[tuple[str, int, int]]
# A shard that comes back reads its rows before it listens.
_SHARD_COMES_SECONDS = 300.0
# Folder of the jobs' logs beside the checkpoints.
PUSH_LOGS = ".push-logs"


class LaunchedShards:
    """The job's shards; leaving it as a context stops them.

    With a log of updates one that has died can be started again. `job` names the
    job for ever: no other has its logs. Once `interrupted` is set nobody waits for a
    shard to come back.
    """

    def __init__(
        self,
        count: int,
        log_dir: Path | None,
        max_message_bytes: int | None,
        checkpoint_dir: str | None,
        durability: str,
        security: Security,
        serving: Serving,
        environ: Mapping[str, str],
        job: str,
        interrupted: threading.Event,
    ) -> None:
        self._log_dir = log_dir
        self._options: dict[str, Any] = {
            "max_message_bytes": max_message_bytes,
            "checkpoint_dir": checkpoint_dir,
            "push_log_sync": durability == "log-sync",
            "security": security,
            "serving": serving,
            "environ": dict(environ),
        }
        self._push_logs: Path | None = None
        if durability != "checkpoint":
            assert checkpoint_dir is not None
            self._push_logs = Path(checkpoint_dir) / PUSH_LOGS / job.replace(":", "-")
        self._count = count
        self._interrupted = interrupted
        self._running: list[ShardProcess] = []

    def __enter__(self) -> Self:
        try:
            for index in range(self._count):
                self._running.append(self._start(index, "127.0.0.1:0"))
                say(f"shard {index} of {self._count}: {self._running[index].address}")
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def stop(self) -> None:
        for shard in self._running:
            shard.stop()
        # Nobody comes back to them: the job that is started next begins at a checkpoint.
        if self._push_logs is not None:
            shutil.rmtree(self._push_logs, ignore_errors=True)

    @property
    def addresses(self) -> list[str]:
        return [shard.address for shard in self._running]

    def watch(self, events: Events) -> None:
        for shard in self._running:
            watch("shard", shard.index, shard.process, events)

    def start_again(self, index: int, status: int, events: Events) -> bool:
        """Whether the shard, which has died, is back with all that it has acknowledged.

        As often as it takes: a shard that only ever dies makes no progress, and the
        workers' deadline ends the job.
        """
        if self._push_logs is None:
            return False
        dead = self._running[index]
        dead.stop()  # its output to the end
        words = f"shard {index} ({dead.address}) has died ({describe_status(status)})"
        begin = time.monotonic()
        try:
            self._running[index] = self._start(index, dead.address)
        except ShardError as error:
            say(f"{words} and does not come back: {error}")
            return False
        took = time.monotonic() - begin
        say(f"{words}: started again, it came back from its log in {took:.2f} s")
        watch("shard", index, self._running[index].process, events)
        return True

    def _start(self, index: int, listen: str) -> ShardProcess:
        log = None
        if self._log_dir is not None:
            self._log_dir.mkdir(parents=True, exist_ok=True)
            log = self._log_dir / f"shard.{index}.log"
        push_log = None if self._push_logs is None else push_log_of(self._push_logs, index, self._count)
        return ShardProcess(
            listen,
            index=index,
            count=self._count,
            log=log,
            push_log=push_log,
            deadline_seconds=_SHARD_COMES_SECONDS,
            interrupted=self._interrupted,
            **self._options,
        )


def watch(what: str, number: int, process: subprocess.Popen[bytes], events: Events) -> None:
    """Has the end of a process become an event."""
    def wait() -> None:
        events.put((what, number, process.wait()))

    threading.Thread(target=wait, daemon=True).start()


def say(text: str) -> None:
    print(f"het-tf launch: {text}", file=sys.stderr, flush=True)
