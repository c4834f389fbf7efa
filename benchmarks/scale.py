"""1 to 64 workers, and a table of a trillion parameters, with real caches and shards in one process.

    python -m benchmarks.scale [--quick] [--only workers|parameters]

Workers: s = 100, batch 128 of Criteo-calibrated rows each, D = 128, two shards. A
cache keeps the same number of rows whatever the number of workers: a tenth of the
ids that eight workers touch in as many steps, which is the setting of wire_bytes. A
share of what all workers touch would give each of many workers a larger cache.
Counted are exact bytes and messages, on a table that has been trained before. A
table's first rows are cheaper, as one that nobody has pushed to travels as a bit;
the more workers there are, the sooner somebody has, so that on a new table what a
worker receives rises to the same: also given.

Time is modelled, not measured: every worker and every shard has a full-duplex link
of one rate, a step's exchanges follow each other, and nothing else takes time:

    step = rounds * round trip + bytes of the busiest link's busier direction / rate

Parameters: D = 4096 and 2.5e8 ids, 1.02e12 parameters if all were trained; Zipf's
ids, lookups and updates of real rows. A row takes memory from its first update on.
It refuses to begin when the rows would not fit into the limit, and fails when they
have not.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import typer

from benchmarks import streams
from benchmarks.figures import figure
from benchmarks.simulation import Result, simulate
from models.data.ranks import PowerLaw, RankSampler

WORKERS = (1, 2, 4, 8, 16, 32, 64)
SHARDS, BATCH, STALENESS, DIMENSION = 2, 128, 100, 128
SHARE, SHARE_OF_WORKERS = 0.1, 8
RATES = {"1 Gbit/s": 1e9 / 8, "10 Gbit/s": 1e10 / 8}  # bytes per second
ROUND_TRIP = 200e-6

IDS, ROW = 250_000_000, 4096
SKEW = 1.05
LIMIT = 16 << 30
_PRIME = 179_424_673  # shares no factor with IDS: multiplying deals out the ranks to the ids
_BESIDE = 1 << 30  # buffers, code and what the allocator keeps


@dataclass(frozen=True)
class Scale:
    """What one number of workers exchanges.

    Attributes:
      trained: on a table trained before.
      new: on a new one.
    """

    workers: int
    trained: Result
    new: Result


def step_seconds(found: Result, rate: float, round_trip: float = ROUND_TRIP, wire: str = "float32") -> float:
    """The model above; `rate` in bytes per second."""
    return found.rounds * round_trip + found.formats[wire].busiest / rate


def workers_scale(
    workers: Sequence[int], steps: int, warm: int, *, dimension: int = DIMENSION, batch: int = BATCH
) -> Iterator[Scale]:
    """In the order given."""
    make = streams.criteo(batch)
    made: dict[int, np.ndarray] = {}

    def ids(number: int) -> np.ndarray:
        if number not in made:
            made[number] = make(number)
        return made[number]

    touched = np.unique(np.concatenate([ids(number) for number in range(SHARE_OF_WORKERS * steps)])).size
    rows = round(SHARE * touched)

    def run(count: int, trained: bool) -> Result:
        return simulate(
            ids,
            workers=count,
            steps=steps,
            warm=warm,
            shards=SHARDS,
            dimension=dimension,
            staleness=STALENESS,
            rows=rows,
            trained=trained,
        )

    for count in workers:
        yield Scale(count, run(count, True), run(count, False))


def print_workers(workers: Sequence[int], steps: int, warm: int) -> None:
    first: Scale | None = None
    for scale in workers_scale(workers, steps, warm):
        first = first or scale
        found = scale.trained
        data = (
            f"generated: Criteo's cardinalities and skew, batch {BATCH} per worker; s={STALENESS}, D={DIMENSION}, "
            f"float32, {SHARDS} shards, cache of {found.capacity} rows, hit rate {found.hit_rate:.3f}, "
            f"steps {warm} to {steps}, {found.distinct} rows trained, {found.cpu_seconds:.1f} s of processor"
        )

        def line(
            metric: str,
            value: float,
            unit: str,
            base: float | None,
            *,
            data: str = data,
            count: int = scale.workers,
            reference: str = f"{first.workers} worker",
        ) -> None:
            named = f"{metric}, {count} workers"
            figure(
                "scale",
                named,
                value,
                unit,
                data=data,
                reference=reference if base is not None else "none",
                ratio=value / base if base else None,
            )

        def of(result: Result) -> float:
            return result.formats["float32"].worker.wire

        def load(result: Result) -> float:
            shards = result.formats["float32"].shards
            return max(shard.wire for shard in shards)

        line("bytes", of(found) / 1e3, "kB per worker and step", of(first.trained) / 1e3)
        line("bytes, new table", of(scale.new) / 1e3, "kB per worker and step", of(first.new) / 1e3)
        line("messages", found.messages, "per worker and step", first.trained.messages)
        line("bytes, busier shard", load(found) / 1e3, "kB per step", load(first.trained) / 1e3)
        line("messages, busier shard", max(found.shard_messages), "per step", max(first.trained.shard_messages))
        for name, rate in RATES.items():
            line(f"modelled time on links of {name}", 1e3 * step_seconds(found, rate), "ms per step", None)


def zipf_ids(size: int, seed: int = 0) -> Callable[[int], np.ndarray]:
    """Batch of a number: ids in [0, IDS), drawn by rank ** -SKEW."""
    ranks = RankSampler([PowerLaw(IDS, SKEW, 0.0)])

    def batch(number: int) -> np.ndarray:
        uniform = np.random.default_rng([seed, number]).random((size, 1))
        return (ranks(uniform)[:, 0] - 1) * _PRIME % IDS

    return batch


def expected_bytes(distinct: int, dimension: int, workers: int, rows: int, batch: int) -> int:
    """Of memory that a run needs: rows at shards; row and pending gradient in caches; a batch's rows and messages."""
    row = 4 * dimension
    return distinct * (row + 18) + workers * (rows + 2 * batch) * (2 * row + 60) + 6 * batch * row + _BESIDE


