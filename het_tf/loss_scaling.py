"""Loss scaling (mixed_float16) whose workers all skip the same steps.

Keras's `LossScaleOptimizer` applies an optimizer in a branch that it takes when
this worker's gradients are finite. `agree` makes it ask all workers first, so
that a step is done by everyone or by nobody and the scale stays the same
everywhere; what the branch then exchanges is exchanged by all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from het_tf import anchors, runtime


def agree(optimizer: keras.optimizers.LossScaleOptimizer) -> None:
    """Extends a LossScaleOptimizer that is around an optimizer of `DistributedOptimizer`, once."""
    kind = type(optimizer)
    if not issubclass(kind, Agreeing):
        # The same name: a saved configuration is Keras's.
        members = {"__module__": kind.__module__, "wrapped_class": kind}
        optimizer.__class__ = type(kind.__name__, (Agreeing, kind), members)


if TYPE_CHECKING:  # whatever it is mixed into is one
    from keras.optimizers import LossScaleOptimizer as _LossScaleOptimizer
else:
    _LossScaleOptimizer = object


class Agreeing(_LossScaleOptimizer):
    """Mixed in before LossScaleOptimizer; see the module."""

    def build(self, variables: Sequence[Any]) -> None:
        self._make_scale()
        self.inner_optimizer.build(variables)
        super(keras.optimizers.LossScaleOptimizer, self).build(variables)

    def _make_scale(self) -> None:
        if getattr(self, "dynamic_scale", None) is not None:
            return
        with tf.init_scope():  # now, though a tf.function may be being traced
            self.step_counter = self.add_variable((), dtype="int", name="step_counter")
            initial = keras.initializers.Constant(self.initial_scale)
            self.dynamic_scale = self.add_variable((), initial, dtype="float32", name="dynamic_scale")

    def scale_loss(self, loss: Any) -> Any:
        # Also before `build`, which a tf.function may be traced before: its
        # later steps have another scale than the first.
        self._make_scale()
        return keras.ops.multiply(loss, keras.ops.cast(self.dynamic_scale, loss.dtype))

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None) -> None:
        if not grads:
            return
        inner = self.inner_optimizer
        if trainable_variables is None:
            variables = list(self._trainable_variables)
        else:
            variables = list(trainable_variables)
        with anchors.known():
            if not self.built:
                with tf.init_scope():
                    self.build(variables)
            # As `scale_loss` had it: the first step may then set it to that of rank 0.
            scale = tf.convert_to_tensor(self.dynamic_scale)
            inner.start(variables, also=self._variables)
            finite = _all_finite(grads)
            unscaled = [
                g if g is None or self._overwrite_variable_with_gradient(v) else _divided(g, scale)
                for g, v in zip(grads, variables, strict=True)
            ]
            with inner.in_a_branch_of_all():
                keras.ops.cond(
                    finite,
                    lambda: self._take_step(unscaled, variables),
                    self._stateful_handle_non_finite_grads,
                )

    def _take_step(self, grads: list[Any], variables: list[Any]) -> None:
        self.inner_optimizer.apply(grads, variables)
        grown = tf.equal(self.step_counter.value, self.dynamic_growth_steps - 1)
        counted = self.step_counter.value + 1
        self.step_counter.assign(tf.where(grown, tf.zeros_like(counted), counted))
        self.dynamic_scale.assign(self.dynamic_scale.value * tf.where(grown, 2.0, 1.0))


def _all_finite(grads: Sequence[Any]) -> tf.Tensor:
    """Whether the gradients of all workers are; there when all of their lookups are done."""
    values = [_values(g) for g in grads if g is not None]
    finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(v)) for v in values]) if values else tf.constant(True)
    if runtime.size() == 1:
        return finite
    return tf.equal(runtime.all_reduce_sum(tf.cast(tf.logical_not(finite), tf.float32), "het_tf.not_finite"), 0.0)


def _values(gradient: Any) -> tf.Tensor:
    return gradient.values if isinstance(gradient, tf.IndexedSlices) else tf.convert_to_tensor(gradient)


def _divided(gradient: Any, scale: tf.Tensor) -> Any:
    values = _values(gradient)
    values = values / tf.cast(scale, values.dtype)
    if isinstance(gradient, tf.IndexedSlices):
        return tf.IndexedSlices(values, gradient.indices, gradient.dense_shape)
    return values
