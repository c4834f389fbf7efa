"""`make demo`: two workers and two shards train Wide & Deep, and a report.

Runs models/train_ctr.py under the launcher and prints what came of it; the last
line is one JSON object.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from het_tf.launch import LaunchError, launch
from het_tf.shard_process import ShardError

SCRIPT = Path(__file__).parent / "train_ctr.py"


def show(result: dict[str, Any]) -> None:
    """The report as a table."""
    on_wire, without = result["bytes_on_wire"], result["bytes_without_cache"]
    table = Table(title=f"Wide & Deep, {result['workers']} workers, {result['shards']} shards", show_header=False)
    table.add_row("data", result["data"])
    table.add_row("steps per worker, batch, dimension", f"{result['steps']}, {result['batch']}, {result['dimension']}")
    table.add_row("cache", f"{result['cache_rows']:,} rows per worker, staleness {result['staleness']}")
    table.add_row("examples per second", f"{result['examples_per_second']:,.0f}")
    table.add_row("AUC on held-out rows", f"{result['auc']:.4f}")
    table.add_row("cache hit rate", f"{result['hit_rate']:.1%}")
    if result["shards"]:
        table.add_row("bytes on the wire", f"{on_wire / 1e6:,.1f} MB")
    else:
        table.add_row("bytes on the wire", "none: the shard is inside the worker")
    table.add_row("the same steps without a cache", f"{without / 1e6:,.1f} MB, at least (computed)")
    if without and result["shards"]:
        table.add_row("saved", f"{1 - on_wire / without:.1%}")
    Console().print(table)


def main(
    data: Annotated[str | None, typer.Option(help="Criteo rows (train.txt or CSV); generated ones without it.")] = None,
    workers: Annotated[int, typer.Option(min=1)] = 2,
    shards: Annotated[int, typer.Option(min=0)] = 2,
    dimension: Annotated[int, typer.Option(min=1)] = 16,
    steps: Annotated[int, typer.Option(min=2, help="Steps per worker.")] = 1000,
    staleness: Annotated[float, typer.Option(min=0)] = 100,
    cache: Annotated[int, typer.Option(min=0, help="Rows that a worker caches; 0: no cache.")] = 50_000,
) -> None:
    if data is not None and not Path(data).is_file():
        sys.exit(f"demo: there is no file {data}: give Criteo rows, DATA=train.txt, or leave it out")
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        options = {
            "dimension": dimension,
            "steps": steps,
            "staleness": staleness,
            "cache": cache,
            "report": report,
            **({"data": Path(data).resolve()} if data is not None else {}),
        }
        arguments = [f"--{name}={value}" for name, value in options.items()]
        try:
            # TensorFlow's notes about the processor are not what the demo is about.
            environ = {"TF_CPP_MIN_LOG_LEVEL": "2", **os.environ}
            code = launch(SCRIPT, arguments, workers=workers, shards=shards, environ=environ)
        except (LaunchError, ShardError) as error:
            sys.exit(f"demo: {error}")
        if code != 0:
            sys.exit(code)
        result = json.loads(report.read_text())
    show(result)
    print(json.dumps(result))


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    app.command()(main)
    app()
