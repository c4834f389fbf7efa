"""Saving: one cut through all shards and the dense variables, written while training goes on.

Every worker flushes its caches and waits for the others; the chief then has
every shard take its cut and copies the dense variables, while all wait; then
all go on, and shards and chief write in the background. The manifest, written
last, makes it a checkpoint.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path

import keras

from het_tf import ops, runtime
from het_tf.checkpoint import asking
from het_tf.checkpoint import dense as dense_part
from het_tf.checkpoint import directory as layout
from het_tf.checkpoint.agreement import by_all, by_chief
from het_tf.checkpoint.dense import Dense
from het_tf.checkpoint.directory import DENSE, Manifest
from het_tf.checkpoint.files import CheckpointError
from het_tf.version import VERSION


class Saving:
    """A checkpoint that is being written; made by `save`. Any thread may ask.

    Attributes:
      name: of the checkpoint.
      base: what it has the changes to; None: it is full.
    """

    def __init__(self, name: str, base: str | None) -> None:
        self.name = name
        self.base = base
        self._error: Exception | None = None
        self._thread: threading.Thread | None = None

    def _write(self, work: Callable[[], None]) -> None:
        """On the chief: in the background."""

        def run() -> None:
            try:
                work()
            except Exception as error:
                self._error = error

        # Not a daemon: a script that just ends still ends with a whole checkpoint.
        self._thread = threading.Thread(target=run, name="het_tf.checkpoint")
        self._thread.start()

    def is_done(self) -> bool:
        """Whether it is written, or has failed. Every worker calls this; all get the same answer."""
        return by_chief(lambda: self._thread is None or not self._thread.is_alive(), "checkpoint.is_done")

    def wait(self) -> None:
        """Waits until it is written. Every worker calls this.

        Raises:
          Whatever made the writing fail, on every worker: tf.errors.OpError of a
          shard, OSError of the chief.
        """

        def finish() -> None:
            if self._thread is not None:
                self._thread.join()
            if self._error is not None:
                raise self._error

        by_chief(finish, "checkpoint.wait")


def directory_of(directory: str | Path | None) -> Path:
    """The directory given, or that of the job.

    Raises:
      CheckpointError: neither is there.
    """
    chosen = directory if directory is not None else runtime.current().settings.checkpoint_dir
    if not chosen:
        raise CheckpointError(
            "no directory for checkpoints is known: give one, or het_tf.init(checkpoint_dir=...), or set "
            "HET_TF_CHECKPOINT_DIR; shards in other processes need the same, --checkpoint-dir of `het-tf launch` or "
            "`het-tf shard`"
        )
    return Path(chosen).absolute()


def save(
    model: keras.Model,
    directory: str | Path | None = None,
    name: str | None = None,
    *,
    base: str | None = None,
    step: int | None = None,
    epoch: int = 0,
    batch: int = 0,
    background: bool = False,
    then: Callable[[Manifest], None] | None = None,
) -> Saving:
    """Saves rows, optimizer state and dense variables, all of one moment.

    Every worker calls this between two training steps, after the same number of
    them. `het.callbacks.Checkpoint` does it inside ``fit``.

    Args:
      directory: where checkpoints are, on a file system that all shards and the
        chief worker see; default: that of `het.init`. Shards in other processes
        write into their own --checkpoint-dir, which has to be the same.
      name: of the new checkpoint; default: ``step-`` and the step.
      base: name of the last checkpoint of this job, to save only the rows that
        have changed since; None: all.
      step: of training, for the manifest; default: how many batches the optimizer
        was given.
      epoch, batch: where in the input this is: `batch` batches of epoch `epoch`
        have been trained.
      background: returns when training may go on; ``wait()`` of what is returned
        says whether the checkpoint came to be. Otherwise it is written when
        this returns.
      then: called on the chief worker when the checkpoint is written, in the
        thread that wrote it.

    Raises:
      CheckpointError: the directory is not known, the model has no weights, or
        something of that name is there.
      tf.errors.FailedPreconditionError: a shard has no directory, or another
        one; or its last checkpoint is not `base`: take a full one.
      tf.errors.OpError, OSError: what went wrong with a file; names it.
    """
    if name is not None:
        layout.check_name(name)
    if base is not None:
        layout.check_name(base)
    dense_part.prepare(model)
    if step is None:
        step = dense_part.batches(dense_part.optimizer_of(model))
    # After this no worker has an update that the shards do not have.
    by_all(runtime.flush, "checkpoint.flush")
    saving = Saving("", base)

    def cut() -> str:
        where = directory_of(directory)
        saving.name = name if name is not None else free_name(where, step)
        folder = where / saving.name
        if folder.exists():
            raise CheckpointError(
                f"{folder} is there already, a checkpoint or what an interrupted one has left: give the new one "
                "another name"
            )
        mark = layout.mark(where)
        folder.mkdir()
        layout.sync_folder(where)
        # One number for one checkpoint: the shards know by it that they are asked again.
        arguments = (runtime.store(), str(where), mark, saving.name, base or "", secrets.randbits(62))

        def ask() -> asking.Progress:
            return ops.store_snapshot(*arguments, begin=False)

        asking.begin(lambda: ops.store_snapshot(*arguments, begin=True))
        copy = dense_part.take(model)
        manifest = _manifest(saving, where, step=step, epoch=epoch, batch=batch, copy=copy)
        saving._write(lambda: _finish(ask, where, manifest, copy, then))
        return saving.name

    saving.name = by_chief(cut, "checkpoint.cut")
    if not background:
        saving.wait()
    return saving


def free_name(directory: Path, step: int) -> str:
    """``step-`` and the step; with a number behind where something of that name is there."""
    first = name = f"step-{step:012d}"
    number = 1
    while (directory / name).exists():
        number += 1
        name = f"{first}-{number}"
    return name


def _manifest(saving: Saving, where: Path, *, step: int, epoch: int, batch: int, copy: Dense) -> Manifest:
    running = runtime.current()
    return Manifest(
        name=saving.name,
        number=layout.next_number(where),
        base=saving.base,
        shards=max(1, len(running.settings.shards)),
        step=step,
        epoch=epoch,
        batch=batch,
        created=time.time(),
        het_tf=VERSION,
        workers=running.size,
        tables=tuple(sorted(table.name for table in list(running.tables.values()) if table.is_open)),
        files={},
        dense=copy.description(),
    )


def _finish(
    ask: Callable[[], asking.Progress],
    where: Path,
    manifest: Manifest,
    copy: Dense,
    then: Callable[[Manifest], None] | None,
) -> None:
    """In the background, on the chief: what comes after the cut."""
    files = {DENSE: dense_part.write(where / manifest.name / DENSE, copy)}
    asking.until_done(ask)
    for file in manifest.shard_files:
        path = where / manifest.name / file
        if not path.is_file():
            raise CheckpointError(
                f"the shards say that they have written {path}, and it is not there: --checkpoint-dir of the shards "
                f"and the workers' directory {where} have to be one directory, on a file system that all of them see"
            )
        files[file] = {"bytes": path.stat().st_size}
    manifest = Manifest(**{**manifest.__dict__, "files": files})
    layout.write_manifest(where, manifest)
    if then is not None:
        then(manifest)
