"""Layers that a file would lack the rows of: Keras's and TensorFlow's ways to save them are refused."""

from __future__ import annotations

from typing import Any

import keras

from het_tf import anchors


class Unsaved(keras.layers.Layer):
    """A layer whose rows are in the shards."""

    def save_own_variables(self, store: Any) -> None:
        self._refuse_saving()

    def load_own_variables(self, store: Any) -> None:
        self._refuse_saving()

    def _trackable_children(self, save_type: str = "checkpoint", **kwargs: Any) -> Any:
        self._refuse_saving()

    def _refuse_saving(self) -> None:
        raise NotImplementedError(
            f"a model with het_tf.layers.{type(self).__name__} ({self.name!r}) cannot be saved, loaded or exported so: "
            f"its rows are in the shards and would be missing; {anchors.REMEDY}"
        )
