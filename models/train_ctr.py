"""Trains Wide & Deep, DeepFM or Deep & Cross on Criteo rows, real or generated, on any number of workers.

    het-tf launch --workers 2 --shards 2 models/train_ctr.py --steps 500
    python models/train_ctr.py --model deepfm --data train.txt

`--report FILE` writes what the demo shows: one JSON object, by worker 0.
"""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import keras
import tensorflow as tf
import typer

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that `models` is found from anywhere

import het_tf as het
from models.data import criteo, synthetic_criteo
from models.dcn import deep_and_cross
from models.deepfm import deep_fm
from models.wdl import wide_and_deep
from models.worker_report import Progress, Stopwatch, of_all_workers

HELD_OUT_SHARE = 0.1
HELD_OUT_BATCHES = 100


class Model(StrEnum):
    wdl = "wdl"
    deepfm = "deepfm"
    dcn = "dcn"


def rows(data: str | None, batch: int, steps: int, seed: int) -> tuple[tf.data.Dataset, tf.data.Dataset, str]:
    """This worker's training batches, the held-out batches, and what they are."""
    if data is None:
        train = synthetic_criteo.dataset(batch, steps, seed=seed, first_step=het.rank() * steps)
        held_out = synthetic_criteo.dataset(batch, HELD_OUT_BATCHES, seed=seed, first_step=het.size() * steps)
        return train, held_out, "generated rows (Criteo's cardinalities and skew, planted labels)"
    train = criteo.dataset(data, batch, repeat=True, holdout=HELD_OUT_SHARE, drop_remainder=True)
    held_out = criteo.dataset(data, batch, holdout=HELD_OUT_SHARE, held_out=True)
    train = het.data.shard(train).take(steps).apply(tf.data.experimental.assert_cardinality(steps))
    return train, held_out, f"real rows of {Path(data).name}"


def build(
    model: Model, dimension: int, config: het.CacheConfig | None, seed: int
) -> tuple[keras.Model, list[het.layers.Embedding]]:
    """The model, and the layers of its tables."""

    def embedding(width: int, name: str) -> het.layers.Embedding:
        start = keras.initializers.RandomNormal(stddev=0.01, seed=seed)
        return het.layers.Embedding(None, width, start, cache=config, name=name)

    rows = embedding(dimension, "criteo")
    if model is Model.wdl:
        return wide_and_deep(rows, seed=seed), [rows]
    if model is Model.dcn:
        return deep_and_cross(rows, seed=seed), [rows]
    weights = embedding(1, "criteo_weights")
    return deep_fm(rows, weights, seed=seed), [rows, weights]


def main(
    model: Annotated[Model, typer.Option(help="Wide & Deep, DeepFM, or Deep & Cross.")] = Model.wdl,
    data: Annotated[str | None, typer.Option(help="Criteo rows; generated ones without it.")] = None,
    dimension: Annotated[int, typer.Option(min=1)] = 16,
    batch: Annotated[int, typer.Option(min=1, help="Rows per worker and step.")] = 128,
    steps: Annotated[int, typer.Option(min=2, help="Steps per worker.")] = 1000,
    learning_rate: Annotated[float, typer.Option()] = 0.05,
    staleness: Annotated[float, typer.Option(min=0, help="Of cached rows, in steps; inf for no bound.")] = 100,
    cache: Annotated[int, typer.Option(min=0, help="Rows that a worker caches; 0: no cache.")] = 50_000,
    policy: Annotated[str, typer.Option(help="lru, lfu or light_lfu.")] = "lfu",
    optimizer: Annotated[str, typer.Option(help="sgd or adagrad.")] = "adagrad",
    wire: Annotated[str, typer.Option(help="Format of rows and gradients, with a cache.")] = "float32",
    seed: Annotated[int, typer.Option()] = 0,
    report: Annotated[Path | None, typer.Option(help="File for worker 0's report.")] = None,
) -> None:
    keras.utils.set_random_seed(seed)
    if staleness != float("inf"):
        staleness = int(staleness)
    train, held_out, source = rows(data, batch, steps, seed)
    config = het.CacheConfig(rows=cache, policy=policy, staleness=staleness, wire=wire) if cache else None
    network, embeddings = build(model, dimension, config, seed)
    chosen = {"sgd": keras.optimizers.SGD, "adagrad": keras.optimizers.Adagrad}[optimizer](learning_rate)
    network.compile(
        het.DistributedOptimizer(chosen), loss="binary_crossentropy", metrics=[keras.metrics.AUC(name="auc")]
    )

    first = het.rank() == 0
    watch = Stopwatch()
    callbacks: list[keras.callbacks.Callback] = [het.callbacks.MetricAverage(), het.callbacks.CacheStats(), watch]
    if first:
        callbacks.append(Progress())
    network.fit(train, shuffle=False, verbose=int(first), callbacks=callbacks)

    measured = of_all_workers(watch, batch, embeddings)
    if first:
        auc = network.evaluate(held_out, verbose=0, return_dict=True)["auc"]
        result = {
            **measured,
            "auc": round(auc, 6),
            "model": model.value,
            "data": source,
            "steps": steps,
            "batch": batch,
            "dimension": dimension,
            "staleness": str(staleness),
            "cache_rows": cache,
            "wire": wire,
        }
        text = json.dumps(result)
        if report is not None:
            report.write_text(text + "\n")
        else:
            print(text)
    het.barrier()


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    app.command()(main)
    app()
