"""Lookup and SGD update of rows that are all cached, against others that do the same.

    python -m benchmarks.hit_path [--quick] [--peers tfra,fbgemm]

A step looks a batch of Zipf-distributed ids up and applies one gradient per
occurrence. The contenders take turns on the same two threads; each of the peers
is a process of its own that runs steps on command and times itself. Those of
TensorFlow make eight steps in one call (in_graph.py):

- het_tf: one process, the shard inside, the ops as the layers call them;
- tf: `tf.gather` and `scatter_sub` on a local variable, ids as positions;
- tfra: TensorFlow Recommenders Addons' dynamic embedding, a hash table;
- fbgemm: FBGEMM's table-batched embedding with its fused SGD, ids as positions;
- limit: a plain C++ loop over arrays, with the inverse index given
  (benchmarks/native/limit_main.cc).

At last two callers look rows up, and make steps, at the same time, on one table and
on a table each: what it costs them to have it in common.

A peer that is not installed (`python -m benchmarks.peers install`) is said to be
missing and left out.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf
import typer

import het_tf as het
from benchmarks.figures import figure, unavailable
from benchmarks.peers import environments
from benchmarks.peers.coprocess import Coprocess, program
from benchmarks.peers.in_graph import in_graph
from benchmarks.turns import in_process, medians, take_turns
from benchmarks.zipf import SKEW, VOCABULARY, ZipfIds
from het_tf import ops

BATCHES = 8
THREADS = 2
WORKLOADS = ((16, 4096 * 26), (128, 4096 * 26), (16, 3328))


def cached_table(name: str, dimension: int) -> tf.Tensor:
    """The handle of a table all rows of which are in the cache."""
    cache = het.CacheConfig(rows=VOCABULARY, staleness=100)
    optimizer = tf.keras.optimizers.SGD(0.01)
    layer = het.layers.Embedding(VOCABULARY, dimension, table=name, cache=cache, optimizer=optimizer)
    handle = layer.table.handle
    for begin in range(0, VOCABULARY, 100_000):
        ops.lookup(handle, tf.range(begin, begin + 100_000, dtype=tf.int64), dimension, "training")
        ops.update(handle, tf.constant([], tf.int64), tf.zeros([0, dimension]), tf.constant(0.01), 1.0)
    return handle


def het_step(
    handle: tf.Tensor, dimension: int, ids: list[tf.Tensor], gradients: tf.Tensor | None
) -> Callable[[int], Any]:
    """Without gradients a lookup alone."""

    def step(batch: tf.Tensor) -> tf.Tensor:
        if gradients is None:
            return ops.lookup(handle, batch, dimension, "inference")[0]
        rows = ops.lookup(handle, batch, dimension, "training")
        with tf.control_dependencies([rows]):
            ops.update(handle, batch, gradients, tf.constant(0.01), 1.0)
        return rows[0]

    return in_graph(step, ids)


def two_callers(pool: ThreadPoolExecutor, steps: list[Callable[[int], Any]]) -> Callable[[int], Any]:
    """Both of them at the same time, each from a thread of its own."""

    def run(number: int) -> None:
        for caller in [pool.submit(step, number) for step in steps]:
            caller.result()

    return run


def measure_callers(zipf: ZipfIds, rounds: int, seconds: float) -> None:
    """What it costs callers that come at the same time to have a table in common."""
    dimension, size = WORKLOADS[0]
    batches = [tf.constant(zipf.batch(number, size // 2)) for number in range(2 * BATCHES)]
    halves = (batches[:BATCHES], batches[BATCHES:])
    handles = [cached_table(name, dimension) for name in ("common", "first", "second")]
    works = {"lookup": None, "lookup + SGD update": tf.fill([size // 2, dimension], 1e-3)}
    for work, gradients in works.items():
        with ThreadPoolExecutor(2) as pool:
            contenders = {
                name: in_process(
                    two_callers(
                        pool,
                        [
                            het_step(handle, dimension, ids, gradients)
                            for handle, ids in zip(tables, halves, strict=True)
                        ],
                    ),
                    BATCHES,
                )
                for name, tables in (("one table", [handles[0]] * 2), ("a table each", handles[1:]))
            }
            for run in contenders.values():
                run(3)
            times = medians(take_turns(contenders, rounds=rounds, seconds=seconds))
        for name, other in (("one table", "a table each"), ("a table each", "one table")):
            figure(
                "hit_path",
                f"two callers at once, {name}: {work}, D={dimension}, {size // 2} ids each",
                size / times[name] / 1e6,
                "M ids/s",
                data=f"generated: Zipf({SKEW}) over {VOCABULARY} ids",
                reference=other,
                ratio=times[other] / times[name],
            )
    het.shutdown()


def tensorflow_step(dimension: int, ids: list[tf.Tensor], gradients: tf.Tensor) -> Callable[[int], Any]:
    variable = tf.Variable(tf.random.uniform([VOCABULARY, dimension], -0.05, 0.05))

    def step(batch: tf.Tensor) -> tf.Tensor:
        rows = tf.gather(variable, batch)
        with tf.control_dependencies([rows]):
            variable.scatter_sub(tf.IndexedSlices(0.01 * gradients, batch))
        return rows[0]

    return in_graph(step, ids)


def start(stack: contextlib.ExitStack, peers: list[str], arguments: list[str]) -> dict[str, Coprocess]:
    """The peers that start, ready; of the others it is said why they do not."""
    commands: dict[str, Callable[[], tuple[list[str], dict[str, str]]]] = {
        "limit": lambda: ([str(program("limit"))], dict(os.environ))
    }
    for name in peers:
        peer = environments.PEERS[name]
        module = f"benchmarks.peers.hit_path_{name}"
        commands[name] = lambda peer=peer, module=module: (  # type: ignore[misc]
            [str(environments.python(peer)), "-m", module],
            environments.environment(peer),
        )
    ready = {}
    for name, command in commands.items():
        try:
            program_and_options, environ = command()
            process = Coprocess(name, [*program_and_options, *arguments], environ)
            stack.enter_context(process)
            process.wait_until_ready()
        except environments.PeerUnavailable as error:
            unavailable("hit_path", name, str(error))
        else:
            ready[name] = process
    return ready


def main(
    quick: Annotated[bool, typer.Option(help="Fewer and shorter turns.")] = False,
    peers: Annotated[
        str, typer.Option(help="Peers to compare with, separated by commas; may be empty.")
    ] = "tfra,fbgemm",
    json: Annotated[bool, typer.Option(help="Accepted for all benchmarks alike: the output is JSON lines.")] = True,
) -> None:
    names = [name for name in peers.split(",") if name]
    if unknown := set(names) - set(environments.PEERS):
        raise typer.BadParameter(f"unknown peers {sorted(unknown)}; there are {', '.join(environments.PEERS)}")
    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(THREADS)
    zipf = ZipfIds()
    rounds, seconds = (5, 0.1) if quick else (15, 0.5)
    for dimension, size in WORKLOADS:
        ids = np.stack([zipf.batch(number, size) for number in range(BATCHES)])
        tensors = [tf.constant(batch) for batch in ids]
        gradients = tf.fill([size, dimension], 1e-3)
        with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
            file = Path(folder) / "ids.bin"
            ids.tofile(file)
            numbers = (BATCHES, size, dimension, VOCABULARY, THREADS)
            processes = start(stack, names, [str(file), *map(str, numbers)])
            contenders = {
                "het_tf": in_process(
                    het_step(cached_table(f"hit_{dimension}", dimension), dimension, tensors, gradients), BATCHES
                ),
                "tf": in_process(tensorflow_step(dimension, tensors, gradients), BATCHES),
                **{name: process.steps for name, process in processes.items()},
            }
            # The first steps trace and warm up.
            for run in contenders.values():
                run(3)
            times = take_turns(contenders, rounds=rounds, seconds=seconds)
        rates = {name: size / seconds / 1e6 for name, seconds in medians(times).items()}
        ways = {name: f" ({process.ready['path']})" for name, process in processes.items()}
        for name, rate in rates.items():
            figure(
                "hit_path",
                f"{name}{ways.get(name, '')}: lookup + SGD update, D={dimension}, {size} ids per step",
                rate,
                "M ids/s",
                data=f"generated: Zipf({SKEW}) over {VOCABULARY} ids",
                reference="het_tf" if name != "het_tf" else "tf",
                ratio=rate / rates["het_tf" if name != "het_tf" else "tf"],
            )
        het.shutdown()
    measure_callers(zipf, rounds, seconds)


if __name__ == "__main__":
    typer.run(main)
