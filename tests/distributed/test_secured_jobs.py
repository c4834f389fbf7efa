"""Jobs with TLS and tokens train as those without: `het-tf launch --tls`, and TF_CONFIG with files of one's own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import jobs
import scenarios
from certificates import Authority, token_file
from het_tf import checkpoint
from het_tf.named_options import variable
from test_checkpoints import SCRIPT as CHECKPOINTED

SCRIPT = Path(scenarios.__file__)
SOME = ("plain_fit", "cached_fit", "only_embeddings")


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict:
    folder = tmp_path_factory.mktemp("alone")
    jobs.launch(SCRIPT, str(folder), *SOME, workers=1, shards=0)
    return jobs.reports(folder, 1)[0]


def check(found: list[dict], alone: dict) -> None:
    first, second = found
    for name in SOME:
        assert first[name] == second[name]
        for part in ("dense", "rows"):
            for mine, its in zip(first[name][part], alone[name][part], strict=True):
                np.testing.assert_allclose(mine, its, rtol=0, atol=1e-5)


def test_two_workers_and_two_shards_by_the_launcher(tmp_path, alone):
    said = jobs.launch(SCRIPT, str(tmp_path), *SOME, workers=2, shards=2, options=("--tls",))
    assert "the job's certificates and tokens" in said
    check(jobs.reports(tmp_path, 2), alone)


def test_two_workers_and_two_shards_by_tf_config(tmp_path, alone):
    files = Authority(tmp_path / "ca").both("all") | {"token_file": token_file(tmp_path, "token")}
    environ = {variable(name): str(path) for name, path in files.items()}
    described = jobs.cluster(2, 2)
    with jobs.tasks(SCRIPT, [str(tmp_path), *SOME], described, tmp_path, environ=environ) as running:
        for (kind, index), process in running.items():
            if kind != "ps":
                code = process.wait(jobs.PATIENCE_SECONDS)
                assert code == 0, jobs.log_of(tmp_path, kind, index).read_text()
    check(jobs.reports(tmp_path, 2), alone)


def test_checkpoints_are_written_and_read_with_the_jobs_own_tokens(tmp_path):
    where = tmp_path / "saved"
    options = ("--tls", "--checkpoint-dir", str(where))
    jobs.launch(CHECKPOINTED, str(where), str(tmp_path), "first", workers=1, shards=2, options=options)
    assert checkpoint.list(where)
    jobs.launch(CHECKPOINTED, str(where), str(tmp_path), "second", workers=1, shards=1, options=options)
    first, second = (json.loads((tmp_path / f"{name}.rank.0.json").read_text()) for name in ("first", "second"))
    assert second["began"] != first["began"] and second["rows"] == first["rows"]
