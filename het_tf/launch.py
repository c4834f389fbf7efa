"""launch: a script on N workers and M shards of this machine, as one job.

    launcher ── shard 0 … M-1               (one process each)
             └─ horovodrun ── worker 0 … N-1  (one worker: the script, no Horovod)

All of it ends together, whatever ends first: the launcher supervises its
children and at the end looks for processes that carry its mark; when the
launcher is killed the kernel sends SIGTERM to shards and to one worker alone,
and kills horovodrun, whose processes beside the workers then end these; and a
worker that called `follow_launcher` ends by itself.

Thread-safety: `launch` runs in the main thread (signals, and the kernel's
notion of a parent); one at a time.
"""

from __future__ import annotations

import os
import queue
import select
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NoReturn

import psutil

from het_tf import horovod_installation, job_secrets, named_options
from het_tf.cluster import CHECKPOINT_DIR_VARIABLE, DURABILITIES, absolute_checkpoint_dir
from het_tf.launched_shards import Events, LaunchedShards, say, watch
from het_tf.security import Security
from het_tf.serving import Serving
from het_tf.shard_process import describe_status

# The mark of a job: "pid:start time" of its launcher, in every child's
# environment.
LAUNCHER_VARIABLE = "HET_TF_LAUNCHER"
# horovodrun takes five seconds to end a worker that does not want to.
_WORKERS_END_SECONDS = 15.0


class LaunchError(ValueError):
    """A job that cannot be started as it was asked for."""


def launch(
    script: str | Path,
    arguments: Sequence[str] = (),
    *,
    workers: int = 1,
    shards: int = 1,
    log_dir: Path | None = None,
    grace_seconds: float = 60.0,
    max_message_bytes: int | None = None,
    checkpoint_dir: str | Path | None = None,
    durability: str = "checkpoint",
    restarts: int = 0,
    tls: bool = False,
    security: Security | None = None,
    environ: Mapping[str, str] | None = None,
) -> int:
    """Runs a Python script on `workers` workers and `shards` shards.

    Args:
      script: path of the script; `arguments` are passed on to it.
      shards: 0 with one worker: the shard is inside the worker.
      log_dir: folder for the shards' output (``shard.I.log``) and, above one
        worker, a copy of each worker's (``workers/rank.I``).
      grace_seconds: after a shard has died, how long the workers may go on
        until they have noticed and said so.
      max_message_bytes: largest message that a shard takes and sends (default 1
        GiB); workers with larger ones also say so, ``het.init(max_message_bytes=...)``.
      checkpoint_dir: where shards and workers keep checkpoints; made if need be.
        Default: HET_TF_CHECKPOINT_DIR of the environment, or nowhere.
      durability: ``"checkpoint"``: a shard that dies ends the job. ``"log"``: it
        logs every update, in `checkpoint_dir`, before it answers; it is started
        again, comes back as it was, and the workers, who wait for it up to their
        ``het.init(deadline=...)``, go on. ``"log-sync"``: the log is on the disk
        before an answer is given.
      restarts: how often the whole job is started again when it ends with an error,
        a worker that died for one; with `het.callbacks.Checkpoint` it goes on from
        the last checkpoint. Needs `checkpoint_dir`.
      tls: workers and shards show each other certificates of a CA, and workers show
        tokens, that are made for this job and removed when it ends.
      security: certificates and tokens of your own, the same for workers and shards;
        default: what HET_TF_TLS_CA, HET_TF_TOKEN_FILE and so on of `environ` name.
      environ: the children's environment (default: this process's).

    Returns:
      The job's exit code: 0 when every worker ended well; the script's own with
      one worker; 1 when a shard died; 128 + number when a signal ended the job.

    Raises:
      LaunchError: the job cannot be started as asked for.
      ShardError: a shard did not come up.
      SecurityError: a certificate or a token cannot be used.
    """
    _check(script, workers, shards)
    if durability not in DURABILITIES:
        raise LaunchError(f"durability is {durability!r}; expected one of {', '.join(DURABILITIES)}")
    environ = dict(os.environ if environ is None else environ)
    for name in ("TF_CONFIG", "HET_TF_SHARDS"):
        if environ.get(name):
            raise LaunchError(f"{name} is set ({environ[name]!r}): the launcher makes a cluster of its own; unset it")
    security = Security.from_environment(environ) if security is None else security
    _check_security(security, tls, shards)
    serving = named_options.from_environment(Serving, environ)
    checkpoint_dir = absolute_checkpoint_dir(checkpoint_dir, environ)
    if checkpoint_dir is not None:
        Path(checkpoint_dir).mkdir(parents=True, exist_ok=True)
        environ[CHECKPOINT_DIR_VARIABLE] = checkpoint_dir
    elif durability != "checkpoint" or restarts:
        what = f"durability {durability!r}" if durability != "checkpoint" else f"{restarts} restarts"
        raise LaunchError(
            f"{what} needs a folder for checkpoints and logs: give --checkpoint-dir, or set {CHECKPOINT_DIR_VARIABLE}"
        )
    for left in range(restarts, -1, -1):
        events: Events = queue.SimpleQueue()
        with ExitStack() as stack:
            interrupted = threading.Event()
            stack.enter_context(_signals_to(events, interrupted))
            secrets = stack.enter_context(job_secrets.made_for_a_job()) if tls else None
            running = stack.enter_context(
                LaunchedShards(
                    shards,
                    log_dir,
                    max_message_bytes,
                    checkpoint_dir,
                    durability,
                    security if secrets is None else secrets.shards,
                    serving,
                    environ,
                    _mark(os.getpid()),
                    interrupted,
                )
            )
            if shards:
                environ["HET_TF_SHARDS"] = ",".join(running.addresses)
            environ |= named_options.variables(security if secrets is None else secrets.workers)
            if secrets is not None:
                file = shlex.quote(secrets.write_environment(running.addresses))
                say(f"the job's certificates and tokens, until it ends; to see it: (. {file}; het-tf status)")
            job = _start_workers(script, arguments, workers, log_dir, environ, stack)
            code, wanted = _supervise(job, running, events, grace_seconds)
        if code == 0 or wanted or left == 0:
            break
        say(f"the job has ended with {code}: starting it again ({left - 1} more times after this)")
    return code


