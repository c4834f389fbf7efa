"""Where in the input training stood, and going on from there inside ``fit``.

Keras begins every epoch with a new iterator of the dataset. In the epoch that
was interrupted that one leaves out the batches that were trained on, and Keras
is told that the epoch is that much shorter.
"""

from __future__ import annotations

import sys
from typing import Any

import tensorflow as tf

from het_tf.checkpoint.files import CheckpointError


class Skipping:
    """A dataset whose next iterator, and that one alone, begins behind some elements."""

    def __init__(self, dataset: tf.data.Dataset) -> None:
        count = int(dataset.cardinality().numpy())
        self.is_infinite = count == tf.data.INFINITE_CARDINALITY
        # Its elements; None where that is not known or has no end.
        self.batches = count if count >= 0 else None
        with tf.device("/cpu:0"):
            self._left_out = tf.Variable(0, dtype=tf.int64, trainable=False)

        def begin(_: tf.Tensor) -> tf.data.Dataset:
            left_out = self._left_out.read_value()
            with tf.control_dependencies([left_out]):
                self._left_out.assign(0)
            return dataset.skip(left_out)

        self.dataset = tf.data.Dataset.range(1).flat_map(begin)

    def leave_out(self, elements: int) -> None:
        """In the next iterator."""
        self._left_out.assign(elements)


class Epoch:
    """Keras's count of the batches of an epoch, for the ``fit`` that calls this.

    Raises:
      CheckpointError: this Keras counts in another way.
    """

    def __init__(self) -> None:
        frame: Any = sys._getframe(1)
        while frame is not None:
            iterator = frame.f_locals.get("epoch_iterator")
            if hasattr(iterator, "_num_batches") and hasattr(iterator, "steps_per_epoch"):
                break
            frame = frame.f_back
        if frame is None:
            raise CheckpointError(
                "this version of Keras does not let a callback shorten an epoch, which going on in the middle of one "
                "needs: use Keras 3.15, or train without checkpoint.resume(dataset), which begins the epoch anew"
            )
        self._iterator = iterator
        # Of every epoch, as `fit` was asked for; None: as many as the dataset has.
        self.asked: int | None = iterator.steps_per_epoch

    @property
    def batches(self) -> int | None:
        """Of an epoch, if that is known."""
        return self.asked or self._iterator._num_batches

    def has(self, batches: int | None) -> None:
        """From its next begin on; None: until the dataset ends."""
        if self.asked is not None:
            self._iterator.steps_per_epoch = batches
        else:
            self._iterator._num_batches = batches
