"""Training steps over many tables, against the same ids in one table.

    python -m benchmarks.tables [--quick]

500 tables, 8 ids of each per example, batch 1024, D=16: a `DistributedEmbedding`
reads all of them and the optimizer updates them, with a shard process on this
machine, every row cached, staleness 100. The references are the same ids in one
table (each table's at a range of its own, so that as many rows are touched), read
as 500 features and as one. The three take turns.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Annotated, Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf
import typer

import het_tf as het
from benchmarks.figures import figure
from benchmarks.turns import in_process, medians, take_turns
from het_tf.shard_process import ShardProcess

TABLES = 500
IDS = 8
DIMENSION = 16
VOCABULARY = 10_000  # of each table
SKEW = 1.05
BATCHES = 4


def ids_of_tables(batch: int) -> np.ndarray:
    """int64 (BATCHES, TABLES, batch, IDS), Zipf-distributed in each table."""
    random = np.random.default_rng(0)
    cumulative = np.cumsum(np.arange(1, VOCABULARY + 1) ** -SKEW)
    draws = random.random((BATCHES, TABLES, batch, IDS)) * cumulative[-1]
    return np.minimum(np.searchsorted(cumulative, draws), VOCABULARY - 1).astype(np.int64)


def table(name: str, rows: int) -> het.TableConfig:
    return het.TableConfig(name, rows, DIMENSION, cache=het.CacheConfig(rows=rows, staleness=100))


def training(layer: keras.layers.Layer, batches: list[Any]) -> Callable[[int], object]:
    """A step of the layer on its batches, by number; the loss is the sum of all that it gives."""
    optimizer = het.DistributedOptimizer(keras.optimizers.SGD(0.01))
    layer(batches[0], training=False)
    optimizer.build(layer.trainable_variables)

    @tf.function(autograph=False)
    def step(inputs: Any) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = tf.add_n([tf.reduce_sum(rows) for rows in tf.nest.flatten(layer(inputs, training=True))])
        optimizer.apply(tape.gradient(loss, layer.trainable_variables), layer.trainable_variables)
        return loss

    return lambda number: step(batches[number % BATCHES]).numpy()


def main(
    quick: Annotated[bool, typer.Option(help="A smaller batch and fewer steps.")] = False,
    json: Annotated[bool, typer.Option(help="Accepted for all benchmarks alike: the output is JSON lines.")] = True,
) -> None:
    batch = 128 if quick else 1024
    ids = ids_of_tables(batch)
    ranges = ids + VOCABULARY * np.arange(TABLES).reshape(1, TABLES, 1, 1)
    many = [[tf.constant(one) for one in step] for step in ids]
    shared = [[tf.constant(one) for one in step] for step in ranges]
    single = [[tf.constant(step.transpose(1, 0, 2).reshape(batch, TABLES * IDS))] for step in ranges]

    def layer(tables: list[het.TableConfig]) -> het.layers.DistributedEmbedding:
        return het.layers.DistributedEmbedding([het.FeatureConfig(f"f{i}", one) for i, one in enumerate(tables)])

    with ShardProcess() as shard:
        het.init(shards=[shard.address])
        contenders = {
            "500 tables": training(layer([table(f"t{i}", VOCABULARY) for i in range(TABLES)]), many),
            "one table, 500 features": training(layer([table("shared", VOCABULARY * TABLES)] * TABLES), shared),
            "one table, one feature": training(layer([table("single", VOCABULARY * TABLES)]), single),
        }
        runs = {name: in_process(step) for name, step in contenders.items()}
        for run in runs.values():
            run(BATCHES)  # traces, and fills the caches
        times = medians(take_turns(runs, rounds=5, seconds=0.3 if quick else 2.0))
        for name, seconds in times.items():
            reference = "one table, 500 features" if name == "500 tables" else "500 tables"
            figure(
                "tables",
                f"{name}: training step, {TABLES} x {IDS} ids, batch {batch}, D={DIMENSION}",
                seconds * 1e3,
                "ms",
                data=f"generated: Zipf({SKEW}) over {VOCABULARY} ids of each table; one shard process",
                reference=reference,
                ratio=seconds / times[reference],
            )
        figure(
            "tables",
            "500 tables against one table, one feature",
            times["500 tables"] * 1e3,
            "ms",
            data=f"as above, batch {batch}",
            reference="one table, one feature",
            ratio=times["500 tables"] / times["one table, one feature"],
        )
        het.shutdown()


if __name__ == "__main__":
    typer.run(main)
