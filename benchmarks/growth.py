"""A shard's table from one to fifty million rows: exchanges while it grows, and when it is there.

    python -m benchmarks.growth [--quick]

Exchanges of 4096 pushes and 4096 fetches at one shard in the process, D=16. How
much slower they are when there are more rows is a matter of memory alone; a table
that stops to grow shows in the 99th percentile.
"""

from __future__ import annotations

from typing import Annotated

import typer

from benchmarks import shard_table
from benchmarks.figures import figure

DIMENSION = 16


def main(
    quick: Annotated[bool, typer.Option(help="Up to three million rows.")] = False,
    json: Annotated[bool, typer.Option(help="Accepted for all benchmarks alike: the output is JSON lines.")] = True,
) -> None:
    sizes = (300_000, 3_000_000) if quick else (1_000_000, 10_000_000, 50_000_000)
    first = 0.0
    for rows in sizes:
        found = shard_table.run("shard_table", rows, DIMENSION, "sgd", 1 if quick else 10)
        for phase, what in (("filling", "every id new"), ("growing", "each tenth pushed id new")):
            times = found[phase]
            figure(
                "growth",
                f"exchanges up to {rows / 1e6:g} M rows, {what}: 99th percentile",
                times["p99"] * 1e3,
                "ms",
                data=shard_table.DATA,
                reference="their median",
                ratio=times["p99"] / times["median"],
            )
        rate = 2 * found["batch"] / found["settled"]["median"] / 1e6
        first = first or rate
        figure(
            "growth",
            f"pushes and fetches with {rows / 1e6:g} M rows",
            rate,
            "M ids/s",
            data=shard_table.DATA,
            reference=f"with {sizes[0] / 1e6:g} M rows",
            ratio=rate / first,
        )


if __name__ == "__main__":
    typer.run(main)
