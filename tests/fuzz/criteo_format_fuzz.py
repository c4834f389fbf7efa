"""layout_of and explain: any file has a layout or a ValueError, any line a reason why not or none.

Input: a byte that says how the file is stored (plain; with a name that ends in
.gz, as it is; compressed), then the file.
"""

from __future__ import annotations

import gzip

from tests.fuzz.drive import MemoryFile, drive, instrumented

with instrumented(__name__, "models.data.criteo_format"):
    from models.data import criteo_format as fmt

_MOST_LINES = 8  # one is read like the next
_PLAIN, _ZIPPED = MemoryFile(".txt"), MemoryFile(".gz")


def lines_of(text: bytes) -> list[bytes]:
    """The lines of a file, as tf.data.TextLineDataset gives them."""
    lines = text.split(b"\n")
    if not lines[-1]:
        lines.pop()
    return [line.removesuffix(b"\r") for line in lines[:_MOST_LINES]]


def values(line: bytes, layout: fmt.Layout) -> tuple[list[float], list[int]]:
    """The integers (0 where missing) and ids of a line that is good."""
    cells = line.split(layout.separator)
    cells += [b""] * (layout.columns - len(cells))
    chosen = [cells[position] for position in layout.positions]
    split = len(fmt.DENSE_FIELDS)
    dense = [float(cell or b"0") for cell in chosen[:split]]
    ids = [fmt.global_id(field, int(cell, 16) if cell else None) for field, cell in enumerate(chosen[split:])]
    return dense, ids


def run(data: bytes) -> None:
    how, text = data[:1], data[1:]
    if how == b"\1":
        path = _ZIPPED.hold(text)
    elif how == b"\2":
        path = _ZIPPED.hold(gzip.compress(text, 1, mtime=0))
    else:
        path = _PLAIN.hold(text)
    try:
        layout = fmt.layout_of(path)
    except ValueError:
        return
    assert layout.columns >= layout.least_columns >= 1
    assert len(layout.positions) == len(set(layout.positions)) == len(fmt.FIELDS)
    assert max(*layout.positions, layout.label or 0) < layout.columns
    if how == b"\1":
        return
    for line in lines_of(text)[layout.header :]:
        reasons = [fmt.explain(line, layout, labels) for labels in (False, True)]
        assert all(reason is None or reason.isprintable() for reason in reasons)
        if reasons[0] is None:
            values(line, layout)


if __name__ == "__main__":
    drive(run)
