"""Trains Wide & Deep on Criteo rows, real or generated, on any number of workers.

    het-tf launch --workers 2 --shards 2 models/train_wdl.py --steps 500
    python models/train_wdl.py --data train.txt

`--report FILE` writes what the demo shows: one JSON object, by worker 0.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import keras
import tensorflow as tf
import typer

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that `models` is found from anywhere

import het_tf as het
from models.data import criteo, synthetic_criteo
from models.wdl import wide_and_deep

HELD_OUT_SHARE = 0.1
HELD_OUT_BATCHES = 100


class Stopwatch(keras.callbacks.Callback):
    """Seconds and steps of training after the first step, which compiles."""

    steps = 0
    seconds = 0.0

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        now = time.monotonic()
        if batch == 0:
            self._begin = now
        else:
            self.steps += 1
            self.seconds = now - self._begin


class Progress(keras.callbacks.ProgbarLogger):
    """Keras's progress bar. Where it cannot be redrawn (a file, horovodrun's output) a refresh is a line: few."""

    LINES = 20

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if sys.stdout.isatty() or (batch + 1) % -(-self.target // self.LINES) == 0:
            super().on_train_batch_end(batch, logs)


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


def bytes_without_cache(counters: dict[str, int], dimension: int) -> int:
    """What the same steps would have sent and received without a cache, framing left out.

    Every distinct id of a step is fetched (8 bytes of id; the row and a clock of
    at least 1 byte come back) and every row written is pushed (id, clock,
    gradient): a lower bound.
    """
    row = 8 + 1 + 4 * dimension
    return counters["unique_ids"] * row + counters["updated_rows"] * row


def gathered(mine: dict[str, Any]) -> list[dict[str, Any]]:
    """What every worker has, in the order of their ranks."""
    if het.size() == 1:
        return [mine]
    import horovod.tensorflow as hvd  # one worker does without

    return hvd.allgather_object(mine, name="report")


def main(
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
    embedding = het.layers.Embedding(
        None, dimension, keras.initializers.RandomNormal(stddev=0.01, seed=seed), cache=config, name="criteo"
    )
    model = wide_and_deep(embedding, seed=seed)
    chosen = {"sgd": keras.optimizers.SGD, "adagrad": keras.optimizers.Adagrad}[optimizer](learning_rate)
    model.compile(
        het.DistributedOptimizer(chosen), loss="binary_crossentropy", metrics=[keras.metrics.AUC(name="auc")]
    )

    first = het.rank() == 0
    watch = Stopwatch()
    callbacks: list[keras.callbacks.Callback] = [het.callbacks.MetricAverage(), het.callbacks.CacheStats(), watch]
    if first:
        callbacks.append(Progress())
    model.fit(train, shuffle=False, verbose=int(first), callbacks=callbacks)

    counted = het.callbacks.Snapshot.take()
    traffic = sum(sum(counted.traffic[way].values()) for way in ("sent", "received"))
    mine = {
        "rate": watch.steps * batch / watch.seconds,
        "bytes": traffic,
        "bytes_without_cache": bytes_without_cache(counted.counters, dimension),
        "hits": counted.counters["hits"],
        "unique_ids": counted.counters["unique_ids"],
    }
    everyone = gathered(mine)
    if first:
        auc = model.evaluate(held_out, verbose=0, return_dict=True)["auc"]
        result = {
            "examples_per_second": round(sum(worker["rate"] for worker in everyone), 1),
            "auc": round(auc, 6),
            "hit_rate": round(sum(w["hits"] for w in everyone) / sum(w["unique_ids"] for w in everyone), 4),
            "bytes_on_wire": sum(worker["bytes"] for worker in everyone),
            "bytes_without_cache": sum(worker["bytes_without_cache"] for worker in everyone),
            "workers": het.size(),
            "shards": len(het.shards()),
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
