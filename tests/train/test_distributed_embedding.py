"""DistributedEmbedding: what separate layers would give, in one exchange per shard."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import het_tf as het
from het_tf import ops, runtime
from pairs import BATCH

DIMENSIONS = {"user": 3, "item": 5}
FEATURES = {"viewer": "user", "author": "user", "item": "item"}
VOCABULARY = 30


def table(name, **options):
    cache = options.pop("cache", het.CacheConfig(rows=10, staleness=0))
    return het.TableConfig(name, VOCABULARY, DIMENSIONS[name], cache=cache, **options)


def features(prefix="", **options):
    return {
        feature: het.FeatureConfig(feature, het.TableConfig(**{**vars(table(of, **options)), "name": prefix + of}))
        for feature, of in FEATURES.items()
    }


def inputs():
    return {name: keras.Input((2,), dtype="int64", name=name) for name in FEATURES}


def head(ids, rows):
    joined = keras.layers.Concatenate()([keras.layers.Flatten()(rows[name]) for name in sorted(rows)])
    start = keras.initializers.GlorotUniform(seed=5)
    return keras.Model(ids, keras.layers.Dense(1, kernel_initializer=start)(joined))


def data(steps=30):
    random = np.random.default_rng(0)
    ids = {name: random.integers(0, VOCABULARY, (steps * BATCH, 2)) for name in FEATURES}
    return ids, random.normal(size=(steps * BATCH, 1)).astype(np.float32)


def rows_of(layer):
    return layer.rows(np.arange(VOCABULARY)).numpy()


@pytest.mark.parametrize("optimizer", [lambda: keras.optimizers.SGD(0.1), lambda: keras.optimizers.Adagrad(0.1)])
@pytest.mark.parametrize("shards", [0, 2])
def test_trains_as_separate_layers_do(store_of, shards, optimizer):
    store_of(shards)
    ids, target = data()
    options = {"batch_size": BATCH, "shuffle": False, "verbose": 0}
    given = inputs()
    together = het.layers.DistributedEmbedding(features(), name="together")
    ours = head(given, together(given))
    ours.compile(het.DistributedOptimizer(optimizer()), "mse")
    history = ours.fit(ids, target, **options).history["loss"]
    got = [rows_of(together.embeddings[name]) for name in DIMENSIONS] + ours.layers[-1].get_weights()

    store_of(shards)
    given = inputs()
    layers = {name: het.layers.Embedding.from_table(table(name), name=f"layer_{name}") for name in DIMENSIONS}
    separate = head(given, {feature: layers[of](given[feature]) for feature, of in FEATURES.items()})
    separate.compile(het.DistributedOptimizer(optimizer()), "mse")
    np.testing.assert_allclose(separate.fit(ids, target, **options).history["loss"], history, rtol=1e-6)
    expected = [rows_of(layers[name]) for name in DIMENSIONS] + separate.layers[-1].get_weights()
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)
    assert np.abs(got[0] - got[0].mean()).max() > 0


@pytest.mark.parametrize("staleness", [0, 5])
def test_a_step_takes_one_exchange_per_shard_and_direction(store_of, staleness):
    store_of(1)
    given = inputs()
    cache = het.CacheConfig(rows=VOCABULARY, staleness=staleness)
    model = head(given, het.layers.DistributedEmbedding(features(cache=cache))(given))
    model.compile(het.DistributedOptimizer(keras.optimizers.SGD(0.1)), "mse")
    ids, target = data(steps=9)
    first = {name: some[:BATCH] for name, some in ids.items()}
    model.fit(first, target[:BATCH], batch_size=BATCH, verbose=0)
    store = runtime.current().store
    before = ops.store_traffic(store)["exchanges"]
    rest = {name: some[BATCH:] for name, some in ids.items()}
    model.fit(rest, target[BATCH:], batch_size=BATCH, shuffle=False, verbose=0)
    # At staleness 0 a step reads and then pushes; else both travel together, and
    # the flush at the end of the fit pushes each of the two tables.
    at_most = 8 * 2 if staleness == 0 else 8 + 2
    assert 8 <= ops.store_traffic(store)["exchanges"] - before <= at_most


@pytest.mark.parametrize("combiner", ["sum", "mean", "sqrtn"])
def test_ragged_sparse_and_dense_ids_with_weights(combiner):
    config = het.TableConfig("bag", None, 4, combiner=combiner)
    layer = het.layers.DistributedEmbedding([het.FeatureConfig(name, config) for name in ("dense", "ragged", "sparse")])
    ids = [[7, 8], [9, 9], [7, -1]]
    weights = [[0.5, 2.0], [1.0, 3.0], [0.25, 1.0]]
    ragged = [tf.ragged.constant([[7], [], [9, 8]], dtype=tf.int64), tf.ragged.constant([[2.0], [], [1.0, 0.5]])]
    sparse = tf.sparse.from_dense([[7, 0], [0, 0], [8, 9]])
    dense, bags, sparse_rows = layer(
        [tf.constant(ids), ragged[0], sparse], weights=[tf.constant(weights), ragged[1], None]
    )
    rows = {i: layer.embeddings["bag"].rows([i]).numpy()[0] for i in (7, 8, 9, -1)}

    def bag(of, by):
        total = sum((w * rows[i] for i, w in zip(of, by, strict=True)), np.zeros(4, np.float32))
        divisor = {"sum": 1.0, "mean": sum(by), "sqrtn": np.sqrt(sum(w * w for w in by))}[combiner]
        return total / divisor if divisor else total

    np.testing.assert_allclose(dense, [bag(i, w) for i, w in zip(ids, weights, strict=True)], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(bags, [bag([7], [2.0]), bag([], []), bag([9, 8], [1.0, 0.5])], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(sparse_rows, [bag([7], [1]), bag([], []), bag([8, 9], [1, 1])], rtol=1e-5, atol=1e-7)


def test_a_frozen_table_stays_and_the_others_train():
    given = inputs()
    layer = het.layers.DistributedEmbedding(features())
    model = head(given, layer(given))
    layer.embeddings["item"].trainable = False
    model.compile(het.DistributedOptimizer(keras.optimizers.SGD(0.5)), "mse")
    before = {name: rows_of(embedding) for name, embedding in layer.embeddings.items()}
    ids, target = data(steps=3)
    model.fit(ids, target, batch_size=BATCH, verbose=0)
    np.testing.assert_array_equal(rows_of(layer.embeddings["item"]), before["item"])
    assert np.abs(rows_of(layer.embeddings["user"]) - before["user"]).max() > 1e-3


def test_evaluation_reads_and_creates_nothing(store_of):
    store_of(1)
    given = inputs()
    model = head(given, het.layers.DistributedEmbedding(features())(given))
    model.compile(het.DistributedOptimizer("sgd"), "mse")
    ids, target = data(steps=2)
    model.evaluate(ids, target, batch_size=BATCH, verbose=0)
    assert model.predict(ids, batch_size=BATCH, verbose=0).shape == target.shape
    for one in runtime.current().tables.values():
        assert one.stats()["rows"] == 0


@pytest.mark.parametrize(
    ("configs", "error", "words"),
    [
        ([], ValueError, "there are no features"),
        (["user"], TypeError, "'user' is among the features, expected a FeatureConfig"),
        (
            [het.FeatureConfig("a", table("user")), het.FeatureConfig("b", table("user", combiner="sum"))],
            ValueError,
            "feature 'b' configures its table as",
        ),
    ],
)
def test_features_that_do_not_fit(configs, error, words):
    with pytest.raises(error, match=words):
        het.layers.DistributedEmbedding(configs)


def test_inputs_and_weights_that_do_not_fit():
    layer = het.layers.DistributedEmbedding([het.FeatureConfig(name, table("user")) for name in ("a", "b")])
    ids = tf.constant([[1, 2]])
    with pytest.raises(ValueError, match=r"inputs have 1 parts, expected 2 .*\['a', 'b'\]"):
        layer([ids])
    with pytest.raises(ValueError, match="feature 'b' has weights and its table no combiner"):
        layer([ids, ids], weights=[None, tf.ones([1, 2])])
    with pytest.raises(TypeError, match="expected int32 or int64"):
        layer([ids, tf.constant([[1.0, 2.0]])])
