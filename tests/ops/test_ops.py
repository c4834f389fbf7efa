"""Every op, eagerly and in a tf.function: what it does to rows."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from het_tf import ops
from raw_tables import ADAGRAD, rows_of

ANY_INT64 = [0, 1, -1, 7, 2**24, 2**24 + 1, -(2**24) - 1, 2**53 + 1, 2**63 - 1, 2**63 - 2, -(2**63), -(2**63) + 1]


@pytest.mark.parametrize("dtype", [tf.int32, tf.int64])
@pytest.mark.parametrize("shape", [(), (0,), (4,), (2, 0, 3), (1, 2, 3, 2)])
@pytest.mark.parametrize("mode", ["training", "inference", "fresh"])
def test_lookup_of_ids_of_any_rank(opened, run, dtype, shape, mode):
    table = opened.table()
    ids = tf.zeros(shape, dtype)
    rows = run(lambda t, i: ops.lookup(t, i, 3, mode), table, ids)
    assert rows.shape == (*shape, 3) and rows.dtype == tf.float32
    np.testing.assert_array_equal(rows, np.full((*shape, 3), 0.5, np.float32))


@pytest.mark.parametrize("dtype", [tf.int32, tf.int64])
def test_update_sums_the_occurrences_of_an_id_once(opened, run, dtype):
    table = opened.table()

    def step(handle, ids, gradients):
        operation = ops.update(handle, ids, gradients, tf.constant(0.5), 0.25)
        with tf.control_dependencies([operation] if operation is not None else []):
            return ops.lookup(handle, ids, 3, "fresh")

    ids = tf.constant([5, 9, 5, 5], dtype)
    gradients = tf.constant([[8.0, 0, 0], [0, 16, 0], [8, 0, 8], [-8, 0, 0]])
    rows = run(step, table, ids, gradients)
    np.testing.assert_array_equal(rows[0], [0.5 - 1.0, 0.5, 0.5 - 1.0])
    np.testing.assert_array_equal(rows[1], [0.5, 0.5 - 2.0, 0.5])
    np.testing.assert_array_equal(rows[2], rows[0])


def test_adagrad_takes_one_step_with_the_square_of_the_sum(opened, run):
    table = opened.table(**ADAGRAD)

    def step(handle, ids, gradients):
        ops.update(handle, ids, gradients, tf.constant(0.5), 1.0)

    for _ in range(2):
        run(step, table, tf.constant([3, 3], tf.int64), tf.constant([[1.0, 2, 0], [1, -1, 0]]))
    gradient, accumulator, row = np.float32([2, 1, 0]), np.float32([0.1] * 3), np.float32([0.5] * 3)
    for _ in range(2):
        accumulator += gradient * gradient
        row -= 0.5 * gradient / np.sqrt(accumulator + np.float32(1e-7))
    np.testing.assert_allclose(rows_of(table, [3])[0], row, rtol=1e-6)


def test_updates_of_a_function_run_in_the_order_of_the_program(opened):
    table = opened.table(capacity=4, staleness=100, **ADAGRAD)  # Adagrad: the order shows

    @tf.function
    def steps(ids):
        seen = []
        for k in range(4):
            seen.append(ops.lookup(table, ids, 3, "training"))
            ops.update(table, ids, tf.fill([1, 3], float(k + 1)), tf.constant(1.0), 1.0)
        return seen, ops.lookup(table, ids, 3, "fresh")

    seen, last = steps(tf.constant([1], tf.int64))
    values = [float(rows[0, 0]) for rows in [*seen, last]]
    assert values[0] == 0.5 and all(a > b for a, b in itertools.pairwise(values)), values


def test_flush_makes_pending_updates_visible_to_another_worker(opened, run, start_shards):
    (address,) = start_shards(1)
    ours, theirs = (
        opened.table(opened.store([address]), table_name="shared", capacity=8, staleness=100) for _ in range(2)
    )
    ids = tf.constant([1, -2], tf.int64)
    ops.lookup(ours, ids, 3, "training")
    ops.update(ours, ids, tf.ones([2, 3]), tf.constant(0.5), 1.0)
    assert rows_of(theirs, [1, -2]).tolist() == [[0.5] * 3] * 2

    def flush(handle):
        ops.library().het_embedding_flush(handle)

    run(flush, ours)
    assert rows_of(theirs, [1, -2]).tolist() == [[0.0] * 3] * 2
    assert ops.cache_stats(ours)["pending_rows"] == 0


@pytest.mark.parametrize("capacity", [0, 4])
@pytest.mark.parametrize("dtype", [tf.int32, tf.int64])
def test_assign_overwrites_rows_and_their_copies(opened, run, capacity, dtype):
    table = opened.table(capacity=capacity, staleness=100)
    ids = tf.constant([4, 6], dtype)
    ops.lookup(table, ids, 3, "training")
    ops.update(table, ids, tf.ones([2, 3]), tf.constant(1.0), 1.0)
    values = tf.constant([[1.0, 2, 3], [4, 5, 6]])

    def assign(handle, ids, values):
        ops.library().het_embedding_assign(handle, ids, values)

    run(assign, table, ids, values)
    for mode in ("fresh", "inference", "training"):
        np.testing.assert_array_equal(ops.lookup(table, ids, 3, mode), values)


def test_counters_count(opened, run):
    table = opened.table(capacity=2, staleness=100)
    ids = tf.constant([[1, 2, 1], [3, 3, 1]], tf.int64)
    for _ in range(2):
        ops.lookup(table, ids, 3, "training")
        ops.update(table, tf.reshape(ids, [-1]), tf.ones([6, 3]), tf.constant(1.0), 1.0)
    numbers = run(lambda handle: ops.library().het_embedding_stats(handle), table)
    stats = ops.cache_stats(table)
    assert list(stats.values())[:-1] == numbers.numpy().tolist()[: len(stats) - 1]
    assert len(stats["staleness"]) == ops.STALENESS_BUCKETS
    expected = {"lookups": 2, "ids": 12, "unique_ids": 6, "hits": 2, "misses": 4, "invalid": 0, "updates": 2}
    expected |= {"updated_rows": 6, "rows": 2, "evictions": 2}
    assert {name: stats[name] for name in expected} == expected
    assert stats["memory_bytes"] > 0 and sum(stats["staleness"]) == stats["hits"]


def test_traffic_is_counted_on_the_wire_and_is_nothing_in_the_process(opened, run, start_shards):
    def traffic_of(store):
        table = opened.table(store)
        ops.lookup(table, tf.constant([1, 2], tf.int64), 3, "training")
        ops.update(table, tf.constant([1, 2], tf.int64), tf.ones([2, 3]), tf.constant(1.0), 1.0)
        ops.lookup(table, tf.constant([1, 2], tf.int64), 3, "training")
        run(lambda handle: ops.library().het_store_traffic(handle), store)
        return ops.store_traffic(store)

    near, far = traffic_of(opened.store()), traffic_of(opened.store(start_shards(1)))
    assert set(near["sent"].values()) | set(near["received"].values()) == {0}
    assert far["exchanges"] == 3
    assert far["received"]["rows"] == 1 + 2 * 3 * 4  # flags of untouched rows, then rows
    assert far["sent"]["gradients"] == 2 * 3 * 4 + 4  # and the learning rate
    assert far["sent"]["ids"] > 0 and far["sent"]["framing"] > 0


@pytest.mark.parametrize("shards", [0, 1, 2])
def test_ids_over_the_whole_range_of_int64_stay_apart(opened, start_shards, shards):
    table = opened.table(opened.store(start_shards(shards)), dimension=1, capacity=5, staleness=100)
    ids = tf.constant(ANY_INT64, tf.int64)
    gradients = -tf.range(1.0, len(ANY_INT64) + 1)[:, tf.newaxis]
    for _ in range(2):
        ops.lookup(table, ids, 1, "training")
        ops.update(table, ids, gradients, tf.constant(1.0), 1.0)
    ops.library().het_embedding_flush(table)
    expected = 0.5 + 2.0 * np.arange(1, len(ANY_INT64) + 1, dtype=np.float32)
    np.testing.assert_array_equal(rows_of(table, ANY_INT64, 1)[:, 0], expected)
    assert rows_of(table, [2, -7, 2**24 + 2, 2**63 - 3], 1).ravel().tolist() == [0.5] * 4


@pytest.mark.parametrize("initializer", ["uniform", "normal", "truncated_normal"])
def test_initial_values_of_a_row_need_no_row_and_no_order(opened, start_shards, initializer):
    options = {"table_name": "t", "initializer": initializer, "initializer_names": [], "initializer_values": []}
    first = opened.table(**options, seed=7)
    second = opened.table(opened.store(start_shards(2)), **options, seed=7)
    other = opened.table(opened.store(), **options, seed=8)
    rows = rows_of(first, ANY_INT64)
    np.testing.assert_array_equal(rows, rows_of(second, ANY_INT64[::-1])[::-1])
    assert np.unique(rows).size == rows.size
    assert not np.any(rows == rows_of(other, ANY_INT64))


def test_the_same_name_is_the_same_table_and_gets_its_optimizer_later(opened):
    store = opened.store()
    options = {"table_name": "t", "shared_name": "test/late", "capacity": 3, "staleness": 5}
    early = opened.table(store, **options, optimizer="none")
    late = opened.table(store, **options, optimizer="sgd")
    again = opened.table(store, **options, optimizer="none")
    ops.update(early, tf.constant([1]), tf.ones([1, 3]), tf.constant(0.25), 1.0)
    for handle in (early, late, again):
        assert rows_of(handle, [1]).tolist() == [[0.25] * 3]


def test_many_tables_in_one_lookup_and_one_update(opened, run, start_shards):
    (address,) = start_shards(1)
    store = opened.store([address])
    tables = [opened.table(store, dimension=d, capacity=10, staleness=2) for d in (1, 2, 3)]
    before = ops.store_traffic(store)["exchanges"]

    def step(*handles):
        # The first and the last tensor of ids are of one table: id 5 is in both.
        ids = [tf.constant([[5, 6]], tf.int64), tf.constant(7, tf.int64), tf.constant([5], tf.int64)]
        ids.append(tf.constant([], tf.int64))
        return ops.lookup_many(handles, ids, [2, 0, 2, 1], [1, 2, 3], "training")

    rows = run(step, *tables)
    assert [row.shape for row in rows] == [(1, 2, 3), (1,), (1, 3), (0, 2)]
    for row in rows:
        np.testing.assert_array_equal(row, np.full(row.shape, 0.5, np.float32))
    assert ops.store_traffic(store)["exchanges"] - before == 1
    assert ops.cache_stats(tables[2])["unique_ids"] == 2

    def update(*handles):
        ids = [tf.constant([7], tf.int64), tf.constant([], tf.int64), tf.constant([5, 6, 5], tf.int64)]
        gradients = [tf.ones([1, 1]), tf.ones([0, 2]), tf.ones([3, 3])]
        ops.update_many(handles, ids, gradients, [tf.constant(r) for r in (1.0, 2.0, 0.5)], 1.0)

    run(update, *tables)
    np.testing.assert_array_equal(rows_of(tables[0], [7], 1), [[-0.5]])
    np.testing.assert_array_equal(rows_of(tables[2], [5, 6]), [[-0.5] * 3, [0.0] * 3])


def test_what_many_tables_do_not_allow(opened):
    one, other, elsewhere = opened.table(), opened.table(), opened.table(opened.store())
    ids = tf.constant([1], tf.int64)
    with pytest.raises(tf.errors.InvalidArgumentError, match="is given twice: concatenate its ids"):
        ops.lookup_many([one, one], [ids, ids], [0, 1], [3, 3], "fresh")
    with pytest.raises(tf.errors.InvalidArgumentError, match="has dimension 3, the lookup asks for 2"):
        ops.lookup_many([one, other], [ids, ids], [0, 1], [3, 2], "fresh")
    with pytest.raises(tf.errors.InvalidArgumentError, match="is in another store than table"):
        ops.lookup_many([one, elsewhere], [ids, ids], [0, 1], [3, 3], "fresh")
    for call in (lambda f: f(), lambda f: tf.function(f)()):
        with pytest.raises(tf.errors.InvalidArgumentError, match="table_of has 2, expected 0 to 1"):
            call(lambda: ops.lookup_many([one, other], [ids, ids], [0, 2], [3, 3], "fresh"))
        with pytest.raises(tf.errors.InvalidArgumentError, match="table_of has 1 numbers for 2 tensors of ids"):
            call(lambda: ops.lookup_many([one, other], [ids, ids], [0], [3, 3], "fresh"))


def test_prefetches_of_many_tables_leave_as_one_exchange(opened, run, start_shards):
    (address,) = start_shards(1)
    store = opened.store([address])
    tables = [opened.table(store, dimension=d, capacity=10, staleness=2) for d in (1, 2)]
    before = ops.store_traffic(store)["exchanges"]
    ids = [tf.constant(one, tf.int32) for one in ([[5, 6]], [5], [7, 7])]

    def ask(*handles):
        ops.prefetch_many(handles, ids, [1, 0, 1], 1)

    run(ask, *tables)
    rows = run(lambda *handles: ops.lookup_many(handles, ids[:2], [1, 0], [1, 2], "training"), *tables)
    assert [row.shape for row in rows] == [(1, 2, 2), (1, 1)]
    np.testing.assert_array_equal(rows[0], np.full((1, 2, 2), 0.5, np.float32))
    # A lookup of its own: of the second tensor for the same table.
    run(lambda handle: ops.lookup(handle, ids[2], 2, "training"), tables[1])
    assert ops.store_traffic(store)["exchanges"] - before == 1
    assert [ops.cache_stats(table)["prefetched"] for table in tables] == [1, 2]


def test_what_cannot_be_prefetched(opened):
    ids = tf.constant([1], tf.int64)
    with pytest.raises(tf.errors.InvalidArgumentError, match="has staleness 0.*staleness of at least 1"):
        ops.prefetch_many([opened.table()], [ids], [0], 1)
    table = opened.table(capacity=1, staleness=1)
    with pytest.raises(tf.errors.InvalidArgumentError, match="table_of has 1, expected 0 to 0"):
        ops.prefetch_many([table], [ids], [1], 1)
    with pytest.raises(tf.errors.InvalidArgumentError, match="ahead"):
        ops.prefetch_many([table], [ids], [0], 0)
