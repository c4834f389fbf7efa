"""Two workers train one model: under the launcher (horovodrun), and under TF_CONFIG alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jobs
import scenarios

SCRIPT = Path(scenarios.__file__)
IDENTICAL = (
    "plain_fit",
    "cached_fit",
    "clipnorm",
    "global_clipnorm",
    "clipvalue",
    "only_embeddings",
    "synchronous_tables",
    "synchronous_tables_scaled_and_accumulated",
    "several_steps_per_execution",
    "accumulation",
    "accumulation_of_only_embeddings",
    "mixed_float16",
    "mixed_float16_in_several_steps",
    "mixed_float16_accumulated",
    "scaled_custom_loop",
    "other_automatic_names",
    "different_starts",
    "not_trained",
    "custom_loop",
)
LIKE_ONE_WORKER = IDENTICAL[:11]
MIXED_FLOAT16 = IDENTICAL[11:14]


@pytest.fixture(scope="module", params=["launch", "tf_config"])
def workers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What two workers with two shards tell."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "launch":
        jobs.launch(SCRIPT, str(folder), workers=2, shards=2)
    else:
        with jobs.tasks(SCRIPT, [str(folder)], jobs.cluster(2, 2), folder) as running:
            for (kind, index), process in running.items():
                if kind != "ps":
                    code = process.wait(jobs.PATIENCE_SECONDS)
                    assert code == 0, jobs.log_of(folder, kind, index).read_text()
            for (kind, _), process in running.items():
                if kind == "ps":
                    assert process.poll() is None, "a ps task serves until it is stopped"
                    process.terminate()
                    assert process.wait(jobs.PATIENCE_SECONDS) == 0
    return jobs.reports(folder, 2)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one worker with the same global batches tells."""
    folder = tmp_path_factory.mktemp("alone")
    jobs.launch(SCRIPT, str(folder), *LIKE_ONE_WORKER, *MIXED_FLOAT16, workers=1, shards=0)
    return jobs.reports(folder, 1)[0]


def test_the_workers_know_their_places(workers):
    assert [worker["place"] for worker in workers] == [{"rank": 0, "size": 2}, {"rank": 1, "size": 2}]


@pytest.mark.parametrize("name", IDENTICAL)
def test_ranks_end_with_identical_dense_weights_and_rows(workers, name):
    first, second = (worker[name] for worker in workers)
    assert first["dense"] == second["dense"]
    assert first["rows"] == second["rows"]
    assert all(np.isfinite(part).all() for part in (*first["dense"], *first["rows"]))


def test_what_is_not_trained_is_that_of_rank_0(workers):
    for worker in workers:
        for name in ("means", "kernel"):
            assert (np.asarray(worker["not_trained"][name]) == 1.0).all()


def test_automatic_table_names_that_differ_are_an_error_on_every_worker(workers):
    errors = [worker["other_tables"]["error"] for worker in workers]
    assert errors[0] == errors[1]
    assert errors[0].startswith("ClusterError: the workers train different models")
    assert "table 'embedding" in errors[0] and "on rank 1" in errors[0]


def test_what_fails_on_one_worker_fails_on_all(workers):
    first, second = (worker["restoring_what_is_not_there"] for worker in workers)
    assert first == second
    assert first["restore"].startswith("CheckpointError: there is no checkpoint 'het_tf_nobody' in ")
    assert first["by_all"].startswith("ZeroDivisionError")


def test_without_our_optimizer_ranks_drift_apart(workers):
    first, second = (worker["without_the_hook"] for worker in workers)
    assert first["dense"] != second["dense"]


@pytest.mark.parametrize("name", LIKE_ONE_WORKER)
def test_two_workers_train_like_one_with_twice_the_batch(workers, alone, name):
    for part in ("dense", "rows"):
        for mine, expected in zip(workers[0][name][part], alone[name][part], strict=True):
            np.testing.assert_allclose(mine, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["synchronous_tables", "synchronous_tables_scaled_and_accumulated"])
def test_synchronous_tables_train_like_one_worker_with_every_optimizer(workers, alone, name):
    for worker in workers:
        np.testing.assert_allclose(worker[name]["rows"], np.array(alone[name]["rows"]), rtol=1e-5, atol=1e-6)


def test_a_step_for_every_worker_would_not_do(workers, alone):
    expected = np.array(alone["synchronous_tables"]["rows"])
    # Of ten tables SGD's alone is the same.
    apart = np.abs(np.array(workers[0]["a_step_for_every_worker"]["rows"]) - expected).reshape(10, -1).max(axis=1)
    assert (apart[1:] > 1e-3).all(), apart


@pytest.mark.parametrize("name", MIXED_FLOAT16)
def test_a_step_that_is_not_finite_on_one_worker_is_skipped_by_all(workers, alone, name):
    steps = workers[0][name]["steps"]
    assert steps == workers[1][name]["steps"] == alone[name]["steps"]
    assert steps["iterations"] == (4 if name.endswith("accumulated") else 9)
    assert (steps["step_counter"], steps["dynamic_scale"]) == (4, 2**12)
    for part in ("dense", "rows"):
        for mine, expected in zip(workers[0][name][part], alone[name][part], strict=True):
            assert np.isfinite(mine).all()
            np.testing.assert_allclose(mine, expected, rtol=0, atol=2e-3)


def test_training_moves_the_rows(alone):
    assert alone["plain_fit"]["rows"] != alone["clipvalue"]["rows"]


def test_a_validation_on_one_rank_does_not_deadlock_and_metrics_agree(workers):
    first, second = (worker["one_validates"]["history"] for worker in workers)
    assert set(first) == {"loss", "mae", "val_loss", "val_mae"}
    assert set(second) == {"loss", "mae"}
    assert (first["loss"], first["mae"]) == (second["loss"], second["mae"])


@pytest.mark.parametrize("length", ["known", "unknown"])
def test_every_worker_gets_the_same_number_of_elements_and_none_twice(workers, length):
    first, second = (worker["sharded_data"][length] for worker in workers)
    assert first == [0, 2, 4, 6, 8, 10]
    assert second == [1, 3, 5, 7, 9, 11]
