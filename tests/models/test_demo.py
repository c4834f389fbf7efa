"""The demo: real processes, and what its last line says. Wide & Deep's size, and that it learns."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest

import het_tf as het
from models.data import synthetic_criteo
from models.wdl import wide_and_deep

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 180
REAL = ("criteo_train_1k_raw.txt", "criteo_kaggle2014_train.tiny.csv", "criteo_kaggle2014_test.tiny.csv")
STEPS, BATCH = 30, 128


def demo(*options):
    """What is printed, and the last line as an object."""
    done = subprocess.run(
        [sys.executable, "-m", "models.demo", "--dimension=4", f"--steps={STEPS}", "--cache=2000", *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout, json.loads(done.stdout.splitlines()[-1])


def check(result, data, *, workers=2, shards=2):
    assert (result["workers"], result["shards"], result["steps"], result["batch"]) == (workers, shards, STEPS, BATCH)
    assert data in result["data"]
    assert result["examples_per_second"] > 0
    assert 0 <= result["auc"] <= 1
    assert 0 < result["hit_rate"] < 1
    assert result["bytes_without_cache"] > 0
    assert (result["bytes_on_wire"] > 0) == (shards > 0)


def test_two_workers_and_two_shards_on_generated_rows():
    said, result = demo()
    check(result, "generated rows")
    assert result["bytes_on_wire"] < result["bytes_without_cache"]
    bars = [line for line in said.splitlines() if f"/{STEPS}" in line]
    assert 1 <= len(bars) <= 21  # Keras's progress bar, and a log that can be read


def test_rows_of_a_file_and_no_wire(tmp_path):
    file = tmp_path / "train.txt"
    synthetic_criteo.write(file, 2000)
    said, result = demo(f"--data={file}", "--workers=1", "--shards=0")
    check(result, "real rows of train.txt", workers=1, shards=0)
    assert "the shard is inside the worker" in said and "saved" not in said


@pytest.mark.parametrize(("name", "workers"), list(zip(REAL, (2, 1, 1), strict=True)))
def test_real_rows(name, workers):
    folder = os.environ.get("HET_TF_DATA")
    if not folder:
        pytest.skip("HET_TF_DATA does not name a data folder")
    _, result = demo(f"--data={Path(folder) / name}", f"--workers={workers}")
    check(result, f"real rows of {name}", workers=workers)


def test_the_papers_size_at_dimension_128():
    model = wide_and_deep(het.layers.Embedding(None, 128))
    assert model.count_params() == 137_984


def test_it_learns_from_generated_rows():
    embedding = het.layers.Embedding(None, 8, keras.initializers.RandomNormal(stddev=0.01, seed=0))
    model = wide_and_deep(embedding)
    model.compile(het.DistributedOptimizer(keras.optimizers.Adagrad(0.05)), "binary_crossentropy")
    model.fit(synthetic_criteo.dataset(BATCH, 300), shuffle=False, verbose=0)
    model.compile(metrics=[keras.metrics.AUC(name="auc")], loss="binary_crossentropy")
    held_out = synthetic_criteo.dataset(BATCH, 50, first_step=300)
    assert model.evaluate(held_out, verbose=0, return_dict=True)["auc"] > 0.62
