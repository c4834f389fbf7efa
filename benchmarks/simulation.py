"""Real caches, shards and codec in one process, on any stream of ids: what they exchange, exactly.

`simulate` runs benchmarks/native/simulation_main.cc (`make bench-binaries`) and
feeds it batches as they are made, so a run holds no more of them than one (all of
them, as int64, when the cache is given as a share). There is no network and no
model: gradients are constants. Which rows are exchanged depends on ids, staleness,
cache and workers alone, so bytes and messages are those of training.
"""

from __future__ import annotations

import json
import math
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.peers.coprocess import program

FORMATS = ("float32", "bfloat16", "float16", "int8")

Batches = Callable[[int], np.ndarray] | Iterable[np.ndarray]


@dataclass(frozen=True)
class Bytes:
    """Bytes one way, by kind."""

    ids: float
    clocks: float
    rows: float
    gradients: float
    framing: float

    @property
    def payload(self) -> float:
        return self.ids + self.rows + self.gradients

    @property
    def wire(self) -> float:
        return self.payload + self.clocks + self.framing


@dataclass(frozen=True)
class Both:
    """What one side sent and received."""

    sent: Bytes
    received: Bytes

    @property
    def payload(self) -> float:
        return self.sent.payload + self.received.payload

    @property
    def wire(self) -> float:
        return self.sent.wire + self.received.wire


@dataclass(frozen=True)
class Wire:
    """A format's bytes.

    Attributes:
      worker: per worker and step.
      shards: of each shard, per step.
      busiest_worker, busiest_shard, busiest: mean over steps of what the busiest link (of a worker, of a shard,
        of any) carried in its busier direction.
    """

    worker: Both
    shards: tuple[Both, ...]
    busiest_worker: float
    busiest_shard: float
    busiest: float


@dataclass(frozen=True)
class Result:
    """Of the steps that count; rates are shares of the distinct ids that steps look up.

    Attributes:
      capacity: rows that a cache keeps.
      distinct: ids that all steps have trained, which are the rows that the shards then have.
      ids, unique: looked up per worker and step, with duplicates and without.
      hit_rate: cached and fresh enough; `miss_rate`: not cached; `invalid_rate`: cached, but too stale.
      evictions, messages: per worker and step; a message is a request and its reply.
      rounds: exchanges one after the other, of the worker that has most, per step; pieces of a large one count each.
      shard_messages: of each shard, per step.
      cpu_seconds: that all workers and shards took for the steps that count, all formats included.
      peak_resident_bytes: of the process.
      formats: what was asked for, by name.
    """

    workers: int
    capacity: int
    distinct: int
    ids: float
    unique: float
    hit_rate: float
    miss_rate: float
    invalid_rate: float
    evictions: float
    messages: float
    rounds: float
    shard_messages: tuple[float, ...]
    cpu_seconds: float
    peak_resident_bytes: int
    formats: dict[str, Wire]


def simulate(
    batches: Batches,
    *,
    workers: int,
    steps: int,
    warm: int = 0,
    shards: int = 2,
    dimension: int = 128,
    staleness: float = 100,
    rows: int | None = None,
    share: float | None = None,
    policy: str = "lfu",
    formats: Sequence[str] = ("float32",),
    trained: bool = False,
) -> Result:
    """Trains for `steps` steps of all workers.

    Args:
      batches: int64 ids of any shape; number `step * workers + worker`, either of a function or in that order.
      warm: first steps that do not count.
      staleness: in steps; math.inf for no bound.
      rows: that a worker's cache keeps. 0: no cache, by the same path, at staleness 0.
      share: instead of rows, of the distinct ids of all batches.
      policy: "lru", "lfu" or "light_lfu".
      formats: of rows and gradients; the first one is what workers and shards see. None: there is no codec, and
        no bytes are counted.
      trained: rows that nobody has pushed to travel with values all the same, as those of a table do that has been
        trained before; else a bit says that the worker can compute them.

    Raises:
      PeerUnavailable: the program has not been built.
      ValueError: a number out of range, too few batches, or what the program refuses.
    """
    if (rows is None) == (share is None):
        raise ValueError(f"rows is {rows} and share is {share}; expected one of them")
    if unknown := [name for name in formats if name not in FORMATS]:
        raise ValueError(f"unknown formats {unknown}; expected some of {', '.join(FORMATS)}")
    if not (staleness >= 0 and (math.isinf(staleness) or staleness == int(staleness))):
        raise ValueError(f"staleness is {staleness}; expected a whole number from 0, or math.inf")
    if rows == 0:
        staleness = 0
    options: dict[str, Any] = {
        "workers": workers,
        "shards": shards,
        "steps": steps,
        "warm": warm,
        "dimension": dimension,
        "staleness": "inf" if math.isinf(staleness) else int(staleness),
        "policy": policy,
        "formats": ",".join(formats),
        "trained": int(trained),
        **({"rows": rows} if rows is not None else {"share": share}),
    }
    command = [str(program("simulation")), *(str(part) for name in options for part in (f"--{name}", options[name]))]
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log) as process,
    ):
        assert process.stdin is not None and process.stdout is not None
        try:
            for ids in _arrays(batches, workers * steps):
                process.stdin.write(np.int64(ids.size).tobytes())
                process.stdin.write(ids.data)
            process.stdin.close()
        except BrokenPipeError:
            pass  # it says why
        except BaseException:
            process.kill()
            raise
        output = process.stdout.read()
        code = process.wait()
        log.seek(0)
        if code != 0:
            raise ValueError(log.read().decode(errors="replace").strip() or f"{command[0]} ended with {code}")
    return _result(json.loads(output), workers)


def _arrays(batches: Batches, count: int) -> Iterator[np.ndarray]:
    if callable(batches):
        batches = map(batches, range(count))
    given = 0
    for ids in batches:
        if given == count:
            return
        yield np.ascontiguousarray(ids, np.int64).reshape(-1)
        given += 1
    if given < count:
        raise ValueError(f"there are {given} batches; expected {count}, one for each step and worker")


def _result(found: dict[str, Any], workers: int) -> Result:
    def both(one: dict[str, Any]) -> Both:
        return Both(Bytes(**one["sent"]), Bytes(**one["received"]))

    formats = {
        name: Wire(
            both(one),
            tuple(map(both, one["shards"])),
            one["busiest_worker"],
            one["busiest_shard"],
            one["busiest"],
        )
        for name, one in found.pop("formats").items()
    }
    found["shard_messages"] = tuple(found["shard_messages"])
    found["peak_resident_bytes"] = int(found["peak_resident_bytes"])
    return Result(workers=workers, formats=formats, **found)
