"""Bytes between workers and shards per step, against training without a cache.

    python -m benchmarks.wire_bytes [--quick]

Real caches, shards and codec in one process (benchmarks/simulation.py),
staleness 100, a cache of a tenth of the ids that the run touches, of Zipf's ids in
the long form of a tenth of the vocabulary. The reference,
computed, has no cache and no smaller numbers: every distinct id of a step is
fetched (8 bytes there, a float32 row back) and its gradient pushed (8 bytes and a
float32 row). Payload is ids, rows and gradients; the wire has clocks and framing
as well. The first steps, which fill the caches, do not count.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Annotated, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import typer

from benchmarks.figures import figure
from benchmarks.simulation import simulate
from benchmarks.zipf import SKEW, VOCABULARY, ZipfIds
from models.data.synthetic_criteo import Generator

STALENESS = 100
SHARE = 0.1
SHARDS = 2
WIRES = {"float32": "float32", "bfloat16": "16 bits", "int8": "8 bits"}


class Workload(NamedTuple):
    name: str
    workers: int
    size: int  # ids per worker and step
    dimensions: tuple[int, ...]
    batch: Callable[[int], np.ndarray]  # of a number, a pure function: int64 (size,)


def criteo(batch: int, dimensions: tuple[int, ...] = (16, 128)) -> Workload:
    rows = Generator.of(0)
    return Workload(
        f"generated: Criteo's cardinalities and skew, batch {batch}",
        8,
        26 * batch,
        dimensions,
        lambda number: rows.batch(number, batch).ids.reshape(-1),
    )


def zipf(size: int) -> Workload:
    ids = ZipfIds(seed=0)
    return Workload(
        f"generated: Zipf({SKEW}) over {VOCABULARY} ids, {size} ids per step",
        2,
        size,
        (128,),
        lambda number: ids.batch(number, size),
    )


def measure(workload: Workload, steps: int, warm: int, rows: int | None = None) -> None:
    """`rows`: of the cache; None: SHARE of the ids touched."""
    batches = [workload.batch(number) for number in range(steps * workload.workers)]
    for dimension in workload.dimensions:
        found = simulate(
            batches,
            workers=workload.workers,
            steps=steps,
            warm=warm,
            shards=SHARDS,
            dimension=dimension,
            staleness=STALENESS,
            rows=rows,
            share=SHARE if rows is None else None,
            formats=tuple(WIRES),
        )
        without_cache = found.unique * 2 * (8 + 4 * dimension)
        data = (
            f"{workload.name}; {workload.workers} workers, {SHARDS} shards, s={STALENESS}, cache of "
            f"{found.capacity} rows, {found.capacity / found.distinct:.0%} of the ids touched, hit rate "
            f"{found.hit_rate:.3f}, steps {warm} to {steps}"
        )
        for name, wire in WIRES.items():
            both = found.formats[name].worker
            for kind, value in (("payload", both.payload), ("wire", both.wire)):
                figure(
                    "wire_bytes",
                    f"{kind}, {wire}, D={dimension}",
                    value / 1e3,
                    "kB per worker and step",
                    data=data,
                    reference=f"no cache, float32, 8-byte ids: {without_cache / 1e3:.1f} kB",
                    ratio=value / without_cache,
                )


def main(
    quick: Annotated[bool, typer.Option(help="Small batches and fewer steps.")] = False,
    json: Annotated[bool, typer.Option(help="Accepted for all benchmarks alike: the output is JSON lines.")] = True,
) -> None:
    if quick:
        measure(criteo(128), 300, 150)
        measure(zipf(3328), 300, 150)
        return
    measure(criteo(128), 1000, 500)
    measure(criteo(4096), 260, 130)
    measure(zipf(3328), 1600, 800, rows=round(SHARE * VOCABULARY))


if __name__ == "__main__":
    typer.run(main)
