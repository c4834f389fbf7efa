"""`RowwiseAdagrad`: Adagrad with one accumulator per row, as Keras optimizer.

The shards' own for tables (kernels/optimizer/rowwise_adagrad.h), and the same
formula for dense variables, so that it can be the optimizer of a whole model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("het_tf")
class RowwiseAdagrad(keras.optimizers.Optimizer):
    """Adagrad whose step size is one for a row: a float of state instead of a row of them.

    `accumulator += mean(gradient ** 2); row -= learning_rate * gradient / (sqrt(accumulator) + epsilon)`, as FBGEMM's
    `EXACT_ROWWISE_ADAGRAD`. The rows of a variable are along its first axis; a vector or scalar is one row.

    Args:
      learning_rate: a float, a schedule or a callable.
      initial_accumulator_value: where the accumulators start, at least 0
        (FBGEMM: 0).
      epsilon: more than 0.
      **options: as for every Keras optimizer.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
        name: str = "rowwise_adagrad",
        **options: Any,
    ) -> None:
        if initial_accumulator_value < 0 or epsilon <= 0:
            raise ValueError(
                f"RowwiseAdagrad: initial_accumulator_value is {initial_accumulator_value!r} and epsilon {epsilon!r}, "
                "expected at least 0 and more than 0"
            )
        super().__init__(learning_rate=learning_rate, name=name, **options)
        self.initial_accumulator_value = initial_accumulator_value
        self.epsilon = epsilon

    def build(self, variables: Sequence[Any]) -> None:
        if self.built:
            return
        super().build(variables)
        initial = keras.initializers.Constant(self.initial_accumulator_value)
        self._accumulators = [
            self.add_variable(_rows(v.shape), initializer=initial, dtype=v.dtype, name="accumulator") for v in variables
        ]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        gradient = tf.cast(tf.convert_to_tensor(gradient), variable.dtype)
        rate = tf.cast(learning_rate, variable.dtype)
        accumulator = self._accumulators[self._get_variable_index(variable)]
        rows = accumulator.shape
        # A row whose gradient is 0 stays as it is, so that one of IndexedSlices
        # may become dense.
        squares = tf.reduce_sum(tf.square(gradient), axis=range(1 if len(rows) else 0, len(variable.shape)))
        accumulator.assign_add(tf.reshape(squares, rows) / max(1, math.prod(variable.shape) // max(1, math.prod(rows))))
        self.assign_sub(variable, rate * gradient / (tf.sqrt(accumulator.value) + self.epsilon))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "initial_accumulator_value": self.initial_accumulator_value,
            "epsilon": self.epsilon,
        }


def _rows(shape: Sequence[int]) -> tuple[int, ...]:
    """The shape of the accumulators: one per row, to be broadcast over it."""
    return (shape[0], *(1 for _ in shape[1:])) if len(shape) > 1 else ()
