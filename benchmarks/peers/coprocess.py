"""A contender in a process of its own that runs steps on command, so that contenders can take turns.

The protocol, one line each: the process says `{"ready": true, ...}` once it has
warmed up; to `steps N` it answers `{"seconds": S}`, the time that N steps took it.
It ends when its standard input does. Whatever else it prints goes to its log.
`tell` and `answer` are for programs that know other words.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import psutil

from benchmarks.figures import ROOT
from benchmarks.peers.environments import PeerUnavailable


class Coprocess:
    """One such process; a context manager that ends it.

    Attributes:
      ready: what it said when it was ready.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environ: Mapping[str, str],
        *,
        ready_seconds: float = 180.0,
        ends_by_signal: bool = False,
    ) -> None:
        """Starts it without waiting: several can warm up at a time.

        Args:
          ready_seconds: how long it may take to get ready from now on, and for an answer later.
          ends_by_signal: it is a server that does not read its input: SIGTERM ends it.
        """
        self.name = name
        self.ready: dict[str, Any] = {}
        self._seconds = ready_seconds
        self._ends_by_signal = ends_by_signal
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (closed by __exit__)
        self._rest = b""
        self._count = 1
        try:
            self._process = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, env=dict(environ)
            )
        except OSError as error:
            raise PeerUnavailable(f"{name}: cannot start {command[0]}: {error}") from error

    def wait_until_ready(self) -> None:
        """Raises: PeerUnavailable, with the end of its log."""
        self.ready = self.answer("ready")

    def steps(self, count: int) -> float:
        """Runs `count` steps; seconds per step, as the process measured them."""
        self.begin(count)
        return self.finish()

    def begin(self, count: int) -> None:
        """Begins `count` steps; `finish` must follow."""
        self._count = count
        self.tell(f"steps {count}")

    def finish(self) -> float:
        """Waits for the steps begun; seconds per step."""
        return float(self.answer("seconds")["seconds"]) / self._count

    def tell(self, line: str) -> None:
        """Sends a line.

        Raises:
          PeerUnavailable: it has ended; with the end of its log.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{line}\n".encode())
            self._process.stdin.flush()
        except OSError as error:
            raise PeerUnavailable(f"{self.name}: does not listen ({error})\n{self._end_of_log()}") from error

    def cpu_seconds(self) -> float:
        """Processor time, user and system, since it was started."""
        times = psutil.Process(self._process.pid).cpu_times()
        return times.user + times.system

    def answer(self, key: str) -> dict[str, Any]:
        """The next line that is a JSON object with `key`; libraries may print others.

        Raises:
          PeerUnavailable: none came in time, or it has ended; with the end of its log.
        """
        assert self._process.stdout is not None
        until = time.monotonic() + self._seconds
        while True:
            line, newline, rest = self._rest.partition(b"\n")
            if newline:
                self._rest = rest
                if line.startswith(b"{"):
                    answer = json.loads(line)
                    if key in answer:
                        return answer
                continue
            ready, _, _ = select.select([self._process.stdout], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                raise PeerUnavailable(f"{self.name}: no answer within {self._seconds:.0f} s\n{self._end_of_log()}")
            more = os.read(self._process.stdout.fileno(), 1 << 16)
            if not more:
                raise PeerUnavailable(self.end())
            self._rest += more

    def end(self, seconds: float | None = None) -> str | None:
        """Its status and the end of its log, once it has ended; None when that takes longer than `seconds`."""
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        return f"{self.name}: ended with {code}\n{self._end_of_log()}"

    def log(self, begin: int = 0) -> bytes:
        """What it has written to its log, from byte `begin` on; where the process writes next stays as it is."""
        descriptor = self._log.fileno()
        return os.pread(descriptor, max(0, os.fstat(descriptor).st_size - begin), begin)

    def _end_of_log(self) -> str:
        return "\n".join(self.log().decode(errors="replace").splitlines()[-10:])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.close()
            if self._ends_by_signal:
                self._process.terminate()
            self._process.wait(10)
        except (subprocess.TimeoutExpired, OSError):
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._log.close()


def program(name: str) -> Path:
    """The C++ program benchmarks/native/NAME_main.cc, which `make bench-binaries` builds.

    Raises:
      PeerUnavailable: it has not been built.
    """
    path = ROOT / "build" / "release" / "benchmarks" / "native" / f"{name}_main"
    if not os.access(path, os.X_OK):
        raise PeerUnavailable(f"{path} is missing: run `make bench-binaries`")
    return path
