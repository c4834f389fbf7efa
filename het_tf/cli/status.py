"""het-tf status: what every shard holds and how busy it is."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from typing import Annotated, Any

import typer
from rich.filesize import decimal
from rich.markup import escape

from het_tf.cli.observation import KINDS, WAYS, Addresses, Watch, chosen, console, summary, table_of
from het_tf.cli.options import takes
from het_tf.security import Security

_COLUMNS = ("shard", "version", "uptime", "workers", "connections", "exchanges", "exchanges/s", "rows", "memory")


@takes(Security, "security", leave_out=("insecure",))
def status(
    addresses: Addresses = None,
    interval: Annotated[float, typer.Option(min=0, help="Seconds over which exchanges/s is measured.")] = 1.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list instead of tables.")] = False,
    *,
    security: Security,
) -> None:
    """Show every shard's version, uptime, workers, tables and traffic.

    The exit code is 1 when a shard does not answer.
    """
    with Watch(chosen(addresses), security) as shards:
        shards.look()
        time.sleep(interval)
        seen = shards.look()
    reports = [one.report for one in seen if one.report is not None]
    if as_json:
        typer.echo(json.dumps(reports, indent=2))
    elif reports:
        _print(reports)
    errors = [one.error for one in seen if one.report is None]
    for text in errors:
        typer.echo(f"het-tf: error: {text}", err=True)
    raise typer.Exit(1 if errors else 0)


def _print(reports: list[dict[str, Any]]) -> None:
    shards = table_of("Shards", *_COLUMNS, "refused")
    wire = table_of("Bytes on the wire", "shard", "way", *KINDS, "all")
    tables = table_of("Tables", "shard", "table", "dimension", "optimizer", "rows", "memory")
    for one in reports:
        cells = summary(one) | {
            "version": one["version"],
            "uptime": str(timedelta(seconds=int(one["uptime_seconds"]))),
            "exchanges": f"{one['exchanges']:,}",
        }
        shards.add_row(*(cells[name] for name in (*_COLUMNS, "refused")))
        for way in WAYS:
            sizes = one[f"{way}_bytes"]
            shown = (*(sizes[kind] for kind in KINDS), sum(sizes.values()))
            wire.add_row(escape(one["address"]), way, *map(decimal, shown))
        for table in one["tables"]:
            tables.add_row(
                escape(one["address"]),
                escape(table["name"]),
                str(table["dimension"]),
                table["optimizer"],
                f"{table['rows']:,}",
                decimal(table["memory_bytes"]),
            )
    out = console()
    for each in (shards, tables, wire):
        out.print(each)
