"""An evaluator of a TF_CONFIG job reads what the others train, and changes nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import jobs
from het_tf.administration import ShardClient
from het_tf.shard_process import ShardProcess
from processes import clean_environment

SCRIPT = Path(__file__).with_name("evaluator.py")


def run(task: str, shard: str, folder: Path) -> dict:
    cluster = {"ps": [shard], "chief": jobs.cluster(0, 1)["chief"]}
    config = {"cluster": cluster, "task": {"type": task, "index": 0}}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(folder)],
        env=clean_environment(TF_CONFIG=json.dumps(config)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=jobs.PATIENCE_SECONDS,
    )
    assert done.returncode == 0, done.stdout
    return json.loads((folder / f"{task}.json").read_text())


def test_an_evaluator_reads_the_trained_rows_and_creates_none(tmp_path):
    with ShardProcess() as shard, ShardClient(shard.address) as client:
        trained = run("chief", shard.address, tmp_path)
        (before,) = client.stats().tables
        read = run("evaluator", shard.address, tmp_path)
        (after,) = client.stats().tables
    assert (read["rank"], read["size"]) == (0, 1)
    assert read["rows"] == trained["rows"]
    assert (after.rows, after.optimizer) == (before.rows, before.optimizer)
    assert before.optimizer.startswith("adagrad")


def test_an_evaluator_may_come_before_the_first_trainer(tmp_path):
    with ShardProcess() as shard:
        untrained = run("evaluator", shard.address, tmp_path)
        trained = run("chief", shard.address, tmp_path)
        read = run("evaluator", shard.address, tmp_path)
    assert untrained["rows"] != trained["rows"]
    assert read["rows"] == trained["rows"]
