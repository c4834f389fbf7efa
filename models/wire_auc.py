"""Test AUC of Wide & Deep by the format of the wire: float32, 16 and 8 bits.

    python -m models.wire_auc frappe --data frappe_ctr_neg2.npz
    python -m models.wire_auc criteo

Two workers and a shard train at staleness 100 with a cache of a tenth of the rows
on Frappe (models/train_frappe.py), or on generated Criteo rows
(models/train_ctr.py), once per format and seed. Prints the differences to float32
paired by seed; the last line is one JSON object. An interrupted run goes on where
it stopped when it is given the same --results. Status 1 when a format is further
from float32 than TOLERANCE.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from het_tf.launch import launch

FOLDER = Path(__file__).parent
WORKERS = 2
# Largest mean difference of the AUC to that with float32, by format.
TOLERANCE = {"bfloat16": 0.0005, "float16": 0.0005, "int8": 0.001}


class Data(StrEnum):
    frappe = "frappe"
    criteo = "criteo"


def train(data: Data, file: Path | None, wire: str, seed: int, staleness: int) -> float:
    """The test AUC of one training."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        options = [f"--wire={wire}", f"--report={report}"]
        if data is Data.criteo:
            options += [f"--seed={seed}", f"--staleness={staleness}", "--steps=1000", "--cache=15000"]
            script = FOLDER / "train_ctr.py"
        else:
            options += [f"--system={staleness}", f"--first-seed={seed}", "--seeds=1", "--epochs=5"]
            options += [f"--data={file.resolve()}"] if file is not None else []
            script = FOLDER / "train_frappe.py"
        code = launch(script, options, workers=WORKERS, shards=1, environ={"TF_CPP_MIN_LOG_LEVEL": "2", **os.environ})
        if code != 0:
            sys.exit(code)
        return json.loads(report.read_text())["auc"]


def read(results: Path, data: Data, staleness: int) -> dict[str, dict[int, float]]:
    """AUC by format and seed, of the lines that are about this."""
    auc: dict[str, dict[int, float]] = {wire: {} for wire in ("float32", *TOLERANCE)}
    for line in results.read_text().splitlines() if results.exists() else ():
        one = json.loads(line)
        if (one["data"], one["staleness"]) == (data.value, staleness):
            auc[one["wire"]][one["seed"]] = one["auc"]
    return auc


def summary(auc: dict[str, dict[int, float]]) -> list[dict[str, Any]]:
    """Mean and standard deviation of the differences to float32, paired by seed."""
    rows = []
    for wire, values in auc.items():
        differences = [values[seed] - auc["float32"][seed] for seed in sorted(values)]
        rows.append(
            {
                "wire": wire,
                "auc_mean": statistics.mean(values.values()),
                "difference_mean": statistics.mean(differences),
                "difference_sd": statistics.stdev(differences) if len(differences) > 1 else 0.0,
                "seeds": len(differences),
            }
        )
    return rows


def too_far(rows: list[dict[str, Any]]) -> list[str]:
    """What is further from float32 than it may be, in words."""
    return [
        f"{row['wire']} is {row['difference_mean']:+.5f} from float32, expected at most {TOLERANCE[row['wire']]}"
        for row in rows
        if abs(row["difference_mean"]) > TOLERANCE.get(row["wire"], float("inf"))
    ]


def main(
    data: Annotated[Data, typer.Argument(help="What to train on.")],
    file: Annotated[
        Path | None, typer.Option("--data", help="frappe_ctr_neg2.npz; else in the folder HET_TF_DATA.")
    ] = None,
    results: Annotated[Path, typer.Option(help="JSON lines of every run; kept.")] = Path("build/wire_auc.jsonl"),
    seeds: Annotated[int, typer.Option(min=1)] = 5,
    staleness: Annotated[int, typer.Option(min=0)] = 100,
) -> None:
    results.parent.mkdir(parents=True, exist_ok=True)
    for seed in range(seeds):
        for wire in ("float32", *TOLERANCE):
            if seed in read(results, data, staleness)[wire]:
                continue
            print(f"{data.value}, {wire}, seed {seed} ...", flush=True)
            one = {"data": data.value, "staleness": staleness, "wire": wire, "seed": seed}
            auc = train(data, file, wire, seed, staleness)
            with results.open("a") as lines:
                lines.write(json.dumps({**one, "auc": auc}) + "\n")
    rows = summary(read(results, data, staleness))
    title = {Data.frappe: "Frappe", Data.criteo: "generated Criteo rows"}[data]
    table = Table("wire", "test AUC", "minus float32, paired", title=f"Wide & Deep, {title}, {seeds} seeds")
    for row in rows:
        difference = f"{row['difference_mean']:+.5f} ± {row['difference_sd']:.5f}"
        table.add_row(row["wire"], f"{row['auc_mean']:.5f}", difference)
    Console().print(table)
    failures = too_far(rows)
    for failure in failures:
        print(f"wire_auc: {failure}", file=sys.stderr)
    print(json.dumps({"benchmark": "wire_auc", "data": data.value, "staleness": staleness, "results": rows}))
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    app.command()(main)
    app()
