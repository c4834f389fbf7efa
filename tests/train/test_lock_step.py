"""What keeps two workers in step, read off the graph of a step: its AllReduces, their names, what they wait for.

A pretended Horovod makes an op of each AllReduce and reduces nothing;
tests/distributed trains with the real one.
"""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import het_tf as het
from het_tf import runtime
from het_tf.cluster import ClusterError
from pairs import BATCH, DIMENSION, FIELDS, IDS, batches, model_of

SGD = keras.optimizers.SGD


class Pretended:
    """Two workers with the same gradients; `other` is what the other one has where this one has its variables."""

    Average, Sum = "average", "sum"

    def __init__(self, other=None):
        self.other = other

    def allgather_object(self, mine, name):
        return [mine, mine if self.other is None else self.other(mine)]

    def broadcast(self, value, root_rank, name):
        return tf.identity(value)

    def allreduce(self, value, op, name, ignore_name_scope=False):
        return tf.identity(value * 2, name=name)

    def grouped_allreduce(self, values, op, name, ignore_name_scope=False):
        return [tf.identity(value, name=name) for value in values]


def two_workers(other=None):
    """This test's job has two of them."""
    running = runtime.current()
    running.horovod, running.size = Pretended(other), 2


def graph_of_step(model, optimizer, loss):
    """The graph of one step of a custom loop."""

    @tf.function(autograph=False)
    def step(ids):
        with tf.GradientTape() as tape:
            value = loss(model(ids, training=True))
        weights = model.trainable_variables
        optimizer.apply(tape.gradient(value, weights), weights)

    return step.get_concrete_function(tf.TensorSpec((BATCH, FIELDS), tf.int64)).graph


def before(operation):
    """Every operation that has run when this one runs."""
    found, left = set(), [operation]
    while left:
        one = left.pop()
        if one not in found:
            found.add(one)
            left += [*one.control_inputs, *(tensor.op for tensor in one.inputs)]
    return found


@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize("dense", [False, True])
def test_no_worker_goes_on_before_all_lookups_of_a_step(linear, dense):
    # The second table feeds nothing dense; a linear loss has a gradient that
    # does not depend on its rows either.
    two_workers()
    ids = keras.Input((FIELDS,), dtype="int64")
    first, second = (het.layers.Embedding(IDS, DIMENSION, table=name)(ids) for name in ("one", "two"))
    model = keras.Model(ids, [keras.layers.Dense(1, trainable=dense)(first), second])
    kind = tf.reduce_sum if linear else (lambda x: tf.reduce_sum(tf.square(x)))
    graph = graph_of_step(model, het.DistributedOptimizer(SGD(0.1)), lambda outputs: sum(map(kind, outputs)))
    lookups = {o for o in graph.get_operations() if o.type == "HetEmbeddingLookup"}
    updates = [o for o in graph.get_operations() if o.type == "HetEmbeddingUpdate"]
    assert len(lookups) == 2 and len(updates) == 1
    assert lookups <= before(graph.get_operation_by_name("het_tf.gradients"))
    for update in updates:
        assert graph.get_operation_by_name("het_tf.gradients") in before(update)


def test_a_table_with_a_staleness_does_not_wait_for_the_reduction():
    two_workers()
    ids = keras.Input((FIELDS,), dtype="int64")
    caches = {"loose": het.CacheConfig(rows=10, staleness=2), "strict": None}
    layers = [het.layers.Embedding(IDS, DIMENSION, table=name, cache=cache) for name, cache in caches.items()]
    rows = keras.layers.Concatenate()([layer(ids) for layer in layers])
    model = keras.Model(ids, keras.layers.Dense(1)(rows))
    graph = graph_of_step(model, het.DistributedOptimizer(SGD(0.1)), tf.reduce_sum)
    updates = [o for o in graph.get_operations() if o.type == "HetEmbeddingUpdate"]
    reduced = graph.get_operation_by_name("het_tf.gradients")
    assert sorted(reduced in before(update) for update in updates) == [False, True]


@pytest.mark.parametrize("clip", [{"clipnorm": 0.1}, {"global_clipnorm": 0.1}])
def test_reductions_have_the_same_names_whatever_the_optimizer_is_called(clip):
    two_workers()
    model = model_of(het.layers.Embedding(IDS, DIMENSION, table="named"))
    optimizer = het.DistributedOptimizer(SGD(0.1, name="mine", **clip))
    graph = graph_of_step(model, optimizer, tf.reduce_sum)
    names = {operation.name for operation in graph.get_operations() if "het_tf." in operation.name}
    assert {"het_tf.gradients", "het_tf.clip", "het_tf.step"} <= names


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda mine: [(mine[0][0], mine[0][1].replace("'embedding'", "'embedding_1'")), *mine[1:]], "'embedding_1'"),
        (lambda mine: mine[:-1], "nothing"),
        (lambda mine: [*mine, ("extra/kernel", "float32 of shape (3,)")], "extra/kernel.* on rank 1"),
    ],
)
def test_workers_with_different_models_are_told(change, said):
    two_workers(change)
    model = model_of(het.layers.Embedding(IDS, DIMENSION, name="embedding"))
    with pytest.raises(ClusterError, match=rf"train different models.*{said}.*Embedding\(\.\.\., table="):
        graph_of_step(model, het.DistributedOptimizer(SGD(0.1)), tf.reduce_sum)


