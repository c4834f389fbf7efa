"""Parser: of any lines it takes those with which nothing is wrong (explain), and their values.

It is the part of the tf.data pipeline that looks at bytes; the ops around it are
TensorFlow's. Input: a byte that chooses a layout and whether labels are wanted,
then the lines.
"""

from __future__ import annotations

import functools

import numpy as np
import tensorflow as tf

from tests.fuzz.drive import drive, instrumented

with instrumented(__name__, "models.data.criteo_format"):
    from models.data import criteo_format as fmt
    from models.data.criteo_parse import Parser
    from tests.fuzz.criteo_format_fuzz import lines_of, values


def _layout(separator: bytes, columns: int, positions: range, label: int | None, stripped: int) -> fmt.Layout:
    return fmt.Layout("lines", separator, columns, columns - stripped, 0, tuple(positions), label, "")


#: Raw lines with and without a label, CSV with a column that nobody reads and the label at its end.
LAYOUTS = (
    _layout(b"\t", 40, range(1, 40), 0, 3),
    _layout(b"\t", 39, range(39), None, 3),
    _layout(b",", 41, range(39, 0, -1), 40, 0),
)


@functools.cache
def _parser(labels: bool):
    parser = Parser(LAYOUTS, labels)
    return tf.function(parser, input_signature=[tf.TensorSpec((), tf.int64), tf.TensorSpec((None,), tf.string)])


def run(data: bytes) -> None:
    if not data:
        return
    layout = LAYOUTS[data[0] // 2 % len(LAYOUTS)]
    labels = data[0] % 2 == 1 and layout.label is not None
    lines = lines_of(data[1:])
    parsed = _parser(labels)(tf.constant(LAYOUTS.index(layout), tf.int64), tf.constant(lines, tf.string, (len(lines),)))
    dense, ids, label, good, short = (tensor.numpy() for tensor in parsed)

    expected = [fmt.explain(line, layout, labels) is None for line in lines]
    assert good.tolist() == expected
    columns = [line.count(layout.separator) + 1 for line in lines]
    assert short == sum(layout.least_columns <= n < layout.columns for n in columns)
    taken = [line for line, is_good in zip(lines, expected, strict=True) if is_good]
    assert len(dense) == len(ids) == len(label) == len(taken)
    for i, line in enumerate(taken):
        integers, row_ids = values(line, layout)
        assert ids[i].tolist() == row_ids
        np.testing.assert_allclose(dense[i], np.log1p(np.maximum(integers, 0.0)), rtol=1e-5)
        if labels:
            assert label[i, 0] == float(line.split(layout.separator)[layout.label])


if __name__ == "__main__":
    drive(run)
