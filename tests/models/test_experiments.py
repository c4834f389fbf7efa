"""Experiments: every system trains in real processes, says what it measured, and leaves nobody behind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import psutil
import pytest

from benchmarks import network
from benchmarks.peers.environments import PeerUnavailable
from models.experiments import data, job, run
from models.experiments.spec import Model, Spec, System
from processes import ROOT, clean_environment, needs_namespaces

FIELDS = {
    "system", "model", "workers", "servers", "synchronous", "staleness", "cache_share", "policy", "batch", "dimension",
    "embeddings", "optimizer", "learning_rate", "seed", "data", "real", "epoch_examples", "networks",
    "congestion_control", "bytes_from", "hit_rate", "loss", "metric", "score", "curve", "versions", "commit", "machine",
}  # fmt: skip
OF_NETWORK = {
    "steps", "median_step_seconds", "mean_step_seconds", "communication_seconds", "seconds_per_epoch", "bytes_sent",
    "bytes_received", "cpu_seconds",
}  # fmt: skip
TINY = {"steps": 10, "warm_up": 5, "batch": 32, "dimension": 4, "vocabulary": 2000, "held_out": 10, "patience": 150}


def offspring() -> list[str]:
    """Command lines of the processes that this one has started."""
    return [" ".join(process.cmdline()) for process in psutil.Process().children(recursive=True)]


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    """The line of a tiny experiment on the loopback interface, run once for all tests."""
    lines: dict[tuple, dict] = {}

    def made(system: System, *, workers: int = 1, servers: int = 1, model: Model = Model.wdl) -> dict:
        key = (system, workers, servers, model)
        if key not in lines:
            results = tmp_path_factory.mktemp("results") / "lines"
            # As a user's shell runs it, but for TensorFlow, which is here already.
            run.main(system=system, model=model, workers=workers, servers=servers, results=results, **TINY)
            lines[key] = json.loads(results.read_text())
        return lines[key]

    return made


def sent(line: dict) -> int | None:
    return line["networks"]["loopback"]["bytes_sent"]


def check(line: dict, system: System, workers: int = 1) -> None:
    """What holds of any system's line."""
    assert set(line) == FIELDS and set(line["networks"]) == {"loopback"}
    loopback = line["networks"]["loopback"]
    assert set(loopback) == OF_NETWORK
    assert (line["system"], line["workers"], loopback["steps"]) == (system, workers, 10)
    assert 0.1 < line["loss"] < 2 and 0 < line["score"] < 1 and line["metric"] == "auc"
    assert min(loopback[name] for name in ("median_step_seconds", "seconds_per_epoch", "cpu_seconds")) > 0
    assert loopback["communication_seconds"] is None  # there is nothing to compare with
    assert not line["real"] and "generated" in line["data"]
    assert offspring() == []


def test_tables_in_shards_and_replicas_everywhere_train_the_same_model(experiment):
    hybrid = experiment(System.het_hybrid, workers=2)
    check(hybrid, System.het_hybrid, 2)
    replicated = experiment(System.het_ar, workers=2)
    check(replicated, System.het_ar, 2)
    # Both are synchronous SGD from the same rows on the same batches.
    assert hybrid["loss"] == pytest.approx(replicated["loss"], abs=1e-4)
    assert hybrid["score"] == pytest.approx(replicated["score"], abs=1e-3)
    assert hybrid["servers"] == 1 and replicated["servers"] == 0
    assert sent(hybrid) > 0 and "without AllReduce" in hybrid["bytes_from"]
    assert sent(replicated) is None and "nobody" in replicated["bytes_from"]


def test_alone_a_worker_trains_the_same_model_with_a_cache_without_and_on_tensorflows_servers(experiment):
    # With two tables. Rows that nobody else writes are exact in the cache.
    cached = experiment(System.het_cache, model=Model.deepfm)
    check(cached, System.het_cache)
    assert cached["hit_rate"] > 0.1 and cached["staleness"] == "100"
    lonely = experiment(System.het_ps, model=Model.deepfm)
    check(lonely, System.het_ps)
    parallax = experiment(System.parallax, model=Model.deepfm, servers=2)
    check(parallax, System.parallax)
    for other in (lonely, parallax):
        assert other["loss"] == pytest.approx(cached["loss"], abs=1e-4)
        assert other["score"] == pytest.approx(cached["score"], abs=1e-3)
    # All dense variables travel both ways in every step.
    assert sent(lonely) > 10 * sent(cached)
    assert not lonely["synchronous"] and parallax["synchronous"]


