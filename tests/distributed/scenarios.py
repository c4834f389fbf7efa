"""What a worker trains, and what it tells about it afterwards.

Run as a script by every worker of a job (and by one alone, for comparison):
`python scenarios.py FOLDER` writes FOLDER/rank.N.json. Importable without side
effects for the names of the scenarios.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from small_model import BATCH, DIMENSION, FIELDS, IDS, build, fit, rows_of_this_worker, sgd, state

SCENARIOS: dict[str, Callable[[], dict[str, Any]]] = {}


def scenario(function: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    SCENARIOS[function.__name__] = function
    return function


@scenario
def plain_fit() -> dict[str, Any]:
    return fit("plain_fit", sgd())


@scenario
def cached_fit() -> dict[str, Any]:
    import het_tf as het

    return fit("cached_fit", sgd(), cache=het.CacheConfig(rows=20, staleness=0))


@scenario
def clipnorm() -> dict[str, Any]:
    return fit("clipnorm", sgd(clipnorm=0.05))


@scenario
def global_clipnorm() -> dict[str, Any]:
    return fit("global_clipnorm", sgd(global_clipnorm=0.05))


@scenario
def clipvalue() -> dict[str, Any]:
    return fit("clipvalue", sgd(clipvalue=0.01))


@scenario
def only_embeddings() -> dict[str, Any]:
    """Nothing dense is trained: no AllReduce keeps the workers in step."""
    return fit("only_embeddings", sgd(), trainable_tower=False)


def every_optimizer(name: str, optimizer: Any, *, synchronous: bool, not_finite: int | None = None) -> dict[str, Any]:
    """A table for every optimizer, 100 steps at staleness 0; their rows one after the other.

    `optimizer` is for the rest; in step `not_finite` the loss of the last worker is NaN.
    """
    import keras
    import numpy as np

    import het_tf as het

    k = keras.optimizers
    optimizers = {
        "sgd": k.SGD(0.1),
        "momentum": k.SGD(0.05, momentum=0.9),
        "nesterov": k.SGD(0.05, momentum=0.9, nesterov=True),
        "adagrad": k.Adagrad(0.1),
        "rowwise_adagrad": het.RowwiseAdagrad(0.1),
        "adam": k.Adam(0.01),
        "ftrl": k.Ftrl(0.1),
        "adagrad_decayed": k.Adagrad(0.1, weight_decay=0.1),
        "adamw": k.AdamW(0.01, weight_decay=0.1),
        "sgd_clipped": k.SGD(0.1, weight_decay=0.05),
    }
    layers = [
        het.layers.Embedding(
            IDS,
            DIMENSION,
            "zeros" if kind == "ftrl" else keras.initializers.RandomUniform(seed=3),
            table=f"{name}_{kind}",
            optimizer=own,
            row_clipnorm=0.02 if kind == "sgd_clipped" else None,
            cache=het.CacheConfig(rows=20, staleness=0) if kind == "adam" else None,
            synchronous=synchronous,
        )
        for kind, own in optimizers.items()
    ]
    ids = keras.Input((FIELDS,), dtype="int64")
    x = keras.layers.Concatenate()([keras.layers.Flatten()(layer(ids)) for layer in layers])
    x = keras.layers.Dense(5, "tanh", kernel_initializer=keras.initializers.GlorotUniform(seed=1))(x)
    x = keras.layers.Dense(1, kernel_initializer=keras.initializers.GlorotUniform(seed=2))(x)
    model = keras.Model(ids, x)
    model.compile(optimizer, "mse")
    ids, target = rows_of_this_worker(100)
    batch = BATCH // het.size()
    if not_finite is not None and het.rank() == het.size() - 1:
        target[not_finite * batch] = np.nan
    model.fit(ids, target, batch_size=batch, shuffle=False, verbose=0)
    het.flush(wait_for_all=True)
    return {
        "dense": [v.numpy().tolist() for v in model.weights if 0 not in v.shape],
        "rows": [row for layer in layers for row in layer.rows(np.arange(IDS)).numpy().tolist()],
    }


@scenario
def synchronous_tables() -> dict[str, Any]:
    return every_optimizer("synchronous", sgd(), synchronous=True)


@scenario
def synchronous_tables_scaled_and_accumulated() -> dict[str, Any]:
    """One step is not finite on one worker; of the 99 others every three are one round."""
    import keras

    optimizer = keras.optimizers.LossScaleOptimizer(sgd(gradient_accumulation_steps=3), initial_scale=8.0)
    return every_optimizer("scaled", optimizer, synchronous=True, not_finite=10)


@scenario
def a_step_for_every_worker() -> dict[str, Any]:
    return every_optimizer("separate", sgd(), synchronous=False)


@scenario
def several_steps_per_execution() -> dict[str, Any]:
    """Keras's own loop and branches around the steps; 12 steps are no multiple of 5."""
    return fit("several_steps_per_execution", sgd(), steps_per_execution=5)


