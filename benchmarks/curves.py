"""Bytes per step against hybrid without a cache, and miss rates, over staleness, cache size, batch and policy.

    python -m benchmarks.curves [--quick] [--only bytes|misses]

Both run real caches, shards and codec in one process (benchmarks/simulation.py).

Bytes: Criteo-calibrated rows, 8 workers, D = 128, batch 128, s = 100 and a cache of
a tenth of the ids that the run touches; one of these changes at a time. The
reference is het_tf's own path without a cache (hybrid), measured on the same ids:
sorted ids as differences, each distinct row and gradient of a step once. A row that
nobody has pushed to costs a bit on its way to the worker. That favours a short
run, as many rows are met for the first time, so the middle point is also measured
on a table that has been trained before.

Misses: one worker at s = 100; the cache is a share of the table. `per distinct id` is the
share of a step's distinct ids that are not cached, `per access` divides by all ids of
the step, duplicates included (HET's paper does not say which of them it has).
Real streams are added where HET_TF_DATA names a folder with their files.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import typer

from benchmarks import streams
from benchmarks.figures import figure
from benchmarks.simulation import Result, simulate
from benchmarks.streams import Stream

WORKERS, SHARDS, DIMENSION = 8, 2, 128
BATCH, STALENESS, SHARE = 128, 100, 0.1
STALENESSES = (0, 10, 100, 10_000, float("inf"))
SHARES = (0.03, 0.05, 0.1, 0.15)
BATCHES = (32, 128, 512, 4096)
POLICIES = ("lru", "lfu", "light_lfu")
WIRES = {"float32": "float32", "bfloat16": "16 bits"}
# HET's figure, in percent, at SHARES.
PAPER = {
    ("ogbn-mag", "lfu"): (39, 27, 12, 3),
    ("ogbn-mag", "lru"): (40, 29, 14, 5),
    ("reddit", "lfu"): (71, 56, 28, 12),
    ("reddit", "lru"): (74, 61, 35, 20),
}


@dataclass(frozen=True)
class Point:
    """A setting and what was exchanged with a cache, and without."""

    batch: int
    staleness: float
    share: float
    trained: bool
    cache: Result
    hybrid: Result

    def ratio(self, wire: str, reference: str) -> float:
        """Payload with a cache in one format, divided by that without in another."""
        return self.cache.formats[wire].worker.payload / self.hybrid.formats[reference].worker.payload


def bytes_points(
    steps: int,
    *,
    stalenesses: Sequence[float] = STALENESSES,
    shares: Sequence[float] = SHARES,
    batches: Sequence[int] = BATCHES,
    dimension: int = DIMENSION,
    workers: int = WORKERS,
) -> Iterator[Point]:
    """The middle, on a new table and a trained one, then what differs from it in one setting; half of the steps count.

    Batches above 512 take a quarter of the steps.
    """

    def run(ids: list[np.ndarray], staleness: float, trained: bool, rows: int) -> Result:
        return simulate(
            ids,
            workers=workers,
            steps=len(ids) // workers,
            warm=len(ids) // workers // 2,
            shards=SHARDS,
            dimension=dimension,
            staleness=staleness,
            formats=tuple(WIRES),
            trained=trained,
            rows=rows,
        )

    for batch in (BATCH, *(batch for batch in batches if batch != BATCH)):
        count = (steps if batch <= 512 else steps // 4) * workers
        make = streams.criteo(batch)
        ids = [make(number) for number in range(count)]
        # Counted here, so that the batches are held once.
        touched = np.unique(np.concatenate([np.unique(one) for one in ids])).size
        settings: list[tuple[float, float, bool]] = [(STALENESS, SHARE, False)]
        if batch == BATCH:
            settings.append((STALENESS, SHARE, True))
            settings += [(staleness, SHARE, False) for staleness in stalenesses if staleness != STALENESS]
            settings += [(STALENESS, share, False) for share in shares if share != SHARE]
        hybrids: dict[bool, Result] = {}
        for staleness, share, trained in settings:
            if trained not in hybrids:
                hybrids[trained] = run(ids, 0, trained, rows=0)
            cached = run(ids, staleness, trained, rows=int(share * touched))
            yield Point(batch, staleness, share, trained, cached, hybrids[trained])


def miss_rates(
    stream: Stream, warm: int, shares: Sequence[float] = SHARES, policies: Sequence[str] = POLICIES
) -> Iterator[tuple[str, float, Result]]:
    """Policy, share of the table, and what one worker's cache of that size did after `warm` steps."""
    for policy in policies:
        for share in shares:
            yield policy, share, simulate(
                stream.batches,
                workers=1,
                steps=len(stream.batches),
                warm=warm,
                shards=1,
                dimension=1,
                staleness=STALENESS,
                rows=max(1, round(share * stream.table)),
                policy=policy,
                formats=(),
            )