def test_parameter_server_strategy_trains(experiment):
    line = experiment(System.tf_ps)
    check(line, System.tf_ps)
    assert not line["synchronous"] and line["servers"] == 1


def test_of_a_job_that_fails_every_end_is_told(tmp_path):
    sizes = {"batch": TINY["batch"], "batches": 40, "held_out": 1, "seed": 0}
    made = data.criteo_rows(tmp_path, None, vocabulary=TINY["vocabulary"], **sizes)
    spec = Spec(System.het_ar, Model.wdl, made.data, TINY["batch"], TINY["dimension"], 0.1, 0, 0.0, 0.1, "lfu")
    hosts = job.hosts_for(2, 1)
    with (
        pytest.raises(PeerUnavailable, match=r"worker 0: ended with 1\n(.*\n)*.*worker 1: ended with -9"),
        network.named("loopback", hosts) as where,
        job.start(job.placed(spec, where, 2, 1), where, TINY["patience"]) as running,
    ):
        [second] = [one for one in psutil.Process().children() if one.cmdline()[-1] == "1"]
        second.kill()
        running.trainers[0].tell("steps 20")
        running.trainers[0].answer("times")


@needs_namespaces
def test_networks_take_turns_and_the_model_is_scored_after_each_round(tmp_path):
    results = tmp_path / "lines"
    settings = {**TINY, "where": "free,0.05", "steps": 8, "rounds": 2, "dimension": 64}
    run.main(system=System.het_hybrid, workers=2, curve=True, results=results, **settings)
    line = json.loads(results.read_text())
    free, slow = line["networks"]["free"], line["networks"]["0.05"]
    assert free["steps"] == slow["steps"] == 8
    # A link of 50 Mbit/s carries 6.25 MB in a second; some of it is hidden behind computing.
    assert slow["bytes_received"] > 500_000  # of AllReduce alone
    assert slow["communication_seconds"] > slow["bytes_received"] / 6.25e6 / 2
    assert slow["bytes_received"] == pytest.approx(free["bytes_received"], rel=0.1)
    assert "links" in line["bytes_from"] and line["congestion_control"] == "reno"
    assert free["communication_seconds"] == 0
    assert [steps for steps, _, _ in line["curve"]] == [13, 21]
    assert line["curve"][-1][2] == line["score"]
    assert offspring() == []


def test_a_training_that_diverges_is_no_result():
    job.refuse_divergence([0.7, 0.6])
    for loss in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match=f"was {loss} in step 1: .* smaller learning rate"):
            job.refuse_divergence([0.7, loss, 0.5])


@pytest.mark.parametrize("name", ["fast", "0", "free,loopback", ""])
def test_what_is_no_network_is_refused(name):
    with pytest.raises(SystemExit, match="there is no network"):
        run.main(system=System.het_ar, where=name, **TINY)


_START = """
from benchmarks import network
from models.experiments import job
from models.experiments.spec import Data, Model, Spec, System
data = Data("nowhere", "nowhere", 100, (26,), (13,))
spec = Spec(System.het_hybrid, Model.wdl, data, 4, 4, 0.1, 0, 0, 0.1, "lfu")
with network.named("loopback", 0) as where, job.start(job.placed(spec, where, 1, 1), where, 60) as running:
    pass
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_experiment_leaves_nobody(number):
    with subprocess.Popen(
        [sys.executable, "-c", _START], cwd=ROOT, env=clean_environment(), stderr=subprocess.DEVNULL
    ) as started:
        process = psutil.Process(started.pid)
        until = time.monotonic() + 60
        try:
            while len(children := process.children(recursive=True)) < 2:
                assert started.poll() is None and time.monotonic() < until
                time.sleep(0.05)
            started.send_signal(number)
            started.wait(60)
        finally:
            started.kill()
    _, alive = psutil.wait_procs(children, timeout=60)
    assert alive == []


def test_what_cannot_be_read_is_said(tmp_path):
    with pytest.raises(SystemExit, match="no-such-file"):
        run.main(system=System.het_ar, file=tmp_path / "no-such-file", **TINY)
