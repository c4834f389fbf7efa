"""Jobs whose processes are killed, and which go on from their checkpoint: on other shards, with other workers."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jobs
import small_model
from het_tf import checkpoint

SCRIPT = Path(__file__).with_name("checkpointed.py")
# Batches of the whole job; and of the part before the kill, which is one behind the second epoch's first checkpoint.
BATCHES, KILLED = 2 * small_model.STEPS, 16


def run(folder: Path, name: str, *, workers: int, shards: int, directory: str, until: int | None = None) -> list[Any]:
    """What each worker tells; [] if they are killed."""
    folder.mkdir(exist_ok=True)
    where = folder / directory
    arguments = [str(where), str(folder), name, *([str(until)] if until is not None else [])]
    options = ("--checkpoint-dir", str(where))
    said = jobs.launch(SCRIPT, *arguments, workers=workers, shards=shards, options=options, fails=until is not None)
    if until is not None:
        assert (folder / f"{name}.rank.0.killed").exists(), said
        return []
    return [json.loads((folder / f"{name}.rank.{rank}.json").read_text()) for rank in range(workers)]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[Any]]:
    """By the number of workers."""
    folder = tmp_path_factory.mktemp("undisturbed")
    return {
        workers: run(folder, f"of_{workers}", workers=workers, shards=2, directory=f"of_{workers}")
        for workers in (1, 2)
    }


def test_one_worker_goes_on_with_the_same_losses_on_other_shards(tmp_path, undisturbed):
    run(tmp_path, "killed", workers=1, shards=2, directory="saved", until=KILLED)
    (alone,) = undisturbed[1]
    for shards in (3, 1):
        # Each from the same checkpoints.
        copy = tmp_path / f"saved_{shards}"
        _copy(tmp_path / "saved", copy)
        (found,) = run(tmp_path, f"on_{shards}", workers=1, shards=shards, directory=copy.name)
        assert found["began"] == [15, 2]
        assert found["losses"] == alone["losses"][15:] and len(found["losses"]) == BATCHES - 15
        for part in ("dense", "rows", "iterations", "step"):
            assert found[part] == alone[part], part


def test_a_job_whose_workers_were_killed_is_started_again(tmp_path, undisturbed):
    where = tmp_path / "saved"
    options = ("--checkpoint-dir", str(where), "--restarts", "1")
    said = jobs.launch(SCRIPT, str(where), str(tmp_path), "again", str(KILLED), workers=1, shards=2, options=options)
    assert "starting it again" in said
    found = json.loads((tmp_path / "again.rank.0.json").read_text())
    assert found["began"] == [15, 2] and found["losses"] == undisturbed[1][0]["losses"][15:]
    assert found["rows"] == undisturbed[1][0]["rows"]


def _copy(source: Path, target: Path) -> None:
    for path in source.rglob("*"):
        if path.is_file():
            copy = target / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())


def test_two_workers_go_on_together_on_other_shards(tmp_path, undisturbed):
    run(tmp_path, "killed", workers=2, shards=2, directory="saved", until=KILLED)
    manifest = checkpoint.list(tmp_path / "saved")[-1]
    assert (manifest.step, manifest.workers, manifest.shards, manifest.tables) == (15, 2, 2, ("kept",))
    first, second = run(tmp_path, "on_3", workers=2, shards=3, directory="saved")
    assert first["began"] == second["began"] == [15, 2]
    assert first["dense"] == second["dense"] and first["rows"] == second["rows"]
    for part in ("dense", "rows"):
        for mine, expected in zip(first[part], undisturbed[2][0][part], strict=True):
            np.testing.assert_allclose(mine, expected, rtol=0, atol=1e-6)


def test_one_worker_goes_on_for_two(tmp_path, undisturbed):
    run(tmp_path, "killed", workers=2, shards=2, directory="saved", until=KILLED)
    (found,) = run(tmp_path, "alone", workers=1, shards=2, directory="saved")
    assert found["began"] == [15, 2]
    # SGD at staleness 0: one worker with the same global batches trains the same.
    for part in ("dense", "rows"):
        for mine, expected in zip(found[part], undisturbed[1][0][part], strict=True):
            np.testing.assert_allclose(mine, expected, rtol=0, atol=1e-5)


def test_workers_return_with_shards_that_lived_on(tmp_path, undisturbed):
    described = jobs.cluster(2, 2)
    folder, where = tmp_path / "job", tmp_path / "saved"
    folder.mkdir()
    trainers = {kind for kind in described if kind != "ps"}
    with jobs.tasks(SCRIPT, [str(where), str(folder), "shards"], described, folder, kinds={"ps"}) as shards:
        with jobs.tasks(
            SCRIPT, [str(where), str(folder), "killed", str(KILLED)], described, folder, kinds=trainers
        ) as workers:
            codes = {process.wait(jobs.PATIENCE_SECONDS) for process in workers.values()}
        assert -signal.SIGKILL in codes, jobs.log_of(folder, "chief", 0).read_text()
        with jobs.tasks(SCRIPT, [str(where), str(folder), "again"], described, folder, kinds=trainers) as workers:
            for (kind, index), process in workers.items():
                code = process.wait(jobs.PATIENCE_SECONDS)
                assert code == 0, jobs.log_of(folder, kind, index).read_text()
        assert all(process.poll() is None for process in shards.values())
    found = [json.loads((folder / f"again.rank.{rank}.json").read_text()) for rank in range(2)]
    assert found[0]["began"] == [15, 2] and found[0]["rows"] == found[1]["rows"]
    for part in ("dense", "rows"):
        for mine, expected in zip(found[0][part], undisturbed[2][0][part], strict=True):
            np.testing.assert_allclose(mine, expected, rtol=0, atol=1e-6)
