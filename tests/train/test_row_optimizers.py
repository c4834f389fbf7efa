"""The shards' optimizers over 100 steps at staleness 0: Keras's own on the rows that a step touches."""

from __future__ import annotations

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

import het_tf as het
from pairs import BATCH, DIMENSION, IDS, all_rows, model_of, pair

optimizers = keras.optimizers
STEPS, ROWS = 100, 6
OPTIMIZERS = {
    "sgd": lambda rate: optimizers.SGD(rate),
    "momentum": lambda rate: optimizers.SGD(rate, momentum=0.9),
    "nesterov": lambda rate: optimizers.SGD(rate, momentum=0.8, nesterov=True),
    "adagrad": lambda rate: optimizers.Adagrad(rate),
    "rowwise_adagrad": lambda rate: het.RowwiseAdagrad(rate),
    "adam": lambda rate: optimizers.Adam(rate),
    "adam_parameters": lambda rate: optimizers.Adam(rate, beta_1=0.8, beta_2=0.99, epsilon=1e-3),
    "adamw": lambda rate: optimizers.AdamW(rate),
    "ftrl": lambda rate: optimizers.Ftrl(rate),
    "ftrl_regularized": lambda rate: optimizers.Ftrl(
        rate,
        l1_regularization_strength=0.02,
        l2_regularization_strength=0.1,
        l2_shrinkage_regularization_strength=0.05,
        beta=0.3,
    ),
    "ftrl_power": lambda rate: optimizers.Ftrl(rate, learning_rate_power=-0.7),
    "sgd_decayed": lambda rate: optimizers.SGD(rate, weight_decay=0.1),
    "momentum_decayed": lambda rate: optimizers.SGD(rate, momentum=0.9, weight_decay=0.1),
    "adagrad_decayed": lambda rate: optimizers.Adagrad(rate, weight_decay=0.1),
    "rowwise_adagrad_decayed": lambda rate: het.RowwiseAdagrad(rate, weight_decay=0.1),
    "ftrl_decayed": lambda rate: optimizers.Ftrl(rate, weight_decay=0.1),
}
every_optimizer = pytest.mark.parametrize("name", OPTIMIZERS)


def schedule() -> optimizers.schedules.LearningRateSchedule:
    return optimizers.schedules.ExponentialDecay(0.1, 1, 0.97)


@functools.cache
def rates() -> np.ndarray:
    return np.array([schedule()(step) for step in range(STEPS)])


def touched(seed: int = 3) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of each step the ids, some more than once, and a gradient for each."""
    random = np.random.default_rng(seed)
    steps = []
    for _ in range(STEPS):
        ids = random.integers(0, ROWS, random.integers(1, 2 * ROWS))
        steps.append((ids, random.normal(size=(len(ids), DIMENSION)).astype(np.float32)))
    return steps


def rows_after(layer: het.layers.Embedding, optimizer: optimizers.Optimizer) -> np.ndarray:
    layer.build()

    @tf.function(reduce_retracing=True)
    def step(ids, gradients):
        optimizer.apply([tf.IndexedSlices(gradients, ids)], [layer.anchor])

    for ids, gradients in touched():
        step(tf.constant(ids), tf.constant(gradients))
    return layer.rows(np.arange(ROWS)).numpy()


def summed(ids: np.ndarray, gradients: np.ndarray):
    """Each id that is there, with the sum of its gradients."""
    for row in np.unique(ids):
        yield row, gradients[ids == row].sum(axis=0)


@functools.cache
def keras_rows(name: str, start: tuple[tuple[float, ...], ...]) -> np.ndarray:
    """What Keras's own makes of each row, as if it were all that it trains."""
    return np.concatenate([keras_row(OPTIMIZERS[name](0.1), number, row) for number, row in enumerate(start)])


def keras_row(optimizer: optimizers.Optimizer, number: int, start: tuple[float, ...]) -> np.ndarray:
    row = keras.Variable([start])
    optimizer.build([row])

    @tf.function
    def step(gradient, rate):
        optimizer.learning_rate.assign(rate)
        optimizer.apply([gradient], [row])

    for rate, (ids, gradients) in zip(rates(), touched(), strict=True):
        if number in ids:
            step(tf.constant(gradients[ids == number].sum(axis=0)[None]), tf.constant(rate))
    return row.numpy()


