"""Combiners: the rows of one example's ids made one."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

COMBINERS = (None, "sum", "mean", "sqrtn")


def combine(
    ids: tf.Tensor | tf.RaggedTensor,
    rows: tf.Tensor | tf.RaggedTensor,
    combiner: str,
    *,
    skip_zero: bool,
    weights: Any = None,
) -> tf.Tensor:
    """Reduces the last axis of `ids`.

    Args:
      ids: [..., n], dense or ragged.
      rows: [..., n, dimension], float32.
      combiner: ``sum``, ``mean`` (sum / n) or ``sqrtn`` (sum / sqrt(n)); with
        weights w the sum of w * row, divided by the sum of w, or by the root of
        the sum of w * w.
      skip_zero: id 0 is padding: neither summed nor counted.
      weights: None, or floats of the ids' shape, dense, ragged or sparse as
        these; the other tensors of a ragged one have to have the ids' rows.

    Returns:
      float32 [..., dimension]; zeros where there is nothing to combine.
    """
    ragged = isinstance(ids, tf.RaggedTensor)
    flat = ids.flat_values if ragged else ids
    scale = None
    if weights is not None:
        if isinstance(weights, tf.SparseTensor):
            weights = tf.RaggedTensor.from_sparse(weights)
        if isinstance(weights, tf.RaggedTensor) is not ragged:
            raise ValueError(f"the weights are {weights!r}, expected a tensor like the ids, {ids!r}")
        scale = tf.cast(weights.flat_values if ragged else weights, tf.float32)
    if skip_zero:
        there = tf.cast(flat != 0, tf.float32)
        scale = there if scale is None else scale * there
    if scale is not None:
        scaled = (rows.flat_values if ragged else rows) * scale[..., tf.newaxis]
        rows = rows.with_flat_values(scaled) if ragged else scaled
    axis = ids.shape.rank - 1
    total = tf.reduce_sum(rows, axis=axis)
    if combiner == "sum":
        return total
    count = tf.ones_like(flat, dtype=tf.float32) if scale is None else scale
    count = count if combiner == "mean" else count * count
    count = tf.reduce_sum(ids.with_flat_values(count) if ragged else count, axis=axis)
    return tf.math.divide_no_nan(total, tf.expand_dims(count if combiner == "mean" else tf.sqrt(count), -1))
