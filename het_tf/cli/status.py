"""het-tf status: what every shard holds and how busy it is."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from datetime import timedelta
from typing import Annotated, Any

import grpc
import typer
from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

from het_tf.administration import ShardClient, ShardUnreachable
from het_tf.cli.failure import fail
from het_tf.cluster import ClusterError, from_environment

_KINDS = ("ids", "clocks", "rows", "gradients", "framing")


def status(
    addresses: Annotated[
        list[str] | None,
        typer.Argument(help="host:port or unix:/path of each shard; default: HET_TF_SHARDS or TF_CONFIG."),
    ] = None,
    interval: Annotated[float, typer.Option(min=0, help="Seconds over which exchanges/s is measured.")] = 1.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list instead of tables.")] = False,
) -> None:
    """Show every shard's version, uptime, workers, tables and traffic.

    The exit code is 1 when a shard does not answer.
    """
    try:
        wanted = list(addresses or from_environment().shards)
    except ClusterError as error:
        fail(error, code=2)
    if not wanted:
        fail("no shard was named: give addresses, or set HET_TF_SHARDS or TF_CONFIG", code=2)
    reports, errors = _observe(wanted, interval)
    if as_json:
        typer.echo(json.dumps(reports, indent=2))
    else:
        _print(reports)
    for text in errors:
        typer.echo(f"het-tf: error: {text}", err=True)
    raise typer.Exit(1 if errors else 0)


def _observe(addresses: list[str], interval: float) -> tuple[list[dict[str, Any]], list[str]]:
    """Two samples of every shard that answers; the errors of the others."""
    reports, errors = [], []
    with ExitStack() as stack:
        first = []
        for address in addresses:
            client = stack.enter_context(ShardClient(address))
            try:
                first.append((client, client.stats()))
            except (ShardUnreachable, grpc.RpcError) as error:
                errors.append(_describe(address, error))
        if interval > 0 and first:
            time.sleep(interval)
        for client, before in first:
            try:
                reports.append(report(client.address, before, client.stats()))
            except (ShardUnreachable, grpc.RpcError) as error:
                errors.append(_describe(client.address, error))
    return reports, errors


def _describe(address: str, error: Exception) -> str:
    if isinstance(error, grpc.RpcError):
        return f"{address} is no shard of het_tf, or of another version ({error.code().name}: {error.details()})"
    return str(error)


def report(address: str, before: Any, after: Any) -> dict[str, Any]:
    """One shard's two StatsReply as plain values; the rate is per second of the shard's own clock."""
    seconds = after.uptime_seconds - before.uptime_seconds
    same_run = before.incarnation == after.incarnation and seconds > 0
    return {
        "address": address,
        "version": after.package_version,
        "incarnation": f"{after.incarnation:016x}",
        "uptime_seconds": after.uptime_seconds,
        "workers": after.workers,
        "exchanges": after.exchanges,
        "repeated_exchanges": after.repeated_exchanges,
        "exchanges_per_second": (after.exchanges - before.exchanges) / seconds if same_run else None,
        "sent_bytes": {kind: getattr(after.sent, kind) for kind in _KINDS},
        "received_bytes": {kind: getattr(after.received, kind) for kind in _KINDS},
        "tables": [
            {
                "name": table.name,
                "dimension": table.dimension,
                "optimizer": table.optimizer,
                "rows": table.rows,
                "memory_bytes": table.memory_bytes,
            }
            for table in after.tables
        ],
    }


def _print(reports: list[dict[str, Any]]) -> None:
    if not reports:
        return
    console = Console()
    if not console.is_terminal:
        console = Console(width=160)  # a file or a pipe has no width to fit into
    shards = _table("Shards", "shard", "version", "uptime", "workers", "exchanges", "exchanges/s", "rows", "memory")
    wire = _table("Bytes on the wire", "shard", "way", *_KINDS, "all")
    tables = _table("Tables", "shard", "table", "dimension", "optimizer", "rows", "memory")
    for one in reports:
        rate = one["exchanges_per_second"]
        shards.add_row(
            one["address"],
            one["version"],
            str(timedelta(seconds=int(one["uptime_seconds"]))),
            str(one["workers"]),
            f"{one['exchanges']:,}",
            "restarted" if rate is None else f"{rate:,.1f}",
            f"{sum(table['rows'] for table in one['tables']):,}",
            decimal(sum(table["memory_bytes"] for table in one["tables"])),
        )
        for way in ("sent", "received"):
            sizes = one[f"{way}_bytes"]
            wire.add_row(one["address"], way, *(decimal(sizes[kind]) for kind in _KINDS), decimal(sum(sizes.values())))
        for table in one["tables"]:
            tables.add_row(
                one["address"],
                escape(table["name"]),
                str(table["dimension"]),
                table["optimizer"],
                f"{table['rows']:,}",
                decimal(table["memory_bytes"]),
            )
    console.print(shards)
    console.print(tables)
    console.print(wire)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for name in columns:
        words = name in ("shard", "version", "table", "optimizer", "way")
        table.add_column(name, justify="left" if words else "right", overflow="fold")
    return table
