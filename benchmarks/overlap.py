"""How much of the exchange with the shards `het.data.prefetch` hides: the time of a training step.

    python -m benchmarks.overlap [--quick]

A worker and a shard are emulated hosts with links of 1 Gbit/s (network.py: root;
without, there is nothing to measure). The worker fits a deep model over one table
of 128 floats per row and 26 fields, with a cache of a tenth of the vocabulary at
staleness 100, without a prefetch and with one and two steps of it; and the same
with the shard in its own process, where exchanges cost no network. Quoted are medians of the time from the
end of a step to that of the next one. The fits run one after the other.
"""

from __future__ import annotations

import itertools
import json as json_
import os
import statistics
import subprocess
import sys
import time
from typing import Annotated, Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import typer

from benchmarks import network
from benchmarks.figures import ROOT, figure, unavailable
from benchmarks.zipf import SKEW, VOCABULARY, ZipfIds
from het_tf.shard_process import server_command

FIELDS, DIMENSION, STALENESS, GIGABITS, PORT = 26, 128, 100, 1.0, 7070
AHEAD = (0, 1, 2)
WORKER, SHARD = 0, 1


def measure(address: str, batch: int, steps: int) -> dict[int, float]:
    """Milliseconds of a step, by how many steps are prefetched. An empty address: a shard in this process."""
    import keras
    import numpy as np
    import tensorflow as tf

    import het_tf as het

    class Clock(keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.ends: list[float] = []

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.ends.append(time.perf_counter())

    het.init([address] if address else None)
    warm_up = steps // 2
    examples = (steps + warm_up) * batch
    ids = ZipfIds().batch(0, examples * FIELDS).reshape(examples, FIELDS)
    target = np.random.default_rng(0).integers(0, 2, (examples, 1))
    milliseconds = {}
    for ahead in AHEAD:
        keras.utils.set_random_seed(1)
        cache = het.CacheConfig(share=0.1, staleness=STALENESS)
        layer = het.layers.Embedding(VOCABULARY, DIMENSION, table=f"overlap_{batch}_{ahead}", cache=cache)
        given = keras.Input((FIELDS,), dtype="int64")
        x = keras.layers.Flatten()(layer(given))
        for width in (256, 256):
            x = keras.layers.Dense(width, activation="relu")(x)
        model = keras.Model(given, keras.layers.Dense(1, activation="sigmoid")(x))
        model.compile(het.DistributedOptimizer(keras.optimizers.SGD(0.01)), "binary_crossentropy")
        dataset = tf.data.Dataset.from_tensor_slices((ids, target)).batch(batch)
        clock = Clock()
        if ahead:
            dataset = het.data.prefetch(dataset, layer, ahead)
        model.fit(dataset, shuffle=False, verbose=0, callbacks=[clock])
        stats = layer.table.stats()
        if stats["prefetched"] != (stats["lookups"] if ahead else 0):
            raise RuntimeError(f"{stats['prefetched']} of {stats['lookups']} lookups were prefetched")
        ends = clock.ends[warm_up:]
        milliseconds[ahead] = 1000 * statistics.median(b - a for a, b in itertools.pairwise(ends))
    het.shutdown()
    return milliseconds


def measured_on(where: network.Network, address: str, batch: int, steps: int) -> dict[int, float]:
    """`measure` in a process of its own."""
    options = ["--address", address, "--batch", str(batch), "--steps", str(steps)]
    command = where.command(WORKER, [sys.executable, "-m", "benchmarks.overlap", "--measure", *options])
    found = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    return {int(ahead): value for ahead, value in json_.loads(found.splitlines()[-1]).items()}


def main(
    quick: Annotated[bool, typer.Option(help="Fewer steps.")] = False,
    json: Annotated[bool, typer.Option(help="Accepted for all benchmarks alike: the output is JSON lines.")] = True,
    only_measure: Annotated[bool, typer.Option("--measure", hidden=True)] = False,
    address: Annotated[str, typer.Option(hidden=True)] = "",
    batch: Annotated[int, typer.Option(hidden=True)] = 0,
    steps: Annotated[int, typer.Option(hidden=True)] = 0,
) -> None:
    if only_measure:
        print(json_.dumps(measure(address, batch, steps)))
        return
    if (reason := network.why_not()) is not None:
        unavailable("overlap", "emulated hosts", reason)
        return
    data = f"generated: Zipf({SKEW}) over {VOCABULARY} ids, cache 10 %, staleness {STALENESS}"
    for size, count in ((128, 200), (4096, 40)):
        count = count // 4 if quick else count
        with network.emulated(2, GIGABITS) as where:
            at = f"{where.address(SHARD)}:{PORT}"
            command = where.command(SHARD, [*server_command(), "--insecure", "--listen", at])
            with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as shard:
                try:
                    over = measured_on(where, at, size, count)
                finally:
                    shard.terminate()
        free = measured_on(network.loopback(), "", size, count)
        found = [(f"{GIGABITS:g} Gbit/s, prefetch {ahead}", value) for ahead, value in over.items()]
        found += [(f"shard in the process, prefetch {ahead}", value) for ahead, value in free.items()]
        for name, value in found:
            figure(
                "overlap",
                f"step of {size} x {FIELDS} ids, D={DIMENSION}: {name}",
                value,
                "ms",
                data=data,
                reference=f"{GIGABITS:g} Gbit/s without a prefetch",
                ratio=value / over[0],
            )


if __name__ == "__main__":
    typer.run(main)