@scenario
def accumulation() -> dict[str, Any]:
    """12 steps are two updates of 5, and 2 left over."""
    return fit("accumulation", sgd(gradient_accumulation_steps=5))


@scenario
def accumulation_of_only_embeddings() -> dict[str, Any]:
    return fit("accumulation_of_only_embeddings", sgd(gradient_accumulation_steps=3), trainable_tower=False)


@scenario
def mixed_float16() -> dict[str, Any]:
    """The policy alone; steps 2, 6 and 7 are not finite on one worker, or on all."""
    return scaled("mixed_float16")


@scenario
def mixed_float16_in_several_steps() -> dict[str, Any]:
    return scaled("mixed_float16_in_several_steps", steps_per_execution=5)


@scenario
def mixed_float16_accumulated() -> dict[str, Any]:
    return scaled("mixed_float16_accumulated", gradient_accumulation_steps=2)


def scaled(table: str, *, steps_per_execution: int = 1, **options: Any) -> dict[str, Any]:
    import keras
    import numpy as np

    import het_tf as het

    keras.config.set_dtype_policy("mixed_float16")
    try:
        model, layer = build(table)
    finally:
        keras.config.set_dtype_policy("float32")
    model.compile(sgd(**options), "mse", steps_per_execution=steps_per_execution)
    ids, target = rows_of_this_worker()
    batch = BATCH // het.size()
    for step, rank in ((2, 1), (6, 0), (7, 0), (7, 1)):
        if rank == het.rank() or het.size() == 1:
            target[step * batch] = np.inf
    model.fit(ids, target, batch_size=batch, shuffle=False, verbose=0)
    optimizer = model.optimizer
    steps = {name: int(getattr(optimizer, name)) for name in ("iterations", "step_counter", "dynamic_scale")}
    return {**state(model, layer), "steps": steps}


@scenario
def other_automatic_names() -> dict[str, Any]:
    """Worker 1 has made layers and an optimizer before: Keras has counted on."""
    import keras

    import het_tf as het

    if het.rank() == 1:
        for _ in range(3):
            keras.layers.Dense(1)
        sgd()
    return fit("other_automatic_names", sgd(global_clipnorm=0.05), seed=het.rank())


