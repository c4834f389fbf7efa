"""One fit of Wide & Deep, timed: 26 fields, 13 dense features, D=16, batch 512, a cache of a tenth of the
vocabulary at staleness 100, one worker."""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.zipf import SKEW, VOCABULARY, ZipfIds

FIELDS, DENSE, DIMENSION, BATCH, STALENESS = 26, 13, 16, 512, 100
DATA = f"generated: Zipf {SKEW} over {VOCABULARY} ids, {FIELDS} fields"


@functools.cache
def examples(count: int) -> tuple[dict[str, Any], Any]:
    """Features and targets, the same for every fit."""
    import numpy as np

    random = np.random.default_rng(0)
    ids = ZipfIds().batch(0, count * FIELDS)
    features = {"ids": ids.reshape(count, FIELDS), "dense": random.random((count, DENSE), np.float32)}
    return features, random.integers(0, 2, (count, 1))


def seconds_per_step(table: str, steps: int, callbacks: Sequence[Any] = ()) -> float:
    """The mean after a warm-up, in the job that `het_tf.init` has joined; what callbacks do at the end is not in it."""
    import keras
    import tensorflow as tf

    import het_tf as het
    from models.wdl import wide_and_deep

    warm_up = steps // 8
    dataset = tf.data.Dataset.from_tensor_slices(examples((steps + warm_up) * BATCH)).batch(BATCH)
    cache = het.CacheConfig(rows=VOCABULARY // 10, staleness=STALENESS)
    layer = het.layers.Embedding(None, DIMENSION, table=table, cache=cache)
    model = wide_and_deep(layer, fields=FIELDS, dense_features=DENSE)
    model.compile(het.DistributedOptimizer(keras.optimizers.SGD(0.01)), "binary_crossentropy")
    begin = 0.0

    class Clock(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            nonlocal begin
            if batch + 1 == warm_up:
                begin = time.perf_counter()

        def on_train_end(self, logs: Any = None) -> None:
            nonlocal begin
            begin = time.perf_counter() - begin

    # It reads the clock before others do their last work.
    model.fit(dataset, shuffle=False, verbose=0, callbacks=[Clock(), *callbacks])
    return begin / steps
