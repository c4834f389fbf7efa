"""Runs all benchmarks and prints one table.

    python -m benchmarks.report [--full] [--save FILE] [NAME...]

Every module of this folder that can be run with --quick is a benchmark. Their JSON
lines are passed on as they come; the table follows at the end.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.figures import ROOT


def benchmarks(folder: Path = ROOT / "benchmarks") -> list[str]:
    """The names of the benchmarks, those first whose figures are quoted most."""
    first = ["hit_path", "exchange", "wire_bytes", "tables", "cluster"]
    found = [
        path.stem
        for path in sorted(folder.glob("*.py"))
        if path.stem != "report" and "--quick" in path.read_text() and "__main__" in path.read_text()
    ]
    return sorted(found, key=lambda name: first.index(name) if name in first else len(first))


def lines_of(output: str) -> list[dict[str, Any]]:
    """The JSON objects among lines of output."""
    lines = []
    for line in output.splitlines():
        if line.startswith("{"):
            try:
                lines.append(json.loads(line))
            except json.JSONDecodeError:
                continue
    return lines


def table_of(lines: list[dict[str, Any]]) -> Table:
    table = Table(title="Benchmarks", caption="ratio: the value divided by that of the reference")
    table.add_column("benchmark")
    table.add_column("metric", ratio=1, overflow="fold")
    table.add_column("value", justify="right")
    table.add_column("unit")
    table.add_column("ratio", justify="right")
    table.add_column("reference", overflow="fold")
    before = None
    for line in lines:
        name = line.get("benchmark", "")
        if before not in (None, name):
            table.add_section()
        shown, before = ("" if name == before else name), name
        if "unavailable" in line:
            reason = str(line.get("reason", "")).splitlines() or [""]
            table.add_row(shown, f"{line['unavailable']}: {reason[0]}", "-", "", "", "")
        else:
            ratio = line.get("ratio")
            table.add_row(
                shown,
                line["metric"],
                f"{line['value']:,.4g}",
                line["unit"],
                "" if ratio is None else f"{ratio:.3g}",
                line["reference"],
            )
    return table


def main(
    names: Annotated[list[str] | None, typer.Argument(help="Which benchmarks; default: all.")] = None,
    full: Annotated[bool, typer.Option(help="In their long form.")] = False,
    save: Annotated[Path | None, typer.Option(help="File that the JSON lines are written to as well.")] = None,
) -> None:
    known = benchmarks()
    if unknown := set(names or []) - set(known):
        raise typer.BadParameter(f"unknown benchmarks {sorted(unknown)}; there are {', '.join(known)}")
    lines: list[dict[str, Any]] = []
    failed = []
    for name in names or known:
        begin = time.monotonic()
        command = [sys.executable, "-m", f"benchmarks.{name}", *([] if full else ["--quick"])]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                print(line, end="", flush=True)
                lines += lines_of(line)
        if process.returncode != 0:
            failed.append(name)
            lines.append({"benchmark": name, "unavailable": name, "reason": f"ended with {process.returncode}"})
        print(f"{name}: {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)
    if save is not None:
        save.write_text("".join(json.dumps(line) + "\n" for line in lines))
    Console(width=160 if not sys.stdout.isatty() else None).print(table_of(lines))
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    typer.run(main)
