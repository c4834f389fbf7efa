"""Two models that differ in one layer: keras.layers.Embedding and het_tf's."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

import het_tf as het

IDS, DIMENSION, FIELDS, BATCH = 40, 4, 3, 8


def batches(steps: int, *, distinct: bool = False, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """ids (steps * BATCH, FIELDS) and targets (steps * BATCH, 1); `distinct`: no id twice in a batch."""
    random = np.random.default_rng(seed)
    if distinct:
        ids = np.stack([random.permutation(IDS)[: BATCH * FIELDS].reshape(BATCH, FIELDS) for _ in range(steps)])
    else:
        ids = random.integers(0, IDS, (steps, BATCH, FIELDS))
    return ids.reshape(-1, FIELDS), random.normal(size=(steps * BATCH, 1)).astype(np.float32)


def model_of(embedding: keras.layers.Layer, *, fields: int = FIELDS) -> keras.Model:
    ids = keras.Input((fields,), dtype="int64")
    x = keras.layers.Flatten()(embedding(ids))
    start = keras.initializers.GlorotUniform(seed=5)
    return keras.Model(ids, keras.layers.Dense(1, kernel_initializer=start)(x))


def pair(
    model: Callable[[keras.layers.Layer], keras.Model] = model_of,
    *,
    table: str = "table",
    keras_layer: type[keras.layers.Embedding] = keras.layers.Embedding,
    **options: Any,
) -> tuple[keras.Model, keras.Model, keras.layers.Embedding, het.layers.Embedding]:
    """Keras's model and ours with the same rows and weights."""
    ours = het.layers.Embedding(IDS, DIMENSION, table=table, **options)
    keras_options = {name: options[name] for name in ("mask_zero",) if name in options}
    theirs = keras_layer(IDS, DIMENSION, **keras_options)
    theirs.build()
    theirs.set_weights([all_rows(ours)])
    return model(theirs), model(ours), theirs, ours


class OneHot(keras.layers.Embedding):
    """Keras's layer with a dense gradient: occurrences of an id are summed before the optimizer sees them."""

    def call(self, inputs: Any) -> Any:
        return keras.ops.matmul(keras.ops.one_hot(inputs, self.input_dim), self.embeddings)


def all_rows(layer: Any) -> np.ndarray:
    if isinstance(layer, het.layers.Embedding):
        return layer.rows(np.arange(IDS)).numpy()
    return layer.get_weights()[0]


def fit(model: keras.Model, optimizer: Any, steps: int = 2, *, compiled: dict | None = None, **how: Any) -> dict:
    """The history of `steps` batches in their order; `compiled`: more for `compile`."""
    model.compile(optimizer, "mse", **(compiled or {}))
    return model.fit(*batches(steps), **{"batch_size": BATCH, "shuffle": False, "verbose": 0, **how}).history


def fit_both(
    theirs: keras.Model, ours: keras.Model, optimizer: Callable[[], Any], steps: int = 40, **how: Any
) -> tuple[dict, dict]:
    """The histories of both."""
    ids, target = batches(steps, distinct=how.pop("distinct", False))
    how = {"batch_size": BATCH, "shuffle": False, "verbose": 0, **how}
    callbacks = how.pop("callbacks", list)
    theirs.compile(optimizer(), "mse")
    ours.compile(het.DistributedOptimizer(optimizer()), "mse")
    first = theirs.fit(ids, target, callbacks=callbacks(), **how)
    second = ours.fit(ids, target, callbacks=callbacks(), **how)
    return first.history, second.history


def assert_equal(theirs: Any, ours: Any, their_model: keras.Model, our_model: keras.Model, tolerance: float = 1e-5):
    """Same rows, same dense weights."""
    np.testing.assert_allclose(all_rows(ours), all_rows(theirs), rtol=0, atol=tolerance)
    for mine, expected in zip(our_model.layers[-1].get_weights(), their_model.layers[-1].get_weights(), strict=True):
        np.testing.assert_allclose(mine, expected, rtol=0, atol=tolerance)


def wait_for_writers() -> None:
    """Until every checkpoint of this process is written."""
    for thread in threading.enumerate():
        if thread.name == "het_tf.checkpoint":
            thread.join()
