"""Fixtures: a running shard, and jobs that are ended with the test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster_jobs import Job
from het_tf.shard_process import ShardProcess


@pytest.fixture
def shard() -> Iterator[ShardProcess]:
    with ShardProcess() as running:
        yield running


@pytest.fixture
def start_job(tmp_path: Path):
    jobs = []

    def start(body: str, *, workers: int = 2, shards: int = 2, options: tuple[str, ...] = ()) -> Job:
        jobs.append(Job(tmp_path, body, workers=workers, shards=shards, options=options))
        return jobs[-1]

    yield start
    for job in jobs:
        job.close()
