"""Bytes of memory per row, beside what the row itself needs: at the shard and in the cache.

    python -m benchmarks.memory [--quick]

At the shard a row needs its values and its optimizer's slots, in the cache its
values and a pending gradient. Memory is the growth of a process's resident set.
The reference is the row alone.
"""

from __future__ import annotations

from typing import Annotated

import typer

from benchmarks import shard_table
from benchmarks.figures import figure

DIMENSION = 16
FLOATS = {"sgd": DIMENSION, "adagrad": 2 * DIMENSION}  # of a row and its slots


def report(where: str, rows: int, resident: int, floats: int, data: str) -> None:
    needed = 4 * floats
    beside = resident / rows - needed
    figure(
        "memory",
        f"{where}, D={DIMENSION}, {rows / 1e6:.3g} M rows: memory beside the row's {needed} bytes",
        beside,
        "bytes/row",
        data=data,
        reference="the row alone",
        ratio=(beside + needed) / needed,
    )


def main(
    quick: Annotated[bool, typer.Option(help="A tenth of the rows.")] = False,
    json: Annotated[bool, typer.Option(help="Accepted for all benchmarks alike: the output is JSON lines.")] = True,
) -> None:
    rows = 1_000_000 if quick else 10_000_000
    for optimizer, floats in FLOATS.items():
        found = shard_table.run("shard_table", rows, DIMENSION, optimizer, 0.1)
        report(f"shard, {optimizer}", found["rows"], found["bytes"], floats, shard_table.DATA)
    caches = [(policy, 1_000_000) for policy in ("lru", "lfu", "light_lfu")] + [("lfu", 4_000_000)]
    for policy, rows in caches:
        found = shard_table.run("cache_memory", rows // 10 if quick else rows, DIMENSION, policy)
        report(
            f"cache, {policy}, every row dirty",
            found["rows"],
            found["bytes"],
            2 * DIMENSION,
            "generated: ids spread over int64, each looked up and updated twice, 4096 per step",
        )


if __name__ == "__main__":
    typer.run(main)
