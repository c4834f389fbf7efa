"""The report: which benchmarks there are, and what it makes of their lines."""

from __future__ import annotations

import json

import numpy as np
from rich.console import Console

from benchmarks import figures, report
from benchmarks.zipf import ZipfIds


def test_every_benchmark_is_found():
    found = report.benchmarks()
    assert found[:5] == ["hit_path", "exchange", "wire_bytes", "tables", "cluster"]
    assert not {"figures", "turns", "network", "report", "cluster_worker"} & set(found)


def test_figures_and_missing_contenders_get_a_row(capsys):
    figures.figure("hit_path", "het_tf: D=16", 7.91234, "M ids/s", data="generated", reference="tf", ratio=0.98765)
    figures.unavailable("hit_path", "fbgemm", "not installed\nand more")
    output = capsys.readouterr().out
    lines = report.lines_of("noise\n" + output + "{broken\n")
    assert [sorted(line) for line in lines] == [
        sorted(["benchmark", "metric", "value", "unit", "reference", "ratio", "data", "machine", "commit"]),
        sorted(["benchmark", "unavailable", "reason"]),
    ]
    assert json.loads(output.splitlines()[0])["ratio"] == 0.988
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(report.table_of(lines))
    text = console.export_text()
    assert "7.912" in text and "0.988" in text
    assert "fbgemm: not installed" in text and "and more" not in text


def test_zipf_batches_are_functions_of_seed_and_number_with_the_law_s_head():
    ids = ZipfIds(seed=3)
    batch = ids.batch(5, 100_000)
    np.testing.assert_array_equal(batch, ZipfIds(seed=3).batch(5, 100_000))
    assert not np.array_equal(batch, ids.batch(6, 100_000))
    counts = np.sort(np.unique(batch, return_counts=True)[1])[::-1]
    # The second rank comes 2 ** -1.05 as often as the first: 0.483, within four deviations.
    assert abs(counts[1] / counts[0] - 2**-1.05) < 0.04
