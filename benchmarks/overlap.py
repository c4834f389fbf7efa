"""How much of the exchange with the shards `het.data.prefetch` hides: the time of a training step.

    python -m benchmarks.overlap [--quick] [--rate 1gbit]

Needs root: worker and shard run in two network namespaces of their own, joined by
a link of that rate each way; nothing is added to the machine's own network. The
worker fits a Wide & Deep-like model over one table of 128 floats per row, with a
cache of a tenth of the vocabulary at staleness 100, without a prefetch and with
one, and also over a shard in its own process, whose exchanges cost no network.
Medians of a step are quoted, from the end of the step before to its own end.
"""

from __future__ import annotations

import contextlib
import json as json_format
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Annotated, Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import typer

from benchmarks.figures import ROOT, figure

FIELDS, DIMENSION, VOCABULARY, SKEW, STALENESS = 26, 128, 1_000_000, 1.05, 100
WORKER, SHARD, PORT = "10.77.1.1", "10.77.1.2", 7070
AHEAD = (0, 1, 2)


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


@contextlib.contextmanager
def network(rate: str) -> Iterator[tuple[str, str]]:
    """Two namespaces, the worker's and the shard's, with a link of `rate` between them."""
    names = tuple(f"het{os.getpid()}{end}" for end in "ws")
    try:
        for name in names:
            _run("ip", "netns", "add", name)
        _run("ip", "-n", names[0], "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", names[1])
        for name, address in zip(names, (WORKER, SHARD), strict=True):
            _run("ip", "-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                _run("ip", "-n", name, "link", "set", device, "up")
            # A burst above one segment of 64 KiB, a buffer of some milliseconds.
            shape = ("tbf", "rate", rate, "burst", "256kb", "limit", "1mb")
            _run("tc", "-n", name, "qdisc", "add", "dev", "eth0", "root", *shape)
        yield names[0], names[1]
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False)


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
    random = np.random.default_rng(0)
    cumulative = np.cumsum(np.arange(1, VOCABULARY + 1) ** -SKEW)
    place = random.permutation(VOCABULARY)
    warm_up = steps // 2
    drawn = random.random(((steps + warm_up) * batch, FIELDS)) * cumulative[-1]
    ids, target = place[np.searchsorted(cumulative, drawn)], random.integers(0, 2, (len(drawn), 1))
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
        model.fit(het.data.prefetch(dataset, layer, ahead) if ahead else dataset, shuffle=False, verbose=0, callbacks=[clock])
        stats = layer.table.stats()
        if stats["prefetched"] != (stats["lookups"] if ahead else 0):
            raise RuntimeError(f"{stats['prefetched']} of {stats['lookups']} lookups were prefetched")
        ends = clock.ends[warm_up:]
        milliseconds[ahead] = 1000 * statistics.median(b - a for a, b in zip(ends, ends[1:], strict=False))
    het.shutdown()
    return milliseconds


def _measured_by(prefix: list[str], address: str, batch: int, steps: int) -> dict[int, float]:
    """`measure` in a process of its own."""
    command = [*prefix, sys.executable, "-m", "benchmarks.overlap", "--worker", address or "-"]
    options = ["--batch", str(batch), "--steps", str(steps)]
    found = subprocess.run([*command, *options], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    return {int(ahead): value for ahead, value in json_format.loads(found.splitlines()[-1]).items()}


def main(
    quick: Annotated[bool, typer.Option(help="Fewer steps.")] = False,
    json: Annotated[bool, typer.Option(help="Accepted for all benchmarks alike: the output is JSON lines.")] = True,
    rate: Annotated[str, typer.Option(help="Of the link, as tc writes it.")] = "1gbit",
    worker: Annotated[str, typer.Option(hidden=True)] = "",
    batch: Annotated[int, typer.Option(hidden=True)] = 0,
    steps: Annotated[int, typer.Option(hidden=True)] = 0,
) -> None:
    if worker:
        print(json_format.dumps(measure(worker.removeprefix("-"), batch, steps)))
        return
    if os.geteuid() != 0:
        raise typer.BadParameter("benchmarks.overlap makes network namespaces: run it as root")
    from het_tf.shard_process import server_binary

    data = f"generated: Zipf({SKEW}) over {VOCABULARY} ids, {FIELDS} fields, cache 10 %, staleness {STALENESS}"
    for size, count in ((128, 200), (4096, 40)):
        count = count // 4 if quick else count
        with network(rate) as (inside, beside):
            server = ["ip", "netns", "exec", beside, str(server_binary()), "--listen", f"{SHARD}:{PORT}"]
            with subprocess.Popen(server, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as shard:
                try:
                    over = _measured_by(["ip", "netns", "exec", inside], f"{SHARD}:{PORT}", size, count)
                finally:
                    shard.terminate()
        free = _measured_by([], "", size, count)
        found = [(f"{rate}, prefetch {ahead}", value) for ahead, value in over.items()]
        found += [("shard in the process, no prefetch", free[0]), ("shard in the process, prefetch 1", free[1])]
        for name, value in found:
            figure(
                "overlap",
                f"step of {size} x {FIELDS} ids, D={DIMENSION}: {name}",
                value,
                "ms",
                data=data,
                reference=f"the same at {rate} without a prefetch",
                ratio=value / over[0],
            )


if __name__ == "__main__":
    typer.run(main)
