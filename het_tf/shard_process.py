"""The shard server as a process: found, become, or started and stopped.

The server is a C++ program (kernels/server/shard_server_main.cc) that is shipped
inside the package. `exec_shard` turns this process into it (a ``ps`` task);
`ShardProcess` starts one as a child, which ends when this process ends.

Thread-safety: a ShardProcess belongs to the thread that starts it. The kernel
ends the child when that *thread* ends, so start it from the main thread.
"""

from __future__ import annotations

import os
import re
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, NoReturn, Self

from het_tf import named_options
from het_tf.cluster import Cluster, is_loopback, split_address
from het_tf.security import Security
from het_tf.serving import Serving

# How often who waits for a shard looks whether there was a signal.
_LOOK_SECONDS = 0.2
_READY = re.compile(rb"^het-tf-shard (\S+) listening on (\S+) incarnation ([0-9a-f]+)$", re.MULTILINE)


class ShardError(RuntimeError):
    """A shard server could not be found, started or stopped."""


def server_binary() -> Path:
    """The shard server that belongs to this package.

    Raises:
      ShardError: the package was installed without it.
    """
    path = Path(__file__).parent / "_native" / "het-tf-shard"
    if not os.access(path, os.X_OK):
        raise ShardError(
            f"the shard server {path} is missing: run `make build` in a checkout, or reinstall het_tf from a wheel"
        )
    return path


def server_command() -> list[str]:
    """The shard server, which ends with this process: the first of its arguments.

    Raises:
      ShardError: the package was installed without it.
    """
    return [str(server_binary()), "--die-with-parent", str(os.getpid())]


def listen_address(address: str) -> str:
    """What a shard that others know as `address` listens on.

    Loopback names and sockets as they are. The names of a cluster need not
    resolve to an interface of this host, so any other is every interface.
    """
    if address.startswith("unix:"):
        return address
    host, port = split_address(address)
    if is_loopback(host):
        return address
    return f"[::]:{port}" if host.startswith("[") else f"0.0.0.0:{port}"


def exec_shard(
    cluster: Cluster,
    max_message_bytes: int | None = None,
    checkpoint_dir: str | Path | None = None,
    push_log_dir: str | Path | None = None,
    push_log_sync: bool = False,
    security: Security | None = None,
    serving: Serving | None = None,
) -> NoReturn:
    """Becomes the shard of this ``ps`` task; serves until it is stopped. The server's own limit without one.

    Its push log is in a folder of its own in `push_log_dir`. The server refuses to
    listen beyond loopback without TLS, unless `security` says that it is insecure.
    """
    if not cluster.is_shard:
        raise ShardError(f"this task is {cluster.task_type} {cluster.task_index}, not a ps: it does not serve")
    binary = server_binary()
    listen = listen_address(cluster.shards[cluster.task_index])
    options = ["--shard-index", str(cluster.task_index), "--shard-count", str(len(cluster.shards))]
    push_log = None if push_log_dir is None else push_log_of(push_log_dir, cluster.task_index, len(cluster.shards))
    options += server_options(max_message_bytes, checkpoint_dir, push_log, push_log_sync, security, serving)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(binary, [str(binary), "--listen", listen, *options])


def push_log_of(directory: str | Path, index: int, count: int) -> Path:
    """The folder of one shard's push log in the job's."""
    return Path(directory) / f"shard-{index}-of-{count}"


def server_options(
    max_message_bytes: int | None,
    checkpoint_dir: str | Path | None,
    push_log: str | Path | None = None,
    push_log_sync: bool = False,
    security: Security | None = None,
    serving: Serving | None = None,
) -> list[str]:
    """Of the server's command line, for what is given."""
    options = [] if max_message_bytes is None else ["--max-message-bytes", str(max_message_bytes)]
    options += [] if checkpoint_dir is None else ["--checkpoint-dir", os.path.abspath(checkpoint_dir)]
    options += [] if push_log is None else ["--push-log", os.path.abspath(push_log)]
    options += ["--push-log-sync"] if push_log_sync else []
    return options + [word for one in (security, serving) if one for word in named_options.command_line(one)]


