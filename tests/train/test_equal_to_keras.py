"""One worker trains what keras.layers.Embedding trains, wherever the rows are."""

import keras
import numpy as np
import pytest

import het_tf as het
from pairs import BATCH, IDS, OneHot, all_rows, assert_equal, batches, fit_both, model_of, pair

STEPS = 200
SGD, ADAGRAD = keras.optimizers.SGD, keras.optimizers.Adagrad
STRICT_CACHES = [
    None,
    het.CacheConfig(rows=IDS, staleness=0),
    het.CacheConfig(rows=5, staleness=0, policy="lru"),
]


@pytest.mark.parametrize("shards", [0, 1, 2])
@pytest.mark.parametrize("cache", STRICT_CACHES)
def test_sgd_over_200_steps(store_of, shards, cache):
    store_of(shards)
    theirs, ours, their_layer, our_layer = pair(cache=cache)
    start = all_rows(our_layer)
    first, second = fit_both(theirs, ours, lambda: SGD(0.1), STEPS)
    assert_equal(their_layer, our_layer, theirs, ours)
    np.testing.assert_allclose(second["loss"], first["loss"], atol=1e-5)
    assert np.abs(all_rows(our_layer) - start).max() > 0.01


@pytest.mark.parametrize("staleness", [3, 100, float("inf")])
def test_sgd_of_one_worker_is_the_same_at_any_staleness(store_of, staleness):
    store_of(1)
    theirs, ours, their_layer, our_layer = pair(cache=het.CacheConfig(rows=10, staleness=staleness))
    fit_both(theirs, ours, lambda: SGD(keras.optimizers.schedules.ExponentialDecay(0.1, 50, 0.7)), STEPS)
    assert_equal(their_layer, our_layer, theirs, ours)


@pytest.mark.parametrize("shards", [0, 1, 2])
def test_adagrad_over_200_steps_with_distinct_ids(store_of, shards):
    store_of(shards)
    theirs, ours, their_layer, our_layer = pair(cache=STRICT_CACHES[1])
    optimizer = {"learning_rate": 0.05, "initial_accumulator_value": 0.3, "epsilon": 1e-5}
    fit_both(theirs, ours, lambda: ADAGRAD(**optimizer), STEPS, distinct=True)
    assert_equal(their_layer, our_layer, theirs, ours)


@pytest.mark.parametrize("shards", [0, 1, 2])
def test_adagrad_over_200_steps_with_duplicates_is_that_of_the_dense_gradient(store_of, shards):
    store_of(shards)
    theirs, ours, their_layer, our_layer = pair(keras_layer=OneHot)
    ids, _ = batches(STEPS)
    assert any(np.unique(batch).size < batch.size for batch in np.split(ids, STEPS))
    fit_both(theirs, ours, lambda: ADAGRAD(0.05), STEPS)
    assert_equal(their_layer, our_layer, theirs, ours)


def trained(layer, optimizer, steps=60, scale=1):
    keras.utils.set_random_seed(5)
    model = model_of(layer)
    model.compile(het.DistributedOptimizer(keras.optimizers.get(optimizer)), "mse")
    ids, target = batches(steps)
    history = model.fit(ids * scale, target, batch_size=BATCH, shuffle=False, verbose=0).history
    return [layer.rows(np.arange(IDS) * scale).numpy(), *model.layers[-1].get_weights(), history["loss"]]


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad"])
@pytest.mark.parametrize("policy", ["lru", "lfu", "light_lfu"])
@pytest.mark.parametrize("rows", [1, 7, IDS])
def test_staleness_zero_gives_the_bits_of_no_cache(optimizer, policy, rows):
    without, with_cache = [], []
    for outcome, cache in ((without, None), (with_cache, het.CacheConfig(rows=rows, staleness=0, policy=policy))):
        het.shutdown()
        outcome += trained(het.layers.Embedding(IDS, 4, "normal", table="table", cache=cache), optimizer)
    for expected, given in zip(without, with_cache, strict=True):
        np.testing.assert_array_equal(given, expected)


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad"])
def test_the_number_of_shards_changes_no_bits(store_of, optimizer):
    outcomes = []
    for shards in (0, 1, 3):
        store_of(shards)
        layer = het.layers.Embedding(None, 4, table="table", cache=het.CacheConfig(rows=9, staleness=4))
        outcomes.append(trained(layer, optimizer, scale=2**40))
    for outcome in outcomes[1:]:
        for expected, given in zip(outcomes[0], outcome, strict=True):
            np.testing.assert_array_equal(given, expected)
