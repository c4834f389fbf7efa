"""The lookups of a step run at the same time: none waits for another's answer.

A proxy before a real shard holds every fetch until as many are in flight as the
step has lookups; if one lookup waited for another they would never be.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

import het_tf as het
from gates import Gate
from het_tf import ops

FIELDS = 26


@pytest.fixture
def gate(start_shards):
    (address,) = start_shards(1)
    proxy = Gate(address)
    yield proxy
    het.shutdown()
    proxy.close()


@pytest.mark.parametrize("tables", [FIELDS, 1])
def test_lookups_of_a_function_are_in_flight_at_once(opened, gate, tables):
    store = opened.store([gate.address])
    handles = [opened.table(store) for _ in range(tables)] * (FIELDS // tables)

    @tf.function
    def step(ids):
        return [ops.lookup(handle, ids + i, 3, "training") for i, handle in enumerate(handles)]

    gate.hold(FIELDS)
    rows = step(tf.constant([100], tf.int64) * FIELDS)
    assert np.shape(rows) == (FIELDS, 1, 3)
    assert gate.most_at_once == FIELDS
    for operation in step.get_concrete_function(tf.TensorSpec([1], tf.int64)).graph.get_operations():
        if operation.type == "HetEmbeddingLookup":
            assert not operation.control_inputs


def test_an_update_still_waits_for_the_lookups_before_it(opened):
    table = opened.table(opened.store())

    @tf.function
    def step(ids):
        ops.lookup(table, ids, 3, "training")
        ops.update(table, ids, tf.ones([1, 3]), tf.constant(1.0), 1.0)
        ops.lookup(table, ids, 3, "training")

    graph = step.get_concrete_function(tf.TensorSpec([1], tf.int64)).graph
    first, update, second = (o for o in graph.get_operations() if o.type.startswith("HetEmbedding"))
    assert update.control_inputs == [first] and second.control_inputs == [update]


@pytest.mark.parametrize("cache", [None, het.CacheConfig(rows=10, staleness=100)])
def test_lookups_of_a_keras_step_are_in_flight_at_once(gate, cache):
    het.init([gate.address])
    inputs = keras.Input((FIELDS,), dtype="int64")
    rows = [het.layers.Embedding(None, 2, cache=cache, name=f"field{i}")(inputs[:, i]) for i in range(FIELDS)]
    model = keras.Model(inputs, keras.layers.Dense(1)(keras.layers.concatenate(rows)))
    model.compile(het.DistributedOptimizer(keras.optimizers.SGD(0.1)), loss="mse")
    ids, labels = np.arange(4 * FIELDS).reshape(4, FIELDS), np.ones((4, 1))
    model.train_on_batch(ids, labels)
    gate.hold(FIELDS)
    model.train_on_batch(ids + 1000, labels)
    assert gate.most_at_once == FIELDS
