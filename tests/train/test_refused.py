"""What is not supported says so, with what was given and what to do, and changes nothing."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import het_tf as het
from het_tf.cluster import ClusterError
from pairs import BATCH, DIMENSION, FIELDS, IDS, all_rows, batches, model_of

SGD = keras.optimizers.SGD


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        ((10, 0), {}, ["output_dim is 0", "at least 1"]),
        ((0, 4), {}, ["input_dim is 0"]),
        ((-3, 4), {}, ["input_dim is -3"]),
        ((10, 4), {"embeddings_regularizer": "l2"}, ["embeddings_regularizer", "not supported"]),
        ((10, 4), {"embeddings_constraint": "non_neg"}, ["embeddings_constraint", "not supported"]),
        ((10, 4, "glorot_uniform"), {}, ["GlorotUniform", "RandomUniform"]),
        ((10, 4, "orthogonal"), {}, ["Orthogonal"]),
        ((10, 4), {"combiner": "max"}, ["'max'", "sqrtn"]),
        ((10, 4), {"weights": [np.zeros((10, 4))]}, ["weights", "layer.assign"]),
        ((10, 4), {"lora_rank": 2}, ["lora_rank"]),
        ((10, 4), {"optimizer": "rmsprop"}, ["RMSprop", "SGD", "Adagrad"]),
        ((10, 4), {"optimizer": keras.optimizers.Adam(amsgrad=True)}, ["Adam(amsgrad=True)"]),
        ((10, 4), {"row_clipnorm": 0.0}, ["row_clipnorm is 0.0", "more than 0"]),
        ((10, 4), {"synchronous": True, "cache": het.CacheConfig(rows=3)}, ["synchronous", "staleness=100"]),
        ((10, 4), {"optimizer": SGD(0.1, clipnorm=1.0)}, ["clipnorm=1.0"]),
    ],
)
def test_a_layer_that_cannot_be(arguments, options, words):
    with pytest.raises(ValueError) as raised:
        het.layers.Embedding(*arguments, **options)
    for word in words:
        assert word in str(raised.value)


@pytest.mark.parametrize("value", ["x", 1.5, True])
def test_a_size_that_is_no_integer(value):
    with pytest.raises(TypeError, match="input_dim is"):
        het.layers.Embedding(value, 4)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "one of rows, share and memory_bytes"),
        ({"rows": 3, "share": 0.1}, "one of rows, share and memory_bytes"),
        ({"rows": -1}, "rows is -1"),
        ({"rows": 5, "staleness": -1}, "staleness is -1"),
        ({"rows": 5, "max_pending_steps": 0}, "max_pending_steps is 0"),
        ({"share": 1.5}, "share is 1.5"),
        ({"memory_bytes": 0}, "memory_bytes is 0"),
        ({"rows": 5, "policy": "fifo"}, "policy is 'fifo'"),
        ({"rows": 5, "wire": "float8"}, "wire is 'float8', expected one of float32, bfloat16, float16, int8"),
        ({"rows": 5, "wire": ("int8", "int8", "int8")}, "wire is"),
        ({"rows": 5, "wire": ("int8", 8)}, "wire is"),
        ({"rows": 5, "wire": None}, "wire is None"),
    ],
)
def test_a_cache_that_cannot_be(options, words):
    with pytest.raises(ValueError, match=words):
        het.CacheConfig(**options)


def test_memory_for_less_than_a_row_is_refused():
    with pytest.raises(ValueError, match="no room for one row of dimension 4, which takes 88 bytes"):
        het.layers.Embedding(None, 4, cache=het.CacheConfig(memory_bytes=87))


def test_a_share_needs_a_vocabulary():
    with pytest.raises(ValueError, match=r"input_dim"):
        het.layers.Embedding(None, 4, cache=het.CacheConfig(share=0.1))


def test_one_table_of_two_dimensions():
    het.layers.Embedding(10, 4, table="one").build()
    with pytest.raises(ValueError, match=r"table 'one' is in use with dimension=4, asked for 8"):
        het.layers.Embedding(10, 8, table="one").build()


@pytest.mark.parametrize("ids", [np.array([[1.0]]), tf.constant([[2.5]])])
def test_float_ids(ids):
    with pytest.raises(TypeError, match="expected int32 or int64"):
        het.layers.Embedding(10, 4, table="float")(ids)


def test_float_ids_by_an_input_without_dtype():
    with pytest.raises(TypeError, match="dtype='int64'"):
        het.layers.Embedding(10, 4, table="float")(keras.Input((3,)))


def test_ids_outside_of_the_vocabulary_are_named_and_nothing_is_applied():
    model = model_of(layer := het.layers.Embedding(IDS, DIMENSION, table="outside"))
    before = all_rows(layer)
    model.compile(het.DistributedOptimizer(SGD(0.1)), "mse")
    ids = np.full((BATCH, FIELDS), 3)
    ids[2, 1] = IDS
    with pytest.raises(tf.errors.InvalidArgumentError, match=rf"id {IDS} at position 7 is not in \[0, {IDS}\)"):
        model.fit(ids, np.zeros((BATCH, 1)), batch_size=BATCH, shuffle=False, verbose=0)
    np.testing.assert_array_equal(all_rows(layer), before)


@pytest.mark.parametrize(
    ("optimizer", "words"),
    [
        (lambda: SGD(0.1, loss_scale_factor=8.0), "loss_scale_factor=8.0.*LossScaleOptimizer"),
    ],
)
def test_an_optimizer_that_cannot_be_distributed(optimizer, words):
    with pytest.raises(ValueError, match=words):
        het.DistributedOptimizer(optimizer())


def test_an_optimizer_in_use():
    optimizer = SGD(0.1)
    optimizer.build([keras.Variable(1.0)])
    with pytest.raises(ValueError, match="used already"):
        het.DistributedOptimizer(optimizer)


def test_a_non_finite_gradient_is_rejected_on_request():
    model = model_of(layer := het.layers.Embedding(IDS, DIMENSION, table="finite", reject_non_finite=True))
    before = all_rows(layer)
    model.compile(het.DistributedOptimizer(SGD(0.1)), "mse")
    ids, target = batches(1)
    target[3] = np.nan
    with pytest.raises(tf.errors.InvalidArgumentError, match="nothing was applied"):
        model.fit(ids, target, batch_size=BATCH, verbose=0)
    np.testing.assert_array_equal(all_rows(layer), before)


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"deadline": 0}, "deadline"), ({"connect_timeout": -1}, "connect_timeout"), ({"max_message_bytes": 0}, "max")],
)
def test_settings_that_cannot_be(settings, words):
    with pytest.raises(ValueError, match=words):
        het.init(**settings)


def test_other_settings_while_a_job_runs():
    het.init(deadline=10)
    het.init(deadline=10)
    with pytest.raises(RuntimeError, match="shutdown"):
        het.init(deadline=20)


def test_a_malformed_tf_config(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker"}}))
    with pytest.raises(ClusterError, match="TF_CONFIG"):
        het.init()


def test_a_layer_made_before_a_shutdown():
    layer = het.layers.Embedding(10, 4, table="before")
    layer.build()
    het.shutdown()
    with pytest.raises(RuntimeError, match="shutdown"):
        layer.rows([1])


def test_rows_of_the_wrong_shape():
    layer = het.layers.Embedding(10, 4, table="shape")
    with pytest.raises(ValueError, match=r"take rows of shape \(2, 4\), got \(2, 3\)"):
        layer.assign([1, 2], np.zeros((2, 3)))