def _check(script: str | Path, workers: int, shards: int) -> None:
    if workers < 1:
        raise LaunchError(f"got {workers} workers; expected at least 1")
    if shards < 0 or (shards == 0 and workers > 1):
        raise LaunchError(
            f"got {shards} shards for {workers} workers; expected at least 1 (0 is possible with one worker alone: the "
            "shard is then inside it)"
        )
    if not Path(script).is_file():
        raise LaunchError(f"there is no script {str(script)!r}")
    lacking = horovod_installation.missing() if workers > 1 else None
    if lacking is not None:
        raise LaunchError(f"{workers} workers need Horovod, and {lacking}: {horovod_installation.REMEDY}")
    if threading.current_thread() is not threading.main_thread():
        raise LaunchError("launch has to be called from the main thread: children end with the thread that starts them")


def _check_security(security: Security, tls: bool, shards: int) -> None:
    if tls and shards == 0:
        raise LaunchError("--tls is for what workers and shards send each other, and there are 0 shards; leave it out")
    if tls and security.files:
        given = ", ".join(named_options.spelled(name) for name in security.files)
        raise LaunchError(
            f"--tls makes certificates and tokens for the job, and there are others: {given}; leave --tls out to use "
            "these"
        )
    if security.tls_cert is not None and security.tls_ca is None:
        raise LaunchError(
            f"{named_options.spelled('tls_cert')} is {security.tls_cert!r} and there is no "
            f"{named_options.spelled('tls_ca')}: workers have to know the CA of the shards' certificate"
        )
    if security.tls_ca is not None and security.tls_cert is None:
        raise LaunchError(
            f"{named_options.spelled('tls_ca')} is {security.tls_ca!r} and there is no "
            f"{named_options.spelled('tls_cert')}: the shards need a certificate of that CA, for 127.0.0.1"
        )


def _start_workers(
    script: str | Path,
    arguments: Sequence[str],
    workers: int,
    log_dir: Path | None,
    environ: dict[str, str],
    stack: ExitStack,
) -> subprocess.Popen[bytes]:
    mark = _mark(os.getpid())
    environ = environ | {LAUNCHER_VARIABLE: mark}
    command = [sys.executable, str(script), *arguments]
    at_my_end = signal.SIGTERM
    if workers > 1:
        # Its handler of SIGTERM waits for ever now and then (Horovod 0.28.1: for a lock
        # that its main thread holds); its processes beside the workers notice its end.
        at_my_end = signal.SIGKILL
        horovodrun = [sys.executable, "-P", "-m", "horovod.runner.launch", "-np", str(workers), "--gloo"]
        if log_dir is not None:
            horovodrun += ["--output-filename", str(log_dir / "workers")]
        command = horovodrun + command
    program = [sys.executable, "-I", "-S", str(Path(__file__).with_name("die_with_parent.py"))]
    program += [str(os.getpid()), str(int(at_my_end))]
    job = subprocess.Popen(program + command, env=environ, start_new_session=True)
    stack.callback(_end_marked, mark)
    stack.callback(_end, job)
    return job


