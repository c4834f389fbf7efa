"""The inputs that the Criteo targets begin with: `python -m tests.fuzz.seeds` writes them."""

from __future__ import annotations

import gzip
from pathlib import Path

from models.data import criteo_format as fmt
from tests.models.criteo_files import cells

CORPUS = Path(__file__).parent / "corpus"


def _raw(rows, first: int = 0) -> bytes:
    return "".join("\t".join(row[first:]) + "\n" for row in rows).encode()


def _csv(rows, header: bool) -> bytes:
    lines = [",".join(["Id", *reversed(fmt.FIELDS), fmt.LABEL])] if header else []
    lines += [",".join([str(i), *reversed(row[1:]), row[0]]) for i, row in enumerate(rows)]
    return ("\n".join(lines) + "\n").encode()


def _with(row: list[str], at: int, cell: str) -> list[str]:
    return [*row[:at], cell, *row[at + 1 :]]


def _files() -> dict[str, bytes]:
    """Files by name, without what a target's first byte says."""
    good = cells(5)
    missing = [good[0], *[""] * 13, *good[14:]]
    odd = [_with(good, 2, "-3"), _with(good, 3, "5.0"), _with(good, 20, "ABC"), good[:37]]
    bad = [_with(good, 3, "1.5"), _with(good, 20, "0123g567"), _with(good, 0, "2"), good[:36], [*good, ""], [""]]
    return {
        "good": _raw([cells(1), cells(2)]),
        "missing": _raw([missing, good]),
        "odd": _raw(odd),
        "malformed": _raw(bad),
        "unlabelled": _raw([good], first=1),
        "carriage_returns": _raw([good, good]).replace(b"\n", b"\r\n"),
        "no_end": _raw([good])[:-1],
    }


def seeds() -> dict[str, bytes]:
    """Path below the corpus -> input."""
    files = _files()
    csv = [cells(3), _with(cells(4), 3, "x")]
    found = {f"criteo_format/{name}.bin": b"\0" + text for name, text in files.items()}
    found["criteo_format/csv.bin"] = b"\0" + _csv(csv, header=True)
    found["criteo_format/csv_mark.bin"] = b"\0\xef\xbb\xbf" + _csv(csv, header=True)
    found["criteo_format/csv_twice.bin"] = b"\0" + _csv(csv, header=True).replace(b"I2,", b"I1,", 1)
    found["criteo_format/no_header.bin"] = b"\0" + _csv(csv, header=False)
    found["criteo_format/empty.bin"] = b"\0"
    found["criteo_format/compressed.bin"] = b"\2" + files["good"]
    zipped = gzip.compress(files["good"], mtime=0)
    found["criteo_format/zipped.bin"] = b"\1" + zipped
    found["criteo_format/zipped_cut.bin"] = b"\1" + zipped[:40]
    found["criteo_format/not_zipped.bin"] = b"\1" + files["good"][:80]
    for name, text in files.items():
        found[f"criteo_parse/{name}.bin"] = (b"\2" if name == "unlabelled" else b"\1") + text
    found["criteo_parse/without_labels.bin"] = b"\0" + files["malformed"]
    found["criteo_parse/csv.bin"] = b"\5" + _csv(csv, header=False)
    found["criteo_parse/nothing.bin"] = b"\1"
    return found


def main() -> None:
    for name, data in seeds().items():
        (CORPUS / name).parent.mkdir(parents=True, exist_ok=True)
        (CORPUS / name).write_bytes(data)
    print(f"{len(seeds())} inputs in {CORPUS}")


if __name__ == "__main__":
    main()
