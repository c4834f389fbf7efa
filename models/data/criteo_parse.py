"""Criteo lines to tensors: one chunk of lines at a time, in TensorFlow ops.

A `Parser` holds nothing but constants, so tf.data may run it on several chunks
at once. A malformed line never raises here: it is left out of the rows and
marked, for `criteo.py` to report in order.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from models.data import criteo_format as fmt

_DENSE = len(fmt.DENSE_FIELDS)
_CATEGORICAL = len(fmt.CATEGORICAL_FIELDS)
_HEX_DIGITS = 8

# A byte to its hex value, -1 for what is no hex digit.
_NIBBLES = np.full(256, -1, np.int64)
for _digit in range(16):
    _NIBBLES[ord(f"{_digit:x}")] = _NIBBLES[ord(f"{_digit:X}")] = _digit

_NIBBLE_WEIGHTS = np.array([16 ** (_HEX_DIGITS - 1 - i) for i in range(_HEX_DIGITS)])
_FIELD_BASES = np.array([(f + 1) << fmt.FIELD_SHIFT for f in range(_CATEGORICAL)])


class Parser:
    """Parses chunks of lines of the files whose layouts are given."""

    def __init__(self, layouts: Sequence[fmt.Layout], labels: bool):
        self._labels = labels
        self._separators = np.array([layout.separator for layout in layouts])
        self._columns = np.array([layout.columns for layout in layouts], np.int64)
        self._least = np.array([layout.least_columns for layout in layouts], np.int64)
        # Per file the columns of Label, I1..I13, C1..C26. A file without a
        # label gives its first column in place of it, which nobody looks at.
        self._positions = np.array(
            [[layout.label or 0, *layout.positions] for layout in layouts], np.int64
        )

    def __call__(self, file, lines):
        """Parses lines of one file.

        Args:
          file: int64 (), index of the lines' file.
          lines: string (n,).

        Returns:
          (dense float32 (m, 13), ids int64 (m, 26), label float32 (m, 1),
          good bool (n,), short int64 ()): the m rows whose lines are good, in
          order, which of the n lines those are, and how many lines lacked
          columns that then were read as missing.
        """
        split = tf.strings.split(lines, tf.gather(self._separators, file))
        length = split.row_lengths()
        columns = tf.gather(self._columns, file)
        whole = (length >= tf.gather(self._least, file)) & (length <= columns)
        short = tf.math.count_nonzero(whole & (length < columns))
        cells = _cells(split, whole, tf.gather(self._positions, file))

        dense, ok = _dense(cells[:, 1 : 1 + _DENSE])
        ids, ids_ok = _ids(cells[:, 1 + _DENSE :])
        ok &= ids_ok
        one = tf.equal(cells[:, :1], "1")
        if self._labels:
            ok &= (one | tf.equal(cells[:, :1], "0"))[:, 0]
        label = tf.cast(one, tf.float32)
        good = tf.tensor_scatter_nd_update(whole, tf.where(whole), ok)
        return (*(tf.boolean_mask(t, ok) for t in (dense, ids, label)), good, short)


def _cells(split, rows, positions):
    """The cells at `positions` of the chosen rows, "" beyond a row's end."""
    starts = tf.boolean_mask(split.row_starts(), rows)[:, None]
    ends = tf.boolean_mask(split.row_limits(), rows)[:, None]
    flat = tf.concat([split.flat_values, [""]], axis=0)
    beyond = tf.size(split.flat_values, tf.int64)
    where = starts + positions
    return tf.gather(flat, tf.where(where < ends, where, beyond))


def _dense(cells):
    """String (n, 13) to log1p(max(x, 0)), missing as 0, and whether (n,) is good."""
    integer = tf.strings.regex_full_match(cells, fmt.INTEGER_PATTERN)
    ok = tf.reduce_all(integer | tf.equal(cells, ""), axis=1)
    x = tf.strings.to_number(tf.where(integer, cells, "0"), tf.float32)
    return tf.math.log1p(tf.maximum(x, 0.0)), ok


def _ids(cells):
    """Hex string (n, 26) to global ids, and whether (n,) is good."""
    length = tf.cast(tf.strings.length(cells), tf.int64)
    digits = tf.io.decode_raw(cells, tf.uint8, fixed_length=_HEX_DIGITS)
    nibbles = tf.gather(_NIBBLES, tf.cast(digits, tf.int32))
    # A shorter string is zero-padded at its right end: those are not digits.
    inside = tf.range(_HEX_DIGITS, dtype=tf.int64) < length[..., None]
    bad = tf.reduce_any(inside & (nibbles < 0), axis=-1) | (length > _HEX_DIGITS)
    value = tf.reduce_sum(tf.where(inside, nibbles, 0) * _NIBBLE_WEIGHTS, axis=-1)
    value = tf.bitwise.right_shift(value, 4 * tf.maximum(_HEX_DIGITS - length, 0))
    value = tf.where(tf.equal(length, 0), np.int64(fmt.MISSING_VALUE), value)
    return tf.bitwise.bitwise_or(_FIELD_BASES, value), ~tf.reduce_any(bad, axis=1)
