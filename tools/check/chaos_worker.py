"""What chaos.py disturbs: a worker that trains, saves now and then, and says at the end what it has.

    python chaos_worker.py FOLDER STEPS SAVE_EVERY {tower|sum}

`tower` is a model whose rows and weights depend on every bit of every update.
`sum` adds to a row as often as its id occurs, whoever pushes first: its rows can be
counted, which rank 0 does.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import het_tf as het

IDS, FIELDS, DIMENSION, BATCH = 2000, 4, 8, 32


def ids_of(step: Any, rank: int) -> Any:
    return tf.random.stateless_uniform((BATCH, FIELDS), (step, rank), 0, IDS, tf.int64)


class Progress(keras.callbacks.Callback):
    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.file = folder / f"rank.{het.rank()}.step"

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if batch % 10 == 0:
            self.file.write_text(str(batch))


class Saving(keras.callbacks.Callback):
    """A checkpoint every so many steps, whatever becomes of the last one: what a cache holds back is pushed at each."""

    def __init__(self, every: int) -> None:
        super().__init__()
        self.every = every
        self.saving: het.checkpoint.Saving | None = None
        self.step = 0
        self.name = ""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.step += 1
        if self.step % self.every:
            return
        base = None
        if self._settle() and self.step // self.every % 3:
            base = self.name
        try:
            self.saving = het.checkpoint.save(self.model, step=self.step, base=base, background=True)
            self.name = self.saving.name
        except tf.errors.OpError as error:
            self._say(error)

    def on_train_end(self, logs: Any = None) -> None:
        self._settle()

    def _settle(self) -> bool:
        """Whether the last one was written. A shard that was killed meanwhile has not, and the next one is full."""
        before, self.saving = self.saving, None
        try:
            if before is not None:
                before.wait()
        except tf.errors.OpError as error:
            self._say(error)
            return False
        return before is not None

    def _say(self, error: tf.errors.OpError) -> None:
        print(f"chaos_worker: {error.message}", file=sys.stderr, flush=True)


def main(folder: Path, steps: int, save_every: int, kind: str) -> None:
    het.init(deadline=60)
    keras.utils.set_random_seed(3)
    rank = het.rank()
    targets = tf.constant(np.random.default_rng(5).normal(size=(BATCH, 1)).astype(np.float32))
    batches = tf.data.Dataset.range(steps).map(lambda step: (ids_of(step, rank), targets))
    cache = het.CacheConfig(rows=300, staleness=10)
    layer = het.layers.Embedding(
        None, DIMENSION, "zeros" if kind == "sum" else keras.initializers.RandomUniform(seed=3), table="t", cache=cache
    )
    given = keras.Input((FIELDS,), dtype="int64")
    x = keras.layers.Flatten()(layer(given))
    if kind == "sum":
        model = keras.Model(given, x)
        # Keras takes the mean over the batch; the rate makes whole steps of it.
        optimizer = het.DistributedOptimizer(keras.optimizers.SGD(float(BATCH)))
        model.compile(optimizer, lambda _, rows: -tf.reduce_sum(rows, axis=1))
    else:
        x = keras.layers.Dense(8, "tanh")(x)
        model = keras.Model(given, keras.layers.Dense(1)(x))
        model.compile(het.DistributedOptimizer(keras.optimizers.SGD(0.05)), "mse")
    callbacks: list[Any] = [Progress(folder)]
    if save_every:
        callbacks.append(Saving(save_every))
    model.fit(batches, verbose=0, callbacks=callbacks)
    het.flush(wait_for_all=True)
    if rank != 0:
        return
    found = {"rows": layer.rows(np.arange(IDS)).numpy()}
    found |= {f"dense{i}": v.numpy() for i, v in enumerate(model.trainable_variables) if 0 not in v.shape}
    if kind == "sum":
        count = np.zeros(IDS)
        for worker in range(het.size()):
            for step in range(steps):
                np.add.at(count, ids_of(step, worker).numpy().ravel(), 1 / het.size())
        found["expected"] = np.repeat(count[:, None], DIMENSION, axis=1).astype(np.float32)
    np.savez(folder / "found.npz", **found)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