def print_point(point: Point) -> None:
    cache = point.cache
    data = (
        f"generated: Criteo's cardinalities and skew; {WORKERS} workers, {SHARDS} shards, cache of "
        f"{cache.capacity} rows, {point.share:.0%} of the ids touched, hit rate {cache.hit_rate:.3f}, "
        f"{cache.messages:.3g} messages per step for {point.hybrid.messages:.3g}, "
        f"{'table trained before' if point.trained else 'new table'}"
    )
    setting = f"batch {point.batch}, D={DIMENSION}, s={point.staleness:g}, cache {point.share:.0%}"
    setting += ", trained before" if point.trained else ""
    for wire, reference in (("float32", "float32"), ("bfloat16", "float32"), ("bfloat16", "bfloat16")):
        hybrid = point.hybrid.formats[reference].worker.payload
        figure(
            "curves",
            f"payload, {WIRES[wire]} to hybrid's {WIRES[reference]}, {setting}",
            cache.formats[wire].worker.payload / 1e3,
            "kB per worker and step",
            data=data,
            reference=f"hybrid without cache, {WIRES[reference]}: {hybrid / 1e3:.1f} kB",
            ratio=point.ratio(wire, reference),
        )


def print_misses(stream: Stream, warm: int) -> None:
    for policy, share, found in miss_rates(stream, warm):
        published = PAPER.get((stream.key, policy))
        reference = f"HET's figure: {published[SHARES.index(share)]} %" if published else "none"
        accesses = found.miss_rate * found.unique / found.ids
        for of, rate in (("distinct id", found.miss_rate), ("access", accesses)):
            figure(
                "curves",
                f"misses per {of}, {stream.key}, {policy}, cache {share:.0%} of {stream.of}",
                100 * rate,
                "%",
                data=f"{stream.name}, of which {warm} do not count; {stream.table} rows, cache of {found.capacity}, "
                f"{found.unique:.0f} distinct of {found.ids:.0f} ids per step, s={STALENESS}",
                reference=reference,
                ratio=100 * rate / published[SHARES.index(share)] if published else None,
            )


class What(StrEnum):
    bytes = "bytes"
    misses = "misses"


def main(
    quick: Annotated[bool, typer.Option(help="Fewer steps, two batches, small graphs.")] = False,
    only: Annotated[What | None, typer.Option(help="One of the two.")] = None,
    json: Annotated[bool, typer.Option(help="Accepted for all benchmarks alike: the output is JSON lines.")] = True,
) -> None:
    if only is not What.misses:
        if quick:
            points = bytes_points(50, batches=(BATCH, 32))
        else:
            points = bytes_points(1000)
        for point in points:
            print_point(point)
    if only is What.bytes:
        return
    # Steps, of which the last third counts: caches are full, counts of uses have settled.
    steps, criteo_steps = (300, 300) if quick else (3000, 6000)
    print_misses(streams.criteo_stream(BATCH, criteo_steps), criteo_steps * 2 // 3)
    for key in ("ogbn-mag", "reddit"):
        factor, count = (0.05, 150) if quick else (1.0, 450 if key == "ogbn-mag" else 3000)
        print_misses(streams.generated_graph(key, factor, BATCH, count), count * 2 // 3)
    for stream in streams.real(BATCH, steps):
        print_misses(stream, steps * 2 // 3)


if __name__ == "__main__":
    typer.run(main)
