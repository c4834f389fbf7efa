"""Tables beside the training step: reading, loading, statistics, configuration, data of several workers."""

from __future__ import annotations

import json
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

import het_tf as het
from het_tf import runtime
from het_tf.administration import ShardClient
from pairs import BATCH, DIMENSION, IDS, all_rows, batches, fit, model_of


def trained(layer, optimizer="sgd", **how):
    model = model_of(layer)
    return model, fit(model, het.DistributedOptimizer(optimizer), 20, **how)


def test_evaluation_creates_no_rows_and_ticks_no_clocks(start_shards):
    (address,) = start_shards(1)
    het.init([address])
    layer = het.layers.Embedding(None, DIMENSION, table="read", cache=het.CacheConfig(rows=100, staleness=5))
    model, _ = trained(layer, optimizer="adagrad")
    with ShardClient(address) as shard:
        before = shard.stats().tables[0].rows
        unknown = np.arange(10_000, 10_024).reshape(BATCH, -1)
        model.predict(unknown, verbose=0)
        model.evaluate(unknown, np.zeros((BATCH, 1)), verbose=0)
        layer.rows(unknown)
        het.flush()
        assert shard.stats().tables[0].rows == before
    stats = layer.table.stats()
    assert stats["lookups"] == stats["updates"] == 20


@pytest.mark.parametrize("fresh", [True, False])
def test_evaluation_is_fresh_unless_told_otherwise(fresh):
    cache = het.CacheConfig(rows=100, staleness=math.inf, fresh_evaluation=fresh)
    model, _ = trained(layer := het.layers.Embedding(IDS, DIMENSION, table="fresh", cache=cache))
    layer.table.flush()
    lookups = layer.table.stats()["lookups"]
    model.predict(batches(1)[0], verbose=0)
    assert layer.table.stats()["lookups"] == lookups + (0 if fresh else 1)


def test_assigned_rows_are_trained_on():
    layer = het.layers.Embedding(IDS, DIMENSION, table="assigned", cache=het.CacheConfig(rows=IDS, staleness=50))
    values = np.random.default_rng(0).normal(size=(IDS, DIMENSION)).astype(np.float32)
    layer.assign(np.arange(IDS), values)
    np.testing.assert_array_equal(all_rows(layer), values)
    model, _ = trained(layer, optimizer="adagrad")
    moved = all_rows(layer)
    assert 0 < np.abs(moved - values).max() < 1
    layer.assign(np.array([[3], [4]]), np.ones((2, 1, DIMENSION)))
    read = all_rows(layer)
    np.testing.assert_array_equal(read[3:5], np.ones((2, DIMENSION)))
    np.testing.assert_array_equal(read[5:], moved[5:])
    ids = np.full((BATCH, 3), 3)
    np.testing.assert_array_equal(model.layers[1](ids, training=True), np.ones((BATCH, 3, DIMENSION)))


def test_the_end_of_fit_and_flush_leave_nothing_pending():
    layer = het.layers.Embedding(IDS, DIMENSION, table="pending", cache=het.CacheConfig(rows=IDS, staleness=1000))
    model, _ = trained(layer)
    assert layer.table.stats()["pending_rows"] == 0
    optimizer, weights = model.optimizer, model.trainable_variables
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(batches(1)[0], training=True))
    optimizer.apply(tape.gradient(loss, weights), weights)
    assert layer.table.stats()["pending_rows"] > 0
    het.flush()
    assert layer.table.stats()["pending_rows"] == 0


def test_cache_stats_are_in_the_logs_and_in_tensorboard(start_shards, tmp_path):
    het.init(start_shards(2))
    layer = het.layers.Embedding(IDS, DIMENSION, table="stats", cache=het.CacheConfig(rows=IDS, staleness=3))
    callbacks = [
        het.callbacks.MetricAverage(),
        het.callbacks.CacheStats(log_dir=str(tmp_path), every=1, detail=True),
        keras.callbacks.TensorBoard(str(tmp_path)),
    ]
    seen = []
    callbacks.insert(2, keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(dict(logs))))
    _, history = trained(layer, epochs=3, callbacks=callbacks)
    plain = {"hit_rate", "miss_rate", "invalid_rate", "mb_sent", "mb_received", "staleness"}
    assert all(plain < set(logs) for logs in seen)
    assert set(het.callbacks.Snapshot.take().summary()) == plain
    for way in ("sent", "received"):
        kinds = [history[f"mb_{way}_{kind}"] for kind in ("ids", "clocks", "rows", "gradients", "framing")]
        np.testing.assert_allclose(np.sum(kinds, axis=0), history[f"mb_{way}"])
    assert all(0 < mean <= 3 for mean in history["staleness"])
    for hits, misses, invalid in zip(history["hit_rate"], history["miss_rate"], history["invalid_rate"], strict=True):
        assert hits + misses + invalid == pytest.approx(1)
    assert history["hit_rate"][1] > history["hit_rate"][0] > 0
    assert history["miss_rate"][1:] == [0, 0]
    assert min(history["mb_sent"]) > 0
    tags = {
        value.tag
        for file in tmp_path.rglob("*tfevents*")
        for event in tf.compat.v1.train.summary_iterator(str(file))
        for value in event.summary.value
    }
    assert {"het_tf/staleness", "het_tf/bytes_sent/ids", "het_tf/bytes_received/rows"} <= tags
    assert {"epoch_hit_rate", "epoch_staleness", "epoch_mb_sent_ids"} <= tags
    staleness = layer.table.stats()["staleness"]
    assert sum(staleness) == layer.table.stats()["hits"]
    assert sum(staleness[3:]) == 0  # 0, 1, 2-3, and never more than 3


