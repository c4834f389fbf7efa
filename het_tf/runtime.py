"""The one per process: who we are, which shards there are, the open store.

Started by the first thing that needs it, or by `init` to configure it.
Thread-safety: `init` and `shutdown` take a lock; the rest reads what they set.
"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import importlib
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow as tf

from het_tf import horovod_installation, horovod_rendezvous, last_words, launch, named_options, ops, shard_process
from het_tf.cluster import (
    COMING_SECONDS,
    DURABILITIES,
    Cluster,
    ClusterError,
    absolute_checkpoint_dir,
    from_environment,
)
from het_tf.horovod_installation import LAUNCHER_SIZES
from het_tf.security import Security
from het_tf.serving import Serving


@dataclasses.dataclass(frozen=True)
class Settings:
    """How to reach the shards; see `init`."""

    shards: tuple[str, ...]
    deadline: float = 30.0
    connect_timeout: float = COMING_SECONDS
    max_message_bytes: int = 1 << 30
    checkpoint_dir: str | None = None
    security: Security = dataclasses.field(default_factory=Security)


@dataclasses.dataclass
class Runtime:
    """A process's part in a job."""

    settings: Settings
    cluster: Cluster
    horovod: Any  # the module horovod.tensorflow, or None for one worker
    rank: int
    size: int
    store_name: str
    store: tf.Tensor | None = None  # handle, once opened
    # Tables by name (het_tf/table.py).
    tables: dict[str, Any] = dataclasses.field(default_factory=dict)
    # Distributed optimizers that have begun, on every worker in the same order.
    optimizers: int = 0


_lock = threading.RLock()
_this_thread = threading.local()
_current: Runtime | None = None
_generation = 0


