"""`Checkpoint`: checkpoints inside ``fit``, and going on from the newest one."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from het_tf.checkpoint import dense, saving
from het_tf.checkpoint import directory as layout
from het_tf.checkpoint.agreement import by_chief
from het_tf.checkpoint.directory import Manifest
from het_tf.checkpoint.position import Epoch, Skipping
from het_tf.checkpoint.restoring import restore
from het_tf.config import check_count

_FAILURES = (OSError, ValueError, RuntimeError, tf.errors.OpError)


class Checkpoint(keras.callbacks.Callback):
    """Saves checkpoints while ``fit`` goes on, and resumes from the newest one.

    All workers of a job give it to their ``fit``. A checkpoint has the rows of
    all tables with their optimizer state, the dense weights, the optimizer's
    variables and the place in the input, all of one moment between two steps.
    Training waits while the caches are flushed and the shards take note of the
    moment; the files are written while it goes on. One at a time: a checkpoint
    that is due while another is still being written is left out, with a warning.
    One that fails is a warning too, and the next is a full one; the first one of
    a ``fit`` raises if it cannot even be begun, and the last one, at its end, is
    waited for and raises.

    To go on in the middle of an epoch, at the batch where the checkpoint was
    taken, give ``fit`` the dataset through `resume`; otherwise the epoch that
    was interrupted begins anew. The number of the epoch is set by itself, as
    Keras's BackupAndRestore does: call ``fit`` with the same arguments again.

    Args:
      directory: where checkpoints are, seen by the chief worker and all shards;
        default: that of `het.init`, HET_TF_CHECKPOINT_DIR.
      every: batches between two checkpoints. Under gradient accumulation one is
        taken at the next step. With ``steps_per_execution`` at the next return
        to Keras.
      keep: how many checkpoints that can be restored are kept; what they build on
        stays with them.
      full_every: every so many checkpoints one has all rows; those between have
        the rows that have changed since the one before. 1: all are full.
      resume: whether to begin from the newest checkpoint of the directory, if
        there is one. False: checkpoints that are there count as older ones.

    Attributes:
      restored: the manifest of what ``fit`` began from; None: from the start.
      initial_epoch: the epoch that it began with by that; else 0.
      step: batches trained so far, those before the restored checkpoint included.
    """

    def __init__(
        self,
        directory: str | Path | None = None,
        every: int = 1000,
        keep: int = 3,
        full_every: int = 10,
        resume: bool = True,
    ) -> None:
        super().__init__()
        self._directory = directory
        self._every = check_count("Checkpoint: every", every, 1)
        self._keep = check_count("Checkpoint: keep", keep, 1)
        self._full_every = check_count("Checkpoint: full_every", full_every, 1)
        self._resumes = bool(resume)
        self._input: Skipping | None = None
        self._forget()

    def _forget(self) -> None:
        self.restored: Manifest | None = None
        self.initial_epoch = 0
        self.step = 0
        self._epoch = 0
        self._batch = 0  # batches of this epoch that were trained
        self._seen = 0  # those of them that this epoch's iterator gave
        self._left_out = 0  # those that a resumed epoch did not give
        self._due = self._every  # the step from which on a checkpoint is due
        self._base: str | None = None  # the last one that was written in this job
        self._since_full = 0
        self._saved_step: int | None = None
        self._saving: saving.Saving | None = None
        self._epoch_length: Epoch | None = None
        self._has_written = False  # a checkpoint, in this `fit`

    def resume(self, dataset: tf.data.Dataset) -> tf.data.Dataset:
        """The dataset for ``fit``, which in a resumed epoch leaves out the batches that were trained on.

        What is left out is read all the same: have this before costly
        transformations and before `het.data.prefetch`, but behind `batch` and
        shuffling. The order has to be the same in every run: shuffle with a seed
        and ``reshuffle_each_iteration=False``, or the batches left out are others.
        A dataset without an end (``repeat()``, with ``steps_per_epoch``) begins
        behind all batches of all epochs before.

        Args:
          dataset: of this worker's batches, with known or unknown length.
        """
        self._input = Skipping(dataset)
        return self._input.dataset

    # --- Keras calls these. ---

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._forget()
        there_is_one = by_chief(self._open, "checkpoint.open")
        if self._resumes and there_is_one:
            self.restored = restore(self.model, self._directory)
            self.step, self._epoch, self._batch = self.restored.step, self.restored.epoch, self.restored.batch
            self._due = self.step + self._every
            self._saved_step = self.step
        self._find_place()
        self.initial_epoch = self._epoch
        if self.restored is not None:
            self.model._initial_epoch = self._epoch

    def _find_place(self) -> None:
        """After a restore: this epoch's first batch, in Keras's and in the dataset's count."""
        epoch_length = Epoch() if self._input is not None else None
        if self._input is None or epoch_length is None:
            length = self.params.get("steps")
        else:
            length = epoch_length.asked or self._input.batches
        if length is not None and self._batch >= length:
            self._epoch, self._batch = self._epoch + 1, 0
        if self._input is None or epoch_length is None:
            if self._batch:
                warnings.warn(
                    f"{self._batch} batches of epoch {self._epoch} had been trained when the checkpoint was saved, and "
                    "the epoch begins anew: give fit the dataset as checkpoint.resume(dataset) to leave them out",
                    stacklevel=3,
                )
            self._batch = 0
            return
        self._left_out = self._batch
        self._input.leave_out(self.step if self._input.is_infinite else self._batch)
        epoch_length.has(length - self._batch if length is not None else None)
        self._epoch_length = epoch_length

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if epoch != self._epoch:
            self._epoch, self._batch, self._left_out = epoch, 0, 0
        self._seen = 0

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        # The last execution of an epoch may have fewer batches than the others.
        length = self._epoch_length.batches if self._epoch_length is not None else self.params.get("steps")
        seen = min(batch + 1, length) if length else batch + 1
        self.step += seen - self._seen
        self._seen = seen
        self._batch = self._left_out + self._seen
        if self.step >= self._due and not dense.pending_batches(self.model.optimizer):
            self._due = self.step - self.step % self._every + self._every
            self._save()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch, self._batch, self._left_out = epoch + 1, 0, 0
        if self._epoch_length is not None and self._input is not None:
            self._epoch_length.has(self._epoch_length.asked or self._input.batches)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self.model._initial_epoch = None  # another fit is another training
        self._epoch_length = None
        before, self._saving = self._saving, None
        if before is not None:
            self._settle(before)
        if self._saved_step == self.step:
            return
        pending = dense.pending_batches(self.model.optimizer)
        if pending:
            warnings.warn(
                f"the last {pending} batches gave gradients to a step that is not complete (gradient accumulation): "
                "the last checkpoint does not have them",
                stacklevel=2,
            )
        last = self._begin()
        try:
            last.wait()
        except tf.errors.OpError:
            if last.base is None:
                raise
            self._base = None
            self._begin().wait()

    # --- What is saved, and what becomes of it. ---

    def _open(self) -> bool:
        """On the chief: whether there is a checkpoint."""
        self._path = saving.directory_of(self._directory)
        return bool(layout.manifests(self._path))

    def _save(self) -> None:
        if self._saving is not None:
            if not self._saving.is_done():
                warnings.warn(
                    f"checkpoint {self._saving.name!r} is still being written at step {self.step}: the one that is due "
                    f"is left out; a larger every than {self._every} batches gives the disk more time",
                    stacklevel=3,
                )
                return
            before, self._saving = self._saving, None
            self._settle(before)
        try:
            self._saving = self._begin()
        except _FAILURES as error:
            if not self._has_written:
                raise  # it never will
            self._base = None
            warnings.warn(f"no checkpoint could be begun at step {self.step}: {error}", stacklevel=3)

    def _settle(self, before: saving.Saving) -> None:
        """Learns what became of a checkpoint."""
        try:
            before.wait()
        except _FAILURES as error:
            self._base, self._saved_step = None, None
            warnings.warn(f"checkpoint {before.name!r} could not be written: {error}", stacklevel=4)
        else:
            self._base, self._has_written = before.name, True
            self._since_full = self._since_full + 1 if before.base is not None else 1

    def _begin(self) -> saving.Saving:
        base = self._base if self._since_full < self._full_every else None
        try:
            made = self._start(base)
        except tf.errors.FailedPreconditionError:
            if base is None:
                raise
            made = self._start(None)  # a shard of another life: it knows no base
        self._saved_step = self.step
        return made

    def _start(self, base: str | None) -> saving.Saving:
        return saving.save(
            self.model,
            self._directory,
            base=base,
            step=self.step,
            epoch=self._epoch,
            batch=self._batch,
            background=True,
            then=self._written,
        )

    def _written(self, manifest: Manifest) -> None:
        """On the chief, in the background."""
        try:
            # Only now is nothing that was interrupted of use to a shard any more.
            layout.prune(self._path, self._keep, unfinished=True)
        except OSError as error:
            warnings.warn(f"old checkpoints could not be deleted: {error}", stacklevel=2)
