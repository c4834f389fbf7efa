"""Restoring: a checkpoint's rows into the shards, its dense variables into every worker's model."""

from __future__ import annotations

import secrets
import sys
import time
import warnings
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from het_tf import ops, runtime
from het_tf.checkpoint import asking
from het_tf.checkpoint import dense as dense_part
from het_tf.checkpoint import directory as layout
from het_tf.checkpoint.agreement import by_all, by_chief, is_chief
from het_tf.checkpoint.dense import Dense, Place
from het_tf.checkpoint.directory import DENSE, Manifest
from het_tf.checkpoint.files import CheckpointError, OtherModel
from het_tf.checkpoint.saving import directory_of

_PROGRESS_SECONDS = 10.0


def restore(
    model: keras.Model, directory: str | Path | None = None, name: str | None = None, *, verbose: bool = True
) -> Manifest:
    """Brings model, optimizer and all tables of the shards to a checkpoint.

    Every worker calls this, before training or between two steps. There may be
    another number of shards and workers than when it was saved. Tables of the
    shards that the checkpoint does not have are emptied. Updates of this job
    that are not pushed yet are pushed first, and lost with the rows.

    Args:
      directory: default: that of `het.init`. Only the chief worker and the shards
        read it.
      name: of the checkpoint; default: the newest that can be restored. One that
        is damaged is then passed over, with a warning.
      verbose: the chief worker says on stderr how far it is, every ten seconds.

    Returns:
      What was restored; its ``step``, ``epoch`` and ``batch`` say where the
      input stood.

    Raises:
      CheckpointError: there is none (of that name), or it is of another model:
        names the first variable or table that differs. Nothing has changed.
      DamagedFile, tf.errors.DataLossError: names the file. Nothing has changed.
      tf.errors.FailedPreconditionError: a table of the shards has another
        dimension, initializer or optimizer; or a shard has no directory, or
        another one.
    """
    dense_part.prepare(model)
    by_all(runtime.flush, "checkpoint.flush")

    def load() -> tuple[Manifest, Dense]:
        where = directory_of(directory)
        candidates = [name] if name is not None else [one.name for one in reversed(layout.manifests(where))]
        for number, candidate in enumerate(candidates):
            try:
                return _load(model, where, candidate, verbose)
            except (CheckpointError, tf.errors.DataLossError, tf.errors.NotFoundError) as error:
                if isinstance(error, OtherModel) or name is not None or number == len(candidates) - 1:
                    raise
                warnings.warn(f"checkpoint {candidate!r} is passed over: {error}", stacklevel=5)
        raise CheckpointError(f"there is no checkpoint in {where}: nothing can be restored")

    mine: list[Dense] = []

    def load_and_keep() -> tuple[Manifest, tuple[Place, ...]]:
        manifest, dense = load()
        mine.append(dense)
        return manifest, dense.places

    manifest, places = by_chief(load_and_keep, "checkpoint.restore")
    for table in list(runtime.current().tables.values()):
        if table.is_open:
            ops.embedding_forget(table.handle)
    _put(model, manifest.name, places, mine[0] if mine else None)
    runtime.barrier()
    return manifest


def _load(model: keras.Model, where: Path, name: str, verbose: bool) -> tuple[Manifest, Dense]:
    """On the chief: checks everything first, then the shards."""
    links = layout.check(where, name)
    manifest = links[-1]
    dense = dense_part.read(where / name / DENSE, manifest.dense)
    dense_part.match(model, dense.places, name)
    missing = [table.name for table in dense_part.tables_of(model) if table.name not in manifest.tables]
    if missing:
        raise OtherModel(
            f"checkpoint {name!r} has no table {missing[0]!r}, which model {model.name!r} has; it has: "
            f"{', '.join(manifest.tables) or 'none'}; make the model as it was when the checkpoint was saved, and give "
            "its tables names, Embedding(..., table='user')"
        )
    total = sum(link.files[file]["bytes"] for link in links for file in link.shard_files)
    names, shards = [link.name for link in links], [link.shards for link in links]
    arguments = (runtime.store(), str(where), layout.mark(where), names, shards, secrets.randbits(62))
    began = said = time.monotonic()

    def report(progress: asking.Progress) -> None:
        nonlocal said
        if verbose and time.monotonic() - said >= _PROGRESS_SECONDS:
            said = time.monotonic()
            _, rows, size = progress
            text = f"{rows:,} rows, {size / 1e6:,.0f} MB read, {total / 1e6:,.0f} MB in {len(links)} checkpoints"
            print(f"het_tf: restoring {name} for {said - began:.0f} s: {text}", file=sys.stderr, flush=True)

    asking.until_done(lambda: ops.store_restore(*arguments), report)
    return manifest, dense


def _put(model: keras.Model, name: str, places: tuple[Place, ...], dense: Dense | None) -> None:
    """On every worker: the chief's values into the variables."""
    hvd = runtime.current().horovod
    for variable, number in by_all(lambda: dense_part.match(model, places, name), "checkpoint.match"):
        value = dense.values[number] if dense is not None else None
        if hvd is not None:
            value = _from_chief(value, variable, number)
            if not is_chief() and dense_part.is_random_state(model, variable):
                continue
        # By raw bits: Keras would convert, and round, what NumPy does not know.
        variable.value.assign(tf.constant(value, variable.value.dtype))


def _from_chief(value: np.ndarray | None, variable: keras.Variable, number: int) -> np.ndarray:
    """As bytes: every dtype has them, Horovod knows some."""
    like = variable.value
    size = like.dtype.size * int(np.prod(like.shape))
    raw = np.zeros(size, np.uint8) if value is None else np.frombuffer(value.tobytes(), np.uint8)
    hvd = runtime.current().horovod
    got = hvd.broadcast(tf.constant(raw), 0, name=f"het_tf.checkpoint.variable.{number}").numpy()
    return np.frombuffer(got.tobytes(), like.dtype.as_numpy_dtype).reshape(like.shape)
