"""Lookup and SGD update of rows that are all cached, against TensorFlow on a local variable.

    python -m benchmarks.hit_path [--quick]

One process, the shard inside. A step looks a batch of Zipf-distributed ids up and
applies one gradient per occurrence; TensorFlow does the same by `tf.gather` and
`scatter_sub`. The two take turns step by step, so that a slow moment of the
machine hits both; medians are quoted.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from typing import Annotated, Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf
import typer

import het_tf as het
from benchmarks.figures import figure
from het_tf import ops

VOCABULARY = 1_000_000
SKEW = 1.05
BATCHES = 8


def batches(size: int, seed: int = 0) -> list[tf.Tensor]:
    """Ids of VOCABULARY rows, drawn by rank ** -SKEW, the ranks dealt out at random."""
    random = np.random.default_rng(seed)
    weights = np.arange(1, VOCABULARY + 1) ** -SKEW
    cumulative = np.cumsum(weights / weights.sum())
    ids = random.permutation(VOCABULARY)
    return [tf.constant(ids[np.searchsorted(cumulative, random.random(size))], tf.int64) for _ in range(BATCHES)]


def het_step(dimension: int, gradients: tf.Tensor, staleness: int) -> Callable[[tf.Tensor], Any]:
    cache = het.CacheConfig(rows=VOCABULARY, staleness=staleness)
    optimizer = tf.keras.optimizers.SGD(0.01)
    layer = het.layers.Embedding(VOCABULARY, dimension, table=f"hit_{dimension}", cache=cache, optimizer=optimizer)
    handle = layer.table.handle
    for begin in range(0, VOCABULARY, 100_000):  # all rows into the cache
        ops.lookup(handle, tf.range(begin, begin + 100_000, dtype=tf.int64), dimension, "training")
        ops.update(handle, tf.constant([], tf.int64), tf.zeros([0, dimension]), tf.constant(0.01), 1.0)

    @tf.function(autograph=False)
    def step(ids: tf.Tensor) -> tf.Tensor:
        rows = ops.lookup(handle, ids, dimension, "training")
        with tf.control_dependencies([rows]):
            ops.update(handle, ids, gradients, tf.constant(0.01), 1.0)
        return rows[0]

    return step


def tensorflow_step(dimension: int, gradients: tf.Tensor) -> Callable[[tf.Tensor], Any]:
    variable = tf.Variable(tf.random.uniform([VOCABULARY, dimension], -0.05, 0.05))

    @tf.function(autograph=False)
    def step(ids: tf.Tensor) -> tf.Tensor:
        rows = tf.gather(variable, ids)
        with tf.control_dependencies([rows]):
            variable.scatter_sub(tf.IndexedSlices(0.01 * gradients, ids))
        return rows[0]

    return step


def main(
    quick: Annotated[bool, typer.Option(help="Fewer steps.")] = False,
    json: Annotated[bool, typer.Option(help="Accepted for all benchmarks alike: the output is JSON lines.")] = True,
) -> None:
    steps = 20 if quick else 100
    staleness = 100
    for dimension, size in ((16, 4096 * 26), (128, 4096 * 26), (16, 3328)):
        ids = batches(size)
        gradients = tf.fill([size, dimension], 1e-3)
        contenders = {"het_tf": het_step(dimension, gradients, staleness), "tf": tensorflow_step(dimension, gradients)}
        seconds: dict[str, list[float]] = {name: [] for name in contenders}
        for number in range(steps + 5):
            for name, step in contenders.items():
                begin = time.perf_counter()
                step(ids[number % BATCHES]).numpy()
                if number >= 5:  # the first ones trace and warm up
                    seconds[name].append(time.perf_counter() - begin)
        rates = {name: size / statistics.median(times) / 1e6 for name, times in seconds.items()}
        for name, rate in rates.items():
            figure(
                "hit_path",
                f"{name}: lookup + SGD update, D={dimension}, {size} ids per step",
                rate,
                "M ids/s",
                data=f"generated: Zipf({SKEW}) over {VOCABULARY} ids",
                reference="tf.gather + scatter_sub on a local variable",
                ratio=rate / rates["tf"],
            )
        het.shutdown()


if __name__ == "__main__":
    typer.run(main)
