"""het.data.prefetch: the same training, with the exchanges of coming steps made ahead."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import het_tf as het
from het_tf import ops, runtime
from pairs import BATCH, DIMENSION, FIELDS, IDS, all_rows, batches, model_of

SGD = keras.optimizers.SGD


def cached(**options):
    return het.CacheConfig(**{"rows": IDS, "staleness": 4, **options})


def layer_of(table, **options):
    start = keras.initializers.RandomUniform(seed=3)
    return het.layers.Embedding(IDS, DIMENSION, start, table=table, cache=cached(**options))


def dataset(steps=20, seed=0):
    return tf.data.Dataset.from_tensor_slices(batches(steps, seed=seed)).batch(BATCH)


def trained(store_of, shards, ahead=0, *, rows=IDS, epochs=2, optimizer=SGD, **compiled):
    """The losses, the table's rows and the layer after a fit; everything else is equal."""
    store_of(shards)
    layer = layer_of("trained", rows=rows)
    model = model_of(layer)
    model.compile(het.DistributedOptimizer(optimizer(0.1)), "mse", **compiled)
    data = dataset() if ahead == 0 else het.data.prefetch(dataset(), layer, ahead)
    losses = model.fit(data, epochs=epochs, verbose=0).history["loss"]
    return losses, all_rows(layer), layer


@pytest.mark.parametrize("shards", [0, 2])
@pytest.mark.parametrize("rows", [IDS, 7])
def test_trains_as_without(store_of, shards, rows):
    # With one worker a copy of SGD lacks nothing, however old it is.
    losses, expected, _ = trained(store_of, shards, rows=rows)
    for ahead in (1, 3):
        again, got, layer = trained(store_of, shards, ahead, rows=rows)
        np.testing.assert_allclose(again, losses, rtol=1e-5)
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6)
        stats = layer.table.stats()
        assert stats["prefetched"] == stats["lookups"] == stats["updates"] == 40


@pytest.mark.parametrize("optimizer", [keras.optimizers.Adagrad, keras.optimizers.Adam])
def test_other_optimizers_train_too(store_of, optimizer):
    losses, _, layer = trained(store_of, 1, 2, optimizer=optimizer, epochs=5)
    assert losses[-1] < losses[0]
    assert layer.table.stats()["prefetched"] >= 5 * 20 - 3  # the first ones may come before the optimizer


def test_accumulated_gradients(store_of):
    def accumulating(rate):
        return SGD(rate, gradient_accumulation_steps=3)

    losses, expected, _ = trained(store_of, 1, optimizer=accumulating)
    again, got, layer = trained(store_of, 1, 2, optimizer=accumulating)
    np.testing.assert_allclose(again, losses, rtol=1e-5)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6)
    stats = layer.table.stats()
    assert (stats["prefetched"], stats["updates"]) == (40, 13)


def test_several_steps_per_execution(store_of):
    losses, expected, _ = trained(store_of, 1)
    again, got, layer = trained(store_of, 1, 2, steps_per_execution=4)
    np.testing.assert_allclose(again, losses, rtol=1e-5)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6)
    assert layer.table.stats()["prefetched"] > 0


def test_two_tables_take_one_exchange_for_a_step(store_of):
    store_of(1)
    # Each step has ids of its own: for rows that are under way a table waits, and then asks by itself.
    steps, step = 11, FIELDS * BATCH
    size = steps * step
    layers = {
        name: het.layers.Embedding(size, DIMENSION, table=name, cache=cached(rows=size)) for name in ("left", "right")
    }
    ids = np.random.default_rng(0).permutation(size).reshape(steps * BATCH, FIELDS)
    rows = tf.data.Dataset.from_tensor_slices((ids, np.ones((steps * BATCH, 1), "float32"))).batch(BATCH)
    given = {name: keras.Input((FIELDS,), dtype="int64", name=name) for name in layers}
    joined = keras.layers.Concatenate()([keras.layers.Flatten()(layer(given[n])) for n, layer in layers.items()])
    model = keras.Model(given, keras.layers.Dense(1)(joined))
    model.compile(het.DistributedOptimizer(SGD(0.1)), "mse")

    def both(ids, target):
        return {"left": ids, "right": (ids + 1) % size}, target

    first = model.fit(rows.take(1).map(both), verbose=0)  # opens everything
    assert first.history
    before = ops.store_traffic(runtime.current().store)["exchanges"]
    model.fit(het.data.prefetch(rows.skip(1).map(both), layers, 2), verbose=0)
    exchanges = ops.store_traffic(runtime.current().store)["exchanges"] - before
    # And one of each table for the flush at the end.
    assert 10 <= exchanges <= 10 + 2
    for layer in layers.values():
        assert layer.table.stats()["prefetched"] == 10


