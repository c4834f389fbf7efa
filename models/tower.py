"""Dense layers of the click-through models: without biases, each with a seed of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras


def linear(width: int, number: int, seed: int, activation: str | None = None) -> keras.layers.Dense:
    """Layer `number` of a model: x @ W, then the activation."""
    initializer = keras.initializers.GlorotUniform(seed=seed * 1000 + number)
    return keras.layers.Dense(width, activation, use_bias=False, kernel_initializer=initializer, name=f"deep_{number}")


def tower(x: Any, hidden: Sequence[int], seed: int) -> Any:
    """`x` through layers 0, 1, ... of these widths, with ReLU."""
    for number, width in enumerate(hidden):
        x = linear(width, number, seed, "relu")(x)
    return x


def click(logit: Any) -> Any:
    """The probability for a logit, float32."""
    return keras.layers.Activation("sigmoid", dtype="float32")(logit)
