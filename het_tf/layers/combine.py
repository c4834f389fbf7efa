"""Combiners: the rows of one example's ids made one."""

from __future__ import annotations

import tensorflow as tf

COMBINERS = (None, "sum", "mean", "sqrtn")


def combine(
    ids: tf.Tensor | tf.RaggedTensor, rows: tf.Tensor | tf.RaggedTensor, combiner: str, *, skip_zero: bool
) -> tf.Tensor:
    """Reduces the last axis of `ids`.

    Args:
      ids: [..., n], dense or ragged.
      rows: [..., n, dimension], float32.
      combiner: ``sum``, ``mean`` (sum / n) or ``sqrtn`` (sum / sqrt(n)).
      skip_zero: id 0 is padding: neither summed nor counted.

    Returns:
      float32 [..., dimension]; zeros where there is nothing to combine.
    """
    ragged = isinstance(ids, tf.RaggedTensor)
    flat = ids.flat_values if ragged else ids
    weights = tf.cast(flat != 0, tf.float32) if skip_zero else tf.ones_like(flat, dtype=tf.float32)
    if ragged:
        if skip_zero:
            rows = rows.with_flat_values(rows.flat_values * weights[..., tf.newaxis])
        counts = tf.reduce_sum(ids.with_flat_values(weights), axis=ids.shape.rank - 1)
        total = tf.reduce_sum(rows, axis=ids.shape.rank - 1)
    else:
        if skip_zero:
            rows = rows * weights[..., tf.newaxis]
        counts = tf.reduce_sum(weights, axis=-1)
        total = tf.reduce_sum(rows, axis=-2)
    if combiner == "sum":
        return total
    counts = tf.maximum(counts, 1.0)
    return total / tf.expand_dims(counts if combiner == "mean" else tf.sqrt(counts), -1)
