"""Runs all cells of the reproduction and writes the report.

    make reproduce                      # the small plan, cut for 40 minutes on two processors
    make reproduce FULL=1               # all of it, hours
    python -m models.experiments.reproduce [--full] [--only TEXT] [--folder FOLDER]

Lines are added to FOLDER/results.jsonl as experiments end. Run again, it goes on
where it was interrupted: a cell whose line is there, with the same settings, is not
run a second time. A cell that fails is told and left out; the next run tries it again.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from benchmarks import network
from benchmarks.figures import ROOT
from benchmarks.peers.environments import PeerUnavailable
from benchmarks.streams import FANOUTS
from het_tf.shard_process import ShardError
from models.experiments import cells, data, report
from models.experiments.cells import Cell
from models.experiments.run import experiment
from models.train_graphsage import read as read_graph

# Modules that print JSON lines of their own: counted bytes, miss rates and calls.
COUNTED = {"curves": "benchmarks.curves", "scale": "benchmarks.scale", "rpcs": "models.experiments.rpcs"}


def lines_of(file: Path) -> list[dict[str, Any]]:
    """The lines of an earlier run; one that an interruption cut off is left out."""
    found = []
    for text in file.read_text().splitlines() if file.exists() else ():
        try:
            found.append(json.loads(text))
        except json.JSONDecodeError:
            continue
    return found


class Results:
    """A file of JSON lines that grows."""

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self._file = file
        self.lines = lines_of(file)
        # What was cut off shall not hang together with what comes.
        file.write_text("".join(json.dumps(line) + "\n" for line in self.lines))

    def has(self, settings: dict[str, Any]) -> bool:
        return bool(self.of([settings]))

    def of(self, planned: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The lines with these settings, in their order; a file may have others, of an earlier plan."""
        return [line for settings in planned for line in self.lines if line["settings"] == settings]

    def add(self, settings: dict[str, Any], line: dict[str, Any]) -> None:
        self.lines.append({"settings": settings, **line})
        with self._file.open("a") as file:
            file.write(json.dumps(self.lines[-1]) + "\n")


class Batches:
    """The data of the cell at hand, made once for all cells in a row that have it."""

    def __init__(self) -> None:
        self._of: tuple | None = None
        self._folder: tempfile.TemporaryDirectory | None = None
        self._made: data.Made | None = None

    def __enter__(self) -> Batches:
        return self

    def __exit__(self, *_: object) -> None:
        if self._folder is not None:
            self._folder.cleanup()

    def of(self, cell: Cell) -> data.Made:
        """Raises: ValueError: the cell's graph is too small for its batches."""
        count = cell.setup.worker_steps * cell.setup.workers
        workload = cell.workload
        key = (workload.graph, workload.factor, workload.vocabulary, cell.batch, cell.seed, cell.held_out, count)
        if self._made is None or key != self._of:
            self.__exit__()
            self._folder = tempfile.TemporaryDirectory()
            folder = Path(self._folder.name)
            sizes = {"batch": cell.batch, "batches": count, "held_out": cell.held_out, "seed": cell.seed}
            if workload.graph:
                graph = read_graph(workload.graph, None, workload.factor, cell.seed)
                self._made = data.graph_nodes(folder, graph, fanouts=FANOUTS, **sizes)
            else:
                self._made = data.criteo_rows(folder, None, vocabulary=workload.vocabulary, **sizes)
            self._of = key
        return self._made


def counted(module: str, quick: bool) -> Iterator[dict[str, Any]]:
    """The lines of a counting program.

    Raises:
      PeerUnavailable: it failed.
    """
    command = [sys.executable, "-m", module, *(["--quick"] if quick else [])]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("{"):
                yield json.loads(line)
    if process.returncode != 0:
        raise PeerUnavailable(f"{' '.join(command)} ended with {process.returncode}")


def run_all(chosen: list[Cell], results: Results, console: Console) -> list[str]:
    """Runs what has no line yet; the names of cells that failed."""
    failed = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    waiting = [cell for cell in chosen if not results.has(cell.settings())]
    with Progress(*columns, console=console) as progress, Batches() as batches:
        total = progress.add_task("experiments", total=len(chosen), completed=len(chosen) - len(waiting))
        for cell in waiting:
            steps = progress.add_task(cell.name, total=cell.setup.worker_steps)
            begun = time.monotonic()
            try:
                made = batches.of(cell)

                def told(done: int, task: TaskID = steps) -> None:
                    progress.update(task, completed=done)

                line = experiment(cell.spec(made.data), made, cell.setup, told)
            except (PeerUnavailable, ShardError, network.NetworkError, ValueError) as error:
                failed.append(cell.name)
                progress.console.print(f"failed: {cell.name}: {error}")
            else:
                results.add(cell.settings(), line)
                progress.console.print(f"{cell.name}: {time.monotonic() - begun:.0f} s")
            progress.remove_task(steps)
            progress.advance(total)
    return failed


def main(
    full: Annotated[bool, typer.Option(help="All cells, in the paper's topology: hours.")] = False,
    only: Annotated[str, typer.Option(help="Run only what has this text in its name.")] = "",
    folder: Annotated[Path | None, typer.Option(help="Of the report; build/reproduction[-full] without.")] = None,
) -> None:
    folder = folder or ROOT / "build" / ("reproduction-full" if full else "reproduction")
    console = Console(stderr=True)
    results = Results(folder / "results.jsonl")
    planned = cells.full() if full else cells.small()
    counting = {name: {"part": name, "quick": not full} for name in COUNTED}
    chosen = [cell for cell in planned if only in cell.name]
    counted_here = [name for name in counting if only in name]
    if not chosen and not counted_here:
        raise typer.BadParameter(f"nothing's name has {only!r}; some are: {', '.join(counting)}, {planned[0].name}")
    failed = []
    for name in counted_here:
        settings = counting[name]
        if not results.has(settings):
            console.print(f"{name}: counting")
            try:
                results.add(settings, {"lines": list(counted(COUNTED[name], not full))})
            except PeerUnavailable as error:
                failed.append(name)
                console.print(f"failed: {error}")
    failed += run_all(chosen, results, console)
    written = report.write(results.of([*counting.values(), *(cell.settings() for cell in planned)]), folder)
    console.print(f"report: {written}")
    if failed:
        sys.exit(f"failed, run again to try them: {', '.join(failed)}")


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    app.command()(main)
    app()
