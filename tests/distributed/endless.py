"""A worker that trains until something stops it; FOLDER/rank.N.ready says that it does.

`python endless.py FOLDER STALENESS`
"""

from __future__ import annotations

import sys
from pathlib import Path

import keras
import tensorflow as tf

import het_tf as het


class Ready(keras.callbacks.Callback):
    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        if batch == 5:
            (Path(sys.argv[1]) / f"rank.{het.rank()}.ready").touch()


het.init(deadline=5)
random = tf.random.Generator.from_seed(het.rank())
batches = tf.data.Dataset.range(1 << 40).map(
    lambda i: (tf.random.stateless_uniform((32, 4), (i, het.rank()), 0, 10_000, tf.int64), tf.zeros((32, 1)))
)
ids = keras.Input((4,), dtype="int64")
rows = het.layers.Embedding(None, 8, table="endless", cache=het.CacheConfig(rows=1000, staleness=int(sys.argv[2])))(ids)
model = keras.Model(ids, keras.layers.Dense(1)(keras.layers.Flatten()(rows)))
model.compile(het.DistributedOptimizer("sgd"), "mse")
model.fit(batches, verbose=0, callbacks=[Ready()])
