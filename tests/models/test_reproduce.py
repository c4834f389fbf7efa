"""The reproduction: a run goes on where it was interrupted, and its report has what was measured."""

from __future__ import annotations

import json
import math

import pytest
import typer
from rich.console import Console

from benchmarks.peers.environments import PeerUnavailable
from models.experiments import cells, report, reproduce
from models.experiments.cells import Cell, Workload
from models.experiments.run import Setup
from models.experiments.spec import Model, System

SETUP = Setup(2, 1, ("free", "1"), 5, 8, rounds=2)


def cell(system: System = System.het_cache, **more) -> Cell:
    return Cell("systems", Workload(Model.wdl, vocabulary=2000), system, SETUP, batch=8, held_out=2, **more)


MADE_ON = {"machine": "a machine", "commit": "abc"}


def line(system: str, staleness: str | None, communication: float, score: float = 0.7, **more) -> dict:
    """As run.py makes it, of 4 workers."""
    networks = {
        name: {
            "steps": 8,
            "median_step_seconds": 0.05 + seconds,
            "mean_step_seconds": 0.05 + seconds,
            "communication_seconds": seconds,
            "seconds_per_epoch": 1000.0,
            "bytes_sent": 400_000,
            "bytes_received": 600_000,
            "cpu_seconds": 0.02,
        }
        for name, seconds in {"free": 0.0, "1": communication}.items()
    }
    whole = {
        "settings": {"part": "systems", "workload": {"model": "wdl", "graph": ""}, "setup": {"steps": 8}},
        "system": system,
        "workers": 4,
        "staleness": staleness,
        "batch": 128,
        "dimension": 128,
        "embeddings": 1000,
        "learning_rate": 0.1,
        "seed": 0,
        "data": "generated rows",
        "real": False,
        "networks": networks,
        "hit_rate": 0.9,
        "metric": "auc",
        "score": score,
        "curve": [[4, 1.0, 0.6], [8, 2.0, score]],
        "versions": {"het_tf": "0.1.0"},
        **MADE_ON,
    }
    return whole | more