@pytest.mark.parametrize("cache", [None, het.CacheConfig(rows=4, staleness=0)], ids=["compiled", "own_and_cached"])
@every_optimizer
def test_equals_keras_own_on_the_touched_rows(name, cache):
    make = OPTIMIZERS[name]
    own = None if cache is None else make(schedule())
    layer = het.layers.Embedding(ROWS, DIMENSION, "normal", table="rows", cache=cache, optimizer=own)
    start = tuple(tuple(row) for row in layer.rows(np.arange(ROWS)).numpy())
    ours = rows_after(layer, het.DistributedOptimizer(make(schedule()) if own is None else optimizers.SGD(1.0)))
    np.testing.assert_allclose(ours, keras_rows(name, start), rtol=1e-5, atol=1e-6)


@every_optimizer
def test_equals_keras_own_where_every_step_touches_every_row(name):
    class OneHot(keras.layers.Embedding):  # a dense gradient: the sum of an id's occurrences
        def call(self, inputs):
            return keras.ops.matmul(keras.ops.one_hot(inputs, self.input_dim), self.embeddings)

    theirs, ours, their_layer, our_layer = pair(lambda layer: model_of(layer, fields=IDS), keras_layer=OneHot)
    random = np.random.default_rng(5)
    ids = np.stack([random.permutation(IDS) for _ in range(STEPS * BATCH)])
    target = random.normal(size=(STEPS * BATCH, 1)).astype(np.float32)
    for model, wrap in ((theirs, lambda optimizer: optimizer), (ours, het.DistributedOptimizer)):
        model.compile(wrap(OPTIMIZERS[name](0.01)), "mse")
        model.fit(ids, target, batch_size=BATCH, shuffle=False, verbose=0)
    np.testing.assert_allclose(all_rows(our_layer), all_rows(their_layer), rtol=1e-5, atol=1e-5)


def test_rowwise_adagrad_equals_numpy():
    layer = het.layers.Embedding(ROWS, DIMENSION, "normal", table="rows")
    rows, squares = layer.rows(np.arange(ROWS)).numpy().astype(np.float64), np.full(ROWS, 0.2)
    ours = rows_after(layer, het.DistributedOptimizer(het.RowwiseAdagrad(schedule(), 0.2, 1e-3)))
    for number, (ids, gradients) in enumerate(touched()):
        for row, gradient in summed(ids, gradients.astype(np.float64)):
            squares[row] += np.mean(gradient**2)
            rows[row] -= rates()[number] * gradient / (np.sqrt(squares[row]) + 1e-3)
    np.testing.assert_allclose(ours, rows, rtol=1e-5, atol=1e-6)