def test_automatic_names_of_dense_layers_may_differ():
    two_workers(lambda mine: [(f"{name}_7", what) for name, what in mine])
    model = model_of(het.layers.Embedding(IDS, DIMENSION, table="alike"))
    graph_of_step(model, het.DistributedOptimizer(SGD(0.1)), tf.reduce_sum)


def test_a_branch_of_one_workers_own_is_refused():
    two_workers()
    model = model_of(het.layers.Embedding(IDS, DIMENSION, table="branch"))
    optimizer = het.DistributedOptimizer(SGD(0.1))

    @tf.function
    def step(ids):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(model(ids, training=True))
        weights = model.trainable_variables
        gradients = tape.gradient(loss, weights)
        tf.cond(loss > 0, lambda: optimizer.apply(gradients, weights), lambda: None)

    with pytest.raises(ValueError, match="inside a conditional"):
        step(np.zeros((BATCH, FIELDS), np.int64))


def test_keras_own_loop_over_steps_is_no_such_branch():
    two_workers()
    model = model_of(layer := het.layers.Embedding(IDS, DIMENSION, table="loop"))
    model.compile(het.DistributedOptimizer(SGD(0.1)), "mse", steps_per_execution=4)
    model.fit(*batches(10), batch_size=BATCH, verbose=0)
    assert layer.table.stats()["updates"] == 10


@pytest.mark.parametrize("options", [{"gradient_accumulation_steps": 3}, {}])
def test_no_worker_enters_the_branch_of_a_step_before_its_lookups(options):
    # Accumulated or scaled, updates and reductions are in a branch.
    two_workers()
    ids = keras.Input((FIELDS,), dtype="int64")
    first, second = (het.layers.Embedding(IDS, DIMENSION, table=name)(ids) for name in ("one", "two"))
    model = keras.Model(ids, [keras.layers.Dense(1)(first), second])
    optimizer = SGD(0.1, **options)
    if not options:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer = het.DistributedOptimizer(optimizer)
    graph = graph_of_step(model, optimizer, lambda outputs: sum(map(tf.reduce_sum, outputs)))
    lookups = {o for o in graph.get_operations() if o.type == "HetEmbeddingLookup"}
    (branch,) = [o for o in graph.get_operations() if o.type in ("If", "StatelessIf")]
    assert len(lookups) == 2
    assert lookups <= before(branch.inputs[0].op)
    if not options:
        assert graph.get_operation_by_name("het_tf.not_finite") in before(branch.inputs[0].op)


def test_a_branch_of_one_workers_own_around_loss_scaling_is_refused():
    two_workers()
    model = model_of(het.layers.Embedding(IDS, DIMENSION, table="scaled"))
    optimizer = het.DistributedOptimizer(keras.optimizers.LossScaleOptimizer(SGD(0.1)))

    @tf.function
    def step(ids):
        with tf.GradientTape() as tape:
            loss = optimizer.scale_loss(tf.reduce_sum(model(ids, training=True)))
        weights = model.trainable_variables
        gradients = tape.gradient(loss, weights)
        tf.cond(loss > 0, lambda: optimizer.apply(gradients, weights), lambda: None)

    with pytest.raises(ValueError, match="inside a conditional"):
        step(np.zeros((BATCH, FIELDS), np.int64))


@pytest.mark.parametrize("clip", [{"clipnorm": 0.1}, {"global_clipnorm": 0.1}, {"clipvalue": 0.1}])
def test_accumulated_gradients_of_several_workers_cannot_be_clipped(clip):
    two_workers()
    model = model_of(het.layers.Embedding(IDS, DIMENSION, table="clipped"))
    optimizer = het.DistributedOptimizer(SGD(0.1, gradient_accumulation_steps=3, **clip))
    with pytest.raises(ValueError, match="gradient_accumulation_steps=3 with clipping.*'clipped' and 2 workers"):
        graph_of_step(model, optimizer, tf.reduce_sum)


@pytest.mark.parametrize("options", [{"gradient_accumulation_steps": 3}, {}])
def test_dense_gradients_are_averaged_in_a_step_without_the_table(options):
    two_workers()
    ids = keras.Input((FIELDS,), dtype="int64")
    rows = het.layers.Embedding(IDS, DIMENSION, table="aside")(ids)
    beside = keras.layers.Embedding(IDS, DIMENSION)(ids)
    model = keras.Model(ids, [rows, keras.layers.Dense(1)(beside)])
    optimizer = het.DistributedOptimizer(SGD(0.1, **options))
    graph = graph_of_step(model, optimizer, lambda outputs: tf.reduce_sum(outputs[1]))
    assert graph.get_operation_by_name("het_tf.gradients")
