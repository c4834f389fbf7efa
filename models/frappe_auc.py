"""Test AUC of Wide & Deep on Frappe: Keras's own embedding against het_tf's.

    python -m models.frappe_auc --data frappe_ctr_neg2.npz

Runs models/train_frappe.py for keras, and for het_tf without a cache and at
staleness 0, 100 and infinity, with one worker and with two, over the same seeds,
splits and global batches. Prints mean and deviation, and the differences to
Keras paired by seed; the last line is one JSON object. An interrupted run goes on
where it stopped when it is given the same --results and settings. Status 1 when
het_tf is further from Keras than TOLERANCE.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from het_tf.launch import launch

SCRIPT = Path(__file__).parent / "train_frappe.py"
SYSTEMS = [("keras", 1), *((s, n) for n in (1, 2) for s in ("none", "0", "100", "inf"))]


# Largest mean difference of the AUC to Keras's, by staleness.
TOLERANCE = {"0": 0.001, "100": 0.002}


def read(results: Path, settings: dict[str, float]) -> dict[tuple[str, int], dict[int, float]]:
    """AUC by (system, workers) and seed; ends when a line is of other settings."""
    table: dict[tuple[str, int], dict[int, float]] = {}
    if results.exists():
        for number, line in enumerate(results.read_text().splitlines(), 1):
            one = json.loads(line)
            made = {name: one.get(name) for name in settings}
            if made != settings:
                sys.exit(
                    f"frappe_auc: line {number} of {results} was made with {made}, asked for {settings}: give another "
                    "--results, or remove the file"
                )
            table.setdefault((one["system"], one["workers"]), {})[one["seed"]] = one["auc"]
    return table


def summary(auc: dict[tuple[str, int], dict[int, float]]) -> list[dict[str, Any]]:
    """Mean and standard deviation of the AUC and of the paired difference to Keras."""
    rows = []
    for system, workers in SYSTEMS:
        values = auc[(system, workers)]
        differences = [values[seed] - auc[("keras", 1)][seed] for seed in sorted(values)]
        rows.append(
            {
                "system": system,
                "workers": workers,
                "auc_mean": statistics.mean(values.values()),
                "auc_sd": statistics.stdev(values.values()) if len(values) > 1 else 0.0,
                "difference_mean": statistics.mean(differences),
                "difference_sd": statistics.stdev(differences) if len(values) > 1 else 0.0,
                "seeds": len(values),
            }
        )
    return rows


def too_far(rows: list[dict[str, Any]]) -> list[str]:
    """What is further from Keras than it may be, in words."""
    return [
        f"s = {row['system']} with {row['workers']} worker(s) is {row['difference_mean']:+.5f} from Keras, expected at "
        f"most {TOLERANCE[row['system']]}"
        for row in rows
        if abs(row["difference_mean"]) > TOLERANCE.get(row["system"], float("inf"))
    ]


def main(
    data: Annotated[Path | None, typer.Option(help="frappe_ctr_neg2.npz; else in the folder HET_TF_DATA.")] = None,
    results: Annotated[Path, typer.Option(help="JSON lines of every run; kept.")] = Path("build/frappe_auc.jsonl"),
    seeds: int = 5,
    epochs: int = 5,
    batch: int = 512,
    learning_rate: float = 0.5,
    share: Annotated[float, typer.Option(help="Rows cached, as a share of the table.")] = 0.1,
) -> None:
    settings = {"batch": batch, "epochs": epochs, "learning_rate": learning_rate, "share": share}
    results.parent.mkdir(parents=True, exist_ok=True)
    environ = {"TF_CPP_MIN_LOG_LEVEL": "2", **os.environ}
    for system, workers in SYSTEMS:
        if len(read(results, settings).get((system, workers), ())) >= seeds:
            continue
        options = [f"--system={system}", f"--seeds={seeds}", f"--report={results.resolve()}"]
        options += [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
        if data is not None:
            options.append(f"--data={data.resolve()}")
        print(f"{system}, {workers} worker(s) ...", flush=True)
        # One worker has its shard inside; two have one between them.
        code = launch(SCRIPT, options, workers=workers, shards=workers - 1, environ=environ)
        if code != 0:
            sys.exit(code)
    rows = summary(read(results, settings))
    table = Table("system", "workers", "test AUC", "minus Keras, paired", title=f"Wide & Deep on Frappe, {seeds} seeds")
    for row in rows:
        name = row["system"] if row["system"] in ("keras", "none") else f"s = {row['system']}"
        table.add_row(
            {"none": "no cache"}.get(name, name),
            str(row["workers"]),
            f"{row['auc_mean']:.5f} ± {row['auc_sd']:.5f}",
            f"{row['difference_mean']:+.5f} ± {row['difference_sd']:.5f}",
        )
    Console().print(table)
    print("Frappe with two sampled negatives per use, not the NFM authors' own; mean ± standard deviation.")
    failures = too_far(rows)
    for failure in failures:
        print(f"frappe_auc: {failure}", file=sys.stderr)
    print(json.dumps({"benchmark": "frappe_auc", **settings, "results": rows}))
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    app.command()(main)
    app()
