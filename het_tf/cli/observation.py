"""Shards seen from a command: which, what they say, and at what rates since the time before."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Annotated, Any, Self

import grpc
import typer
from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

from het_tf.administration import ShardClient, ShardUnreachable, describe
from het_tf.cli.failure import fail
from het_tf.cluster import ClusterError, from_environment
from het_tf.security import Security, SecurityError

KINDS = ("ids", "clocks", "rows", "gradients", "framing")
WAYS = ("sent", "received")
# Of a StatsReply, under the names of a report.
_SAME = ("uptime_seconds", "workers", "connections", "exchanges", "repeated_exchanges", "memory_limit_bytes")
_WORDS = ("shard", "version", "table", "optimizer", "way", "refused")
_AT_ONCE = 32

Addresses = Annotated[
    list[str] | None,
    typer.Argument(help="host:port or unix:/path of each shard; default: HET_TF_SHARDS or TF_CONFIG."),
]


def chosen(addresses: Sequence[str] | None) -> list[str]:
    """The shards given, or those of the environment; without any the command ends."""
    try:
        found = list(addresses or from_environment().shards)
    except ClusterError as error:
        fail(error, code=2)
    if not found:
        fail("no shard was named: give addresses, or set HET_TF_SHARDS or TF_CONFIG", code=2)
    return found


@dataclass(frozen=True)
class Sight:
    """One look at a shard: what it says (see `report`), or why it says nothing."""

    address: str
    report: dict[str, Any] | None = None
    error: str = ""


class Watch:
    """Shards that are looked at again and again, all at a time.

    Thread-safety: belongs to one thread; it has others ask.
    """

    def __init__(self, addresses: Sequence[str], security: Security, *, timeout_seconds: float = 5.0) -> None:
        self._shards = [_Watched(address, security, timeout_seconds) for address in addresses]
        self._threads = ThreadPoolExecutor(min(len(addresses), _AT_ONCE))

    def look(self) -> list[Sight]:
        """Every shard as it is now, in order. One that did not answer before is asked again."""
        return list(self._threads.map(_Watched.look, self._shards))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._threads.shutdown()
        for shard in self._shards:
            shard.close()


class _Watched:
    def __init__(self, address: str, security: Security, timeout_seconds: float) -> None:
        self._address = address
        self._security = security
        self._timeout = timeout_seconds
        self._client: ShardClient | None = None
        self._before: Any = None

    def look(self) -> Sight:
        try:
            if self._client is None:
                self._client = ShardClient(self._address, timeout_seconds=self._timeout, security=self._security)
            before, self._before = self._before, self._client.stats()
        except (ShardUnreachable, grpc.RpcError, SecurityError) as error:
            # A connection that waits longer and longer to be made again, and
            # files that may have changed: the next look begins anew.
            self.close()
            return Sight(self._address, error=describe(self._address, error))
        return Sight(self._address, report(self._address, before, self._before))

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
        self._client = self._before = None


def report(address: str, before: Any, after: Any) -> dict[str, Any]:
    """A shard's StatsReply as plain values; rates since the one before, per second of the shard's own clock.

    They are None without one, or when the shard was started again in between.
    """
    seconds = after.uptime_seconds - before.uptime_seconds if before is not None else 0
    same_run = before is not None and before.incarnation == after.incarnation and seconds > 0

    def rate(count: Any) -> float | None:
        return (count(after) - count(before)) / seconds if same_run else None

    return {
        "address": address,
        "shard_index": after.shard_index,
        "shard_count": after.shard_count,
        "version": after.package_version,
        "incarnation": f"{after.incarnation:016x}",
        **{name: getattr(after, name) for name in _SAME},
        "exchanges_per_second": rate(lambda reply: reply.exchanges),
        **{f"{way}_bytes": {kind: getattr(getattr(after, way), kind) for kind in KINDS} for way in WAYS},
        **{f"{way}_bytes_per_second": rate(lambda reply, way=way: _bytes(getattr(reply, way))) for way in WAYS},
        "refused": {refused.reason: refused.count for refused in after.refused},
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


def _bytes(traffic: Any) -> int:
    return sum(getattr(traffic, kind) for kind in KINDS)


def summary(one: dict[str, Any]) -> dict[str, str]:
    """What a shard is doing, as the cells of a table by their columns."""
    memory = sum(table["memory_bytes"] for table in one["tables"])
    limit = one["memory_limit_bytes"]
    rate = one["exchanges_per_second"]
    return {
        "shard": escape(one["address"]),
        "workers": str(one["workers"]),
        "connections": str(one["connections"]),
        "exchanges/s": "-" if rate is None else f"{rate:,.1f}",
        "rows": f"{sum(table['rows'] for table in one['tables']):,}",
        "memory": f"{decimal(memory)} of {decimal(limit)}" if limit else decimal(memory),
        "refused": ", ".join(f"{count:,} {reason}" for reason, count in sorted(one["refused"].items())) or "-",
    }


def table_of(title: str, *columns: str) -> Table:
    made = Table(title=title, title_justify="left")
    for name in columns:
        made.add_column(name, justify="left" if name in _WORDS else "right", overflow="fold")
    return made


def console() -> Console:
    found = Console()
    # A file or a pipe has no width to fit into.
    return found if found.is_terminal else Console(width=160)