def test_a_layer_survives_its_configuration():
    layer = het.layers.Embedding(
        IDS,
        DIMENSION,
        keras.initializers.RandomNormal(seed=3),
        mask_zero=True,
        combiner="sqrtn",
        cache=het.CacheConfig(share=0.5, policy="lru", staleness=math.inf, wire=("bfloat16", "int8")),
        optimizer=keras.optimizers.Adagrad(0.3),
        name="configured",
    )
    again = het.layers.Embedding.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    as_json = het.layers.Embedding.from_config(json.loads(json.dumps(layer.get_config())))
    assert as_json.cache == layer.cache and as_json.cache.wires == ("bfloat16", "int8")
    np.testing.assert_array_equal(all_rows(again), all_rows(layer))


def test_a_cloned_model_shares_the_rows():
    model, _ = trained(layer := het.layers.Embedding(IDS, DIMENSION, table="cloned"))
    clone = keras.models.clone_model(model)
    np.testing.assert_array_equal(all_rows(clone.layers[1]), all_rows(layer))


def test_a_layer_from_a_table_config():
    config = het.TableConfig(
        name="user",
        vocabulary_size=50,
        embedding_dim=4,
        initializer=keras.initializers.RandomUniform(seed=9),
        optimizer="adagrad",
        combiner="sum",
        cache=het.CacheConfig(share=0.1),
    )
    layer = het.layers.Embedding.from_table(config, name="viewer")
    same = het.layers.Embedding(50, 4, config.initializer, combiner="sum", table="user", cache=config.cache)
    assert (layer.name, layer.table.name) == ("viewer", "user")
    assert layer.table is same.table
    assert layer.table.spec.capacity == 5
    assert layer.table.optimizer.name == "adagrad"


def test_a_second_model_after_a_shutdown_starts_anew():
    layer = het.layers.Embedding(IDS, DIMENSION, table="again")
    start = all_rows(layer)
    _, first = trained(layer, epochs=2)
    after = all_rows(layer)
    assert np.abs(after - start).max() > 0
    het.shutdown()
    fresh = het.layers.Embedding(IDS, DIMENSION, table="again")
    np.testing.assert_array_equal(all_rows(fresh), start)
    _, second = trained(fresh, epochs=2)
    np.testing.assert_array_equal(all_rows(fresh), after)
    assert second["loss"] == first["loss"]
    assert first["loss"][1] < first["loss"][0]


class Pretended:
    """Worker `rank` of `size`, for what only asks for that."""

    def __init__(self, rank, size):
        self.rank, self.size = rank, size


@pytest.mark.parametrize(
    "dataset",
    [
        tf.data.Dataset.range(11),
        tf.data.Dataset.range(11).filter(lambda _: True),
        tf.data.Dataset.range(11).repeat().take(11),
    ],
)
def test_every_worker_gets_its_part_of_a_dataset(monkeypatch, dataset):
    parts = []
    for rank in range(3):
        monkeypatch.setattr(runtime, "current", lambda rank=rank: Pretended(rank, 3))
        parts.append([int(x) for x in het.data.shard(dataset)])
    assert parts == [[0, 3, 6], [1, 4, 7], [2, 5, 8]]


def test_parts_of_endless_and_nested_datasets(monkeypatch):
    monkeypatch.setattr(runtime, "current", lambda: Pretended(1, 2))
    endless = het.data.shard(tf.data.Dataset.range(3).repeat())
    assert [int(x) for x in endless.take(4)] == [1, 0, 2, 1]
    nested = tf.data.Dataset.range(5).map(lambda i: ({"a": i, "b": (i, -i)}, [i])).filter(lambda *_: True)
    assert [(int(x["a"]), int(x["b"][1]), int(y[0])) for x, y in het.data.shard(nested)] == [(1, -1, 1), (3, -3, 3)]
