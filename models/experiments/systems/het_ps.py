"""Everything through het_tf's shards, asynchronous: no cache, no AllReduce.

Workers know nothing of each other. On the public API a dense variable cannot live in
the shards as such; all of them together are the rows of one more embedding table, of
`WIDTH` floats each, which every step reads and updates whole. So what travels is what
a parameter server moves, all dense variables and the distinct rows of the batch, each
once each way and in one exchange per shard (`DistributedEmbedding`). SGD, with every
worker's own gradients at the full learning rate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import het_tf as het
from models.experiments import records
from models.experiments.build import start
from models.experiments.forward import Distinct, Forward, distinct
from models.experiments.spec import Spec

WIDTH = 256
_DENSE = "dense"


class HetPs:
    """One worker."""

    def __init__(self, spec: Spec, rank: int) -> None:
        self._spec = spec
        het.init(shards=list(spec.server_addresses))
        self._forward = Forward(spec)
        self._shapes = [tuple(variable.shape) for variable in self._forward.model.trainable_variables]
        self._sizes = [math.prod(shape) for shape in self._shapes]
        self._dense_rows = tf.range(-(-sum(self._sizes) // WIDTH), dtype=tf.int64)
        tables = {
            name: het.TableConfig(name, spec.data.vocabulary, width, start(spec)) for name, width in spec.tables.items()
        }
        tables[_DENSE] = het.TableConfig(_DENSE, len(self._dense_rows), WIDTH, "zeros")
        self._layer = het.layers.DistributedEmbedding(
            {name: het.FeatureConfig(name, table) for name, table in tables.items()}
        )
        self._layer(self._ids(tf.zeros([1], tf.int64)), training=False)
        self._optimizer = het.DistributedOptimizer(keras.optimizers.SGD(spec.learning_rate))
        if rank == 0:
            self._begin()
        data = records.read(spec.data.train, spec.data, spec.batch, first=rank, every=spec.workers)
        data = data.map(distinct, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).prefetch(tf.data.AUTOTUNE)
        self._batches = iter(data)
        self._step = tf.function(self._one_step, autograph=False, input_signature=[data.element_spec])

    def _begin(self) -> None:
        """Gives the dense variables their first values."""
        flat = np.zeros(len(self._dense_rows) * WIDTH, np.float32)
        values = [variable.numpy().ravel() for variable in self._forward.model.trainable_variables]
        flat[: sum(self._sizes)] = np.concatenate(values)
        self._layer.embeddings[_DENSE].assign(self._dense_rows, flat.reshape(-1, WIDTH))

    def _ids(self, unique: tf.Tensor) -> dict[str, tf.Tensor]:
        return {**dict.fromkeys(self._spec.tables, unique), _DENSE: self._dense_rows}

    def _weights(self, looked_up: Mapping[str, tf.Tensor]) -> list[tf.Tensor]:
        flat = tf.reshape(looked_up[_DENSE], [-1])[: sum(self._sizes)]
        parts = tf.split(flat, self._sizes)
        return [tf.reshape(part, shape) for part, shape in zip(parts, self._shapes, strict=True)]

    def _one_step(self, data: Distinct) -> tf.Tensor:
        variables = self._layer.trainable_variables
        with tf.GradientTape() as tape:
            looked_up = self._layer(self._ids(data.unique), training=True)
            value = self._forward.loss(looked_up, data, self._weights(looked_up))
        self._optimizer.apply(tape.gradient(value, [variable.value for variable in variables]), variables)
        return value

    def step(self) -> float:
        return float(self._step(next(self._batches)))

    def settle(self) -> None:
        het.flush()

    def predict(self, batch: records.Batch) -> np.ndarray:
        data = distinct(batch)
        looked_up: Any = self._layer(self._ids(data.unique), training=False)
        return self._forward.predict(looked_up, data, self._weights(looked_up)).numpy()

    def traffic(self) -> dict[str, int]:
        """Bytes of all exchanges, as this worker counts them; there are no others."""
        counted = het.callbacks.Snapshot.take().traffic
        return {way: sum(counted[way].values()) for way in ("sent", "received")}

    def counters(self) -> dict[str, int]:
        return {}
