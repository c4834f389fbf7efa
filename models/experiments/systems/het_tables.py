"""het_tf as it is used: tables in its shards, dense variables by Horovod AllReduce.

het_cache: a cache of `share` of the table with `staleness`; the rows of the coming
batch are asked for while a step runs (`het.data.prefetch`), as README recommends,
unless the staleness is 0. het_hybrid: no cache, so that every step fetches and
pushes the distinct rows of its batch, and workers are in lock-step. Both take SGD.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

import het_tf as het
from models.experiments import records
from models.experiments.build import build, inputs, loss, start
from models.experiments.spec import Spec, System
from models.experiments.workers import start_horovod


class HetTables:
    """One worker."""

    def __init__(self, spec: Spec, rank: int) -> None:
        self._spec = spec
        start_horovod(spec, rank)
        het.init(shards=list(spec.server_addresses))
        keras.utils.set_random_seed(spec.seed)
        config = None
        if spec.system is System.het_cache:
            staleness = spec.staleness if spec.staleness == float("inf") else int(spec.staleness)
            config = het.CacheConfig(share=spec.share, policy=spec.policy, staleness=staleness)
        self._layers: list[het.layers.Embedding] = []

        def embedding(name: str, width: int) -> het.layers.Embedding:
            layer = het.layers.Embedding(spec.data.vocabulary, width, start(spec), cache=config, name=name)
            self._layers.append(layer)
            return layer

        self._model = build(spec, embedding)
        self._optimizer = het.DistributedOptimizer(keras.optimizers.SGD(spec.learning_rate))
        data = records.read(spec.data.train, spec.data, spec.batch, first=rank, every=spec.workers)
        if config is not None and config.staleness > 0:
            data = data.map(tuple).prefetch(tf.data.AUTOTUNE)
            data = het.data.prefetch(data, lambda ids: [(layer, ids) for layer in self._layers])
        else:
            data = data.map(tuple).prefetch(tf.data.AUTOTUNE)
        self._batches = iter(data)
        self._step = tf.function(self._one_step, autograph=False)

    def _one_step(self, *arrays: Any) -> tf.Tensor:
        batch = records.Batch(*arrays)
        with tf.GradientTape() as tape:
            prediction = self._model(inputs(self._spec, batch.ids, batch), training=True)
            value = loss(self._spec, batch.label, prediction)
        variables = self._model.trainable_variables
        self._optimizer.apply(tape.gradient(value, [variable.value for variable in variables]), variables)
        return value

    def step(self) -> float:
        return float(self._step(*next(self._batches)))

    def settle(self) -> None:
        """Pushes what is pending."""
        het.flush(wait_for_all=True)

    def predict(self, batch: records.Batch) -> np.ndarray:
        return self._model(inputs(self._spec, batch.ids, batch), training=False).numpy()

    def traffic(self) -> dict[str, int]:
        """Bytes of the embedding exchanges alone, as this worker counts them."""
        counted = het.callbacks.Snapshot.take().traffic
        return {way: sum(counted[way].values()) for way in ("sent", "received")}

    def counters(self) -> dict[str, int]:
        """The caches' counters."""
        return dict(het.callbacks.Snapshot.take().counters)
