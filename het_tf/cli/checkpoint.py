"""het-tf checkpoint: list, verify, inspect, merge and export what `het.callbacks.Checkpoint` has saved."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

from het_tf import checkpoint
from het_tf.checkpoint import directory as layout
from het_tf.cli.failure import fail

app = typer.Typer(no_args_is_help=True, help="List, verify, inspect, merge and export checkpoints.")

Directory = Annotated[Path, typer.Argument(help="The directory of checkpoints.", exists=True, file_okay=False)]
Name = Annotated[str | None, typer.Argument(help="A checkpoint of it; default: the newest.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="JSON instead of a table.")]


@app.command("list")
def list_(directory: Directory, as_json: AsJson = False) -> None:
    """Show the checkpoints of DIRECTORY, the oldest first.

    Whether all files are there is looked up; `verify` reads them.
    """
    found = []
    for manifest in checkpoint.list(directory):
        try:
            layout.check(directory, manifest.name)
            state = "restorable"
        except (checkpoint.CheckpointError, OSError) as error:
            state = str(error)
        found.append((manifest, state))
    unfinished = layout.leftovers(directory)
    if as_json:
        typer.echo(json.dumps([{**_values(manifest), "state": state} for manifest, state in found], indent=2))
        return
    columns = ("name", "base", "step", "epoch", "batch", "shards", "tables", "size", "saved", "state")
    table = _table("Checkpoints", *columns)
    for one, state in found:
        saved = datetime.fromtimestamp(one.created).strftime("%Y-%m-%d %H:%M:%S")
        numbers = [f"{one.step:,}", str(one.epoch), str(one.batch), str(one.shards), str(len(one.tables))]
        table.add_row(one.name, one.base or "", *numbers, decimal(one.bytes), saved, escape(state))
    _console().print(table)
    if unfinished:
        typer.echo(f"Without a manifest (being written, or interrupted), no checkpoints: {', '.join(unfinished)}")


@app.command()
def verify(directory: Directory, name: Name = None) -> None:
    """Read every block of NAME and of what it builds on; without NAME of all checkpoints.

    The exit code is 1 when something is damaged; every damaged file is named.
    """
    names = [name] if name is not None else [one.name for one in checkpoint.list(directory)]
    if name is not None:
        with _failing():
            names = [link.name for link in layout.chain(directory, name)]
    # A manifest that cannot be read is not in the list.
    broken = [] if name is not None else _broken(directory)
    if not names and not broken:
        fail(f"there is no checkpoint in {directory}", code=2)
    damaged = False
    for one in [*broken, *names]:
        errors = checkpoint.verify(directory, one)
        damaged |= bool(errors)
        typer.echo(f"{one}: {'damaged' if errors else 'intact'}")
        for error in errors:
            typer.echo(f"  {error}", err=True)
        if errors:
            needing = layout.dependents(directory, one)
            typer.echo(f"  cannot be restored without it: {', '.join(needing)}", err=True)
    raise typer.Exit(1 if damaged else 0)


def _broken(directory: Path) -> list[str]:
    known = {one.name for one in checkpoint.list(directory)}
    folders = [path.parent.name for path in sorted(directory.glob(f"*/{layout.MANIFEST}"))]
    return [name for name in folders if name not in known]


@app.command()
def inspect(directory: Directory, name: Name = None, as_json: AsJson = False) -> None:
    """Show the tables, rows and dense variables of a checkpoint; reads all of it."""
    with _failing():
        chosen = _chosen(directory, name)
        manifest = layout.read_manifest(directory, chosen)
        contents = checkpoint.inspect(directory, chosen)
        chain = [link.name for link in layout.chain(directory, chosen)]
    variables = manifest.dense.get("variables", [])
    if as_json:
        tables = [
            {
                "name": one.table.name,
                "rows": one.rows,
                "dimension": one.table.dimension,
                "slots": one.table.slots,
                "initializer": str(one.table.initializer),
                "optimizer": str(one.table.optimizer),
                "seed": one.table.seed,
                "synchronous": one.table.synchronous,
            }
            for one in contents
        ]
        typer.echo(json.dumps({**_values(manifest), "chain": chain, "contents": tables}, indent=2))
        return
    console = _console()
    typer.echo(
        f"{manifest.name}: step {manifest.step:,}, batch {manifest.batch} of epoch {manifest.epoch}, by "
        f"{manifest.workers} workers with {manifest.shards} shards, het_tf {manifest.het_tf}"
    )
    typer.echo(f"restored from: {' -> '.join(chain)}")
    table = _table("Tables", "table", "rows", "dimension", "slots", "optimizer", "initializer")
    for one in contents:
        record = one.table
        numbers = [f"{one.rows:,}", str(record.dimension), str(record.slots)]
        table.add_row(escape(record.name), *numbers, str(record.optimizer), str(record.initializer))
    console.print(table)
    dense = _table("Dense variables", "group", "variable", "dtype", "shape")
    for group, path, dtype, shape in variables:
        dense.add_row(escape(group), escape(path), dtype, escape(str(tuple(shape))))
    console.print(dense)


@app.command()
def merge(
    directory: Directory,
    name: Name = None,
    into: Annotated[str | None, typer.Option(help="The new checkpoint's name; default: NAME-full.")] = None,
) -> None:
    """Make one full checkpoint of an incremental one and its chain, in the same directory."""
    with _failing():
        made = checkpoint.merge(directory, _chosen(directory, name), into)
    typer.echo(f"{made.name}: {decimal(made.bytes)}")


@app.command()
def export(
    directory: Directory,
    table: Annotated[str, typer.Argument(help="Name of the table.")],
    file: Annotated[Path, typer.Argument(help="What is written: FILE.npz, FILE.npy or FILE.parquet.")],
    name: Annotated[str | None, typer.Option(help="Of the checkpoint; default: the newest.")] = None,
    slots: Annotated[bool, typer.Option("--slots", help="Also clocks and the optimizer's state.")] = False,
) -> None:
    """Write the rows of TABLE for NumPy or Parquet."""
    with _failing():
        rows = checkpoint.export(directory, _chosen(directory, name), table, file, slots=slots)
    typer.echo(f"{file}: {rows:,} rows of table {table!r}")


def _chosen(directory: Path, name: str | None) -> str:
    if name is not None:
        return name
    present = checkpoint.list(directory)
    if not present:
        raise checkpoint.CheckpointError(f"there is no checkpoint in {directory}")
    return present[-1].name


@contextmanager
def _failing() -> Iterator[None]:
    """What goes wrong inside ends the command, in one line."""
    try:
        yield
    except (checkpoint.DamagedFile, OSError) as error:
        fail(error, code=1)
    except ValueError as error:
        fail(error, code=2)


def _values(manifest: layout.Manifest) -> dict[str, Any]:
    return {**dataclasses.asdict(manifest), "bytes": manifest.bytes}


def _console() -> Console:
    console = Console()
    # A file or a pipe has no width to fit into.
    return console if console.is_terminal else Console(width=200)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    numbers = ("step", "epoch", "batch", "shards", "tables", "size", "rows", "dimension", "slots")
    for name in columns:
        table.add_column(name, justify="right" if name in numbers else "left", overflow="fold")
    return table
