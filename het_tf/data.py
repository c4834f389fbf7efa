"""Input data for several workers."""

from __future__ import annotations

import tensorflow as tf

from het_tf import runtime


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