def test_a_distributed_embedding_with_ragged_ids(store_of):
    store_of(1)
    tables = [het.TableConfig(n, IDS, DIMENSION, combiner="mean", cache=cached()) for n in ("shared", "own")]
    features = [het.FeatureConfig("a", tables[0]), het.FeatureConfig("b", tables[1]), het.FeatureConfig("c", tables[0])]
    layer = het.layers.DistributedEmbedding(features)

    def element(ids, target):
        bags = tf.RaggedTensor.from_tensor(tf.cast(ids[:, :2], tf.int32), lengths=ids[:, 2] % 3)
        return (ids, bags, ids[:, 1:]), target

    @tf.function(reduce_retracing=True)
    def step(x, target):
        with tf.GradientTape() as tape:
            sums = tf.reduce_sum(tf.concat(layer(x, training=True), 1), 1, keepdims=True)
            loss = tf.reduce_mean((sums - target) ** 2)
        optimizer.apply(tape.gradient(loss, layer.trainable_variables), layer.trainable_variables)

    optimizer = het.DistributedOptimizer(SGD(0.1))
    for x, target in het.data.prefetch(dataset(steps=6).map(element), layer):
        step(list(x), target)
    for embedding in layer.embeddings.values():
        stats = embedding.table.stats()
        assert stats["updates"] == 6
        assert stats["prefetched"] >= 4  # the first two may come before the optimizer


def test_ids_that_the_model_computes():
    layer = layer_of("shifted")
    given = keras.Input((FIELDS,), dtype="int64")
    rows = layer(keras.ops.mod(given + 1, IDS))
    model = keras.Model(given, keras.layers.Dense(1)(keras.layers.Flatten()(rows)))
    model.compile(het.DistributedOptimizer(SGD(0.1)), "mse")
    model.fit(het.data.prefetch(dataset(5), lambda x: [(layer, (x + 1) % IDS)]), verbose=0)
    assert layer.table.stats()["prefetched"] == 5
    # Others than are looked up: of no use, and no harm.
    model.fit(het.data.prefetch(dataset(5), layer), verbose=0)
    stats = layer.table.stats()
    assert (stats["prefetched"], stats["updates"]) == (5, 10)


def test_an_id_outside_of_the_vocabulary_is_an_error_of_the_dataset():
    layer = layer_of("narrow")
    data = het.data.prefetch(tf.data.Dataset.from_tensors(tf.constant([1, IDS])), layer)
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"table 'narrow': id {IDS} at position 1"):
        list(data)


@pytest.mark.parametrize("cache", [None, het.CacheConfig(rows=10, staleness=0)])
def test_staleness_zero_is_refused(cache):
    layer = het.layers.Embedding(IDS, DIMENSION, table="strict", cache=cache)
    with pytest.raises(ValueError, match=r"table 'strict' has staleness 0.*CacheConfig\(rows=\.\.\., staleness=1\)"):
        het.data.prefetch(dataset(), layer)


def test_other_things_that_cannot_be_prefetched():
    layer = layer_of("one")
    for wrong in (model_of(layer), keras.layers.Dense(1), "one", [layer]):
        with pytest.raises(TypeError, match="prefetch: lookups is"):
            het.data.prefetch(dataset(), wrong)
    with pytest.raises(TypeError, match=r"prefetch: lookups\['a'\] is"):
        het.data.prefetch(dataset(), {"a": keras.layers.Embedding(3, 2)})
    with pytest.raises(ValueError, match="prefetch: steps is 0, expected an integer of at least 1"):
        het.data.prefetch(dataset(), layer, 0)
    layer.trainable = False
    with pytest.raises(ValueError, match="no layer with a table to train"):
        het.data.prefetch(dataset(), layer)
