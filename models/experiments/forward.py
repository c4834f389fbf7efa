"""The model on rows that the step has at hand: for systems whose tables are no Keras layers.

A batch's ids are made distinct in the input pipeline, so that a step moves every row
once each way, and the rows' gradients are summed by id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from models.experiments.build import build, inputs, loss
from models.experiments.records import Batch
from models.experiments.spec import Spec


class Distinct(NamedTuple):
    """A batch by its distinct ids.

    Attributes:
      unique: int64 (n,).
      places: int32 of the ids' shape: where in `unique` each is.
      batch: the batch.
    """

    unique: tf.Tensor
    places: tf.Tensor
    batch: Batch


def distinct(batch: Batch) -> Distinct:
    unique, places = tf.unique(tf.reshape(batch.ids, [-1]))
    return Distinct(unique, tf.ensure_shape(tf.reshape(places, batch.ids.shape), batch.ids.shape), batch)


class _Slot:
    """Where a step puts the rows of a table. Keras looks into lists and dicts, not into this."""

    rows: tf.Tensor


class _Given(keras.layers.Layer):
    """Picks from rows that were given, by their places."""

    def __init__(self, slot: _Slot, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.slot = slot
        self.width = width

    def call(self, places: Any) -> Any:
        return tf.gather(self.slot.rows, places)

    def compute_output_spec(self, places: Any) -> keras.KerasTensor:
        return keras.KerasTensor((*places.shape, self.width))


class Forward:
    """The model and its gradients.

    Attributes:
      model: its trainable variables are the dense part.
    """

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self._slots: dict[str, _Slot] = {}
        keras.utils.set_random_seed(spec.seed)
        self.model = build(spec, self._layer)

    def _layer(self, name: str, width: int) -> keras.layers.Layer:
        self._slots[name] = _Slot()
        return _Given(self._slots[name], width, name=name)

    def predict(
        self, rows: Mapping[str, tf.Tensor], data: Distinct, weights: Sequence[tf.Tensor] | None = None
    ) -> tf.Tensor:
        """What the model says of a batch.

        Args:
          rows: by table, float32 (n, width): those of `data.unique`.
          weights: in place of the model's own variables.
        """
        for name, slot in self._slots.items():
            slot.rows = rows[name]
        x = inputs(self._spec, data.places, data.batch)
        if weights is None:
            return self.model(x, training=True)
        return self.model.stateless_call(list(weights), [], x, training=True)[0]

    def loss(
        self, rows: Mapping[str, tf.Tensor], data: Distinct, weights: Sequence[tf.Tensor] | None = None
    ) -> tf.Tensor:
        """The mean loss of a batch; arguments as for `predict`."""
        return loss(self._spec, data.batch.label, self.predict(rows, data, weights))

    def step(
        self, rows: Mapping[str, tf.Tensor], data: Distinct, weights: Sequence[tf.Tensor] | None = None
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor], list[tf.Tensor]]:
        """The loss, its gradients by the rows (n, width) and by the dense variables."""
        dense = [variable.value for variable in self.model.trainable_variables] if weights is None else list(weights)
        with tf.GradientTape(watch_accessed_variables=weights is None) as tape:
            tape.watch(list(rows.values()))
            if weights is not None:
                tape.watch(dense)
            value = self.loss(rows, data, weights)
        of_rows, of_dense = tape.gradient(value, (dict(rows), dense))
        return value, {name: tf.convert_to_tensor(gradient) for name, gradient in of_rows.items()}, of_dense
