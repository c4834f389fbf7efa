"""Several optimizers, and those that do not fit: equal to Keras or refused by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import het_tf as het
from pairs import BATCH, DIMENSION, FIELDS, IDS, OneHot, all_rows, assert_equal, batches, fit, model_of, pair

SGD, ADAGRAD = keras.optimizers.SGD, keras.optimizers.Adagrad
# All that Keras has.
WITHOUT_COUNTERPART = ["RMSprop", "Adadelta", "Adamax", "Nadam", "Lion", "Adafactor", "Lamb", "Muon"]


def steps(model: keras.Model, apply: Callable[[int, Any, Any], None], count: int = 20) -> None:
    """A loop whose `apply(number, gradients, weights)` takes the step, in the order of the model's weights."""
    for number, (ids, target) in enumerate(tf.data.Dataset.from_tensor_slices(batches(count)).batch(BATCH)):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(model(ids, training=True) - target))
        weights = model.trainable_variables
        apply(number, tape.gradient(loss, weights), weights)


def decay() -> keras.optimizers.schedules.LearningRateSchedule:
    return keras.optimizers.schedules.ExponentialDecay(0.3, 4, 0.7)


@pytest.mark.parametrize("own", [lambda: SGD(0.2), lambda: SGD(decay()), lambda: ADAGRAD(decay(), epsilon=1e-4)])
@pytest.mark.parametrize(
    "dense",
    [
        lambda: keras.optimizers.Adam(0.01),
        lambda: keras.optimizers.AdamW(decay(), weight_decay=0.1),
        lambda: keras.optimizers.RMSprop(0.01, momentum=0.5),
    ],
)
def test_a_table_with_its_own_optimizer_beside_another_for_the_dense_part(own, dense):
    # Adagrad counts the sum of an id's occurrences.
    theirs, ours, their_layer, our_layer = pair(keras_layer=OneHot, optimizer=own())
    ours.compile(het.DistributedOptimizer(dense()), "mse")
    ours.fit(*batches(20), batch_size=BATCH, shuffle=False, verbose=0)
    for_rows, for_dense = own(), dense()

    def apply(_, gradients, weights):
        for_rows.apply(gradients[:1], weights[:1])
        for_dense.apply(gradients[1:], weights[1:])

    steps(theirs, apply)
    assert_equal(their_layer, our_layer, theirs, ours)


def test_two_optimizers_for_two_parts_of_one_model():
    theirs, ours, their_layer, our_layer = pair()
    for model, wrapped in ((theirs, lambda optimizer: optimizer), (ours, het.DistributedOptimizer)):
        for_rows, for_dense = wrapped(SGD(0.2)), wrapped(keras.optimizers.Adam(0.01))

        def apply(_, gradients, weights, for_rows=for_rows, for_dense=for_dense):
            for_rows.apply(gradients[:1], weights[:1])
            for_dense.apply(gradients[1:], weights[1:])

        steps(model, apply)
    assert_equal(their_layer, our_layer, theirs, ours)


def test_a_table_that_joins_after_the_first_step():
    theirs, ours, their_layer, our_layer = pair()
    for model, optimizer in ((theirs, SGD(0.1)), (ours, het.DistributedOptimizer(SGD(0.1)))):
        optimizer.build(model.trainable_variables)

        def apply(number, gradients, weights, optimizer=optimizer):
            first = 1 if number < 5 else 0
            optimizer.apply(gradients[first:], weights[first:])

        steps(model, apply)
    assert_equal(their_layer, our_layer, theirs, ours)


def test_two_models_with_two_optimizers_in_one_process():
    for table, optimizer in (("one", SGD), ("two", ADAGRAD)):
        theirs, ours, their_layer, our_layer = pair(table=table)
        for model, made in ((theirs, optimizer(0.1)), (ours, het.DistributedOptimizer(optimizer(0.1)))):
            model.compile(made, "mse")
            model.fit(*batches(20, distinct=True), batch_size=BATCH, shuffle=False, verbose=0)
        assert_equal(their_layer, our_layer, theirs, ours)


def test_two_models_train_one_table_with_one_kind_of_optimizer_only():
    first, second = (het.layers.Embedding(IDS, DIMENSION, table="both") for _ in range(2))
    fit(model_of(first), het.DistributedOptimizer(SGD(0.1)))
    fit(model_of(second), het.DistributedOptimizer(SGD(0.3)))
    before = all_rows(first)
    conflict = r"'both' exists with optimizer sgd\(\), asked for adagrad"
    with pytest.raises(tf.errors.InvalidArgumentError, match=conflict):
        fit(model_of(second), het.DistributedOptimizer(ADAGRAD(0.1)))
    np.testing.assert_array_equal(all_rows(first), before)


