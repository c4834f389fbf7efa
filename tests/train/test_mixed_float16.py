"""Under mixed_float16 models train as Keras's own; a step that is not finite changes nothing."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import het_tf as het
from pairs import BATCH, DIMENSION, IDS, all_rows, assert_equal, batches, fit, fit_both, model_of, pair

SGD = keras.optimizers.SGD
SCALED = keras.optimizers.LossScaleOptimizer


@pytest.fixture(autouse=True)
def mixed_float16():
    keras.config.set_dtype_policy("mixed_float16")


def test_fit_with_the_policy_alone():
    theirs, ours, their_layer, our_layer = pair()
    before = all_rows(our_layer)
    first, second = fit_both(theirs, ours, lambda: SGD(0.1))
    assert isinstance(ours.optimizer, SCALED) and ours.layers[1].compute_dtype == "float16"
    assert_equal(their_layer, our_layer, theirs, ours, 2e-3)
    np.testing.assert_allclose(second["loss"], first["loss"], rtol=1e-2)
    assert np.abs(all_rows(our_layer) - before).max() > 0.01
    assert ours.optimizer.dynamic_scale.numpy() == theirs.optimizer.dynamic_scale.numpy()
    assert ours.optimizer.step_counter.numpy() == theirs.optimizer.step_counter.numpy()


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("clip", [{}, {"global_clipnorm": 0.05}])
def test_a_given_loss_scale_optimizer_may_be_inside_or_around(inside, clip):
    theirs, ours, their_layer, our_layer = pair()
    fit(theirs, SCALED(SGD(0.1, **clip), dynamic_growth_steps=3), 20)
    if inside:
        optimizer = het.DistributedOptimizer(SCALED(SGD(0.1, **clip), dynamic_growth_steps=3))
    else:
        optimizer = SCALED(het.DistributedOptimizer(SGD(0.1, **clip)), dynamic_growth_steps=3)
    fit(ours, optimizer, 20)
    assert het.DistributedOptimizer(optimizer) is optimizer
    assert_equal(their_layer, our_layer, theirs, ours, 2e-3)
    for variable in ("dynamic_scale", "step_counter"):
        assert getattr(optimizer, variable).numpy() == getattr(theirs.optimizer, variable).numpy()


@pytest.mark.parametrize("compiled", [True, False])
def test_float32_layers_in_a_custom_loop_train_as_without_scaling(compiled):
    keras.config.set_dtype_policy("float32")
    theirs, ours, their_layer, our_layer = pair()
    data = tf.data.Dataset.from_tensor_slices(batches(20)).batch(BATCH)
    scaled = het.DistributedOptimizer(SCALED(SGD(0.1), initial_scale=64.0, dynamic_growth_steps=4))
    for model, optimizer in ((theirs, SGD(0.1)), (ours, scaled)):

        def step(ids, target, model=model, optimizer=optimizer):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(tf.square(model(ids, training=True) - target))
                loss = optimizer.scale_loss(loss)
            weights = model.trainable_variables
            optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))

        run = tf.function(step) if compiled else step
        for batch in data:
            run(*batch)
    assert scaled.dynamic_scale.numpy() == 64.0 * 2**5
    assert_equal(their_layer, our_layer, theirs, ours)


@pytest.mark.parametrize("how", [{}, {"run_eagerly": True}, {"steps_per_execution": 3}])
@pytest.mark.parametrize("staleness", [0, 5])
def test_steps_that_are_not_finite_change_nothing(how, staleness):
    layer = het.layers.Embedding(IDS, DIMENSION, table="skipped", cache=het.CacheConfig(rows=IDS, staleness=staleness))
    model = model_of(layer)
    model.compile(het.DistributedOptimizer(keras.optimizers.Adagrad(0.1)), "mse", **how)
    ids, target = batches(4)
    target[BATCH : 2 * BATCH] = np.inf
    before = [all_rows(layer), *model.layers[-1].get_weights()]
    optimizer = model.optimizer
    one = slice(BATCH, 2 * BATCH)
    model.fit(ids[one], target[one], batch_size=BATCH, verbose=0)
    for then, now in zip(before, [all_rows(layer), *model.layers[-1].get_weights()], strict=True):
        np.testing.assert_array_equal(now, then)
    assert (optimizer.iterations.numpy(), layer.table.stats()["updates"]) == (0, 0)
    assert optimizer.dynamic_scale.numpy() == 2.0**14
    model.fit(ids, target, batch_size=BATCH, shuffle=False, verbose=0)
    assert (optimizer.iterations.numpy(), layer.table.stats()["updates"]) == (3, 3)
    assert (optimizer.dynamic_scale.numpy(), optimizer.step_counter.numpy()) == (2.0**13, 2)
    assert np.isfinite(all_rows(layer)).all() and not np.array_equal(all_rows(layer), before[0])


def test_a_gradient_of_a_table_alone_may_be_the_one_that_is_not_finite():
    # The first gradient of these is dense and finite.
    keras.config.set_dtype_policy("float32")
    model = model_of(layer := het.layers.Embedding(IDS, DIMENSION, table="alone"))
    before = all_rows(layer)
    optimizer = het.DistributedOptimizer(SCALED(SGD(0.1)))
    anchor, *dense = model.trainable_variables
    slices = tf.IndexedSlices(tf.constant([[1.0, np.nan, 0.0, 0.0]]), tf.constant([3], tf.int64))
    kept = [v.numpy() for v in dense]
    optimizer.apply([*(tf.ones(v.shape) for v in dense), slices], [*dense, anchor])
    np.testing.assert_array_equal(all_rows(layer), before)
    for then, now in zip(kept, dense, strict=True):
        np.testing.assert_array_equal(now.numpy(), then)


def test_pooled_features_in_float16():
    table = het.TableConfig("pooled", IDS, DIMENSION, combiner="mean")
    layer = het.layers.DistributedEmbedding(het.FeatureConfig("f", table))
    found = layer(tf.constant([[1, 2, 3]]))
    assert found.dtype == tf.float16
    np.testing.assert_allclose(found, layer.embeddings["pooled"].rows([[1, 2, 3]]).numpy().mean(1), atol=1e-3)


def test_a_fixed_scale_is_refused_with_the_remedy():
    with pytest.raises(ValueError, match=r"loss_scale_factor=8.*LossScaleOptimizer"):
        het.DistributedOptimizer(SGD(0.1)).loss_scale_factor = 8.0


def test_a_scaled_optimizer_is_saved_as_kerass_own():
    optimizer = SCALED(het.DistributedOptimizer(SGD(0.25)))
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert type(again) is SCALED and type(again.inner_optimizer) is SGD
    assert again.inner_optimizer.get_config()["learning_rate"] == pytest.approx(0.25)
