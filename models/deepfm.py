"""DeepFM as HET trains it: a plain Keras model on het_tf's public API.

The logit is a factorization machine's (Guo et al., 2017): a weight for every id
and dense feature, and the inner products of all pairs of embeddings; plus a tower
on the same embeddings. With Criteo's 13 dense features and 26 fields of
dimension 128 the dense part has the paper's 917.77 K parameters: a tower of
2 x 256 and its output layer, 13 weights; no biases. Weights of ids are a table
of dimension 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from models.tower import click, linear, tower


def deep_fm(
    embedding: keras.layers.Layer,
    weight: keras.layers.Layer,
    *,
    fields: int = 26,
    dense_features: int = 13,
    hidden: Sequence[int] = (256, 256),
    seed: int = 0,
) -> keras.Model:
    """The model.

    Args:
      embedding: turns int64 ids (batch, fields) into (batch, fields, dimension);
        a `het_tf.layers.Embedding` or a `keras.layers.Embedding`.
      weight: the same with dimension 1: the ids' own weights.
      dense_features: 0 for none.
      hidden: widths of the tower.
      seed: of the dense weights.

    Returns:
      A model of {"ids": int64 (batch, fields), "dense": float32 (batch,
      dense_features)} that gives the probability of a click, (batch, 1).
    """
    ids = keras.Input((fields,), dtype="int64", name="ids")
    inputs: dict[str, Any] = {"ids": ids}
    rows = embedding(ids)
    parts = [keras.ops.sum(weight(ids), axis=1), _products_of_pairs(rows)]
    if dense_features:
        inputs["dense"] = keras.Input((dense_features,), name="dense")
        parts.append(linear(1, len(hidden) + 1, seed)(inputs["dense"]))
    deep = tower(keras.layers.Flatten()(rows), hidden, seed)
    parts.append(linear(1, len(hidden), seed)(deep))
    return keras.Model(inputs, click(keras.layers.Add()(parts)), name="deep_fm")


def _products_of_pairs(rows: Any) -> Any:
    """The sum of the inner products of all pairs of (batch, fields, dimension): (batch, 1)."""
    square_of_sum = keras.ops.square(keras.ops.sum(rows, axis=1))
    sum_of_squares = keras.ops.sum(keras.ops.square(rows), axis=1)
    return 0.5 * keras.ops.sum(square_of_sum - sum_of_squares, axis=1, keepdims=True)