@scenario
def other_tables() -> dict[str, Any]:
    """A table called by its layer's automatic name, which is another one on worker 1."""
    import keras

    import het_tf as het

    if het.rank() == 1:
        het.layers.Embedding(IDS, DIMENSION)
    layer = het.layers.Embedding(IDS, DIMENSION)
    ids = keras.Input((FIELDS,), dtype="int64")
    model = keras.Model(ids, keras.layers.Dense(1)(keras.layers.Flatten()(layer(ids))))
    model.compile(sgd(), "mse")
    try:
        model.fit(*rows_of_this_worker(), batch_size=BATCH // het.size(), verbose=0)
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
    return {"error": "none"}


@scenario
def restoring_what_is_not_there() -> dict[str, Any]:
    """Rank 0 alone looks for a checkpoint; then what fails on worker 1 alone."""
    import tempfile

    import het_tf as het
    from het_tf.checkpoint.agreement import by_all

    model, _ = build("saved")
    model.compile(sgd(), "mse")
    found = {}
    for name, work in (
        ("restore", lambda: het.checkpoint.restore(model, tempfile.gettempdir(), "het_tf_nobody")),
        ("by_all", lambda: by_all(lambda: 1 / (1 - het.rank()), "scenario")),
    ):
        try:
            work()
        except Exception as error:
            found[name] = f"{type(error).__name__}: {error}"
    return found


@scenario
def different_starts() -> dict[str, Any]:
    """Every worker begins with other dense weights; adagrad, a stale cache."""
    import keras

    import het_tf as het

    optimizer = het.DistributedOptimizer(keras.optimizers.Adagrad(0.1))
    cache = het.CacheConfig(rows=30, staleness=10)
    return fit("different_starts", optimizer, seed=het.rank(), cache=cache)


@scenario
def not_trained() -> dict[str, Any]:
    """Moving statistics (momentum 1: they stay) and a frozen layer, which are others on every worker."""
    import keras

    import het_tf as het

    ids = keras.Input((FIELDS,), dtype="int64")
    layer = het.layers.Embedding(IDS, DIMENSION, table="not_trained")
    x = keras.layers.Flatten()(layer(ids))
    start = keras.initializers.Constant(1.0 + het.rank())
    x = keras.layers.BatchNormalization(momentum=1.0, moving_mean_initializer=start)(x)
    x = keras.layers.Dense(2, kernel_initializer=start, trainable=False)(x)
    model = keras.Model(ids, keras.layers.Dense(1, kernel_initializer="ones")(x))
    model.compile(sgd(1e-3), "mse")
    model.fit(*rows_of_this_worker(), batch_size=BATCH // het.size(), shuffle=False, verbose=0)
    means, kernel = model.layers[-3].moving_mean.numpy(), model.layers[-2].kernel.numpy()
    return {**state(model, layer), "means": means.tolist(), "kernel": kernel.tolist()}


@scenario
def custom_loop() -> dict[str, Any]:
    import tensorflow as tf

    import het_tf as het

    model, layer = build("custom_loop", seed=het.rank())
    optimizer = sgd()
    ids, target = rows_of_this_worker()

    @tf.function
    def step(ids: Any, target: Any) -> None:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(model(ids, training=True) - target))
        weights = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))

    for batch in tf.data.Dataset.from_tensor_slices((ids, target)).batch(BATCH // het.size()):
        step(*batch)
    return state(model, layer)


@scenario
def scaled_custom_loop() -> dict[str, Any]:
    """Loss scaling and accumulation by hand, a stale cache; worker 1 has one step that is not finite."""
    import keras
    import numpy as np
    import tensorflow as tf

    import het_tf as het

    cache = het.CacheConfig(rows=30, staleness=10)
    model, layer = build("scaled_custom_loop", seed=het.rank(), cache=cache)
    optimizer = het.DistributedOptimizer(
        keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1, gradient_accumulation_steps=2), initial_scale=8.0)
    )
    ids, target = rows_of_this_worker()
    if het.rank() == 1:
        target[3 * BATCH // het.size()] = np.nan

    @tf.function
    def step(ids: Any, target: Any) -> None:
        with tf.GradientTape() as tape:
            loss = optimizer.scale_loss(tf.reduce_mean(tf.square(model(ids, training=True) - target)))
        weights = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))

    for batch in tf.data.Dataset.from_tensor_slices((ids, target)).batch(BATCH // het.size()):
        step(*batch)
    return state(model, layer)


@scenario
def without_the_hook() -> dict[str, Any]:
    """Keras's own optimizer, no table: what the other scenarios would be without DistributedOptimizer."""
    import keras

    import het_tf as het

    ids = keras.Input((FIELDS,), dtype="float32")
    model = keras.Sequential([ids, keras.layers.Dense(1, kernel_initializer=keras.initializers.GlorotUniform(seed=0))])
    model.compile(keras.optimizers.SGD(1e-4), "mse")
    inputs, target = rows_of_this_worker()
    model.fit(inputs.astype("float32"), target, batch_size=BATCH // het.size(), shuffle=False, verbose=0)
    return {"dense": [w.tolist() for w in model.get_weights()]}


@scenario
def one_validates() -> dict[str, Any]:
    """Only worker 0 has validation data; metrics are averaged all the same."""
    import het_tf as het

    model, _ = build("one_validates")
    model.compile(sgd(), "mse", metrics=["mae"])
    ids, target = rows_of_this_worker()
    held_out = (ids[:8], target[:8]) if het.rank() == 0 else None
    history = model.fit(
        ids,
        target,
        batch_size=BATCH // het.size(),
        shuffle=False,
        verbose=0,
        validation_data=held_out,
        callbacks=[het.callbacks.MetricAverage()],
    )
    return {"history": {name: [float(v) for v in values] for name, values in history.history.items()}}


@scenario
def sharded_data() -> dict[str, Any]:
    """Thirteen batches for two workers: each gets the same number, and no row comes twice."""
    import tensorflow as tf

    import het_tf as het

    known = tf.data.Dataset.range(13)
    parts = {"known": het.data.shard(known), "unknown": het.data.shard(known.filter(lambda _: True))}
    return {name: [int(x) for x in part] for name, part in parts.items()}


def main(folder: Path, names: list[str]) -> None:
    import het_tf as het

    het.init(deadline=20)
    told = {name: SCENARIOS[name]() for name in names or SCENARIOS}
    told["place"] = {"rank": het.rank(), "size": het.size()}
    (folder / f"rank.{het.rank()}.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
