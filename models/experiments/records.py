"""Batches in a file: made once, read by every system alike, and by TensorFlow's servers too.

A record is a batch: its ids (int64), dense features (float32) and labels (float32),
one array after the other. Reading takes TensorFlow ops alone, so that a worker that
is a plain tf.distribute.Server can do it; batch i belongs to worker i mod workers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from models.experiments.spec import Data


class Batch(NamedTuple):
    """Arrays of one batch, or TensorFlow's.

    Attributes:
      ids: int64 (batch, *data.ids).
      dense: float32 (batch, *data.dense); (batch, 0) where there are none.
      label: float32 (batch, 1), or (batch, classes) of a node that may have several.
    """

    ids: tf.Tensor
    dense: tf.Tensor
    label: tf.Tensor


def _shapes(data: Data, batch: int) -> Batch:
    label = data.classes if data.multi_label else 1
    return Batch((batch, *data.ids), (batch, *(data.dense or (0,))), (batch, label))


_SHUFFLED_TOGETHER = 1000
_SIZES = Batch(8, 4, 4)
_DTYPES = Batch(tf.int64, tf.float32, tf.float32)


def write(file: Path, batches: Iterable[Batch], data: Data, batch: int) -> int:
    """Writes batches of `batch` examples; returns how many there were.

    Raises:
      ValueError: a batch of other shapes than `data` says, or an id outside of the vocabulary.
    """
    shapes = _shapes(data, batch)
    count = 0
    with file.open("wb") as out:
        for arrays in batches:
            for array, shape, dtype in zip(arrays, shapes, _DTYPES, strict=True):
                made = np.ascontiguousarray(array, dtype.as_numpy_dtype)
                if made.shape != shape:
                    raise ValueError(f"batch {count} has an array of shape {made.shape}; expected {shape}")
                out.write(made.tobytes())
            if arrays.ids.min() < 0 or arrays.ids.max() >= data.vocabulary:
                raise ValueError(f"batch {count} has an id outside of [0, {data.vocabulary})")
            count += 1
    return count


def read(
    file: str, data: Data, batch: int, *, first: int = 0, every: int = 1, shuffled: bool = False
) -> tf.data.Dataset:
    """`Batch`es number first, first + every, ... of a file that `write` made; in any order if `shuffled`."""
    shapes = _shapes(data, batch)
    sizes = [size * math.prod(shape) for size, shape in zip(_SIZES, shapes, strict=True)]
    starts = [sum(sizes[:place]) for place in range(len(sizes))]

    def decode(record: tf.Tensor) -> Batch:
        parts = [
            tf.ensure_shape(tf.reshape(tf.io.decode_raw(tf.strings.substr(record, start, size), dtype), shape), shape)
            for start, size, shape, dtype in zip(starts, sizes, shapes, _DTYPES, strict=True)
        ]
        return Batch(*parts)

    records = tf.data.FixedLengthRecordDataset([file], sum(sizes)).shard(every, first)
    if shuffled:
        records = records.shuffle(_SHUFFLED_TOGETHER)
    return records.map(decode, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
