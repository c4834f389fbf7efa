"""het-tf drop and het-tf stop: what takes the admin's token where a job has tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Annotated, Any

import grpc
import typer

from het_tf.administration import ShardClient, ShardUnreachable, describe
from het_tf.cli.failure import fail
from het_tf.cli.observation import Addresses, chosen
from het_tf.cli.options import takes
from het_tf.security import Security, SecurityError


@takes(Security, "security", leave_out=("insecure",))
def drop(
    table: Annotated[str, typer.Argument(help="Name of the table.")],
    addresses: Addresses = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    *,
    security: Security,
) -> None:
    """Make every shard forget TABLE and its rows; they are in checkpoints alone then.

    Nothing is dropped when a shard does not answer. The exit code is 1 when one has
    not done it.
    """
    with ExitStack() as stack:
        shards = _asked(chosen(addresses), security, stack)
        rows = [one.rows for _, stats in shards for one in stats.tables if one.name == table]
        if not rows:
            known = ", ".join(sorted({one.name for _, stats in shards for one in stats.tables})) or "none"
            fail(f"no shard has a table {table!r}; their tables: {known}", code=2)
        what = f"table {table!r} with {sum(rows):,} rows on {len(rows)} of {len(shards)} shards"
        if not yes and not typer.confirm(f"Drop {what}?"):
            fail("nothing was dropped", code=1)
        holding = [(c, stats) for c, stats in shards if any(one.name == table for one in stats.tables)]
        _each(holding, lambda client, stats: client.drop_table(table, stats.incarnation))
        typer.echo(f"dropped {what}")


@takes(Security, "security", leave_out=("insecure",))
def stop(addresses: Addresses = None, *, security: Security) -> None:
    """End every shard as SIGTERM does: calls that run are answered first.

    No shard is stopped when one does not answer. The exit code is 1 when one has not
    done it.
    """
    with ExitStack() as stack:
        shards = _asked(chosen(addresses), security, stack)
        _each(shards, lambda client, stats: client.stop(stats.incarnation))
        typer.echo(f"told {', '.join(client.address for client, _ in shards)} to stop")


def _asked(addresses: Sequence[str], security: Security, stack: ExitStack) -> list[tuple[ShardClient, Any]]:
    """All shards with their statistics, which name the incarnation that is meant; else the command ends."""
    found, errors = [], []
    for address in addresses:
        try:
            client = stack.enter_context(ShardClient(address, security=security))
            found.append((client, client.stats()))
        except (ShardUnreachable, grpc.RpcError, SecurityError) as error:
            errors.append(describe(address, error))
    _end_with(errors)
    return found


def _each(shards: Sequence[tuple[ShardClient, Any]], order: Callable[[ShardClient, Any], None]) -> None:
    errors = []
    for client, stats in shards:
        try:
            order(client, stats)
        except (ShardUnreachable, grpc.RpcError) as error:
            errors.append(describe(client.address, error))
    _end_with(errors)


def _end_with(errors: Sequence[str]) -> None:
    for text in errors[:-1]:
        typer.echo(f"het-tf: error: {text}", err=True)
    if errors:
        fail(errors[-1], code=1)
