"""The Criteo fuzz targets over their committed inputs, and a file that is cut off inside of its compression."""

import gzip
import re
import zlib

import pytest

from criteo_files import cells, write_raw
from models.data import criteo_format
from tests.fuzz import criteo_format_fuzz, criteo_parse_fuzz, seeds

RUN = {"criteo_format": criteo_format_fuzz.run, "criteo_parse": criteo_parse_fuzz.run}


def test_the_committed_inputs_are_what_the_script_writes():
    written = {path.relative_to(seeds.CORPUS).as_posix(): path.read_bytes() for path in seeds.CORPUS.rglob("*.bin")}
    made = seeds.seeds()
    assert {name: written.get(name) for name in made} == made, "python -m tests.fuzz.seeds writes them anew"


@pytest.mark.parametrize(
    "name", sorted(path.relative_to(seeds.CORPUS).as_posix() for path in seeds.CORPUS.rglob("*.bin"))
)
def test_every_committed_input_is_read_or_refused(name):
    RUN[name.split("/")[0]]((seeds.CORPUS / name).read_bytes())


def test_a_compressed_file_that_is_damaged_is_named(tmp_path):
    whole = write_raw(tmp_path / "rows.gz", [cells(1)] * 50).read_bytes()
    damaged = {
        "cut off": (whole[:40], EOFError),
        "cut off in its header": (whole[:5], EOFError),
        "not deflated": (whole[:18] + b"\xff" * 40, zlib.error),
        "not gzip": (b"rows", gzip.BadGzipFile),
    }
    for what, (content, cause) in damaged.items():
        file = tmp_path / f"{what}.gz"
        file.write_bytes(content)
        with pytest.raises(ValueError, match=f"{what}.gz ends in .gz but is not") as raised:
            criteo_format.layout_of(file)
        assert isinstance(raised.value.__cause__, cause), what


def test_of_inputs_that_are_parsed_together_the_wrong_one_is_named(monkeypatch):
    corpus = seeds.CORPUS / "criteo_parse"
    wrong = (corpus / "missing.bin").read_bytes()
    right = (corpus / "good.bin").read_bytes()
    together = criteo_parse_fuzz.Together()
    for _ in range(criteo_parse_fuzz._TOGETHER):
        together.run(right)

    explain = criteo_format.explain
    reasons = dict.fromkeys(criteo_parse_fuzz.lines_of(wrong[1:]), "wrong")
    monkeypatch.setattr(
        criteo_format, "explain", lambda line, layout, labels: reasons.get(line) or explain(line, layout, labels)
    )
    together.run(wrong)
    with pytest.raises(AssertionError, match=re.escape(repr(wrong))):
        for _ in range(criteo_parse_fuzz._TOGETHER):
            together.run(right)