def init(
    shards: Sequence[str] | None = None,
    *,
    deadline: float = 30.0,
    connect_timeout: float = COMING_SECONDS,
    max_message_bytes: int = 1 << 30,
    checkpoint_dir: str | os.PathLike[str] | None = None,
    durability: str = "checkpoint",
    push_log_dir: str | os.PathLike[str] | None = None,
    tls_ca: str | os.PathLike[str] | None = None,
    tls_cert: str | os.PathLike[str] | None = None,
    tls_key: str | os.PathLike[str] | None = None,
    token_file: str | os.PathLike[str] | None = None,
    admin_token_file: str | os.PathLike[str] | None = None,
    insecure: bool | None = None,
) -> None:
    """Joins the job. Called implicitly by whatever needs it; call it to configure.

    The shards are those given here, or those of HET_TF_SHARDS or TF_CONFIG, or
    else one inside this process. In a ``ps`` task of TF_CONFIG this call turns
    the process into the shard and does not return; the shard's limits, metrics
    and log are what HET_TF_MAX_MEMORY and so on say (`het-tf shard --help`).

    Args:
      shards: addresses in shard order, ``"host:port"`` or ``"unix:/path"``; the
        same list on every worker.
      deadline: seconds after which an unanswered call is an error that names
        the shard; retries are included.
      connect_timeout: seconds to wait for every shard to come up, and in a job by
        TF_CONFIG for every other worker.
      max_message_bytes: largest message, both ways; a shard has the same limit
        (a ``ps`` task by this call, others by ``--max-message-bytes``).
      checkpoint_dir: where checkpoints are (docs/checkpoints.md); default:
        HET_TF_CHECKPOINT_DIR. A ``ps`` task gets it by this call, shards of other
        kinds by ``--checkpoint-dir``.
      durability: of a ``ps`` task (shards of other kinds have ``--push-log``; `het-tf
        launch --durability`): ``"checkpoint"``, a shard that is killed ends the
        job, which goes on from the last checkpoint; ``"log"``, it logs every
        update before it answers, and started again it comes back as it was while
        the workers wait, up to `deadline`; ``"log-sync"``, the same if its machine
        fails, too.
      push_log_dir: for a log: a folder of this job alone that a task which is
        started again finds again.
      tls_ca: PEM file of the CA that has signed the other side's certificates
        (docs/security.md). With it a worker talks TLS, and a ``ps`` task, which then
        needs `tls_cert` and `tls_key`, wants a certificate of every worker. This one
        and the following, where they are None: HET_TF_TLS_CA, HET_TF_TLS_CERT and so on.
      tls_cert, tls_key: PEM files of this task's certificate and its key.
      token_file: file with the job's token, which a worker sends with every call and
        a ``ps`` task asks for; refused without TLS except on loopback and unix sockets.
      admin_token_file: file with the token for what workers' tokens may not:
        checkpoints (snapshot, restore), drop and stop.
      insecure: a ``ps`` task may listen beyond loopback without TLS, for all to read and
        write; without TLS and without this it refuses to start.

    Raises:
      ClusterError: the environment contradicts itself.
      SecurityError: a certificate or a token cannot be used, or not like this.
      RuntimeError: there is a job already, with other settings.
    """
    global _current, _generation
    for name, value in (("deadline", deadline), ("connect_timeout", connect_timeout)):
        if not value > 0:
            raise ValueError(f"het_tf.init: {name} is {value!r}, expected seconds above 0")
    if not 0 < max_message_bytes < 1 << 31:
        raise ValueError(f"het_tf.init: max_message_bytes is {max_message_bytes!r}, expected 1 to {(1 << 31) - 1}")
    if durability not in DURABILITIES:
        raise ValueError(f"het_tf.init: durability is {durability!r}, expected one of {', '.join(DURABILITIES)}")
    if (push_log_dir is None) != (durability == "checkpoint"):
        raise ValueError(
            f"het_tf.init: durability is {durability!r} and push_log_dir {push_log_dir!r}: a log needs a folder, and "
            "the folder is for a log; give both or neither"
        )
    with _lock:
        cluster = from_environment()
        directory = absolute_checkpoint_dir(checkpoint_dir)
        security = Security.from_environment(
            tls_ca=tls_ca,
            tls_cert=tls_cert,
            tls_key=tls_key,
            token_file=token_file,
            admin_token_file=admin_token_file,
            insecure=insecure,
        )
        if cluster.is_shard:
            shard_process.exec_shard(
                cluster,
                max_message_bytes,
                directory,
                None if push_log_dir is None else os.fspath(push_log_dir),
                durability == "log-sync",
                security,
                named_options.from_environment(Serving),
            )
        addresses = cluster.shards if shards is None else tuple(shards)
        settings = Settings(addresses, deadline, connect_timeout, max_message_bytes, directory, security)
        if _current is not None:
            if settings != _current.settings:
                raise RuntimeError(
                    f"het_tf is running with {_current.settings}, asked for {settings}: call het_tf.init before "
                    "anything else, or het_tf.shutdown() first"
                )
            return
        launch.follow_launcher()
        horovod = _start_horovod(cluster, connect_timeout)
        size = horovod.size() if horovod is not None else 1
        if size > 1 and not addresses:
            raise ClusterError(
                f"{size} workers and no shards: each would train rows of its own in a shard inside its process; start "
                "them with `het-tf launch --workers N --shards M script.py`, or set HET_TF_SHARDS"
            )
        _generation += 1
        _current = Runtime(
            settings=settings,
            cluster=cluster,
            horovod=horovod if size > 1 else None,
            rank=horovod.rank() if horovod is not None else 0,
            size=size,
            store_name=f"het_tf/store/{_generation}",
        )
        if size > 1:
            last_words.at_sigterm(addresses, security)


def _start_horovod(cluster: Cluster, patience_seconds: float) -> Any:
    """horovod.tensorflow, initialized, or None when this is the only worker."""
    if not cluster.trains:
        return None
    started = sys.modules.get("horovod.tensorflow")
    if started is not None and started.is_initialized():
        hvd = started
    else:
        launched = max(int(os.environ.get(name, "1")) for name in LAUNCHER_SIZES)
        if max(launched, cluster.size) == 1:
            return None
        horovod_rendezvous.configure(cluster, deadline_seconds=patience_seconds)
        try:
            hvd = importlib.import_module("horovod.tensorflow")
        except ImportError as error:
            raise ImportError(
                f"{max(launched, cluster.size)} workers need Horovod, which cannot be imported ({error}): "
                f"{horovod_installation.REMEDY}"
            ) from error
        hvd.init()
    if cluster.size > 1 and hvd.size() != cluster.size:
        raise ClusterError(
            f"TF_CONFIG has {cluster.size} workers {list(cluster.workers)}, but Horovod has {hvd.size()}: "
            "the others would train models of their own"
        )
    return hvd


def current() -> Runtime:
    """The running one, started if need be."""
    if _current is None:
        init()
    assert _current is not None
    return _current


