"""Files of Criteo lines for the tests, and all rows that the reader gives."""

import gzip
from pathlib import Path

import numpy as np

from models.data import criteo

CHUNK = 1024  # what the reader parses at once; files here go beyond it
LOGGER = "models.data.criteo"


def cells(row: int) -> list[str]:
    """Label, 13 integers and 26 values of a good line, another for each row."""
    integers = [str(row * 13 + i) for i in range(13)]
    values = [f"{(row * 2654435761 + f * 40503) % 2**32:08x}" for f in range(26)]
    return [str(row % 2), *integers, *values]


def write_raw(file: Path, rows) -> Path:
    text = "".join("\t".join(row) + "\n" for row in rows)
    with gzip.open(file, "wt") if file.suffix == ".gz" else open(file, "w") as out:
        out.write(text)
    return file


def write_csv(file: Path, rows, labels: bool = True) -> Path:
    """CSV with an Id and the columns in an order of its own."""
    names = ["Id", *reversed(criteo.FIELDS), *(["Label"] if labels else [])]
    lines = [",".join(names)]
    for i, row in enumerate(rows):
        lines.append(",".join([str(i), *reversed(row[1:]), *(row[:1] if labels else [])]))
    file.write_text("\n".join(lines) + "\n")
    return file


def read(files, batch_size=512, **options):
    """All rows as (dense, ids, label)."""
    parts = list(criteo.dataset(files, batch_size, **options).as_numpy_iterator())
    if not parts:
        return np.empty((0, 13)), np.empty((0, 26)), np.empty((0, 1))
    return (
        np.concatenate([features["dense"] for features, _ in parts]),
        np.concatenate([features["ids"] for features, _ in parts]),
        np.concatenate([label for _, label in parts]),
    )


def assert_same(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


def first_integers(rows) -> list[int]:
    """The row numbers of `cells` that were read."""
    return [round(x / 13) for x in np.expm1(rows[0][:, 0].astype(np.float64))]
