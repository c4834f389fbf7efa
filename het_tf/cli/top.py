"""het-tf top: what every shard is doing, until Ctrl-C."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated

import typer
from rich.filesize import decimal
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from het_tf.cli.observation import WAYS, Addresses, Sight, Watch, chosen, console, summary, table_of
from het_tf.cli.options import takes
from het_tf.security import Security

_COLUMNS = ("exchanges/s", "received/s", "sent/s", "rows", "memory", "workers", "connections", "refused")
_ANSWER_SECONDS = 2.0


@takes(Security, "security", leave_out=("insecure",))
def top(
    addresses: Addresses = None,
    interval: Annotated[float, typer.Option(min=0, help="Seconds from one look to the next.")] = 1.0,
    iterations: Annotated[
        int | None, typer.Option("--iterations", "-n", min=1, help="Looks; default: until Ctrl-C.")
    ] = None,
    *,
    security: Security,
) -> None:
    """Watch every shard: exchanges, traffic, rows, memory, workers, connections, what it has refused.

    A shard that does not answer is shown as such and asked again. Where the output is
    no terminal the looks stand one below the other.
    """
    out = console()
    looks = itertools.count() if iterations is None else range(iterations)
    with suppress(KeyboardInterrupt), Watch(chosen(addresses), security, timeout_seconds=_ANSWER_SECONDS) as shards:
        shards.look()  # rates are since the look before
        if not out.is_terminal:
            for _ in looks:
                time.sleep(interval)
                out.print(_table(shards.look()))
            return
        with Live(console=out, screen=True, auto_refresh=False) as view:
            for _ in looks:
                time.sleep(interval)
                view.update(_table(shards.look()), refresh=True)


def _table(seen: Sequence[Sight]) -> Table:
    table = table_of("Shards", "shard", *_COLUMNS)
    for one in seen:
        if one.report is None:
            # It would not fit into a column; the row has its first words.
            table.add_row(escape(one.address), "no answer")
            continue
        cells = summary(one.report)
        for way in WAYS:
            rate = one.report[f"{way}_bytes_per_second"]
            cells[f"{way}/s"] = "-" if rate is None else decimal(round(rate))
        table.add_row(escape(one.address), *(cells[name] for name in _COLUMNS))
    silent = [escape(one.error) for one in seen if one.report is None]
    table.caption = "\n".join(silent) or None
    table.caption_justify = "left"
    return table
