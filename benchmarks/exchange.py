"""Rows pulled from and gradients pushed to a shard, against gRPC alone.

    python -m benchmarks.exchange [--quick]

One shard process on one core, one client on another, loopback TCP. The client's
side is the store that the cache talks to, down to the shard's client, without a
cache (benchmarks/native/exchange_main.cc). The reference is a gRPC server that
takes and gives as many bytes as raw buffers and does nothing with them: what is
between the two is the codec, the split, the retrier and the shard's table.
"""

from __future__ import annotations

import contextlib
import json as json_
import os
import statistics
import subprocess
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from benchmarks.figures import figure
from benchmarks.peers.coprocess import program
from het_tf.security import Security
from het_tf.shard_process import ShardProcess

DIMENSIONS = (16, 128)
SIZES = (64 << 10, 256 << 10, 1 << 20, 4 << 20)


@contextlib.contextmanager
def on_core(core: int) -> Iterator[None]:
    """Processes started inside run on this core of those that this process may use."""
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {sorted(mine)[core % len(mine)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, mine)


@contextlib.contextmanager
def echo_server() -> Iterator[str]:
    """Where the echo listens."""
    with on_core(1):
        process = subprocess.Popen(
            [str(program("exchange")), "echo"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
    with process:
        assert process.stdout is not None and process.stdin is not None
        yield json_.loads(process.stdout.readline())["address"]
        process.stdin.close()


def client(
    addresses: tuple[str, str],
    dimension: int,
    size: int,
    depth: int,
    rounds: int,
    seconds: float,
    security: Security | None = None,
) -> list[dict[str, Any]]:
    """What the client of a shard and an echo has measured, pulls and pushes."""
    numbers = [str(number) for number in (dimension, size, depth, rounds, seconds)]
    names = () if security is None else ("tls_ca", "tls_cert", "tls_key", "token_file")
    files = [str(getattr(security, name)) for name in names]
    command = [str(program("exchange")), "client", *addresses, *numbers, *files]
    with on_core(0):
        said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    return [json_.loads(line) for line in said.splitlines()]


def measure(addresses: tuple[str, str], dimension: int, size: int, depth: int, rounds: int, seconds: float) -> None:
    for found in client(addresses, dimension, size, depth, rounds, seconds):
        ours, grpc = statistics.median(found["het_tf"]), statistics.median(found["grpc"])
        way = "rows pulled" if found["kind"] == "pull" else "gradients pushed"
        for name, seconds_each in (("het_tf", ours), ("grpc", grpc)):
            figure(
                "exchange",
                f"{name}: {way}, D={dimension}, {size >> 10} KiB of values, {depth} under way",
                found["rows"] / seconds_each / 1e6,
                "M rows/s",
                reference="gRPC raw buffers of the same bytes" if name == "het_tf" else "het_tf",
                ratio=grpc / ours if name == "het_tf" else ours / grpc,
                data=f"generated ids; on the wire {found['sent']} bytes there, {found['received']} back",
            )


def main(
    quick: Annotated[bool, typer.Option(help="Two sizes, short turns.")] = False,
    json: Annotated[bool, typer.Option(help="Accepted for all benchmarks alike: the output is JSON lines.")] = True,
) -> None:
    with on_core(1):
        shard = ShardProcess()
    with shard, echo_server() as echo:
        for dimension in DIMENSIONS:
            for size in SIZES[::3] if quick else SIZES:
                for depth in (1,) if quick else (1, 4):
                    measure((shard.address, echo), dimension, size, depth, 5 if quick else 7, 0.1 if quick else 0.3)


if __name__ == "__main__":
    typer.run(main)