def parameters(
    steps: int, *, workers: int, size: int, rows: int, dimension: int = ROW, limit: int = LIMIT
) -> Result:
    """`steps` steps of `workers` with `size` ids each on a table of IDS rows.

    Raises:
      MemoryError: they would take, or have taken, more than `limit` bytes.
    """
    make = zipf_ids(size)
    batches = [make(number) for number in range(steps * workers)]
    distinct = np.unique(np.concatenate(batches)).size
    most = max(np.unique(batch).size for batch in batches)
    expected = expected_bytes(distinct, dimension, workers, rows, most)
    if expected > limit:
        raise MemoryError(
            f"{distinct} rows of {dimension} values and {workers} caches of {rows} rows would take "
            f"{expected / 2**30:.1f} GiB; expected at most {limit / 2**30:.1f}: take fewer steps, ids or cached rows"
        )
    found = simulate(
        batches, workers=workers, steps=steps, shards=SHARDS, dimension=dimension, staleness=STALENESS, rows=rows
    )
    if found.peak_resident_bytes > limit:
        raise MemoryError(
            f"the run took {found.peak_resident_bytes / 2**30:.1f} GiB; expected at most {limit / 2**30:.1f}"
        )
    return found


def print_parameters(steps: int, workers: int, size: int, rows: int) -> None:
    found = parameters(steps, workers=workers, size=size, rows=rows)
    logical = IDS * ROW
    data = (
        f"generated: Zipf({SKEW}) over {IDS} ids, {steps} steps of {workers} workers with {size} ids each; D={ROW}, "
        f"s={STALENESS}, {SHARDS} shards, caches of {found.capacity} rows, hit rate {found.hit_rate:.3f}"
    )
    table = f"the table's {logical:.3g} parameters"
    touched = found.distinct * ROW
    figure("scale", "rows touched", found.distinct, "rows", data=data, reference=f"{IDS} ids", ratio=None)
    figure("scale", "parameters touched", touched / 1e9, "10^9", data=data, reference=table, ratio=None)
    share = 100 * touched / logical
    figure("scale", "share of the parameters touched", share, "%", data=data, reference=table, ratio=None)
    figure(
        "scale",
        "memory at its peak, caches and shards",
        found.peak_resident_bytes / 2**30,
        "GiB",
        data=data,
        reference=f"limit of {LIMIT >> 30} GiB",
        ratio=found.peak_resident_bytes / LIMIT,
    )
    figure(
        "scale",
        "processor time of a step, all workers and shards",
        found.cpu_seconds / steps,
        "s",
        data=data,
        reference="none",
        ratio=None,
    )
    figure(
        "scale",
        "bytes of a step",
        found.formats["float32"].worker.wire / 1e6,
        "MB per worker and step",
        data=data,
        reference="none",
        ratio=None,
    )


class What(StrEnum):
    workers = "workers"
    parameters = "parameters"


def main(
    quick: Annotated[bool, typer.Option(help="Up to 8 workers, and few rows of the large table.")] = False,
    only: Annotated[What | None, typer.Option(help="One of the two.")] = None,
    json: Annotated[bool, typer.Option(help="Accepted for all benchmarks alike: the output is JSON lines.")] = True,
) -> None:
    # The count begins and ends at the same place of the hundred steps after which hot rows are pushed.
    if only is not What.parameters:
        if quick:
            print_workers((1, 4, 8), 200, 100)
        else:
            print_workers(WORKERS, 300, 100)
    if only is not What.workers:
        if quick:
            print_parameters(20, workers=2, size=26 * 16, rows=500)
        else:
            print_parameters(200, workers=4, size=26 * 64, rows=5000)


if __name__ == "__main__":
    typer.run(main)