def store() -> tf.Tensor:
    """The handle of the open store. Waits for the shards the first time.

    Raises:
      tf.errors.UnavailableError: a shard did not come up; names it.
      tf.errors.FailedPreconditionError: a shard of another version or place.
    """
    with _lock:
        runtime = current()
        if runtime.store is None:
            settings = runtime.settings
            with tf.init_scope(), tf.device(ops.device()):
                runtime.store = ops.library().het_store(
                    addresses=list(settings.shards),
                    deadline_ms=max(1, round(settings.deadline * 1000)),
                    connect_timeout_ms=max(1, round(settings.connect_timeout * 1000)),
                    max_message_bytes=settings.max_message_bytes,
                    shared_name=runtime.store_name,
                    **settings.security.op_attributes(),
                )
        return runtime.store


def rank() -> int:
    """This worker's number, from 0."""
    return current().rank


def size() -> int:
    """Number of workers."""
    return current().size


def shards() -> tuple[str, ...]:
    """The shards' addresses in their order; empty: the one shard is inside this process."""
    return current().settings.shards


def barrier() -> None:
    """Waits until every worker has come here. Not for use inside a tf.function."""
    if current().horovod is not None:
        all_reduce_sum(tf.zeros(()), "het_tf.barrier")


def all_reduce_sum(value: tf.Tensor, name: str) -> tf.Tensor:
    """The sum over all workers, each of which calls this with the same name. REQUIRES: size() > 1."""
    hvd = current().horovod
    with tf.name_scope(""):
        return hvd.allreduce(value, op=hvd.Sum, **_named(name))


def all_reduce_average(values: Sequence[tf.Tensor], name: str) -> list[tf.Tensor]:
    """The averages over all workers, each of which calls this with the same name. REQUIRES: size() > 1."""
    hvd = current().horovod
    with tf.name_scope(""):
        return hvd.grouped_allreduce(list(values), op=hvd.Average, **_named(name))


def _named(name: str) -> dict[str, Any]:
    """What to call one of Horovod's ops so that it has the same name on every worker.

    Horovod finds the ops that belong together by their names, scope included,
    and scopes such as an optimizer's may have been counted up on one worker: ops
    are made outside of scopes. The scope of a branch remains in the names of its
    ops and is left out by Horovod instead; the branch has a number then, since
    scopes keep the ops of different branches apart.
    """
    branch = getattr(_this_thread, "branch", None)
    return {"name": name} if branch is None else {"name": f"{name}.{branch}", "ignore_name_scope": True}


@contextlib.contextmanager
def branch_of_all(number: int) -> Iterator[None]:
    """While the ops of a branch are made, on this thread, that all workers take alike.

    Args:
      number: the same on all workers, and another one for a branch that may run
        at the same time.
    """
    before = getattr(_this_thread, "branch", None)
    _this_thread.branch = number
    try:
        yield
    finally:
        _this_thread.branch = before


def flush(*, wait_for_all: bool = False) -> None:
    """Pushes every pending update of this worker and waits for the shards to have it.

    Args:
      wait_for_all: also waits until every worker has done so; all have to call.
    """
    runtime = _current
    if runtime is not None:
        for table in list(runtime.tables.values()):
            table.flush()
    if wait_for_all:
        barrier()


def shutdown() -> None:
    """Flushes, and forgets tables and store; rows of an embedded shard are gone.

    Layers made before cannot be used any more. Horovod goes on.
    """
    global _current
    with _lock:
        runtime = _current
        if runtime is None:
            return
        try:
            flush()
        finally:
            _current = None
            handles = [table.handle for table in runtime.tables.values() if table.is_open]
            if runtime.store is not None:
                handles.append(runtime.store)
            for handle in handles:
                tf.raw_ops.DestroyResourceOp(resource=handle)


@atexit.register
def _at_exit() -> None:
    # The last updates are not lost when a script just ends.
    runtime = _current
    if runtime is None:
        return
    try:
        shutdown()
    except Exception as error:  # the process is ending: say it and let it
        print(f"het_tf: the last updates may be lost: {getattr(error, 'message', error)}", file=sys.stderr)
    if getattr(sys, "last_value", None) is not None and runtime.size > 1:  # maybe another worker met it first
        last_words.name_lost_shards(runtime.settings.shards, runtime.settings.security)
