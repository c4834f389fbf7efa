"""The Criteo Kaggle format: its columns, its files' layouts and its id space.

Pure Python without TensorFlow; everything here is immutable or a pure
function, so it may be used from any thread. `criteo.py` reads rows with it,
`synthetic_criteo.py` makes rows in the same id space.

Id space. One int64 names a categorical value of one field, so that a single
table keyed by any int64 holds all 26 fields without a vocabulary:

    id(field, value)   = (field + 1) << 40 | value      field 0..25, value 32 bits
    id(field, missing) = (field + 1) << 40 | 1 << 32

Fields never meet, no value meets `missing`, and every id is positive.

Raw files that went through a `strip()` have lost the TABs that end a line whose
last values are missing; such copies are in circulation. C24..C26 are the only
values at the end that are ever missing (C23 never is), so a raw line may lack
just those and reads as missing there; any shorter line is malformed.
"""

import glob
import gzip
import os
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

DENSE_FIELDS = tuple(f"I{i}" for i in range(1, 14))
CATEGORICAL_FIELDS = tuple(f"C{i}" for i in range(1, 27))
FIELDS = DENSE_FIELDS + CATEGORICAL_FIELDS
LABEL = "Label"

#: Distinct values of C1..C26 over the whole Kaggle set (as published).
# fmt: off
CARDINALITIES = (
    1460, 583, 10131227, 2202608, 305, 24, 12517, 633, 3, 93145, 5683, 8351593,
    3194, 27, 14992, 5461306, 10, 5652, 2173, 4, 7046547, 18, 15, 286181, 105,
    142572,
)
# fmt: on

FIELD_SHIFT = 40
MISSING_VALUE = 1 << 32

# An integer; "5.0" is how pandas writes one in a column with missing values.
INTEGER_PATTERN = r"-?[0-9]{1,18}(\.0+)?"
_INTEGER = re.compile(INTEGER_PATTERN.encode())
_HEX = re.compile(rb"[0-9a-fA-F]{1,8}")
_VALUE = re.compile(rb"[0-9a-f]{8}")
_STRIPPED = 3  # C24, C25, C26


def global_id(field: int, value: int | None) -> int:
    """The id of a 32-bit `value` (None: missing) of categorical field 0..25."""
    if not 0 <= field < len(CATEGORICAL_FIELDS):
        raise ValueError(f"field is {field}; expected 0..25 for C1..C26")
    if value is None:
        value = MISSING_VALUE
    elif not 0 <= value < 1 << 32:
        raise ValueError(f"value is {value}; expected an unsigned 32-bit number")
    return (field + 1) << FIELD_SHIFT | value


@dataclass(frozen=True)
class Layout:
    """How one file's lines are laid out.

    Attributes:
      file: path of the file.
      separator: one byte, TAB or comma.
      columns: how many columns a line has.
      least_columns: how many it has at least, the rest reading as missing.
      header: how many header lines come first (0 or 1).
      positions: column of I1..I13, C1..C26 (39 numbers).
      label: column of the label, None if the file has none.
      compression: "GZIP" or "".
    """

    file: str
    separator: bytes
    columns: int
    least_columns: int
    header: int
    positions: tuple[int, ...]
    label: int | None
    compression: str


def layout_of(file: str | os.PathLike[str]) -> Layout:
    """Finds out the layout of `file` from its first line.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the file is empty or its first line is neither a raw Criteo
        line nor a header that names I1..I13 and C1..C26.
    """
    name = os.fspath(file)
    zipped = name.endswith(".gz")
    try:
        with gzip.open(name) if zipped else open(name, "rb") as lines:
            first = lines.readline(1 << 16)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{name} ends in .gz but is not gzip, or not whole: {error}") from error
    if not first:
        raise ValueError(f"{name} is empty; expected Criteo rows")
    separator = b"\t" if b"\t" in first else b","
    text = first.decode("utf-8-sig", errors="replace").rstrip("\r\n")
    names = [n.strip() for n in text.split(separator.decode())]
    compression = "GZIP" if zipped else ""

    if "I1" in names or "C1" in names:
        absent = [n for n in FIELDS if n not in names]
        double = [n for n in (LABEL, *FIELDS) if names.count(n) > 1]
        if absent or double:
            raise ValueError(
                f"{name}: the header lacks {absent} and repeats {double}; expected each "
                "of I1..I13 and C1..C26 once, and Label for labelled rows"
            )
        return Layout(
            file=name,
            separator=separator,
            columns=len(names),
            least_columns=len(names),
            header=1,
            positions=tuple(names.index(n) for n in FIELDS),
            label=names.index(LABEL) if LABEL in names else None,
            compression=compression,
        )
    if separator == b"\t":
        # Without a label C1 comes where I13 is otherwise. Whatever else the
        # first line is, it is a line of train.txt or a malformed one.
        place = len(DENSE_FIELDS)
        c1 = names[place] if len(names) > place else ""
        labelled = len(names) > len(FIELDS) or not _VALUE.fullmatch(c1.encode())
        first_field = int(labelled)
        return Layout(
            file=name,
            separator=separator,
            columns=first_field + len(FIELDS),
            least_columns=first_field + len(FIELDS) - _STRIPPED,
            header=0,
            positions=tuple(range(first_field, first_field + len(FIELDS))),
            label=0 if labelled else None,
            compression=compression,
        )
    raise ValueError(
        f"{name}: the first line is {text[:80]!r}; expected either TAB-separated raw Criteo "
        "lines (label, 13 integers, 26 hex strings) or a CSV header with Label, I1..I13, C1..C26"
    )


def explain(line: bytes, layout: Layout, labels: bool = True) -> str | None:
    """Says what is wrong with one line, None if nothing is."""
    cells = line.split(layout.separator)
    if not layout.least_columns <= len(cells) <= layout.columns:
        return f"{len(cells)} columns, expected {layout.columns}"
    cells += [b""] * (layout.columns - len(cells))
    if labels and layout.label is not None and cells[layout.label] not in (b"0", b"1"):
        return f"{LABEL} is {_shown(cells[layout.label])}, expected 0 or 1"
    for field, position in zip(FIELDS, layout.positions, strict=True):
        cell = cells[position]
        if not cell:
            continue
        if field in DENSE_FIELDS and not _INTEGER.fullmatch(cell):
            return f"{field} is {_shown(cell)}, expected an integer or nothing"
        if field in CATEGORICAL_FIELDS and not _HEX.fullmatch(cell):
            return f"{field} is {_shown(cell)}, expected 1 to 8 hex digits or nothing"
    return None


def _shown(cell: bytes) -> str:
    return repr(cell[:40].decode("utf-8", errors="backslashreplace"))


def layouts_of(files: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> list[Layout]:
    """The layouts of a file, a glob pattern, or a sequence of either, in order.

    A pattern's files come sorted by name; a name that exists is never a pattern.
    """
    given = [files] if isinstance(files, (str, os.PathLike)) else list(files)
    found: list[str] = []
    for item in (os.fspath(path) for path in given):
        if os.path.exists(item) or not glob.has_magic(item):
            found.append(item)
            continue
        matches = sorted(glob.glob(item))
        if not matches:
            raise FileNotFoundError(f"no file matches {item!r}")
        found.extend(matches)
    if not found:
        raise ValueError("no files were given; expected a path, a pattern or a list of them")
    return [layout_of(name) for name in found]
