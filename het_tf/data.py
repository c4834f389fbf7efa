"""Input data for several workers, and rows that are there before their step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf

from het_tf import runtime
from het_tf.config import check_count
from het_tf.layers import DistributedEmbedding, Embedding
from het_tf.table import prefetch_many


def shard(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """This worker's part of a dataset that every worker reads alike.

    Of every `size()` consecutive elements worker r takes number r; an incomplete
    group at the end is dropped, so that every worker takes the same number of
    steps (a worker with one step more would wait for the others for ever).
    Batch before or after, as you like; every worker still reads all of it, so
    shard by files where reading is what takes the time.

    Args:
      dataset: of any structure; with one worker it is returned as it is.
    """
    size, rank = runtime.size(), runtime.rank()
    if size == 1:
        return dataset
    count = dataset.cardinality().numpy()
    if count == tf.data.INFINITE_CARDINALITY:
        return dataset.shard(size, rank)
    if count >= 0:
        return dataset.take(count // size * size).shard(size, rank)

    # The length is not known: an element is passed on once its group is whole.
    def pick(*window: object) -> tf.data.Dataset:
        structure = window[0] if len(window) == 1 else window
        return tf.data.Dataset.zip(structure).skip(rank).take(1)

    return dataset.window(size, drop_remainder=True).flat_map(pick)


def prefetch(dataset: tf.data.Dataset, lookups: Any, steps: int = 1) -> tf.data.Dataset:
    """The same elements, up to `steps` of them made ahead and their embedding rows asked for.

    The exchange with the shards then overlaps with the steps before: pushes that
    are due, validations and fetches of all tables, one exchange per shard and
    step. A training step reads rows that were validated up to `steps` steps
    before: where docs/consistency.md has s, a prefetched row has s + `steps`.
    What is asked for ahead stays in memory until its step, beyond the capacity
    of the cache. Have this as the last transformation, of what `fit` or your
    loop takes; not for `evaluate` and `predict`. Whatever takes more elements
    ahead than `steps`, as `fit(class_weight=...)` does, makes it useless: give
    sample weights instead.

    Args:
      dataset: of batches, as for `fit`: x, (x, y) or (x, y, sample_weight).
      lookups: what a step looks up. An `Embedding` or `DistributedEmbedding` that
        is called with x as it is; or a dict of layers by the keys of x, a dict or
        a tuple, of which each is called with its part; or a function from x to a
        list of pairs (layer, inputs of the layer), where the model computes ids
        from x. If a step looks up other ids than these, it does so as it would
        without a prefetch: `prefetched` beside `lookups` in
        ``layer.table.stats()`` shows it.
      steps: at least 1.

    Raises:
      ValueError: a table has staleness 0; or there is nothing to look up, because
        the layers are frozen.
      tf.errors.InvalidArgumentError (from the dataset): an id outside of the
        vocabulary.
    """
    check_count("prefetch: steps", steps, 1)
    pairs_of = _pairs_of(lookups)
    is_tuple = type(dataset.element_spec) is tuple

    def ask(*parts: Any) -> Any:
        element = parts if is_tuple else parts[0]
        x, _, _ = keras.utils.unpack_x_y_sample_weight(element)
        found = [lookup for layer, inputs in pairs_of(x) for lookup in layer.lookups_of(inputs)]
        if not found:
            raise ValueError("prefetch: no layer with a table to train is among the lookups; leave the prefetch out")
        asked = prefetch_many(found, steps)
        # It has no outputs: nothing else would run it.
        with tf.control_dependencies([asked]):
            return tf.nest.map_structure(
                lambda part: None if part is None else tf.identity(part), element, expand_composites=True
            )

    return dataset.map(ask).prefetch(steps)


def _pairs_of(lookups: Any) -> Callable[[Any], list[tuple[Any, Any]]]:
    """The function of the three that `prefetch` takes."""
    layers = (Embedding, DistributedEmbedding)
    if isinstance(lookups, layers):
        return lambda x: [(lookups, x)]
    if isinstance(lookups, Mapping):
        for key, layer in lookups.items():
            if not isinstance(layer, layers):
                raise TypeError(f"prefetch: lookups[{key!r}] is {layer!r}, expected an Embedding of het_tf.layers")
        return lambda x: [(layer, x[key]) for key, layer in lookups.items()]
    if not callable(lookups) or isinstance(lookups, keras.layers.Layer):
        raise TypeError(
            f"prefetch: lookups is {lookups!r}, expected an Embedding or DistributedEmbedding of het_tf.layers, a dict "
            "of such by the keys of x, or a function from x to pairs (layer, inputs)"
        )
    return lookups
