"""Gradients of n steps become one, as Keras accumulates those of its own Embedding."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import het_tf as het
from pairs import BATCH, DIMENSION, FIELDS, IDS, all_rows, assert_equal, batches, fit, fit_both, model_of, pair

SGD, ADAGRAD = keras.optimizers.SGD, keras.optimizers.Adagrad


@pytest.mark.parametrize("optimizer", [SGD, ADAGRAD])
@pytest.mark.parametrize("cache", [None, het.CacheConfig(rows=5, staleness=0), het.CacheConfig(rows=IDS, staleness=9)])
def test_fit(optimizer, cache):
    if optimizer is ADAGRAD and cache is not None and cache.staleness:
        cache = None  # exact at staleness 0 alone
    theirs, ours, their_layer, our_layer = pair(cache=cache)
    first, second = fit_both(theirs, ours, lambda: optimizer(0.1, gradient_accumulation_steps=4), 42)
    np.testing.assert_allclose(second["loss"], first["loss"], rtol=1e-5)
    np.testing.assert_allclose(all_rows(our_layer), all_rows(their_layer), rtol=1e-5, atol=1e-7)
    assert_equal(their_layer, our_layer, theirs, ours, 1e-6)
    assert our_layer.table.stats()["updates"] == 10
    assert ours.optimizer.iterations.numpy() == 10


@pytest.mark.parametrize("how", [{"run_eagerly": True}, {"steps_per_execution": 5}])
def test_ways_to_run_a_step(how):
    theirs, ours, their_layer, our_layer = pair()
    for model, optimizer in ((theirs, SGD), (ours, lambda *a, **k: het.DistributedOptimizer(SGD(*a, **k)))):
        fit(model, optimizer(0.1, gradient_accumulation_steps=3), 20, compiled=how)
    assert_equal(their_layer, our_layer, theirs, ours, 1e-6)
    assert our_layer.table.stats()["updates"] == 6


@pytest.mark.parametrize("compiled", [True, False])
def test_a_custom_loop_of_batches_of_any_size(compiled):
    theirs, ours, their_layer, our_layer = pair()
    ids, target = batches(20)
    sizes = [1, 8, 3, 5, 2, 7, 8, 1, 1, 4]
    optimizers = SGD(0.1, gradient_accumulation_steps=3), SGD(0.1, gradient_accumulation_steps=3)
    for model, optimizer in zip((theirs, ours), (optimizers[0], het.DistributedOptimizer(optimizers[1])), strict=True):

        def step(ids, target, model=model, optimizer=optimizer):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(tf.square(model(ids, training=True) - target))
            weights = model.trainable_variables
            optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))

        optimizer.build(model.trainable_variables)
        run = tf.function(step, reduce_retracing=True) if compiled else step
        start = 0
        for size in sizes:
            run(tf.constant(ids[start : start + size]), tf.constant(target[start : start + size]))
            start += size
    assert_equal(their_layer, our_layer, theirs, ours, 1e-6)
    assert our_layer.table.stats()["updates"] == 3


def test_nothing_moves_before_the_last_of_the_steps():
    model = model_of(layer := het.layers.Embedding(IDS, DIMENSION, table="kept"))
    before = all_rows(layer)
    fit(model, het.DistributedOptimizer(SGD(0.1, gradient_accumulation_steps=3)), 2)
    np.testing.assert_array_equal(all_rows(layer), before)
    model.fit(*batches(1), batch_size=BATCH, verbose=0)
    assert not np.array_equal(all_rows(layer), before)


def test_what_is_kept_does_not_grow():
    model = model_of(het.layers.Embedding(IDS, DIMENSION, table="bounded"))
    optimizer = het.DistributedOptimizer(SGD(0.1, gradient_accumulation_steps=3))
    kept = []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            (accumulator,) = optimizer._step.accumulators.values()
            kept.append(int(accumulator._ids.shape[0] or tf.size(accumulator._ids)))

    model.compile(optimizer, "mse")
    model.fit(*batches(7), batch_size=BATCH, verbose=0, callbacks=[Watch()])
    step = BATCH * FIELDS
    assert kept == [step, 2 * step, 0, step, 2 * step, 0, step]


@pytest.mark.parametrize("clip", [{"clipnorm": 0.02}, {"global_clipnorm": 0.02}, {"clipvalue": 0.001}])
def test_clipping_is_that_of_the_mean(clip):
    theirs, ours, their_layer, our_layer = pair()
    fit_both(theirs, ours, lambda: SGD(0.1, gradient_accumulation_steps=4, **clip))
    assert_equal(their_layer, our_layer, theirs, ours, 1e-6)


def test_a_schedule_and_an_optimizer_of_the_tables_own():
    def rate():
        return keras.optimizers.schedules.ExponentialDecay(0.2, 5, 0.8)

    theirs, ours, their_layer, our_layer = pair(optimizer=SGD(rate()))
    fit_both(theirs, ours, lambda: SGD(rate(), gradient_accumulation_steps=2))
    assert_equal(their_layer, our_layer, theirs, ours, 1e-6)


def test_two_tables_of_which_one_is_frozen_and_a_layer_of_keras():
    def model(embedding):
        ids = keras.Input((FIELDS,), dtype="int64")
        start = keras.initializers.RandomUniform(seed=8)
        beside = keras.layers.Embedding(IDS, DIMENSION, start)(ids)
        frozen = keras.layers.Embedding(IDS, DIMENSION, start, trainable=False)(ids)
        x = keras.layers.Flatten()(embedding(ids) + beside + frozen)
        return keras.Model(ids, keras.layers.Dense(1, kernel_initializer=keras.initializers.GlorotUniform(seed=5))(x))

    theirs, ours, their_layer, our_layer = pair(model)
    fit_both(theirs, ours, lambda: SGD(0.1, gradient_accumulation_steps=2))
    assert_equal(their_layer, our_layer, theirs, ours, 1e-6)


def test_models_without_tables_accumulate_as_keras_has_it():
    outcomes = []
    for wrap in (lambda optimizer: optimizer, het.DistributedOptimizer):
        model = model_of(keras.layers.Embedding(IDS, DIMENSION, keras.initializers.RandomUniform(seed=2)))
        fit(model, wrap(SGD(0.1, gradient_accumulation_steps=2, use_ema=True)), 9)
        outcomes.append(model.get_weights())
    for mine, expected in zip(*outcomes, strict=True):
        np.testing.assert_array_equal(mine, expected)


def test_together_with_loss_scaling():
    keras.config.set_dtype_policy("mixed_float16")
    theirs, ours, their_layer, our_layer = pair()
    ids, target = batches(9)
    target[BATCH : 2 * BATCH] = np.inf  # one of the nine is left out
    for model, optimizer in ((theirs, lambda o: o), (ours, het.DistributedOptimizer)):
        model.compile(optimizer(SGD(0.1, gradient_accumulation_steps=2)), "mse")
        model.fit(ids, target, batch_size=BATCH, shuffle=False, verbose=0)
    assert_equal(their_layer, our_layer, theirs, ours, 2e-3)
    assert our_layer.table.stats()["updates"] == 4
