"""Gradient accumulation for tables: the gradients of several steps kept to be one.

Keras sums n gradients of a dense variable in a variable of its shape. For a
table that would be as large as the table; here the ids and gradients of the
steps are kept as they are, of n - 1 steps at the most.
"""

from __future__ import annotations

import tensorflow as tf

from het_tf.table import Table


class Accumulator:
    """What is kept for one table. Eagerly or inside a tf.function; not thread-safe, as optimizers are not."""

    def __init__(self, table: Table) -> None:
        dimension = table.spec.dimension
        with tf.init_scope(), tf.device("/cpu:0"):
            self._ids = tf.Variable(tf.zeros([0], tf.int64), shape=[None], trainable=False)
            self._values = tf.Variable(tf.zeros([0, dimension]), shape=[None, dimension], trainable=False)

    def plus(self, gradient: tf.IndexedSlices) -> tf.IndexedSlices:
        """What is kept and `gradient`, occurrence by occurrence."""
        values = tf.concat([self._values, tf.cast(gradient.values, tf.float32)], axis=0)
        return tf.IndexedSlices(values, tf.concat([self._ids, gradient.indices], axis=0))

    def keep(self, gradient: tf.IndexedSlices) -> None:
        kept = self.plus(gradient)
        self._ids.assign(kept.indices)
        self._values.assign(kept.values)

    def clear(self) -> None:
        self._ids.assign(tf.zeros_like(self._ids[:0]))
        self._values.assign(tf.zeros_like(self._values[:0]))


def merged(gradient: tf.IndexedSlices) -> tf.IndexedSlices:
    """Every id once, with the sum of its gradients."""
    ids, places = tf.unique(gradient.indices)
    return tf.IndexedSlices(tf.math.unsorted_segment_sum(gradient.values, places, tf.size(ids)), ids)
