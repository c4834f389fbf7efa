"""Every fuzz target has committed inputs, and what libFuzzer says of a run is understood."""

from __future__ import annotations

import sys

import pytest

from sources import ROOT

sys.path.insert(0, str(ROOT / "tools/check"))

from fuzz import chosen, line, read_log, targets

LARGEST = 4096


@pytest.mark.parametrize("target", targets(), ids=lambda target: target.name)
def test_a_target_has_small_committed_inputs_and_its_dictionary(target):
    inputs = list((ROOT / target.seeds).iterdir())
    assert 5 <= len(inputs) <= 50
    assert all(path.suffix == ".bin" and path.stat().st_size <= LARGEST for path in inputs)
    assert target.dictionary is None or (ROOT / target.dictionary).exists()


def test_everything_that_reads_bytes_has_a_target():
    wire, native = {"decode_request", "decode_reply"}, {"checkpoint_file", "push_log", "shard_recovery"}
    python = {"checkpoint_read", "criteo_format", "criteo_parse"}
    assert {target.name for target in targets()} >= wire | native | python
    assert [target.name for target in chosen(["push_log"])] == ["push_log"]
    with pytest.raises(SystemExit, match="no fuzz target pushlog; there are"):
        chosen(["pushlog"])


LOG = """\
#2048	pulse  cov: 12 ft: 34 corp: 5/6b lim: 4 exec/s: 0 rss: 44Mb
#4096	DONE   cov: 112 ft: 234 corp: 56/78Kb lim: 1453 exec/s: 6553 rss: 42Mb
stat::number_of_executed_units: 4096
"""


def test_a_log_is_read():
    outcome = read_log(LOG, 0)
    outcome.seconds = 2.0
    assert outcome.finding is None
    assert " ".join(line("push_log", outcome).split()) == (
        "push_log 4096 executions 2 s 2048/s 112 edges 234 features 56 inputs, 78Kb"
    )


def test_a_finding_is_found():
    log = LOG + "artifact_prefix='x/'; Test unit written to x/crash-0123\nBase64: AA==\n"
    assert read_log(log, 77).finding == "x/crash-0123"


def test_a_run_that_ends_badly_without_one_is_a_finding_too():
    assert read_log("", -9).finding == "none was written, status -9"
