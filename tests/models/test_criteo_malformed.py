"""Malformed Criteo lines: dropped, told by number, limited."""

import logging
import re

import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st

from criteo_files import (
    LOGGER,
    cells,
    first_integers,
    read,
    write_raw,
)
from models.data import criteo, criteo_format
from models.data.criteo_parse import Parser


def bad_rows(row: int) -> list[str]:
    """A malformed line, of another kind for each row."""
    good = cells(row)
    return [
        good[:36],
        [*good, "0"],
        ["2", *good[1:]],
        ["", *good[1:]],
        [*good[:3], "1x", *good[4:]],
        [*good[:3], "1.5", *good[4:]],
        [*good[:20], "0123g567", *good[21:]],
        [*good[:20], "012345678", *good[21:]],
        ["garbage"],
    ][row % 9]


REASONS = [
    "36 columns, expected 40",
    "41 columns, expected 40",
    "Label is '2', expected 0 or 1",
    "Label is '', expected 0 or 1",
    "I3 is '1x', expected an integer or nothing",
    "I3 is '1.5', expected an integer or nothing",
    "C7 is '0123g567', expected 1 to 8 hex digits or nothing",
    "C7 is '012345678', expected 1 to 8 hex digits or nothing",
    "1 columns, expected 40",
]


@pytest.mark.parametrize("header", [False, True])
def test_malformed_lines_are_dropped_and_told_by_number(tmp_path, caplog, header):
    # Lines all over several chunks of a second file, which have other numbers
    # in the stream than in their file.
    bad = [0, 1, 2, 500, 1023, 1024, 2047, 2048, 3000]
    rows = [cells(i) for i in range(3500)]
    for kind, i in enumerate(bad):
        rows[i] = bad_rows(kind)
    first = write_raw(tmp_path / "first.txt", map(cells, range(1700)))
    second = tmp_path / "second.txt"
    if header:
        names = "\t".join(["Label", *criteo.FIELDS]) + "\n"
        second.write_text(names + "".join("\t".join(row) + "\n" for row in rows))
    else:
        write_raw(second, rows)
    with caplog.at_level(logging.WARNING, LOGGER):
        got = read([first, second])
    kept = [i for i in range(3500) if i not in bad]
    assert first_integers(got) == [*range(1700), *kept]
    told = [record.getMessage() for record in caplog.records]
    assert told == [
        f"malformed line dropped: {second}, line {i + 1 + header}: {reason}"
        for i, reason in zip(bad, REASONS, strict=True)
    ] + ["9 malformed lines dropped, 5191 rows read"]


def test_only_the_first_ten_are_told_in_full(tmp_path, caplog):
    rows = [cells(i) if i % 2 else ["garbage"] for i in range(200)]
    file = write_raw(tmp_path / "train.txt", [cells(0), *rows])
    with caplog.at_level(logging.WARNING, LOGGER):
        assert len(read(file)[0]) == 101
    told = [record.getMessage() for record in caplog.records]
    assert len([t for t in told if t.startswith("malformed line dropped")]) == 10
    assert [t.split()[0] for t in told[10:]] == ["20", "40", "80", "100"]
    assert told[-1] == "100 malformed lines dropped, 101 rows read"


@pytest.mark.parametrize("limit", [0, 3])
def test_past_the_limit_the_run_ends_with_file_line_and_reason(tmp_path, limit):
    rows = [cells(i) if i not in (10, 20, 30, 1500) else ["garbage"] for i in range(2000)]
    file = write_raw(tmp_path / "train.txt", rows)
    assert len(read(file, max_malformed=4)[0]) == 1996
    line = {0: 11, 3: 1501}[limit]
    with pytest.raises(tf.errors.OpError) as raised:
        read(file, max_malformed=limit)
    assert re.search(
        rf"{file}, line {line}: 1 columns, expected 40; {limit + 1} malformed lines, "
        rf"max_malformed is {limit}",
        str(raised.value),
    )


_LAYOUT = criteo_format.Layout("x", b"\t", 40, 37, 0, tuple(range(1, 40)), 0, "")
_PARSER = Parser([_LAYOUT], labels=True)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    at=st.integers(0, 39),
    cell=st.one_of(
        st.binary(max_size=10).filter(lambda b: b"\n" not in b),
        st.text("0123456789abcdefABCDEF-+. gx", max_size=10).map(str.encode),
    ),
    cut=st.integers(34, 41),
)
@example(at=20, cell=b"\x00", cut=40)
@example(at=20, cell=b"1\x00", cut=40)
@example(at=3, cell=b"-0.00", cut=40)
@example(at=3, cell=b"9" * 18, cut=40)
@example(at=3, cell=b"5\n", cut=40)
def test_the_parser_and_the_explanation_agree(at, cell, cut):
    line = [c.encode() for c in cells(7)] + [b"0"]
    line[at] = cell
    text = b"\t".join(line[:cut])
    dense, ids, label, good, _ = _PARSER(tf.constant(0, tf.int64), tf.constant([text]))
    reason = criteo_format.explain(text, _LAYOUT)
    assert bool(good[0]) == (reason is None), (text, reason)
    assert len(dense) == len(ids) == len(label) == int(good[0])
