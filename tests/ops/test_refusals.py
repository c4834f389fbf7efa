"""What the ops refuse when they run: the error says what was given, and nothing is changed."""

import numpy as np
import pytest
import tensorflow as tf

from het_tf import ops
from raw_tables import ADAGRAD, HALVES, rows_of

Invalid = tf.errors.InvalidArgumentError


def update(table, ids, gradients, learning_rate=1.0, scale=1.0):
    ops.update(table, tf.constant(ids, tf.int64), tf.constant(gradients, tf.float32), learning_rate, scale)


@pytest.mark.parametrize("capacity", [0, 4])
@pytest.mark.parametrize(
    "ids, gradients, options, message",
    [
        ([1, 2], np.ones([2, 4]), {}, r"takes ids \[n\] and gradients \[n, 3\], got ids \[2\] and gradients \[2,4\]"),
        ([1, 2], np.ones([2, 2]), {}, r"gradients \[2,2\]"),
        ([1, 2], np.ones([3, 3]), {}, r"gradients \[3,3\]|2 and 3"),
        ([[1, 2]], np.ones([2, 3]), {}, r"ids \[1,2\]|rank 1"),
        ([1, 2], np.ones([2, 3, 1]), {}, r"gradients \[2,3,1\]|rank 2"),
        ([1, 2], np.ones([2, 3]), {"learning_rate": np.nan}, "a finite scalar"),
        ([1, 2], np.ones([2, 3]), {"learning_rate": np.inf}, "a finite scalar"),
        ([1, 2], np.ones([2, 3]), {"scale": np.nan}, "a finite scalar"),
        ([1, 2], np.ones([2, 3]), {"learning_rate": [1.0]}, "finite scalar|rank 0"),
    ],
)
def test_a_refused_update_changes_nothing_and_training_goes_on(opened, capacity, ids, gradients, options, message):
    table = opened.table(capacity=capacity, staleness=100)
    update(table, [1, 2], np.ones([2, 3]))
    before, stats = rows_of(table, [1, 2]), ops.cache_stats(table)
    with pytest.raises(Invalid, match=message):
        update(table, ids, gradients, **options)
    np.testing.assert_array_equal(rows_of(table, [1, 2]), before)
    assert ops.cache_stats(table) == stats
    update(table, [1, 2], np.ones([2, 3]))
    np.testing.assert_array_equal(rows_of(table, [1, 2]), before - 1)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("capacity", [0, 4])
def test_gradients_that_are_not_finite_are_rejected_whole_by_option(opened, value, capacity):
    table = opened.table(capacity=capacity, staleness=100, reject_non_finite=True)
    update(table, [1, 2], np.ones([2, 3]))
    gradients = np.ones([3, 3])
    gradients[1, 2] = value
    with pytest.raises(Invalid, match=r"the gradient of id 2 has the value -?(nan|inf).*nothing was applied"):
        update(table, [1, 2, 3], gradients)
    assert rows_of(table, [1, 2, 3]).tolist() == [[-0.5] * 3, [-0.5] * 3, [0.5] * 3]
    assert ops.cache_stats(table)["updates"] == 1


def test_without_the_option_they_are_applied_as_keras_does(opened):
    table = opened.table()
    update(table, [1, 2], [[np.nan, 0, 0], [1, 1, 1]])
    rows = rows_of(table, [1, 2])
    assert np.isnan(rows[0, 0]) and rows[0, 1:].tolist() == [0.5, 0.5] and rows[1].tolist() == [-0.5] * 3


@pytest.mark.parametrize("bad", [10, -1, 2**40, -(2**63), 2**63 - 1])
@pytest.mark.parametrize("mode", ["training", "inference", "fresh"])
def test_ids_outside_of_the_vocabulary_are_named_with_their_position(opened, run, bad, mode):
    table = opened.table(vocabulary_size=10, table_name="user")
    ids = tf.constant([[0, 9], [bad, 3]], tf.int64)
    with pytest.raises(tf.errors.InvalidArgumentError, match=rf"'user': id {bad} at position 2 is not in \[0, 10\)"):
        run(lambda i: ops.lookup(table, i, 3, mode), ids)
    with pytest.raises(tf.errors.InvalidArgumentError, match=rf"id {bad} at position 1"):
        update(table, [1, bad], np.ones([2, 3]))
    with pytest.raises(tf.errors.InvalidArgumentError, match=rf"id {bad} at position 0"):
        ops.library().het_embedding_assign(table, tf.constant([bad], tf.int64), tf.ones([1, 3]))
    assert ops.cache_stats(table)["updates"] == 0 and rows_of(table, [1]).tolist() == [[0.5] * 3]


def test_another_dimension_than_the_tables_is_refused(opened, run):
    table = opened.table(table_name="user")
    with pytest.raises(Invalid, match="table 'user' has dimension 3, the lookup asks for 4"):
        run(lambda: ops.lookup(table, tf.constant([1]), 4, "training"))


@pytest.mark.parametrize("shape", [(2, 4), (3, 3)])
def test_an_assign_of_other_rows_is_refused(opened, shape):
    table = opened.table()
    with pytest.raises(Invalid, match=r"assign takes ids \[n\] and rows \[n, 3\]|2 and 3"):
        ops.library().het_embedding_assign(table, tf.constant([1, 2], tf.int64), tf.ones(shape))
    assert rows_of(table, [1, 2]).tolist() == [[0.5] * 3] * 2