def test_two_layers_on_one_table_agree_about_its_own_optimizer():
    het.layers.Embedding(IDS, DIMENSION, table="own", optimizer=SGD(0.1)).build()
    het.layers.Embedding(IDS, DIMENSION, table="own", optimizer=SGD(0.1)).build()
    het.layers.Embedding(IDS, DIMENSION, table="own").build()
    with pytest.raises(ValueError, match=r"'own' has the optimizer .*0\.1.* this one gives .*0\.3"):
        het.layers.Embedding(IDS, DIMENSION, table="own", optimizer=SGD(0.3)).build()


def test_freezing_one_of_two_layers_on_a_table_freezes_the_table():
    frozen, other = (het.layers.Embedding(IDS, DIMENSION, table="half") for _ in range(2))
    frozen.trainable = False
    ids = keras.Input((FIELDS,), dtype="int64")
    model = keras.Model(ids, keras.layers.Dense(1)(keras.layers.Flatten()(frozen(ids) + other(ids))))
    assert [v.path.split("/")[-1] for v in model.trainable_variables] == ["kernel", "bias"]
    before = all_rows(other)
    fit(model, het.DistributedOptimizer(SGD(0.1)))
    np.testing.assert_array_equal(all_rows(other), before)


def test_a_layer_thawed_trains_again():
    theirs, ours, their_layer, our_layer = pair()
    for trainable in (False, True):
        their_layer.trainable = our_layer.trainable = trainable
        fit(theirs, SGD(0.1))
        fit(ours, het.DistributedOptimizer(SGD(0.1)))
    assert_equal(their_layer, our_layer, theirs, ours)
    assert len(ours.trainable_variables) == len(theirs.trainable_variables) == 3
    assert our_layer.table.stats()["updates"] == 2


# --- Refused. ---


@pytest.mark.parametrize("name", WITHOUT_COUNTERPART)
def test_optimizers_without_a_counterpart_list_those_there_are(name):
    model = model_of(layer := het.layers.Embedding(IDS, DIMENSION, table="other"))
    before = all_rows(layer)
    optimizer = getattr(keras.optimizers, name)(0.1)
    optimizer.weight_decay = None
    with pytest.raises(ValueError, match=rf"{name}: the shards have SGD \(with momentum.*RowwiseAdagrad.*optimizer="):
        fit(model, het.DistributedOptimizer(optimizer))
    np.testing.assert_array_equal(all_rows(layer), before)


@pytest.mark.parametrize("eagerly", [False, True])
@pytest.mark.parametrize("name", ["SGD", "Adagrad", "Adam", "Ftrl", *WITHOUT_COUNTERPART])
def test_keras_own_optimizers_say_what_is_missing(name, eagerly):
    model = model_of(layer := het.layers.Embedding(IDS, DIMENSION, table="plain"))
    before = all_rows(layer)
    with pytest.raises(RuntimeError, match=r"table 'plain' are in the shards.*het_tf\.DistributedOptimizer"):
        fit(model, getattr(keras.optimizers, name)(0.1), compiled={"run_eagerly": eagerly})
    np.testing.assert_array_equal(all_rows(layer), before)


def test_an_optimizer_by_its_name_alone_says_so_too():
    with pytest.raises(RuntimeError, match=r"het_tf\.DistributedOptimizer"):
        fit(model_of(het.layers.Embedding(IDS, DIMENSION)), "adam")
    fit(model_of(het.layers.Embedding(IDS, DIMENSION)), het.DistributedOptimizer("sgd"))


def test_a_subclass_may_step_otherwise_and_is_refused():
    class Mine(SGD):
        pass

    with pytest.raises(ValueError, match="trained by Mine"):
        fit(model_of(het.layers.Embedding(IDS, DIMENSION)), het.DistributedOptimizer(Mine(0.1)))


def test_amsgrad_is_refused():
    optimizer = het.DistributedOptimizer(keras.optimizers.Adam(amsgrad=True))
    with pytest.raises(ValueError, match=r"trained by Adam\(amsgrad=True\)"):
        fit(model_of(het.layers.Embedding(IDS, DIMENSION)), optimizer)


def test_row_wise_adagrad_without_the_hook_says_so_too():
    with pytest.raises(RuntimeError, match=r"het_tf\.DistributedOptimizer"):
        fit(model_of(het.layers.Embedding(IDS, DIMENSION)), het.RowwiseAdagrad(0.1))


@pytest.mark.parametrize("own", [None, "sgd"])
def test_moving_averages_are_refused(own):
    model = model_of(het.layers.Embedding(IDS, DIMENSION, table="averaged", optimizer=own))
    with pytest.raises(ValueError, match="use_ema=True does not average the rows of table 'averaged'"):
        fit(model, het.DistributedOptimizer(SGD(0.1, use_ema=True)))


def test_compiling_for_xla_falls_back_as_keras_says():
    theirs, ours, their_layer, our_layer = pair()
    fit(theirs, SGD(0.1))
    with pytest.warns(UserWarning, match="doesn't support `jit_compile=True`"):
        fit(ours, het.DistributedOptimizer(SGD(0.1)), compiled={"jit_compile": True})
    assert_equal(their_layer, our_layer, theirs, ours)
    assert our_layer.table.stats()["updates"] == 2
