"""Shapes and dtypes that the ops infer and refuse while a graph is being built."""

import pytest
import tensorflow as tf

from het_tf import ops


def traced(function, *specs):
    return tf.function(function, autograph=False).get_concrete_function(*specs)


@pytest.mark.parametrize("dtype", [tf.int32, tf.int64])
@pytest.mark.parametrize(
    "ids, rows",
    [
        (None, None),
        ([], [3]),
        ([None], [None, 3]),
        ([2, None], [2, None, 3]),
        ([4, 5, 6], [4, 5, 6, 3]),
    ],
)
def test_rows_have_the_shape_of_the_ids_and_the_dimension(opened, ids, rows, dtype):
    table = opened.table()
    function = traced(lambda i: ops.lookup(table, i, 3, "training"), tf.TensorSpec(ids, dtype))
    assert function.output_shapes == tf.TensorShape(rows) and function.output_dtypes == tf.float32


def test_unknown_rank_is_found_when_it_runs(opened):
    table = opened.table()

    @tf.function(input_signature=[tf.TensorSpec(None, tf.int64), tf.TensorSpec(None, tf.float32)])
    def step(ids, gradients):
        rows = ops.lookup(table, ids, 3, "training")
        ops.update(table, tf.reshape(ids, [-1]), gradients, tf.constant(1.0), 1.0)
        return rows

    assert step(tf.zeros([2, 2], tf.int64), tf.zeros([4, 3])).shape == (2, 2, 3)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"gradients \[n, 3\], got ids \[4\] and gradients \[4\]"):
        step(tf.zeros([2, 2], tf.int64), tf.zeros([4]))


def test_counters_are_vectors_of_int64(opened):
    table = opened.table()
    for function in (
        traced(lambda: ops.library().het_embedding_stats(table)),
        traced(lambda: ops.library().het_store_traffic(opened.embedded)),
    ):
        assert function.output_shapes == tf.TensorShape([None]) and function.output_dtypes == tf.int64


VECTOR, MATRIX, SCALAR = tf.TensorSpec([4], tf.int64), tf.TensorSpec([4, 3]), tf.TensorSpec([])


@pytest.mark.parametrize(
    "ids, gradients, learning_rate, message",
    [
        (tf.TensorSpec([2, 2], tf.int64), MATRIX, SCALAR, "must be rank 1"),
        (VECTOR, tf.TensorSpec([4]), SCALAR, "must be rank 2"),
        (VECTOR, tf.TensorSpec([4, 1, 3]), SCALAR, "must be rank 2"),
        (VECTOR, tf.TensorSpec([5, 3]), SCALAR, "4 and 5"),
        (VECTOR, MATRIX, tf.TensorSpec([1]), "must be rank 0"),
    ],
)
def test_updates_of_wrong_shapes_are_refused_in_the_graph(opened, ids, gradients, learning_rate, message):
    table = opened.table()
    with pytest.raises(ValueError, match=message):
        traced(lambda i, g, r: ops.update(table, i, g, r, 1.0), ids, gradients, learning_rate)


@pytest.mark.parametrize("rows", [tf.TensorSpec([4]), tf.TensorSpec([5, 3])])
def test_assigns_of_wrong_shapes_are_refused_in_the_graph(opened, rows):
    table = opened.table()
    with pytest.raises(ValueError, match="rank 2|4 and 5"):
        traced(lambda i, r: ops.library().het_embedding_assign(table, i, r), VECTOR, rows)


@pytest.mark.parametrize("dtype", [tf.float32, tf.int16, tf.uint64, tf.string, tf.bool])
def test_ids_of_other_dtypes_are_refused(opened, run, dtype):
    table = opened.table()
    ids = tf.zeros([2], dtype) if dtype != tf.string else tf.constant(["a", "b"])
    with pytest.raises((tf.errors.InvalidArgumentError, TypeError), match=r"int32, int64|Tids"):
        run(lambda i: ops.lookup(table, i, 3, "training"), ids)


@pytest.mark.parametrize("dtype", [tf.float64, tf.float16, tf.int32])
def test_gradients_of_other_dtypes_are_refused(opened, run, dtype):
    table = opened.table()

    def step(gradients):
        ops.update(table, tf.constant([1, 2]), gradients, tf.constant(1.0), 1.0)

    with pytest.raises((tf.errors.InvalidArgumentError, TypeError), match="float"):
        run(step, tf.ones([2, 3], dtype))
    assert ops.cache_stats(table)["updates"] == 0


def test_a_mode_that_there_is_not_is_refused(opened, run):
    table = opened.table()
    with pytest.raises((tf.errors.InvalidArgumentError, ValueError), match="training.*inference.*fresh"):
        run(lambda: ops.lookup(table, tf.constant([1]), 3, "stale"))
