"""Jobs in flight: `het-tf launch` with workers that report to the test."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from processes import clean_environment

PATIENCE_SECONDS = 60.0


class Job:
    """A `het-tf launch` in flight whose workers report to this process and then block.

    Workers write "rank pid" into a fifo; the processes of the job are watched by
    handles of the kernel, so that nothing here depends on time or on pids that
    are used again.
    """

    def __init__(self, folder: Path, body: str, *, workers: int, shards: int, options: tuple[str, ...] = ()) -> None:
        self.fifo = folder / "fifo"
        os.mkfifo(self.fifo)
        script = folder / "script.py"
        script.write_text(
            "import os, signal, subprocess, sys\n"
            f"fifo = open({str(self.fifo)!r}, 'w', buffering=1)\n"
            "rank = os.environ.get('HOROVOD_RANK', '0')\n"
            "def report():\n    fifo.write(f'{rank} {os.getpid()}\\n')\n" + body
        )
        reader = os.open(self.fifo, os.O_RDONLY | os.O_NONBLOCK)
        command = [sys.executable, "-m", "het_tf.cli.main", "launch", "--workers", str(workers)]
        self.log = open(folder / "launcher.log", "wb+")  # noqa: SIM115
        self.launcher = subprocess.Popen(
            [*command, "--shards", str(shards), *options, str(script)],
            env=clean_environment(),
            stdout=self.log,
            stderr=self.log,
        )
        self.workers: dict[int, int] = {}
        try:
            with open(reader, "rb", buffering=0) as source:
                self._hear(source, workers)
            launcher = psutil.Process(self.launcher.pid)
            self.shards = [p.pid for p in launcher.children() if p.name() == "het-tf-shard"]
            self.horovodrun = [p.pid for p in launcher.children() if p.pid not in self.shards]
            self.processes = {p.pid: os.pidfd_open(p.pid) for p in launcher.children(recursive=True)}
        except BaseException:
            self.close()
            raise

    def _hear(self, source, workers: int) -> None:
        deadline, heard = time.monotonic() + PATIENCE_SECONDS, b""
        with selectors.DefaultSelector() as selector:
            selector.register(source, selectors.EVENT_READ)
            while heard.count(b"\n") < workers:
                left = deadline - time.monotonic()
                assert left > 0 and self.launcher.poll() is None, f"the workers did not start: {self.output()}"
                if selector.select(min(left, 1.0)):
                    heard += source.read(4096) or b""
        for line in heard.decode().splitlines():
            rank, pid = line.split()
            self.workers[int(rank)] = int(pid)

    def kill(self, pid: int, number: int = signal.SIGKILL) -> None:
        signal.pidfd_send_signal(self.processes[pid], number)

    def wait(self) -> int:
        return self.launcher.wait(PATIENCE_SECONDS)

    def survivors(self, patience: float = PATIENCE_SECONDS) -> list[int]:
        """Processes of the job that still run when the patience ends; none is what one wants."""
        running = dict(self.processes)
        deadline = time.monotonic() + patience
        with selectors.DefaultSelector() as selector:
            for pid, handle in running.items():
                selector.register(handle, selectors.EVENT_READ, pid)
            while running:
                ended = selector.select(max(0.0, deadline - time.monotonic()))
                if not ended:
                    break
                for key, _ in ended:
                    selector.unregister(key.fileobj)
                    del running[key.data]
        return list(running)

    def output(self) -> str:
        self.log.flush()
        return Path(self.log.name).read_text(errors="replace")

    def close(self) -> None:
        if self.launcher.poll() is None:
            self.launcher.kill()
            self.launcher.wait()
        for handle in getattr(self, "processes", {}).values():
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
            os.close(handle)
        self.log.close()