class Fake:
    """In place of experiments: notes what it is asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[str] = []
        self.broken: set[str] = set()
        monkeypatch.setattr(reproduce, "experiment", self.run)
        monkeypatch.setattr(reproduce.Batches, "of", lambda *_: type("Made", (), {"data": None}))

    def run(self, spec, made, setup, told):
        self.asked.append(spec.system.value)
        told(5)
        if spec.system.value in self.broken:
            raise PeerUnavailable("it did not come up")
        return {"system": spec.system.value}


def run(results: reproduce.Results, chosen: list[Cell]) -> list[str]:
    return reproduce.run_all(chosen, results, Console(quiet=True))


def test_a_second_run_makes_what_the_first_one_did_not(monkeypatch, tmp_path):
    fake = Fake(monkeypatch)
    chosen = [cell(System.het_ps), cell(System.het_ar), cell(System.het_cache), cell(System.het_cache, staleness=10)]
    fake.broken = {"het_ar"}
    file = tmp_path / "made" / "results.jsonl"
    assert run(reproduce.Results(file), chosen) == [chosen[1].name]
    assert fake.asked == ["het_ps", "het_ar", "het_cache", "het_cache"]
    # An interruption may cut the last line off.
    whole = file.read_text()
    file.write_text(whole[:-20])
    fake.asked, fake.broken = [], set()
    assert run(reproduce.Results(file), chosen) == []
    assert fake.asked == ["het_ar", "het_cache"]
    assert len([json.loads(text) for text in file.read_text().splitlines()]) == 4
    fake.asked = []
    assert run(reproduce.Results(file), chosen) == [] and fake.asked == []


def test_a_line_counts_for_the_same_settings_alone(monkeypatch, tmp_path):
    fake = Fake(monkeypatch)
    results = reproduce.Results(tmp_path / "results.jsonl")
    run(results, [cell()])
    others = [cell(seed=1), cell(dimension=64), cell(staleness=math.inf), cell(share=0.2)]
    run(results, [cell(), *others])
    assert len(fake.asked) == 5
    # Only a cache has a staleness.
    run(results, [cell(System.het_hybrid, staleness=10)])
    run(results, [cell(System.het_hybrid, staleness=0)])
    assert len(fake.asked) == 6


def test_lines_of_an_earlier_plan_are_kept_and_not_reported(monkeypatch, tmp_path):
    Fake(monkeypatch)
    file = tmp_path / "results.jsonl"
    first, second, other = cell(System.het_ps), cell(System.het_ar), cell(System.het_ar, learning_rate=0.5)
    run(reproduce.Results(file), [second, other, first])
    results = reproduce.Results(file)
    assert len(results.lines) == 3
    assert [line["settings"] for line in results.of([first.settings(), second.settings()])] == [
        first.settings(),
        second.settings(),
    ]


@pytest.mark.parametrize("plan", [cells.small, cells.full])
def test_the_plans_have_what_the_paper_has(plan):
    planned = plan()
    settings = [json.dumps(one.settings()) for one in planned]
    assert len(set(settings)) == len(settings)
    systems = [one for one in planned if one.part == "systems"]
    assert {one.workload.name for one in systems} == {"wdl", "deepfm", "dcn", "amazon", "reddit", "ogbn-mag"}
    assert {(one.system, one.staleness) for one in systems if one.workload.name == "wdl"} == set(cells._systems())
    assert all(one.batch == 128 and one.dimension == 128 and one.share == 0.1 for one in systems)
    # Copies are used up after s steps: a cache is in its steady state then.
    assert all(one.setup.warm_up > 100 for one in systems)
    assert {one.staleness for one in planned if one.part == "staleness"} == {0, 10, 100, 10_000, math.inf}


def row(text: str, start: str, *, at: int = 0, of: int = 1) -> list[str]:
    found = [one for one in text.splitlines() if one.startswith(f"| {start} |")]
    assert len(found) == of, found
    return [cell.strip() for cell in found[at].strip("|").split("|")]


def test_the_report_has_the_papers_numbers_beside_those_measured(tmp_path):
    lines = [line("parallax", None, 0.08), line("het_cache", "100", 0.004)]
    lines[0]["networks"]["1"]["mean_step_seconds"] = 0.17
    lines.append(line("het_ps", None, 0.02, learning_rate=0.01, congestion_control="reno"))
    text = report.write(lines, tmp_path).read_text()
    # Step without a limit, communication, its multiple of the cache's, the paper's, bytes, processor, epoch, AUC.
    expected = ["parallax", "50.0", "80.0", "20.0", "17.4", "1000", "20.0", "1,000", "0.7000"]
    assert row(text, "parallax", of=2) == expected
    assert row(text, "parallax", at=1, of=2) == ["parallax", "120.0", "30.0"]
    assert "| wdl | 1 | parallax | 62% | 3.15 | 10.86 |" in text
    assert "SGD 0.1 (het_ps 0.01). a machine, commit abc; a machine, commit abc, TCP Reno." in text
    assert "All models are trained on generated data." in text
    assert "generated rows; 1,000 rows" in text and "a machine" in text
    assert "![systems](systems.svg)" in text and (tmp_path / "systems.svg").read_text().count("<svg") == 1


def test_what_is_too_short_to_measure_gives_a_bound(tmp_path):
    lines = [line("parallax", None, 0.08), line("het_cache", "100", 0.0002)]
    text = report.write(lines, tmp_path).read_text()
    assert row(text, "parallax", of=2)[3] == "> 80.0"
    assert row(text, "het_cache 100", of=2)[3] == "1"
    # Of long steps, a share.
    for network in (network for one in lines for network in one["networks"].values()):
        network["median_step_seconds"] += 0.35
    assert row(report.write(lines, tmp_path).read_text(), "parallax", of=2)[3] == "> 10.0"


def test_without_emulated_hosts_there_is_no_communication(tmp_path):
    one = line("het_cache", "100", 0.0)
    one["networks"] = {"loopback": one["networks"]["free"] | {"communication_seconds": None}}
    text = report.write([one], tmp_path).read_text()
    # Step, bytes, processor, epoch, AUC.
    assert row(text, "het_cache 100") == ["het_cache 100", "50.0", "1000", "20.0", "1,000", "0.7000"]


def test_what_is_counted_is_chosen_as_cells_are(monkeypatch, tmp_path):
    fake, asked = Fake(monkeypatch), []
    monkeypatch.setattr(reproduce, "counted", lambda module, _: asked.append(module) or iter([]))
    reproduce.main(full=False, only="rpcs", folder=tmp_path)
    assert asked == ["models.experiments.rpcs"] and fake.asked == []
    with pytest.raises(typer.BadParameter, match="curves, scale, rpcs, systems: wdl"):
        reproduce.main(full=False, only="nothing has this", folder=tmp_path)


def test_targets_curves_and_staleness(tmp_path):
    def of(part: str, **more) -> dict:
        return {"settings": line("x", None, 0)["settings"] | {"part": part}} | more

    lines = [
        line("het_hybrid", None, 0.01, **of("convergence", curve=[[4, 1.0, 0.6], [8, 2.0, 0.65], [12, 3.0, 0.66]])),
        line("het_cache", "100", 0.01, **of("convergence", curve=[[4, 0.5, 0.61], [8, 1.0, 0.65]])),
        line("tf_ps", None, 0.01, **of("convergence", curve=[[4, 0.5, 0.5], [8, 1.0, 0.6]])),
        line("het_cache", "0", 0.0, 0.75, **of("staleness")),
        line("het_cache", "0", 0.0, 0.76, seed=1, **of("staleness")),
        line("het_cache", "100", 0.0, 0.745, **of("staleness")),
        line("het_cache", "100", 0.0, 0.757, seed=1, machine="another", **of("staleness")),
        line("het_cache", "inf", 0.0, 0.70, **of("staleness")),
        {"settings": {"part": "curves", "quick": True}, "lines": [
            {"metric": "misses per distinct id, reddit, lfu, cache 3% of the table", "value": 70.0, "unit": "%",
             "ratio": 1.1, "reference": "HET's figure: 71 %", "data": "generated graph like reddit", **MADE_ON},
            {"metric": "misses per distinct id, frappe, lfu, cache 3% of the table", "value": 75.3, "unit": "%",
             "ratio": None, "reference": "none", "data": "real rows of Frappe", **MADE_ON},
            {"metric": "payload, 16 bits to hybrid's float32, batch 128, s=100", "value": 100.0, "unit": "kB",
             "ratio": 0.1, "reference": "hybrid", **MADE_ON},
        ]},
        {"settings": {"part": "rpcs", "quick": True}, "lines": [
            {"metric": "tf_ps, 2 workers, 1 server", "value": 16.0, "unit": "calls per step of a worker", **MADE_ON},
        ]},
    ]  # fmt: skip
    text = report.write(lines, tmp_path).read_text()
    assert row(text, "het_hybrid")[1:3] == ["8", "2.0"]
    assert row(text, "het_cache 100")[1:3] == ["8", "1.0"]
    assert row(text, "tf_ps")[1:3] == ["not reached", ""]
    assert row(text, "inf")[1:4] == ["1", "0.7000", "-0.0500"]
    assert row(text, "100")[1:4] == ["2", "0.7510", "-0.0040 (-0.0050 to -0.0030)"]
    assert "a machine, commit abc; another, commit abc." in text
    assert "## Staleness: wdl\n\ngenerated rows; 4 workers" in text
    assert "| reddit | generated | lfu | 70.0 (71) |" in text and "| frappe | real | lfu | 75.3 |" in text
    assert "| batch 128, s=100 | 90.0% |" in text
    assert row(text, "tf_ps, 2 workers, 1 server")[1] == "16.00"
    assert {file.name for file in tmp_path.iterdir()} == {
        "report.md", "convergence.svg", "staleness.svg", "misses.svg",
    }  # fmt: skip
