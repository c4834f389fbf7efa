"""Malformed Criteo lines: logged, counted, limited, in the order of the file.

At the end of a pass also: lines without their last cells, and labels that are
all the same (the Kaggle test set is about as CSV with 0 for every label).

Lines are parsed in parallel; this is the sequential stage behind that, through
which the chunks pass in order. The counts are the state of the scan, hence each
iteration of a dataset has its own; a `Reporter` itself holds only settings.
"""

import logging
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from models.data import criteo_format as fmt

_LOG = logging.getLogger("models.data.criteo")
_IN_FULL = 10  # malformed lines that are logged one by one
_SUSPICIOUS = 100  # rows with one label among them, from which on it is told


class Reporter:
    """Logs malformed lines and enforces their limit; counts are passed in."""

    def __init__(self, layouts: Sequence[fmt.Layout], labels: bool, limit: int, repeat: bool):
        self._layouts = layouts
        self._labels = labels
        self._limit = limit
        self._repeat = repeat

    def chunk(self, count, file, numbers, lines) -> np.int64:
        """Takes a chunk's malformed lines; returns the new count of the pass."""
        layout = self._layouts[int(file)]
        for number, line in zip(numbers, lines, strict=True):
            count = int(count) + 1
            reason = fmt.explain(line, layout, self._labels)
            what = f"{layout.file}, line {number}: {reason}"
            if count > self._limit:
                raise ValueError(
                    f"{what}; {count} malformed lines, max_malformed is {self._limit}. "
                    "Mend the file, or raise max_malformed if so many may be dropped"
                )
            if count <= _IN_FULL:
                _LOG.warning("malformed line dropped: %s", what)
            elif count % _IN_FULL == 0 and (count // _IN_FULL).bit_count() == 1:
                _LOG.warning("%d malformed lines dropped so far, the last: %s", count, what)
        return np.int64(count)

    def end(self, count, short, rows, positive) -> np.int64:
        """Ends a pass: lines dropped, without their last cells, rows, clicks."""
        if self._labels and rows >= _SUSPICIOUS and positive in (0, rows):
            _LOG.warning(
                "the label of all %d rows is %d; is it only a placeholder, as in the Kaggle "
                "test set?", rows, bool(positive)
            )  # fmt: skip
        if short:
            _LOG.warning(
                "%d lines lack some of C24, C25, C26 at their end; read as missing there", short
            )
        if count:
            _LOG.warning("%d malformed lines dropped, %d rows read", count, rows)
        if self._repeat and not rows:
            names = ", ".join(layout.file for layout in self._layouts)
            raise ValueError(
                f"no row to repeat: {names} gave none that skip, take and holdout leave"
            )
        return np.int64(count)


def report(ds: tf.data.Dataset, reporter: Reporter) -> tf.data.Dataset:
    """The rows of (rows, short lines, malformed lines), with what to say said."""
    # One element more tells the end of a pass.
    end = tf.data.Dataset.from_tensors(
        tf.nest.map_structure(
            lambda s: tf.zeros([d or 0 for d in s.shape], s.dtype), ds.element_spec
        )
    )
    going = tf.data.Dataset.from_tensors(False).repeat()
    over = tf.data.Dataset.from_tensors(True)
    ds = tf.data.Dataset.zip(ds, going).concatenate(tf.data.Dataset.zip(end, over))

    def show(method, arguments):
        count = tf.numpy_function(method, arguments, tf.int64)
        return tf.ensure_shape(count, ())

    def step(state, element):
        count, short, total, positive = state
        (rows, short_here, malformed), is_end = element
        short += short_here
        total += tf.shape(rows[0], tf.int64)[0]
        positive += tf.math.count_nonzero(rows[2])
        count = tf.cond(
            tf.size(malformed[1]) > 0,
            lambda: show(reporter.chunk, (count, *malformed)),
            lambda: count,
        )
        count = tf.cond(
            is_end,
            lambda: show(reporter.end, (count, short, total, positive)),
            lambda: count,
        )
        return (count, short, total, positive), rows

    return ds.scan((np.int64(0),) * 4, step)