def test_lazy_adam_equals_numpy():
    layer = het.layers.Embedding(ROWS, DIMENSION, "normal", table="rows")
    rows, count = layer.rows(np.arange(ROWS)).numpy().astype(np.float64), np.zeros(ROWS)
    m, v = np.zeros_like(rows), np.zeros_like(rows)
    ours = rows_after(layer, het.DistributedOptimizer(optimizers.Adam(schedule())))
    beta_1, beta_2 = (float(np.float32(beta)) for beta in (0.9, 0.999))  # the power's, in Keras
    for number, (ids, gradients) in enumerate(touched()):
        for row, gradient in summed(ids, gradients.astype(np.float64)):
            count[row] += 1
            m[row] += (gradient - m[row]) * 0.1
            v[row] += (gradient**2 - v[row]) * 0.001
            alpha = rates()[number] * np.sqrt(1 - beta_2 ** count[row]) / (1 - beta_1 ** count[row])
            rows[row] -= alpha * m[row] / (np.sqrt(v[row]) + 1e-7)
    np.testing.assert_allclose(ours, rows, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("own", [None, optimizers.SGD(schedule())], ids=["compiled", "own"])
def test_a_rows_gradient_is_clipped_to_its_norm(own):
    layer = het.layers.Embedding(ROWS, DIMENSION, "normal", table="rows", optimizer=own, row_clipnorm=1.5)
    rows, clipped = layer.rows(np.arange(ROWS)).numpy().astype(np.float64), 0
    ours = rows_after(layer, het.DistributedOptimizer(optimizers.SGD(schedule())))
    for number, (ids, gradients) in enumerate(touched()):
        for row, gradient in summed(ids, gradients.astype(np.float64)):
            norm = np.linalg.norm(gradient)
            clipped += norm > 1.5
            rows[row] -= rates()[number] * gradient * min(1, 1.5 / norm)
    assert clipped > 50
    np.testing.assert_allclose(ours, rows, rtol=1e-5, atol=1e-6)


def test_rows_excluded_from_weight_decay_keep_their_values():
    layer = het.layers.Embedding(ROWS, DIMENSION, "normal", table="rows")
    plain = het.layers.Embedding(ROWS, DIMENSION, "normal", table="plain")
    plain.assign(np.arange(ROWS), layer.rows(np.arange(ROWS)))
    optimizer = optimizers.SGD(0.1, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_names=["anchor"])
    rows = rows_after(layer, het.DistributedOptimizer(optimizer))
    np.testing.assert_array_equal(rows, rows_after(plain, het.DistributedOptimizer(optimizers.SGD(0.1))))


@every_optimizer
def test_trains_under_staleness_too(name):
    cache = het.CacheConfig(rows=IDS, staleness=5)
    model = model_of(layer := het.layers.Embedding(IDS, DIMENSION, table="stale", cache=cache))
    random = np.random.default_rng(5)
    ids = random.integers(0, IDS, (800, 3))
    target = random.normal(size=IDS)[ids].sum(axis=1, keepdims=True)
    model.compile(het.DistributedOptimizer(OPTIMIZERS[name](0.02)), "mse")
    losses = model.fit(ids, target, batch_size=BATCH, epochs=3, verbose=0).history["loss"]
    assert np.isfinite(all_rows(layer)).all()
    assert losses[2] < losses[0]


# --- RowwiseAdagrad as the optimizer of dense variables. ---


def test_rowwise_adagrad_on_dense_variables():
    random = np.random.default_rng(2)
    shapes = [(5, 3), (4,), (), (3, 2, 2)]
    variables = [keras.Variable(random.normal(size=shape).astype(np.float32)) for shape in shapes]
    expected = [np.array(v.numpy(), np.float64) for v in variables]
    squares = [np.full((shape[0], *[1] * (len(shape) - 1)) if len(shape) > 1 else (), 0.1) for shape in shapes]
    optimizer = het.RowwiseAdagrad(0.1)
    for _ in range(STEPS):
        gradients = [random.normal(size=shape).astype(np.float32) for shape in shapes]
        slices = tf.IndexedSlices(gradients[0][[1, 3, 1]], tf.constant([1, 3, 1]), dense_shape=tf.constant([5, 3]))
        optimizer.apply([slices, *map(tf.constant, gradients[1:])], variables)
        gradients[0] = gradients[0] * np.array([0, 2, 0, 1, 0], np.float32)[:, None]
        for gradient, row, square in zip(gradients, expected, squares, strict=True):
            axes = tuple(range(1 if gradient.ndim > 1 else 0, gradient.ndim))
            square += np.mean(gradient.astype(np.float64) ** 2, axis=axes).reshape(square.shape)
            row -= 0.1 * gradient / (np.sqrt(square) + 1e-7)
    for variable, row in zip(variables, expected, strict=True):
        np.testing.assert_allclose(variable.numpy(), row, rtol=1e-5, atol=1e-6)
    assert [tuple(a.shape) for a in optimizer._accumulators] == [(5, 1), (), (), (3, 1, 1)]


def test_rowwise_adagrad_comes_back_from_its_configuration():
    made = het.RowwiseAdagrad(0.3, 0.5, 1e-3, weight_decay=0.1)
    again = optimizers.deserialize(optimizers.serialize(made))
    assert type(again) is het.RowwiseAdagrad
    assert again.get_config() == made.get_config()
    layer = het.layers.Embedding(3, 2, optimizer=made, row_clipnorm=2.0)
    assert het.layers.Embedding.from_config(layer.get_config()).get_config() == layer.get_config()
    with pytest.raises(ValueError, match="initial_accumulator_value is -1"):
        het.RowwiseAdagrad(initial_accumulator_value=-1)
