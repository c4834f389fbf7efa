"""Criteo Kaggle rows from files, as a tf.data.Dataset.

Reads the raw `train.txt` (TAB-separated label, 13 integers, 26 hex strings, no
header, empty = missing) and CSV files with a header (columns found by name, no
quoting), plain or gzip, told apart by each file's first line. Lines stream
through in chunks that are parsed in parallel; memory does not grow with the
files. Every element is

    ({"dense": float32 (batch, 13), "ids": int64 (batch, 26)}, label float32 (batch, 1))

with dense = log1p(max(x, 0)), a missing integer as 0 (so it reads like a
negative one: I2 goes down to -3), and ids as `criteo_format.py` lays them out.

A malformed line is dropped, counted and logged with its file and its number
(from 1, a header counts) on the logger "models.data.criteo": the first ten in
full, afterwards the count each time it doubles and at the end of a pass. One
more than `max_malformed` in a pass ends the run with an error that names the
last of them.

A dataset owns no state between passes; each iteration counts for itself.
"""

import functools
import os
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from models.data import criteo_format as fmt
from models.data.criteo_format import (  # the public names of this module
    CARDINALITIES,
    CATEGORICAL_FIELDS,
    DENSE_FIELDS,
    FIELDS,
    global_id,
)
from models.data.criteo_malformed import Reporter, report
from models.data.criteo_parse import Parser

__all__ = [
    "CARDINALITIES",
    "CATEGORICAL_FIELDS",
    "DENSE_FIELDS",
    "FIELDS",
    "dataset",
    "global_id",
]

_CHUNK = 1024  # lines that are parsed together
_BUCKETS = 1 << 30  # the grain of a holdout share

Paths = str | os.PathLike[str]


def dataset(
    files: Paths | Sequence[Paths],
    batch_size: int,
    *,
    labels: bool = True,
    repeat: bool = False,
    shuffle_buffer: int = 0,
    seed: int = 0,
    max_malformed: int = 1000,
    drop_remainder: bool = False,
    skip: int = 0,
    take: int | None = None,
    holdout: float = 0.0,
    held_out: bool = False,
) -> tf.data.Dataset:
    """Batches of Criteo rows, in the order of the lines unless shuffled.

    `skip`, `take` and `holdout` choose by a line's position among all lines of
    all files (headers do not count, malformed lines do), hence do not depend
    on batch size, shuffling or which part is read.

    Args:
      files: a path, a glob pattern, or a sequence of either; `.gz` is gzip.
      batch_size: rows in a batch.
      labels: False gives the features alone, for files without labels.
      repeat: start again at the end, for ever; batches cross the ends.
      shuffle_buffer: rows to shuffle among, 0 keeps the order.
      seed: of the shuffling; every pass has another order.
      max_malformed: malformed lines that a pass may drop.
      drop_remainder: drop a last batch that is not full.
      skip: lines to pass over first.
      take: lines to use after those, None is all.
      holdout: share of the lines to hold out, chosen by hash of the position.
      held_out: give that share instead of all the others.

    Raises:
      FileNotFoundError, ValueError: see `criteo_format.layout_of`; a file
        without labels where labels are wanted; an argument out of range.
      tf.errors.OpError: while iterating, one malformed line too many, or a
        `repeat` over no good line at all.
    """
    _check(batch_size=batch_size, shuffle_buffer=shuffle_buffer, skip=skip, take=take)
    _check(max_malformed=max_malformed)
    if not 0.0 <= holdout < 1.0:
        raise ValueError(f"holdout is {holdout}; expected a share from 0 up to, not with, 1")
    if held_out and not holdout:
        raise ValueError("held_out=True needs the share to hold out: holdout=0.1, say")
    layouts = fmt.layouts_of(files)
    if labels:
        for layout in layouts:
            if layout.label is None:
                raise ValueError(
                    f"{layout.file} has no label column; expected labelled rows "
                    "(labels=False reads the features alone)"
                )

    end = None if take is None else skip + take
    chosen = functools.partial(_choose, skip, end, holdout, held_out)
    parser = Parser(layouts, labels)

    def parse(start, file, number, lines):
        number, lines = chosen(start, number, lines)
        *rows, good, short = parser(file, lines)
        bad = tf.where(~good)[:, 0]
        return tuple(rows), short, (file, tf.gather(number, bad), tf.gather(lines, bad))

    ds = _chunks(layouts)
    if end is not None:
        ds = ds.take_while(lambda start, *_: start < end)
    ds = ds.map(parse, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    ds = report(ds, Reporter(layouts, labels, max_malformed, repeat))
    if shuffle_buffer:
        ds = ds.unbatch().shuffle(shuffle_buffer, seed=seed)
    if repeat:
        ds = ds.repeat()
    if shuffle_buffer:
        ds = ds.batch(batch_size, drop_remainder=drop_remainder)
    else:
        ds = ds.rebatch(batch_size, drop_remainder=drop_remainder)

    def element(dense, ids, label):
        features = {"dense": dense, "ids": ids}
        return (features, label) if labels else features

    return ds.map(element).prefetch(tf.data.AUTOTUNE)


def _check(**numbers: int | None) -> None:
    least = {"batch_size": 1, "take": 1}
    for name, number in numbers.items():
        if number is not None and number < least.get(name, 0):
            raise ValueError(f"{name} is {number}; expected at least {least.get(name, 0)}")


def _chunks(layouts: Sequence[fmt.Layout]) -> tf.data.Dataset:
    """Chunks of lines: (position of the first, file, line numbers, lines)."""

    def of_file(file, name, compression, header):
        lines = tf.data.TextLineDataset(name, compression, buffer_size=1 << 20).skip(header)

        # All chunks of a file but its last are full, which gives the numbers.
        def numbered(chunk, lines):
            first = 1 + header + chunk * _CHUNK
            return file, first + tf.range(tf.size(lines, tf.int64)), lines

        return lines.batch(_CHUNK).enumerate().map(numbered)

    def positioned(start, chunk):
        return start + tf.size(chunk[2], tf.int64), (start, *chunk)

    files = tf.data.Dataset.from_tensor_slices(
        (
            np.arange(len(layouts)),
            [layout.file for layout in layouts],
            [layout.compression for layout in layouts],
            np.array([layout.header for layout in layouts], np.int64),
        )
    )
    return files.flat_map(of_file).scan(np.int64(0), positioned)


def _choose(skip, end, holdout, held_out, start, number, lines):
    """The lines that skip, take and holdout leave of a chunk."""
    position = start + tf.range(tf.size(lines, tf.int64))
    keep = position >= skip
    if end is not None:
        keep &= position < end
    if holdout:
        bucket = tf.strings.to_hash_bucket_fast(tf.strings.as_string(position), _BUCKETS)
        keep &= tf.equal(bucket < round(holdout * _BUCKETS), held_out)
    return tf.boolean_mask(number, keep), tf.boolean_mask(lines, keep)
