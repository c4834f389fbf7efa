"""HetCheckClocks: the two conditions of HET over tensors of clocks."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from het_tf import ops

END = 2**63 - 1


@pytest.mark.parametrize("staleness", [0, 1, 5, -1])
def test_a_copy_is_valid_within_both_conditions(run, staleness):
    clocks = list(itertools.product([0, 1, 2, 5, 6, 7, END - 1, END], repeat=3))
    start, current, row = (tf.constant(column, tf.int64) for column in zip(*clocks, strict=True))
    valid = run(lambda a, b, c: ops.check_clocks(a, b, c, staleness), start, current, row)
    bound = END if staleness == -1 else staleness
    expected = [c <= s + bound and g <= c + bound for s, c, g in clocks]  # Python's integers do not wrap
    np.testing.assert_array_equal(valid, expected)
    assert sum(expected) > 0 and (staleness == -1) == all(expected)


def test_clocks_of_different_numbers_are_refused():
    one, two = tf.zeros([1], tf.int64), tf.zeros([2], tf.int64)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"three vectors \[n\], got \[2\], \[1\] and \[2\]"):
        ops.check_clocks(two, one, two, 0)