def _supervise(
    job: subprocess.Popen[bytes],
    shards: LaunchedShards,
    events: Events,
    grace_seconds: float,
) -> tuple[int, bool]:
    """Waits for whatever ends first; the job's exit code, and whether a signal wanted the end."""
    shards.watch(events)
    watch("workers", 0, job, events)
    deadline = None
    while True:
        try:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            what, number, status = events.get(timeout=left)
        except queue.Empty:
            say(f"the workers have not ended {grace_seconds:g} s after the shard: ending them")
            return 1, False
        if what == "workers":
            failed = 1 if deadline is not None else 0
            return (status if status >= 0 else 128 - status) or failed, False
        if what == "signal":
            say(f"got {signal.Signals(number).name}: ending the workers, then the shards")
            return 128 + number, True
        if deadline is None and shards.start_again(number, status, events):
            continue
        say(
            f"shard {number} ({shards.addresses[number]}) has died ({describe_status(status)}): its rows are lost; the "
            f"workers get {grace_seconds:g} s to notice"
        )
        deadline = deadline or time.monotonic() + grace_seconds


@contextmanager
def _signals_to(events: Events, interrupted: threading.Event) -> Iterator[None]:
    def note(number: int, _: object) -> None:
        interrupted.set()
        events.put(("signal", number, 0))

    wanted = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    # What was ignored (nohup) stays ignored.
    before = {n: signal.signal(n, note) for n in wanted if signal.getsignal(n) is not signal.SIG_IGN}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(job: subprocess.Popen[bytes]) -> None:
    if job.poll() is None:
        job.terminate()
        try:
            job.wait(_WORKERS_END_SECONDS)
        except subprocess.TimeoutExpired:
            job.kill()
            job.wait()


def _end_marked(mark: str) -> None:
    """Ends what is left of the workers: every process that carries the job's mark."""
    left = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(LAUNCHER_VARIABLE) == mark:
                process.kill()
                left.append(process)
        except psutil.Error:
            continue  # it has ended, or is another user's
    psutil.wait_procs(left, timeout=_WORKERS_END_SECONDS)


def _mark(pid: int) -> str:
    """Names one process for ever: a pid is used again, with another start time."""
    with open(f"/proc/{pid}/stat") as stat:
        return f"{pid}:{stat.read().rpartition(')')[2].split()[19]}"


def follow_launcher(environ: Mapping[str, str] = os.environ) -> None:
    """Ends this process as soon as the launcher that started it has ended.

    A worker calls it once; without a launcher it does nothing. The usual ways
    to end a worker go through horovodrun and its process beside each worker,
    the parent; this one also works when one of them was killed or the worker
    hangs in native code.
    """
    launcher = environ.get(LAUNCHER_VARIABLE)
    if not launcher:
        return
    parent = _mark(os.getppid())
    for mark in {launcher, parent}:
        handle = None
        with suppress(OSError):  # a kernel without pidfds; a pid that is gone
            handle = os.pidfd_open(_pid(mark))
        # First the handle, then the check: the pid may come to mean another
        # process, the handle cannot.
        if not _lives(mark):
            _orphaned(mark)
        threading.Thread(target=_follow, args=(mark, handle), daemon=True, name="het_tf.follow_launcher").start()


def _follow(mark: str, handle: int | None) -> None:
    if handle is None:
        while _lives(mark):
            time.sleep(1)
    else:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        poll.poll()
    _orphaned(mark)


def _pid(mark: str) -> int:
    return int(mark.partition(":")[0])


def _lives(mark: str) -> bool:
    try:
        return _mark(_pid(mark)) == mark
    except OSError:
        return False


def _orphaned(mark: str) -> NoReturn:
    with suppress(OSError):  # those who would read it may have ended before
        os.write(2, f"het_tf: the launcher (process {_pid(mark)}) has ended; so does this worker\n".encode())
    os._exit(1)
