"""Kills everything at random moments of a checkpoint: there is always a valid one, and it is right.

    python tools/check/chaos_checkpoints.py --kills 500

A worker with two shards adds 1 to every row in every step and saves one checkpoint
after the other, full ones and increments, while it goes on; at a random moment all
of them, or the shards alone, or the worker alone, get SIGKILL. After each kill every
checkpoint that has a manifest must be intact, and every row of the newest must be the
number of its step; the next life begins by restoring it. Prints one JSON object; ends with 1 when
anything is not as it has to be.
"""

from __future__ import annotations

import json
import os
import random
import sys
import tempfile
import time
import traceback
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import typer

from het_tf import checkpoint
from het_tf.checkpoint import contents
from het_tf.shard_process import ShardProcess

ROWS, DIMENSION, KEEP = 20_000, 16, 3


def train(addresses: list[str], directory: Path, ready: Path) -> None:
    """Never returns by itself."""
    import keras
    import tensorflow as tf

    import het_tf as het

    het.init(addresses, checkpoint_dir=directory, deadline=10)
    layer = het.layers.Embedding(ROWS, DIMENSION, "zeros", table="t", cache=het.CacheConfig(rows=ROWS // 4))
    ids = keras.Input((1,), dtype="int64")
    model = keras.Model(ids, keras.layers.Flatten()(layer(ids)))
    # Keras takes the mean over the batch; the rate makes whole steps of it.
    model.compile(het.DistributedOptimizer(keras.optimizers.SGD(float(ROWS))), lambda _, y: -tf.reduce_sum(y, axis=1))
    every, targets = tf.range(ROWS, dtype=tf.int64)[:, None], tf.zeros((ROWS, DIMENSION))
    model.train_on_batch(every[:1], targets[:1])  # its variables exist
    step, base, saving = 0, None, None
    if checkpoint.list(directory):
        step = checkpoint.restore(model, verbose=False).step
        rows = layer.rows(every[:, 0]).numpy()
        if not (rows == step).all():
            raise RuntimeError(f"restored rows are {rows.min()} to {rows.max()}, expected {step}")
    else:
        checkpoint.import_rows(layer, every[:, 0].numpy(), np.zeros((ROWS, DIMENSION), np.float32))
    while True:
        if saving is None or saving.is_done():
            if saving is not None:
                saving.wait()
                base = saving.name if base is None or step % 3 else None
                checkpoint.prune(directory, KEEP)
            saving = checkpoint.save(model, step=step, base=base, background=True)
            ready.touch()
        model.train_on_batch(every, targets)
        step += 1


def check(directory: Path) -> int:
    """The step of the newest checkpoint, -1 without one; raises what is wrong."""
    found = checkpoint.list(directory)
    for manifest in found:
        for error in checkpoint.verify(directory, manifest.name):
            raise error
    if not found:
        return -1
    newest = found[-1]
    count = 0
    for rows in contents.rows_of(directory, newest.name, "t"):
        count += len(rows)
        if not (rows.values == newest.step).all():
            raise RuntimeError(f"{newest.name} has rows {rows.values.min()} to {rows.values.max()}")
    if count != ROWS:
        raise RuntimeError(f"{newest.name} has {count} rows, expected {ROWS}")
    return newest.step


def life(directory: Path, place: Path, draw: random.Random) -> str:
    """One life of the job; who was killed."""
    ready = place / "ready"
    ready.unlink(missing_ok=True)
    with ExitStack() as stack:
        shards = [
            stack.enter_context(ShardProcess(index=i, count=2, checkpoint_dir=directory, log=place / f"shard.{i}.log"))
            for i in range(2)
        ]
        worker = os.fork()
        if worker == 0:
            try:
                train([shard.address for shard in shards], directory, ready)
            except BaseException:
                (place / "worker.log").write_text(traceback.format_exc())
            finally:
                os._exit(1)
        ended = False
        while not ready.exists() and not ended:
            time.sleep(0.005)
            ended = os.waitpid(worker, os.WNOHANG)[0] != 0
        if ended:
            raise RuntimeError("the worker does not train:\n" + (place / "worker.log").read_text())
        time.sleep(draw.uniform(0.0, 0.5))
        victims = draw.choice(["all", "shards", "one shard", "worker"])
        if victims in ("all", "shards"):
            for shard in shards:
                shard.process.kill()
        elif victims == "one shard":
            draw.choice(shards).process.kill()
        if victims in ("all", "worker"):
            os.kill(worker, 9)
        # What lost its shards ends with an error of its own accord, or here.
        time.sleep(draw.uniform(0.0, 0.1))
        os.kill(worker, 9)
        os.waitpid(worker, 0)
    return victims


def main(
    kills: Annotated[int, typer.Option(min=1, help="Lives that end by SIGKILL.")] = 20,
    seed: Annotated[int, typer.Option(help="Of the moments.")] = 1,
) -> None:
    # In the parent, so that a life begins at once; nothing of it runs before the fork.
    import keras  # noqa: F401
    import tensorflow  # noqa: F401

    import het_tf

    assert het_tf.layers
    draw = random.Random(seed)
    begin = time.monotonic()
    counts: dict[str, int] = {}
    interrupted, steps = 0, []
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place) / "checkpoints"
        directory.mkdir()
        for number in range(kills):
            try:
                victims = life(directory, Path(place), draw)
                steps.append(check(directory))
            except Exception as error:
                typer.echo(f"chaos: kill {number + 1} (seed {seed}): {error}", err=True)
                raise typer.Exit(1) from None
            counts[victims] = counts.get(victims, 0) + 1
            complete = {manifest.name for manifest in checkpoint.list(directory)}
            interrupted += any(folder.is_dir() and folder.name not in complete for folder in directory.iterdir())
    print(
        json.dumps(
            {
                "kills": kills,
                "seed": seed,
                "killed": counts,
                "with_an_interrupted_checkpoint": interrupted,
                "first_step": steps[0],
                "last_step": steps[-1],
                "seconds": round(time.monotonic() - begin, 1),
            }
        )
    )


if __name__ == "__main__":
    typer.run(main)
