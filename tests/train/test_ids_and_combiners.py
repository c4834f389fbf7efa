"""Ids of every kind, and what combiners make of their rows."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import het_tf as het

LISTS = [[3, 1, 0], [], [2], [0, 0], [5, 5, 7, 9]]


def expected(rows: np.ndarray, ids: list[int], combiner: str, skip_zero: bool) -> np.ndarray:
    kept = [i for i in ids if i or not skip_zero]
    total = rows[kept].sum(axis=0) if kept else np.zeros(rows.shape[1], np.float32)
    if combiner == "mean":
        return total / max(len(kept), 1)
    return total / np.sqrt(max(len(kept), 1)) if combiner == "sqrtn" else total


def layer_of(**options) -> tuple[het.layers.Embedding, np.ndarray]:
    layer = het.layers.Embedding(10, 4, table="combined", **options)
    return layer, layer.rows(np.arange(10)).numpy()


@pytest.mark.parametrize("dtype", [tf.int32, tf.int64])
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 1, 3)])
def test_ids_of_any_rank(dtype, shape):
    layer, rows = layer_of()
    ids = np.arange(int(np.prod(shape))).reshape(shape)
    read = layer(tf.constant(ids, dtype), training=True)
    np.testing.assert_array_equal(read, rows[ids])


@pytest.mark.parametrize("skip_zero", [False, True])
@pytest.mark.parametrize("combiner", ["sum", "mean", "sqrtn"])
def test_ragged_and_sparse_ids_are_combined(combiner, skip_zero):
    layer, rows = layer_of(combiner=combiner, mask_zero=skip_zero)
    ragged = tf.ragged.constant(LISTS, dtype=tf.int64)
    wanted = np.stack([expected(rows, ids, combiner, skip_zero) for ids in LISTS])
    np.testing.assert_allclose(layer(ragged), wanted, atol=1e-6)
    np.testing.assert_allclose(layer(ragged.to_sparse()), wanted, atol=1e-6)


@pytest.mark.parametrize("skip_zero", [False, True])
@pytest.mark.parametrize("combiner", ["sum", "mean", "sqrtn"])
def test_dense_ids_are_combined_over_their_last_axis(combiner, skip_zero):
    layer, rows = layer_of(combiner=combiner, mask_zero=skip_zero)
    ids = np.array([[[1, 2, 0], [0, 0, 0]], [[4, 4, 9], [0, 7, 1]]])
    wanted = np.stack([[expected(rows, list(one), combiner, skip_zero) for one in some] for some in ids])
    np.testing.assert_allclose(layer(ids), wanted, atol=1e-6)
    assert layer.compute_output_shape(ids.shape) == wanted.shape


def test_ragged_ids_without_a_combiner_stay_ragged():
    layer, rows = layer_of()
    read = layer(tf.ragged.constant(LISTS, dtype=tf.int64))
    assert isinstance(read, tf.RaggedTensor)
    for ids, some in zip(LISTS, read, strict=True):
        np.testing.assert_array_equal(some, rows[ids])


def test_a_model_of_ragged_ids_trains_like_its_padded_twin():
    random = np.random.default_rng(0)
    lists = [random.integers(1, 10, random.integers(1, 5)).tolist() for _ in range(64)]
    target = random.normal(size=(64, 1)).astype(np.float32)
    trained = []
    for ragged in (True, False):
        layer, _ = layer_of(combiner="mean", mask_zero=not ragged)
        ids = keras.Input((None,), dtype="int64", ragged=ragged)
        model = keras.Model(ids, keras.layers.Dense(1, kernel_initializer="ones")(layer(ids)))
        model.compile(het.DistributedOptimizer("sgd"), "mse")
        values = tf.ragged.constant(lists, dtype=tf.int64)
        values = values if ragged else values.to_tensor()
        model.fit(tf.data.Dataset.from_tensor_slices((values, target)).batch(8), verbose=0)
        trained.append(layer.rows(np.arange(10)).numpy())
        het.shutdown()
    np.testing.assert_allclose(trained[0][1:], trained[1][1:], atol=1e-6)


def test_ids_over_the_whole_range_are_rows_of_their_own():
    ids = np.array([-(2**63), 2**63 - 1, 2**24 + 1, 2**24, -1, 0, 2**53 + 1, 2**53], np.int64)
    model = keras.Sequential([keras.Input((1,), dtype="int64"), layer := het.layers.Embedding(None, 1, "zeros")])
    model.compile(het.DistributedOptimizer(keras.optimizers.SGD(1.0)), "mse")
    target = np.arange(1, 9, dtype=np.float32).reshape(-1, 1, 1)
    model.fit(ids.reshape(-1, 1), target, batch_size=1, shuffle=False, verbose=0)
    np.testing.assert_array_equal(layer.rows(ids).numpy().ravel(), 2 * target.ravel())


@pytest.mark.parametrize(
    ("initializer", "mean", "deviation"),
    [
        ("zeros", 0, 0),
        ("ones", 1, 0),
        (keras.initializers.Constant(-2.5), -2.5, 0),
        (keras.initializers.RandomUniform(-1, 3, seed=4), 1, 4 / np.sqrt(12)),
        (keras.initializers.RandomNormal(2, 0.5, seed=4), 2, 0.5),
        (keras.initializers.TruncatedNormal(0, 1, seed=4), 0, 0.8796),
    ],
)
def test_initial_rows(start_shards, initializer, mean, deviation):
    ids = np.arange(-2000, 2000)
    seen = []
    for addresses in ((), start_shards(2)):
        het.init(addresses)
        layer = het.layers.Embedding(None, 8, initializer, table="initial")
        rows = layer.rows(ids).numpy()
        np.testing.assert_array_equal(layer.rows(ids[::-1]).numpy()[::-1], rows)
        seen.append(rows)
        het.shutdown()
    np.testing.assert_array_equal(seen[0], seen[1])
    assert abs(seen[0].mean() - mean) < 0.02
    assert abs(seen[0].std() - deviation) < 0.02
    if deviation:
        assert len(np.unique(seen[0])) > 0.99 * seen[0].size
    if isinstance(initializer, keras.initializers.TruncatedNormal):
        assert np.abs(seen[0]).max() <= 2


def test_seeds_and_table_names_make_other_rows():
    def first(seed, table):
        start = keras.initializers.RandomNormal(seed=seed)
        return het.layers.Embedding(None, 4, start, table=table).rows([7]).numpy().tolist()

    rows = [first(1, "a"), first(1, "b")]
    het.shutdown()
    rows.append(first(2, "a"))
    assert len({str(row) for row in rows}) == 3
