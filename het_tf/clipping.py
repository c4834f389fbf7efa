"""Gradient clipping over dense variables and tables together, as Keras does it.

Keras counts the gradient of an Embedding occurrence by occurrence: duplicates
of an id are not merged before the norm is taken. So squared norms add up over
workers, and one small AllReduce makes the clipping exact: N workers clip like
one worker with N times the batch, whose occurrences have 1 / N of the gradient.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from het_tf import runtime


def clip(optimizer: Any, grads: list[Any], is_embedding: list[bool]) -> list[Any]:
    """The gradients as `optimizer`'s clipnorm, global_clipnorm or clipvalue leaves them.

    Args:
      optimizer: a Keras optimizer.
      grads: dense gradients, the same on every worker, and this worker's
        IndexedSlices of tables.
      is_embedding: which of them belong to tables.
    """
    size = runtime.size()
    if not (optimizer.clipnorm or optimizer.global_clipnorm):
        limit = optimizer.clipvalue
        if not limit:
            return grads
        return [
            _map(g, lambda values: tf.clip_by_value(values, -limit * size, limit * size))
            if ours
            else keras.ops.clip(g, -limit, limit)
            for g, ours in zip(grads, is_embedding, strict=True)
        ]

    squares = tf.stack([tf.reduce_sum(tf.square(g.values)) for g in _of(grads, is_embedding, True)])
    if size > 1:
        squares = runtime.all_reduce_sum(squares, "het_tf.clip") / float(size * size)
    if optimizer.clipnorm:
        scales = iter(tf.unstack(optimizer.clipnorm / tf.maximum(tf.sqrt(squares), optimizer.clipnorm)))
        return [
            _map(g, lambda values, scale=next(scales): values * scale) if ours else optimizer._clip_by_norm(g)
            for g, ours in zip(grads, is_embedding, strict=True)
        ]
    limit = optimizer.global_clipnorm
    # As Keras: IndexedSlices (keras.layers.Embedding's) occurrence by occurrence.
    dense = [g.values if isinstance(g, tf.IndexedSlices) else g for g in _of(grads, is_embedding, False)]
    dense_squares = [tf.reduce_sum(tf.square(tf.convert_to_tensor(g))) for g in dense]
    norm = tf.sqrt(tf.add_n([tf.reduce_sum(squares), *dense_squares]))
    # As Keras: NaN where the norm is not finite.
    scale = limit * tf.minimum(1.0 / norm, 1.0 / limit) + (norm - norm)
    return [
        _map(g, lambda values: values * scale) if ours else keras.ops.multiply(g, scale)
        for g, ours in zip(grads, is_embedding, strict=True)
    ]


def _of(grads: list[Any], is_embedding: list[bool], wanted: bool) -> list[Any]:
    return [g for g, ours in zip(grads, is_embedding, strict=True) if ours is wanted]


def _map(gradient: tf.IndexedSlices, function: Any) -> tf.IndexedSlices:
    return tf.IndexedSlices(function(gradient.values), gradient.indices)
