"""Wide & Deep on Frappe: one system, several seeds, test AUC of each.

The worker's script of models/frappe_auc.py, which compares systems; prints one
JSON line per seed, by worker 0. Every system sees the same global batches in the
same order: worker r of n takes rows r, r + n, ... of each.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Annotated

import keras
import numpy as np
import tensorflow as tf
import typer

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that `models` is found from anywhere

import het_tf as het
from models.data import frappe
from models.wdl import wide_and_deep

IDS = 5382
DIMENSION = 16


def batches(rows: frappe.Rows, batch: int, epochs: int, seed: int) -> tf.data.Dataset:
    """This worker's part of the global batches of all epochs; a last incomplete one of an epoch is left out."""
    steps = len(rows) // batch
    order = np.random.default_rng(seed)
    numbers = np.concatenate([order.permutation(len(rows))[: steps * batch] for _ in range(epochs)])
    mine = numbers.reshape(-1, batch)[:, het.rank() :: het.size()].astype(np.int32)
    ids, label = tf.constant(rows.ids), tf.constant(rows.label)
    dataset = tf.data.Dataset.from_tensor_slices(mine)
    dataset = dataset.map(lambda some: ({"ids": tf.gather(ids, some)}, tf.gather(label, some)), tf.data.AUTOTUNE)
    return dataset.prefetch(tf.data.AUTOTUNE)


def run(
    system: str,
    rows: frappe.Rows,
    seed: int,
    batch: int,
    epochs: int,
    learning_rate: float,
    share: float,
    wire: str = "float32",
) -> dict:
    """Trains one model and evaluates it on the test rows."""
    keras.utils.set_random_seed(seed)
    train, _, test = rows.split(seed)
    name = f"frappe_{seed}"
    start = keras.initializers.RandomUniform(-0.05, 0.05, seed=seed)
    # One start for all: the rows as a table computes them from the seed.
    embedding: keras.layers.Layer
    optimizer = keras.optimizers.SGD(learning_rate)
    if system == "keras":
        initial = het.layers.Embedding(IDS, DIMENSION, start, name=name).rows(np.arange(IDS)).numpy()
        embedding = keras.layers.Embedding(IDS, DIMENSION)
        embedding.build()
        embedding.set_weights([initial])
    else:
        cache = None
        if system != "none":
            staleness = float(system) if system == "inf" else int(system)
            cache = het.CacheConfig(share=share, staleness=staleness, wire=wire)
        embedding = het.layers.Embedding(IDS, DIMENSION, start, name=name, cache=cache)
        optimizer = het.DistributedOptimizer(optimizer)
    model = wide_and_deep(embedding, fields=rows.ids.shape[1], dense_features=0, seed=seed)
    model.compile(optimizer, loss="binary_crossentropy")
    begin = time.monotonic()
    model.fit(batches(train, batch, epochs, seed), shuffle=False, verbose=0)
    seconds = time.monotonic() - begin
    result: dict = {
        "system": system,
        "wire": wire,
        "workers": het.size(),
        "seed": seed,
        "batch": batch,
        "epochs": epochs,
        "learning_rate": learning_rate,
        "share": share,
        "seconds": round(seconds, 1),
    }
    if het.rank() == 0:
        auc = keras.metrics.AUC(num_thresholds=10_000)
        auc.update_state(test.label, model.predict({"ids": test.ids}, batch_size=8192, verbose=0))
        result["auc"] = float(auc.result())
    het.barrier()
    return result


def main(
    system: Annotated[str, typer.Option(help="keras; or het_tf's staleness: none (no cache), 0, 100, inf, ...")],
    data: Annotated[Path | None, typer.Option(help="frappe_ctr_neg2.npz; else in the folder HET_TF_DATA.")] = None,
    seeds: Annotated[int, typer.Option(min=1)] = 5,
    first_seed: Annotated[int, typer.Option(min=0)] = 0,
    batch: Annotated[int, typer.Option(min=1, help="Rows of a global batch.")] = 512,
    epochs: Annotated[int, typer.Option(min=1)] = 10,
    learning_rate: float = 0.5,
    share: Annotated[float, typer.Option(help="Rows cached, as a share of the table.")] = 0.1,
    wire: Annotated[str, typer.Option(help="Format of rows and gradients, of systems with a cache.")] = "float32",
    report: Annotated[Path | None, typer.Option(help="File that worker 0's lines are added to.")] = None,
) -> None:
    rows = frappe.load(data)
    for seed in range(first_seed, first_seed + seeds):
        result = run(system, rows, seed, batch, epochs, learning_rate, share, wire)
        if het.rank() == 0:
            print(json.dumps(result), flush=True)
            if report is not None:
                with report.open("a") as file:
                    file.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    app.command()(main)
    app()
