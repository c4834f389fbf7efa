"""Several steps in one call of a tf.function, as with Keras's `steps_per_execution`. Imports TensorFlow alone."""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf


def in_graph(step: Callable[[tf.Tensor], tf.Tensor], batches: Sequence[tf.Tensor]) -> Callable[[int], Any]:
    """What makes one step on each of the batches, one after the other, and returns when all are done.

    A call from Python costs as much as a small step: outside of the graph it would
    be most of what is measured.
    """

    @tf.function(autograph=False)
    def steps() -> tf.Tensor:
        last = step(batches[0])
        for batch in batches[1:]:
            with tf.control_dependencies([last]):
                last = step(batch)
        return last

    return lambda number: steps().numpy()
