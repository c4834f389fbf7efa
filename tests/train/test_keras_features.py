"""What trains as with keras.layers.Embedding."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import het_tf as het
from pairs import BATCH, DIMENSION, FIELDS, IDS, all_rows, assert_equal, batches, fit, fit_both, model_of, pair

SGD = keras.optimizers.SGD
ADAGRAD = keras.optimizers.Adagrad


@pytest.mark.parametrize("clip", [{"clipnorm": 0.05}, {"global_clipnorm": 0.05}, {"clipvalue": 0.002}])
@pytest.mark.parametrize("optimizer", [SGD, ADAGRAD])
def test_clipping(optimizer, clip):
    theirs, ours, their_layer, our_layer = pair()
    fit_both(theirs, ours, lambda: optimizer(0.1, **clip), distinct=True)
    assert_equal(their_layer, our_layer, theirs, ours)


@pytest.mark.parametrize("clip", [{"clipnorm": 0.05}, {"global_clipnorm": 0.05}, {"clipvalue": 0.002}])
def test_clipping_with_duplicates_and_that_it_clips(clip):
    theirs, ours, their_layer, our_layer = pair()
    fit_both(theirs, ours, lambda: SGD(0.1, **clip))
    assert_equal(their_layer, our_layer, theirs, ours)
    free = model_of(layer := het.layers.Embedding(IDS, DIMENSION, table="free"))
    free.compile(het.DistributedOptimizer(SGD(0.1)), "mse")
    layer.assign(np.arange(IDS), all_rows(our_layer))
    free.fit(*batches(1), batch_size=BATCH, verbose=0)
    ours.fit(*batches(1), batch_size=BATCH, verbose=0)
    assert np.abs(all_rows(layer) - all_rows(our_layer)).max() > 1e-5


@pytest.mark.parametrize("optimizer", [SGD, ADAGRAD])
def test_a_learning_rate_schedule(optimizer):
    theirs, ours, their_layer, our_layer = pair()
    schedule = keras.optimizers.schedules.ExponentialDecay(0.2, 5, 0.8)
    fit_both(theirs, ours, lambda: optimizer(schedule), distinct=True)
    assert_equal(their_layer, our_layer, theirs, ours)


def test_reduce_lr_on_plateau():
    theirs, ours, their_layer, our_layer = pair()

    def callbacks():
        return [keras.callbacks.ReduceLROnPlateau(monitor="loss", factor=0.5, patience=0, min_delta=10.0)]

    first, second = fit_both(theirs, ours, lambda: SGD(0.1), epochs=4, callbacks=callbacks)
    assert second["learning_rate"] == first["learning_rate"]
    assert len(set(second["learning_rate"])) > 1
    assert_equal(their_layer, our_layer, theirs, ours)


def test_a_frozen_layer_does_not_train():
    theirs, ours, their_layer, our_layer = pair()
    their_layer.trainable = our_layer.trainable = False
    before = all_rows(our_layer)
    fit_both(theirs, ours, lambda: SGD(0.1))
    assert_equal(their_layer, our_layer, theirs, ours)
    np.testing.assert_array_equal(all_rows(our_layer), before)


def test_a_shared_layer_takes_one_step_for_both_uses():
    def twice(embedding):
        first, second = keras.Input((FIELDS,), dtype="int64"), keras.Input((FIELDS,), dtype="int64")
        x = keras.layers.Flatten()(embedding(first) * embedding(second))
        return keras.Model([first, second], keras.layers.Dense(1, kernel_initializer="ones")(x))

    theirs, ours, their_layer, our_layer = pair(twice)
    ids, target = batches(40)
    for model, optimizer in ((theirs, SGD(0.1)), (ours, het.DistributedOptimizer(SGD(0.1)))):
        model.compile(optimizer, "mse")
        model.fit([ids, ids[::-1]], target, batch_size=BATCH, shuffle=False, verbose=0)
    assert_equal(their_layer, our_layer, theirs, ours)
    assert our_layer.table.stats()["updates"] == 40


def test_two_layers_share_a_table_by_its_name():
    def two_inputs(first, second):
        left, right = keras.Input((FIELDS,), dtype="int64"), keras.Input((FIELDS,), dtype="int64")
        x = keras.layers.Flatten()(first(left) + second(right))
        return keras.Model([left, right], keras.layers.Dense(1, kernel_initializer="ones")(x))

    first, second = (het.layers.Embedding(IDS, DIMENSION, table="shared") for _ in range(2))
    shared = keras.layers.Embedding(IDS, DIMENSION)
    shared.build()
    shared.set_weights([all_rows(first)])
    theirs, ours = two_inputs(shared, shared), two_inputs(first, second)
    ids, target = batches(10)
    for model, optimizer in ((theirs, SGD(0.1)), (ours, het.DistributedOptimizer(SGD(0.1)))):
        model.compile(optimizer, "mse")
        model.fit([ids, ids[::-1]], target, batch_size=BATCH, shuffle=False, verbose=0)
    assert_equal(shared, second, theirs, ours)
    assert first.table.stats()["updates"] == 10


def test_26_layers_in_one_model():
    ids = keras.Input((26,), dtype="int64")
    random = np.random.default_rng(1)
    data, target = random.integers(0, 30, (160, 26)), random.normal(size=(160, 1)).astype("float32")
    models = []
    ours = [het.layers.Embedding(30, 2, table=f"field_{i}") for i in range(26)]
    for kind in ("keras", "het"):
        parts = []
        for i in range(26):
            layer = ours[i]
            if kind == "keras":
                layer = keras.layers.Embedding(30, 2)
                layer.build()
                layer.set_weights([ours[i].rows(np.arange(30)).numpy()])
            parts.append(layer(ids[:, i]))
        out = keras.layers.Dense(1, kernel_initializer="ones")(keras.layers.Concatenate()(parts))
        models.append(keras.Model(ids, out))
    for model, optimizer in zip(models, (SGD(0.1), het.DistributedOptimizer(SGD(0.1))), strict=True):
        model.compile(optimizer, "mse")
        model.fit(data, target, batch_size=16, shuffle=False, verbose=0)
    expected = [layer for layer in models[0].layers if isinstance(layer, keras.layers.Embedding)]
    for mine, theirs in zip(ours, expected, strict=True):
        np.testing.assert_allclose(mine.rows(np.arange(30)), theirs.get_weights()[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("how", [{"run_eagerly": True}, {"steps_per_execution": 4}])
def test_ways_to_run_a_step(how):
    theirs, ours, their_layer, our_layer = pair()
    ids, target = batches(20)
    for model, optimizer in ((theirs, SGD(0.1)), (ours, het.DistributedOptimizer(SGD(0.1)))):
        model.compile(optimizer, "mse", **how)
        model.fit(ids, target, batch_size=BATCH, shuffle=False, verbose=0)
    assert_equal(their_layer, our_layer, theirs, ours)


@pytest.mark.parametrize("compiled", [True, False])
def test_a_custom_loop(compiled):
    theirs, ours, their_layer, our_layer = pair()
    data = tf.data.Dataset.from_tensor_slices(batches(20)).batch(BATCH)
    for model, optimizer in ((theirs, SGD(0.1)), (ours, het.DistributedOptimizer(SGD(0.1)))):

        def step(ids, target, model=model, optimizer=optimizer):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(tf.square(model(ids, training=True) - target))
            weights = model.trainable_variables
            optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))

        optimizer.build(model.trainable_variables)
        run = tf.function(step) if compiled else step
        for batch in data:
            run(*batch)
    assert_equal(their_layer, our_layer, theirs, ours)


def test_a_subclassed_model():
    class Model(keras.Model):
        def __init__(self, embedding):
            super().__init__()
            self.embedding = embedding
            self.out = keras.layers.Dense(1, kernel_initializer="ones")

        def call(self, ids):
            return self.out(keras.ops.sum(self.embedding(ids), axis=1))

    theirs, ours, their_layer, our_layer = pair(Model)
    fit_both(theirs, ours, lambda: SGD(0.1))
    assert_equal(their_layer, our_layer, theirs, ours)


@pytest.mark.parametrize("kept_as", [lambda layer: layer, lambda layer: [layer], lambda layer: {"rows": layer}])
def test_a_subclassed_model_whose_layers_are_built_by_fit(tmp_path, kept_as):
    class Model(keras.Model):
        def __init__(self, embedding):
            super().__init__()
            self.embedding = kept_as(embedding)
            self.out = keras.layers.Dense(1, kernel_initializer="ones")

        def call(self, ids):
            (embedding,) = keras.tree.flatten(self.embedding)
            return self.out(keras.ops.sum(embedding(ids), axis=1))

    layer = het.layers.Embedding(IDS, DIMENSION, table="late")
    before = all_rows(het.layers.Embedding(IDS, DIMENSION, table="late"))
    fit(model := Model(layer), het.DistributedOptimizer(SGD(0.1)))
    assert np.abs(all_rows(layer) - before).max() > 0
    for save in (model.save_weights, tf.train.Checkpoint(model=model).save):
        with pytest.raises(NotImplementedError, match="callbacks.Checkpoint"):
            save(str(tmp_path / "not_written.weights.h5"))


def test_mask_zero_reaches_the_layers_behind():
    def model(embedding):
        ids = keras.Input((FIELDS,), dtype="int64")
        x = keras.layers.GlobalAveragePooling1D()(embedding(ids))
        return keras.Model(ids, keras.layers.Dense(1, kernel_initializer="ones")(x))

    theirs, ours, their_layer, our_layer = pair(model, mask_zero=True)
    fit_both(theirs, ours, lambda: SGD(0.1))
    assert_equal(their_layer, our_layer, theirs, ours)
    assert ours.layers[1].compute_mask(np.array([[0, 3]])).numpy().tolist() == [[False, True]]


def test_mixed_bfloat16_trains_float32_rows():
    keras.config.set_dtype_policy("mixed_bfloat16")
    theirs, ours, their_layer, our_layer = pair()
    fit_both(theirs, ours, lambda: SGD(0.1))
    assert ours.layers[1].compute_dtype == "bfloat16"
    np.testing.assert_allclose(all_rows(our_layer), all_rows(their_layer), rtol=0, atol=5e-3)
    assert all_rows(our_layer).dtype == np.float32


def test_validation_evaluate_and_predict():
    theirs, ours, _, _our_layer = pair()
    ids, target = batches(10, seed=9)
    first, second = fit_both(theirs, ours, lambda: SGD(0.1), validation_data=(ids, target))
    np.testing.assert_allclose(second["val_loss"], first["val_loss"], rtol=1e-5)
    np.testing.assert_allclose(ours.predict(ids, verbose=0), theirs.predict(ids, verbose=0), atol=1e-5)
    np.testing.assert_allclose(ours.evaluate(ids, target, verbose=0), theirs.evaluate(ids, target, verbose=0), 1e-5)


@pytest.mark.parametrize("clip", [{"clipnorm": 0.05}, {"global_clipnorm": 0.05}, {"clipvalue": 0.002}])
def test_clipping_beside_an_embedding_of_keras_with_duplicates(clip):
    def model(embedding):
        ids = keras.Input((FIELDS,), dtype="int64")
        beside = keras.layers.Embedding(IDS, DIMENSION, keras.initializers.RandomUniform(seed=8))(ids)
        x = keras.layers.Flatten()(embedding(ids) + beside)
        return keras.Model(ids, keras.layers.Dense(1, kernel_initializer=keras.initializers.GlorotUniform(seed=5))(x))

    theirs, ours, their_layer, our_layer = pair(model)
    fit_both(theirs, ours, lambda: SGD(0.1, **clip))
    assert_equal(their_layer, our_layer, theirs, ours)


@pytest.mark.parametrize("clip", [{}, {"clipnorm": 0.05}, {"global_clipnorm": 0.05}, {"clipvalue": 0.002}])
def test_a_gradient_made_dense_on_the_way_is_refused(clip):
    model = model_of(het.layers.Embedding(IDS, DIMENSION, table="dense"))
    optimizer = het.DistributedOptimizer(SGD(0.1, **clip))
    with pytest.raises(TypeError, match=r"table 'dense' is .*expected tf\.IndexedSlices"):
        optimizer.apply([tf.zeros(v.shape) for v in model.trainable_variables], model.trainable_variables)
