"""Parser: of any lines it takes those with which nothing is wrong (explain), and their values.

It is the part of the tf.data pipeline that looks at bytes; the ops around it are
TensorFlow's. Input: a byte that chooses a layout and whether labels are wanted,
then the lines.

As a program it parses the lines of many inputs together, as the pipeline parses
chunks: a call of TensorFlow costs as much as hundreds of lines. Which paths an
input takes is told by explain, for each input.
"""

from __future__ import annotations

import functools
import os
import sys
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from tests.fuzz.drive import drive, instrumented

with instrumented(__name__, "models.data.criteo_format"):
    from models.data import criteo_format as fmt
    from models.data.criteo_parse import Parser
    from tests.fuzz.criteo_format_fuzz import lines_of, values

_TOGETHER = 250  # of a run of millions nothing is left at its end


def _layout(separator: bytes, columns: int, positions: range, label: int | None, stripped: int) -> fmt.Layout:
    return fmt.Layout("lines", separator, columns, columns - stripped, 0, tuple(positions), label, "")


#: Raw lines with and without a label, CSV with a column that nobody reads and the label at its end.
LAYOUTS = (
    _layout(b"\t", 40, range(1, 40), 0, 3),
    _layout(b"\t", 39, range(39), None, 3),
    _layout(b",", 41, range(39, 0, -1), 40, 0),
)


@dataclass(frozen=True)
class Input:
    """What the bytes of an input stand for, and which of its lines are good."""

    data: bytes
    layout: fmt.Layout
    labels: bool
    lines: list[bytes]
    good: list[bool]

    @classmethod
    def of(cls, data: bytes) -> Input:
        layout = LAYOUTS[data[0] // 2 % len(LAYOUTS)]
        labels = data[0] % 2 == 1 and layout.label is not None
        lines = lines_of(data[1:])
        return cls(data, layout, labels, lines, [fmt.explain(line, layout, labels) is None for line in lines])


@functools.cache
def _parser(labels: bool):
    parser = Parser(LAYOUTS, labels)
    return tf.function(parser, input_signature=[tf.TensorSpec((), tf.int64), tf.TensorSpec((None,), tf.string)])


def check(inputs: list[Input]) -> None:
    """Parses the lines of inputs of one layout as one chunk."""
    layout, labels = inputs[0].layout, inputs[0].labels
    lines = [line for one in inputs for line in one.lines]
    parsed = _parser(labels)(tf.constant(LAYOUTS.index(layout), tf.int64), tf.constant(lines, tf.string, (len(lines),)))
    dense, ids, label, good, short = (tensor.numpy() for tensor in parsed)

    expected = [is_good for one in inputs for is_good in one.good]
    assert good.tolist() == expected
    columns = [line.count(layout.separator) + 1 for line in lines]
    assert short == sum(layout.least_columns <= n < layout.columns for n in columns)
    taken = [line for line, is_good in zip(lines, expected, strict=True) if is_good]
    assert len(dense) == len(ids) == len(label) == len(taken)
    if not taken:
        return
    integers, row_ids = zip(*(values(line, layout) for line in taken), strict=True)
    assert ids.tolist() == list(row_ids)
    np.testing.assert_allclose(dense, np.log1p(np.maximum(integers, 0.0)), rtol=1e-5)
    if labels:
        assert label[:, 0].tolist() == [float(line.split(layout.separator)[layout.label]) for line in taken]


def run(data: bytes) -> None:
    if data:
        check([Input.of(data)])


class Together:
    """Checks inputs when there are enough of them; an error names the one that is wrong."""

    def __init__(self) -> None:
        self._count = 0
        self._waiting: dict[tuple[fmt.Layout, bool], list[Input]] = {}

    def run(self, data: bytes) -> None:
        if data:
            one = Input.of(data)
            self._waiting.setdefault((one.layout, one.labels), []).append(one)
        self._count += 1
        if self._count == _TOGETHER:
            waiting, self._waiting, self._count = self._waiting, {}, 0
            for inputs in waiting.values():
                self._check(inputs)

    @staticmethod
    def _check(inputs: list[Input]) -> None:
        try:
            check(inputs)
        except Exception as together:
            for one in inputs:
                try:
                    check([one])
                except Exception as error:
                    raise AssertionError(f"the input is {one.data!r}, not the last one") from error
            raise AssertionError("each alone is right: " + repr([one.data for one in inputs])) from together


if __name__ == "__main__":
    # Given files are run again, each by itself; given folders are where inputs are kept.
    drive(run if any(map(os.path.isfile, sys.argv[1:])) else Together().run)