class ShardProcess:
    """One running shard server, a child of this process.

    Args:
      listen: ``host:port`` (port 0: any free one) or ``unix:/path``.
      index, count: the shard's place; count 0: the first worker decides.
      max_message_bytes: largest message; None: the server's own limit, 1 GiB.
      checkpoint_dir: where it writes and reads checkpoints; None: nowhere.
      push_log: where it logs every update before it answers; None: it does not.
        Started again there, it comes back as it was.
      push_log_sync: answers wait until the log is on the disk.
      security: its certificates, tokens and --insecure; None: none.
      serving: its limits, metrics and log; None: the server's own.
      log: file that its output goes to; None: passed through to stderr, each
        line with the shard's number.
      environ: its environment (default: this process's).
      deadline_seconds: how long it may take to listen.
      interrupted: once it is set (by a signal's handler) it is not waited for.

    Raises:
      ShardError: it did not come up; says why, with its own words.
    """

    def __init__(
        self,
        listen: str = "127.0.0.1:0",
        *,
        index: int = 0,
        count: int = 0,
        max_message_bytes: int | None = None,
        checkpoint_dir: str | Path | None = None,
        push_log: str | Path | None = None,
        push_log_sync: bool = False,
        security: Security | None = None,
        serving: Serving | None = None,
        log: Path | None = None,
        environ: Mapping[str, str] | None = None,
        deadline_seconds: float = 30.0,
        interrupted: threading.Event | None = None,
    ) -> None:
        place = ["--shard-index", str(index), "--shard-count", str(count)] if count else []
        options = server_options(max_message_bytes, checkpoint_dir, push_log, push_log_sync, security, serving)
        command = [*server_command(), "--listen", listen, *place, *options]
        self.index = index
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environ,
            bufsize=0,
            # A Ctrl-C at the terminal is for the process that supervises.
            start_new_session=True,
        )
        try:
            ready, rest = self._wait_until_ready(listen, deadline_seconds, interrupted or threading.Event())
            sink: IO[bytes] | None = open(log, "ab", buffering=0) if log is not None else None  # noqa: SIM115
        except BaseException:
            self.stop(grace_seconds=0)
            raise
        self.address = ready[2].decode()
        self.incarnation = int(ready[3], 16)
        self._output = threading.Thread(target=self._pass_output_on, args=(rest, sink), daemon=True)
        self._output.start()

    @property
    def pid(self) -> int:
        return self.process.pid

    def stop(self, grace_seconds: float = 10.0) -> int:
        """SIGTERM, SIGKILL after the grace; its exit status. May be called again."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(grace_seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
        status = self.process.wait()
        output = getattr(self, "_output", None)
        if output is not None:
            output.join()
        elif self.process.stdout is not None:
            self.process.stdout.close()
        return status

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def _wait_until_ready(
        self, listen: str, deadline_seconds: float, interrupted: threading.Event
    ) -> tuple[re.Match[bytes], bytes]:
        assert self.process.stdout is not None
        said = b""
        deadline = time.monotonic() + deadline_seconds
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while True:
                ready = _READY.search(said)
                if ready and said.find(b"\n", ready.end()) >= 0:
                    return ready, said
                if interrupted.is_set():
                    raise ShardError(f"shard {self.index} is not waited for any more: there was a signal")
                left = deadline - time.monotonic()
                if not selector.select(min(max(0.0, left), _LOOK_SECONDS)):
                    if left > 0:
                        continue
                    raise ShardError(
                        f"shard {self.index} does not listen on {listen} after {deadline_seconds:g} s; it said: "
                        f"{said.decode(errors='replace').strip() or 'nothing'}"
                    )
                some = os.read(self.process.stdout.fileno(), 4096)
                if not some:
                    status = self.process.wait()
                    raise ShardError(
                        f"shard {self.index} could not be started on {listen} ({describe_status(status)}): "
                        f"{said.decode(errors='replace').strip() or 'it said nothing'}"
                    )
                said += some

    def _pass_output_on(self, rest: bytes, sink: IO[bytes] | None) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as source:
            some = rest
            rest = b""
            while some or rest:
                # An end without a newline is a line, too.
                *lines, rest = (rest + (some or b"\n")).split(b"\n")
                for line in lines:
                    if sink is not None:
                        sink.write(line + b"\n")
                    elif not _READY.match(line):
                        print(f"[shard {self.index}] {line.decode(errors='replace')}", file=sys.stderr, flush=True)
                if some:
                    some = os.read(source.fileno(), 4096)
        if sink is not None:
            sink.close()


def describe_status(status: int) -> str:
    """A return code of `subprocess` in words."""
    if status >= 0:
        return f"exit code {status}"
    try:
        return f"ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"ended by signal {-status}"
