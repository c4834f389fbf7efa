"""The model and the rows that the workers of tests/distributed train with."""

from __future__ import annotations

from typing import Any

IDS, FIELDS, DIMENSION = 60, 4, 3
STEPS, BATCH = 12, 16


def rows_of_this_worker(steps: int = STEPS) -> tuple[Any, Any]:
    """ids (n, FIELDS) and targets (n, 1): worker r of n takes rows r, r + n, ... of every global batch."""
    import numpy as np

    import het_tf as het

    random = np.random.default_rng(7)
    ids = random.integers(0, IDS, (steps, BATCH, FIELDS))
    target = random.normal(size=(steps, BATCH, 1)).astype(np.float32)
    mine = slice(het.rank(), None, het.size())
    return ids[:, mine].reshape(-1, FIELDS), target[:, mine].reshape(-1, 1)


def build(table: str, *, seed: int = 0, cache: Any = None, trainable_tower: bool = True) -> tuple[Any, Any]:
    import keras

    import het_tf as het

    start = keras.initializers.RandomUniform(seed=3)
    layer = het.layers.Embedding(IDS, DIMENSION, start, table=table, cache=cache)
    ids = keras.Input((FIELDS,), dtype="int64")
    x = keras.layers.Flatten()(layer(ids))
    x = keras.layers.Dense(5, "tanh", kernel_initializer=keras.initializers.GlorotUniform(seed=seed))(x)
    x = keras.layers.Dense(1, kernel_initializer=keras.initializers.GlorotUniform(seed=seed + 1))(x)
    model = keras.Model(ids, x)
    for tower in model.layers[-2:]:
        tower.trainable = trainable_tower
    return model, layer


def state(model: Any, layer: Any) -> dict[str, Any]:
    import numpy as np

    import het_tf as het

    het.flush(wait_for_all=True)
    dense = [v.numpy().tolist() for v in model.weights if 0 not in v.shape]
    return {"dense": dense, "rows": layer.rows(np.arange(IDS)).numpy().tolist()}


def fit(table: str, optimizer: Any, *, steps_per_execution: int = 1, **how: Any) -> dict[str, Any]:
    import het_tf as het

    model, layer = build(table, **how)
    model.compile(optimizer, "mse", steps_per_execution=steps_per_execution)
    ids, target = rows_of_this_worker()
    model.fit(ids, target, batch_size=BATCH // het.size(), shuffle=False, verbose=0)
    return state(model, layer)


def sgd(rate: float = 0.1, **options: Any) -> Any:
    import keras

    import het_tf as het

    return het.DistributedOptimizer(keras.optimizers.SGD(rate, **options))