@pytest.mark.parametrize("verb", ["lookup", "update", "flush", "assign", "stats"])
def test_a_handle_of_no_table_is_an_error(opened, verb):
    table = opened.table()
    tf.raw_ops.DestroyResourceOp(resource=table)
    ids, rows = tf.constant([1], tf.int64), tf.ones([1, 3])
    calls = {
        "lookup": lambda handle: ops.lookup(handle, ids, 3, "training"),
        "update": lambda handle: ops.update(handle, ids, rows, 1.0, 1.0),
        "flush": lambda handle: ops.library().het_embedding_flush(handle),
        "assign": lambda handle: ops.library().het_embedding_assign(handle, ids, rows),
        "stats": ops.cache_stats,
    }
    with pytest.raises(tf.errors.NotFoundError, match=r"test/table\d+"):
        calls[verb](table)
    with pytest.raises(Invalid, match="type"):  # a store is not a table
        calls[verb](opened.embedded)


def test_a_handle_of_no_store_is_an_error(opened):
    table = opened.table()
    with pytest.raises(Invalid, match="type"):
        ops.store_traffic(table)
    with pytest.raises(Invalid, match="type"):
        opened.table(table)
    tf.raw_ops.DestroyResourceOp(resource=opened.embedded)
    with pytest.raises(tf.errors.NotFoundError, match="test/store"):
        ops.store_traffic(opened.embedded)


def test_an_update_without_an_optimizer_is_refused(opened):
    table = opened.table(table_name="user", optimizer="none")
    with pytest.raises(tf.errors.FailedPreconditionError, match="table 'user' has no optimizer yet"):
        update(table, [1], np.ones([1, 3]))
    assert rows_of(table, [1]).tolist() == [[0.5] * 3]


# What the two creations give, and how the error names both.
OTHERS = [
    ({"capacity": 4}, "capacity=8", "capacity=4"),
    ({"staleness": 0}, "staleness=5", "staleness=0"),
    ({"staleness": -1}, "staleness=5", "staleness=unbounded"),
    ({"policy": "lru"}, "policy=lfu", "policy=lru"),
    ({"max_pending_commits": 3}, "max_pending_commits=0", "max_pending_commits=3"),
    ({"vocabulary_size": 10}, "vocabulary_size=0", "vocabulary_size=10"),
    ({"reject_non_finite": True}, "reject_non_finite=false", "reject_non_finite=true"),
    ({"row_format": "int8"}, "row_format=float32", "row_format=int8"),
    ({"gradient_format": "bfloat16"}, "gradient_format=float32", "gradient_format=bfloat16"),
]
# These the shards refuse too, whoever asks for them.
OTHER_SPECS = [
    ({"dimension": 4}, "3", "4"),
    ({"seed": 1}, "seed", "1"),
    ({"initializer_values": [0.25]}, r"constant\(value=0.5", r"constant\(value=0.25"),
    ({"initializer": "zeros", "initializer_names": [], "initializer_values": []}, "constant", "zeros"),
    (ADAGRAD, "sgd", "adagrad"),
]


@pytest.mark.parametrize("other, there, here", OTHERS + OTHER_SPECS)
def test_one_table_made_twice_with_other_options_is_refused(opened, other, there, here):
    options = {"table_name": "user", "shared_name": "test/twice", "capacity": 8, "staleness": 5}
    first = opened.table(**options)
    with pytest.raises(Invalid, match="'user'") as refusal:
        opened.table(**{**options, **other})
    assert refusal.match(there) and refusal.match(here)
    assert rows_of(opened.table(**options), [1]).tolist() == rows_of(first, [1]).tolist()


@pytest.mark.parametrize("other, there, here", OTHER_SPECS)
def test_workers_that_disagree_about_a_table_are_told_by_the_shard(opened, start_shards, other, there, here):
    shards = start_shards(2)
    opened.table(opened.store(shards), table_name="user")
    with pytest.raises(Invalid, match="'user'") as refusal:
        opened.table(opened.store(shards), table_name="user", **other)
    assert refusal.match(there) and refusal.match(here)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"staleness": -2}, "staleness.* -2 .*-1"),
        ({"capacity": -1}, "capacity.* -1 .*0"),
        ({"dimension": 0}, "dimension.* 0 .*1"),
        ({"max_pending_commits": -1}, "max_pending_commits.* -1 "),
        ({"vocabulary_size": -1}, "vocabulary_size.* -1 "),
        ({"policy": "fifo"}, "fifo.*lru, lfu, light_lfu"),
        ({"row_format": "int4"}, "row_format: unknown wire format 'int4'.*float32, bfloat16, float16, int8"),
        ({"gradient_format": ""}, "gradient_format: unknown wire format ''"),
        ({"optimizer": "adam"}, "adam.*sgd, momentum, adagrad"),
        ({"initializer": "glorot"}, "glorot.*constant, normal, truncated_normal, uniform, zeros"),
        ({"initializer_names": ["value", "mean"], "initializer_values": [1.0, 2.0]}, "mean"),
        ({"initializer_names": []}, "0 parameter names and 1 values"),
        ({"table_name": ""}, "a table needs a name"),
    ],
)
def test_options_out_of_range_are_refused(opened, options, message):
    with pytest.raises(Invalid, match=message):
        opened.table(**{**HALVES, **options})
