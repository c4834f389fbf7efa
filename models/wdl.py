"""Wide & Deep as HET trains it: a plain Keras model on het_tf's public API.

With Criteo's 13 dense features and 26 fields of dimension 128 the dense part has
the paper's 137.98 K parameters: a tower of 3 x 256 over the dense features, whose
output joins the embeddings in one linear layer; no biases. Without dense
features the tower stands on the embeddings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from models.tower import click, linear, tower


def wide_and_deep(
    embedding: keras.layers.Layer,
    *,
    fields: int = 26,
    dense_features: int = 13,
    hidden: Sequence[int] = (256, 256, 256),
    seed: int = 0,
) -> keras.Model:
    """The model.

    Args:
      embedding: turns int64 ids (batch, fields) into (batch, fields, dimension);
        a `het_tf.layers.Embedding` or a `keras.layers.Embedding`.
      dense_features: 0 for none.
      hidden: widths of the tower.
      seed: of the dense weights.

    Returns:
      A model of {"ids": int64 (batch, fields), "dense": float32 (batch,
      dense_features)} that gives the probability of a click, (batch, 1).
    """
    ids = keras.Input((fields,), dtype="int64", name="ids")
    inputs: dict[str, Any] = {"ids": ids}
    wide = keras.layers.Flatten()(embedding(ids))
    deep = wide
    if dense_features:
        deep = inputs["dense"] = keras.Input((dense_features,), name="dense")
    deep = tower(deep, hidden, seed)
    logit = linear(1, len(hidden), seed)(keras.layers.Concatenate()([wide, deep]))
    return keras.Model(inputs, click(logit), name="wide_and_deep")
