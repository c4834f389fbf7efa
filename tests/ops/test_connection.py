"""Joining the shards, and losing them: errors name the shard and come within their time."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import het_tf as het
from gates import impostor, serve
from het_tf import ops
from het_tf.administration import PROTOCOL_VERSION, ShardClient
from het_tf.shard_process import ShardProcess
from raw_tables import rows_of

ROOT = Path(__file__).resolve().parents[2]


def update(table, ids, rows=1.0):
    ops.update(table, tf.constant(ids, tf.int64), tf.fill([len(ids), 3], rows), tf.constant(1.0), 1.0)


def test_a_shard_that_is_not_there_is_named(opened, tmp_path):
    address = f"unix:{tmp_path}/nobody"
    with pytest.raises(tf.errors.UnavailableError, match=rf"shard 0 .*{address}.* within 300 ms: is it running"):
        opened.store([address], connect_timeout_ms=300)


def test_the_shard_that_is_missing_of_two_is_named_by_the_first_lookup(start_shards, tmp_path):
    (running,) = start_shards(1)[:1]
    het.init([f"unix:{tmp_path}/nobody", running], connect_timeout=0.3)
    with pytest.raises(tf.errors.UnavailableError, match=rf"shard 0 \(unix:{tmp_path}/nobody\)"):
        het.layers.Embedding(None, 2)(np.array([1]))


def test_a_shard_of_another_version_is_refused_with_both_versions(opened):
    server, address = impostor(protocol_version=PROTOCOL_VERSION + 41, package_version="9.8.7", incarnation=1)
    try:
        with pytest.raises(tf.errors.FailedPreconditionError, match="install the same version") as refusal:
            opened.store([address])
    finally:
        server.stop(0).wait()
    assert refusal.match(rf"{address} is het_tf 9\.8\.7 and speaks protocol {PROTOCOL_VERSION + 41}")
    assert refusal.match(rf"this worker is het_tf {het.__version__} and speaks protocol {PROTOCOL_VERSION}")


def test_what_is_not_a_shard_is_refused(opened):
    server, address = serve({}, service="some.other.Service")
    try:
        with pytest.raises(tf.errors.FailedPreconditionError, match=f"{address} is not a het_tf shard"):
            opened.store([address])
    finally:
        server.stop(0).wait()


def test_shards_in_another_order_are_refused(opened, start_shards):
    first, second = start_shards(2)
    with pytest.raises(tf.errors.FailedPreconditionError, match="number 1 of 2, a worker calls it number 0 of 2"):
        opened.store([second, first])


def test_a_unix_socket_serves(opened, tmp_path):
    with ShardProcess(f"unix:{tmp_path}/shard") as shard:
        table = opened.table(opened.store([shard.address]))
        update(table, [1])
        assert rows_of(table, [1, 2]).tolist() == [[-0.5] * 3, [0.5] * 3]
        opened.close()


def test_a_large_exchange_goes_in_pieces_that_have_to_fit_into_messages(opened, start_shards):
    shards = start_shards(1)
    ids = tf.range(20_000, dtype=tf.int64)  # 5 MB of rows
    wide = {"table_name": "wide", "dimension": 64}
    table = opened.table(opened.store(shards), **wide)
    ops.update(table, ids, tf.ones([20_000, 64]), 1.0, 1.0)
    np.testing.assert_array_equal(ops.lookup(table, ids, 64, "training"), np.full([20_000, 64], -0.5, np.float32))
    small = opened.table(opened.store(shards, max_message_bytes=1 << 20), **wide)
    np.testing.assert_array_equal(ops.lookup(small, ids, 64, "training"), np.full([20_000, 64], -0.5, np.float32))
    narrow = opened.table(opened.store(shards, max_message_bytes=1 << 16, deadline_ms=2000), **wide)
    with pytest.raises(tf.errors.OpError, match="shard 0.*(larger|max_message_bytes)"):
        ops.lookup(narrow, ids, 64, "training")


@pytest.mark.parametrize(
    ("wire", "value_bytes", "scale_bytes", "error"),
    [("float32", 4, 0, 0), ("bfloat16", 2, 0, 2e-2), ("float16", 2, 0, 2e-3), ("int8", 1, 4, 3e-2)],
)
def test_rows_and_gradients_travel_in_the_format_asked_for(opened, start_shards, wire, value_bytes, scale_bytes, error):
    store = opened.store(start_shards(2))
    table = opened.table(store, dimension=64, row_format=wire, gradient_format=wire)
    ids = tf.range(-50, 50, dtype=tf.int64)
    assert (ops.lookup(table, ids, 64, "fresh").numpy() == 0.5).all()  # flags alone
    assert ops.store_traffic(store)["received"]["rows"] < 20
    gradients = np.random.default_rng(3).uniform(-1, 1, (100, 64)).astype(np.float32)
    # The rows are read for their update: that reply is not counted below.
    ops.update(table, ids, tf.constant(gradients), 1.0, 1.0)
    before = ops.store_traffic(store)
    rows = ops.lookup(table, ids, 64, "fresh").numpy()
    np.testing.assert_allclose(rows, 0.5 - gradients, rtol=0, atol=error)
    after = ops.store_traffic(store)
    assert after["received"]["rows"] - before["received"]["rows"] == 100 * (64 * value_bytes + scale_bytes)
    assert before["sent"]["gradients"] == 100 * (64 * value_bytes + scale_bytes) + 2 * 4


def test_a_lost_shard_ends_every_call_with_its_name(opened):
    with ShardProcess() as shard:
        table = opened.table(opened.store([shard.address], deadline_ms=500), table_name="user", capacity=4)
        update(table, [1])
        os.kill(shard.pid, signal.SIGKILL)
        shard.process.wait()
        with pytest.raises(tf.errors.OpError, match=rf"(?s)shard 0 \({shard.address}\).*user"):
            ops.lookup(table, tf.constant([1, 2]), 3, "training")
        with pytest.raises(tf.errors.OpError, match=rf"shard 0 \({shard.address}\)"):
            update(table, [1])


_WORKER = """
import sys
import keras, numpy as np
import tensorflow as tf
import het_tf as het
from het_tf.table import update_many
layer = het.layers.Embedding(
    None, 3, "zeros", table="user", optimizer=keras.optimizers.SGD(1.0), cache=het.CacheConfig(rows=8, staleness=100))
ids = np.array([1, -5, 2**40])
layer(ids, training=True)
update_many([layer.table], [tf.IndexedSlices(tf.fill([3, 3], -2.0), tf.constant(ids))], [1.0])
assert layer.table.stats()["pending_rows"] == 3
{ending}
"""


@pytest.mark.parametrize("ending, status", [("", 0), ("sys.exit(3)", 3), ("raise ValueError('mine')", 1)])
def test_a_process_that_just_ends_leaves_its_updates_at_the_shard(start_shards, ending, status):
    (address,) = start_shards(1)
    ended = subprocess.run(
        [sys.executable, "-c", _WORKER.format(ending=ending)],
        env=os.environ | {"PYTHONPATH": str(ROOT), "HET_TF_SHARDS": address},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == status, ended.stderr
    assert ("ValueError: mine" in ended.stderr) == (status == 1)
    with ShardClient(address) as shard:
        (table,) = shard.stats().tables
        assert (table.name, table.rows) == ("user", 3)
    het.init([address])
    rows = het.layers.Embedding(None, 3, "zeros", table="user").rows([1, -5, 2**40, 7])
    assert rows.numpy().tolist() == [[2.0] * 3] * 3 + [[0.0] * 3]
