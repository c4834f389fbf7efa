"""Deep & Cross as HET trains it: a plain Keras model on het_tf's public API.

Embeddings and dense features together are x0. Beside a tower stand layers that
cross it, x -> x0 (x . w) + b + x (Wang et al., 2017, section 2.2); both outputs
join in one linear layer. With Criteo's 13 dense features and 26 fields of
dimension 128 the dense part has the paper's 1.01 M parameters: three cross
layers, a tower of 3 x 256 without biases.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from models.tower import click, linear, tower


class Cross(keras.layers.Layer):
    """One cross layer: (x0, x), both (batch, width), to x0 (x . w) + b + x.

    Args:
      seed: of w; b begins with 0.
    """

    def __init__(self, seed: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed = seed

    def build(self, input_shape: Any) -> None:
        width = input_shape[0][-1]
        initializer = keras.initializers.GlorotUniform(seed=self.seed)
        self.w = self.add_weight(shape=(width, 1), initializer=initializer, name="w")
        self.b = self.add_weight(shape=(width,), initializer="zeros", name="b")

    def call(self, inputs: Any) -> Any:
        first, x = inputs
        return first * keras.ops.matmul(x, self.w) + self.b + x

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape[0]


def deep_and_cross(
    embedding: keras.layers.Layer,
    *,
    fields: int = 26,
    dense_features: int = 13,
    hidden: Sequence[int] = (256, 256, 256),
    crosses: int = 3,
    seed: int = 0,
) -> keras.Model:
    """The model.

    Args:
      embedding: turns int64 ids (batch, fields) into (batch, fields, dimension);
        a `het_tf.layers.Embedding` or a `keras.layers.Embedding`.
      dense_features: 0 for none.
      hidden: widths of the tower.
      crosses: number of cross layers.
      seed: of the dense weights.

    Returns:
      A model of {"ids": int64 (batch, fields), "dense": float32 (batch,
      dense_features)} that gives the probability of a click, (batch, 1).
    """
    ids = keras.Input((fields,), dtype="int64", name="ids")
    inputs: dict[str, Any] = {"ids": ids}
    first = keras.layers.Flatten()(embedding(ids))
    if dense_features:
        inputs["dense"] = keras.Input((dense_features,), name="dense")
        first = keras.layers.Concatenate()([first, inputs["dense"]])
    crossed = first
    for number in range(crosses):
        crossed = Cross(seed * 1000 + 500 + number, name=f"cross_{number}")([first, crossed])
    deep = tower(first, hidden, seed)
    logit = linear(1, len(hidden), seed)(keras.layers.Concatenate()([crossed, deep]))
    return keras.Model(inputs, click(logit), name="deep_and_cross")
