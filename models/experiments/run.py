"""One experiment: a system trains a model on a network; one JSON line says what came of it.

    python -m models.experiments.run --system het_cache --model wdl --network 1 --workers 2 --steps 300

Systems differ in where tables and dense variables are, and in nothing else: model,
batches (made once, in a file), seed, first rows and SGD are the same. Emulated
networks need root, `ip` and `tc`; without them the loopback interface is used, and
the line says so. With several networks one job trains on all of them in turns
(`--network free,10,1`), so that their steps can be compared; communication is then a
network's median step minus that without a limit.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import dataclasses
import importlib.metadata
import json
import platform
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

import het_tf
from benchmarks import network
from benchmarks.figures import commit, machine
from benchmarks.peers.environments import PeerUnavailable
from benchmarks.streams import FANOUTS
from het_tf.shard_process import ShardError
from models.experiments import data, job
from models.experiments.spec import ASYNCHRONOUS, Model, Spec, System
from models.train_graphsage import read as read_graph


def versions() -> dict[str, str]:
    packages = {"tensorflow": ("tensorflow", "tensorflow-cpu"), "keras": ("keras",), "horovod": ("horovod",)}
    found = {"het_tf": het_tf.__version__, "python": platform.python_version()}
    for name, candidates in packages.items():
        for candidate in candidates:
            try:
                found[name] = importlib.metadata.version(candidate)
            except importlib.metadata.PackageNotFoundError:
                continue
            break
    return found


@dataclasses.dataclass(frozen=True)
class Setup:
    """Where and how long.

    Attributes:
      networks: "loopback" alone, or names that benchmarks/network.py has rates for; they take turns.
      warm_up: steps of a worker that are not measured.
      steps: measured ones on each network, in `rounds`.
      curve: the model is scored after every round.
      patience: seconds for a process to get ready, and for all steps of a turn.
    """

    workers: int
    servers: int
    networks: tuple[str, ...]
    warm_up: int
    steps: int
    rounds: int = 5
    curve: bool = False
    patience: float = 900.0

    def __post_init__(self) -> None:
        if self.networks != ("loopback",):
            for name in self.networks:
                network.gigabits(name)

    @property
    def worker_steps(self) -> int:
        """All steps of a worker."""
        return self.warm_up + -(-self.steps // self.rounds) * self.rounds * len(self.networks)


def on_network(measured: job.Measured, spec: Spec, epoch: int, free: float | None) -> dict[str, Any]:
    """Of one network; bytes and processor time are of one worker's step, `free` the median step without a limit."""
    median, mean = statistics.median(measured.times), measured.seconds / measured.steps
    worker_steps = measured.steps * spec.workers

    def of_step(count: int | None) -> int | None:
        return None if count is None else round(count / worker_steps)

    return {
        "steps": measured.steps,
        "median_step_seconds": round(median, 6),
        "mean_step_seconds": round(mean, 6),
        "communication_seconds": None if free is None else round(max(0.0, median - free), 6),
        "seconds_per_epoch": round(mean * epoch / (spec.batch * spec.workers), 1),
        "bytes_sent": of_step(measured.sent),
        "bytes_received": of_step(measured.received),
        "cpu_seconds": round(measured.cpu_seconds / worker_steps, 6),
    }


def line(spec: Spec, made: data.Made, where: network.Network, trained: job.Trained) -> dict[str, Any]:
    """What is printed."""
    cached = spec.system is System.het_cache
    counters = trained.counters
    unlimited = [one for one in trained.networks if where.emulated and one.gigabits == network.FREE]
    free = statistics.median(unlimited[0].times) if unlimited else None
    names = [f"{one.gigabits:g}".replace("inf", "free") if where.emulated else where.name for one in trained.networks]
    last = trained.curve[-1]
    return {
        "system": spec.system.value,
        "model": spec.model.value,
        "workers": spec.workers,
        "servers": len(spec.server_addresses),
        "synchronous": spec.system not in ASYNCHRONOUS,
        "staleness": f"{spec.staleness:g}" if cached else None,
        "cache_share": spec.share if cached else None,
        "policy": spec.policy if cached else None,
        "batch": spec.batch,
        "dimension": spec.dimension,
        "embeddings": spec.data.vocabulary,
        "optimizer": "sgd",
        "learning_rate": spec.learning_rate,
        "seed": spec.seed,
        "data": made.source,
        "real": made.real,
        "epoch_examples": made.epoch,
        "networks": {
            name: on_network(one, spec, made.epoch, free) for name, one in zip(names, trained.networks, strict=True)
        },
        "congestion_control": network.CONGESTION_CONTROL if where.emulated else None,
        "bytes_from": trained.bytes_from,
        "hit_rate": round(counters["hits"] / counters["unique_ids"], 4) if counters.get("unique_ids") else None,
        "loss": round(statistics.mean(trained.losses[-max(1, len(trained.losses) // 10) :]), 6),
        "metric": trained.metric,
        "score": round(last.score, 6),
        "curve": [[one.steps, round(one.seconds, 3), round(one.score, 6)] for one in trained.curve],
        "versions": versions(),
        "commit": commit(),
        "machine": machine(),
    }


def experiment(
    spec: Spec, made: data.Made, setup: Setup, told: Callable[[int], None] = lambda _: None
) -> dict[str, Any]:
    """Runs one experiment; its line.

    Args:
      spec: without addresses.
      told: is called with the number of steps made, now and then.

    Raises:
      PeerUnavailable, ShardError, NetworkError: a process did not come up, or ended.
      ValueError: the training diverges.
    """
    with network.named(setup.networks[0], job.hosts_for(setup.workers, setup.servers)) as hosts:
        spec = job.placed(spec, hosts, setup.workers, setup.servers)
        with job.start(spec, hosts, setup.patience) as running:
            trained = job.train(
                running,
                hosts,
                setup.workers,
                warm_up=setup.warm_up,
                steps=setup.steps,
                rates=[network.gigabits(name) for name in setup.networks] if hosts.emulated else [network.FREE],
                rounds=setup.rounds,
                curve=setup.curve,
                told=told,
            )
    return line(spec, made, hosts, trained)


def main(
    system: Annotated[System, typer.Option(help="What trains.")],
    model: Annotated[Model, typer.Option(help="What is trained.")] = Model.wdl,
    where: Annotated[
        str,
        typer.Option(
            "--network",
            help="loopback; or what emulated links have, Gbit/s or free. Several (free,10,1) take turns in one job.",
        ),
    ] = "loopback",
    workers: Annotated[int, typer.Option(min=1)] = 2,
    servers: Annotated[int, typer.Option(min=1, help="Shards, or parameter servers; het_ar has none.")] = 1,
    steps: Annotated[int, typer.Option(min=1, help="Measured steps per worker and network.")] = 300,
    rounds: Annotated[int, typer.Option(min=1, help="In which they are made.")] = 5,
    curve: Annotated[bool, typer.Option(help="Score the model after every round.")] = False,
    warm_up: Annotated[int, typer.Option(min=1, help="Steps per worker before; above the staleness.")] = 120,
    held_out: Annotated[int, typer.Option(min=1, help="Batches that the model is scored on, at most.")] = 100,
    batch: Annotated[int, typer.Option(min=1, help="Examples per worker and step.")] = 128,
    dimension: Annotated[int, typer.Option(min=1)] = 128,
    vocabulary: Annotated[int, typer.Option(min=1, help="Rows that Criteo's ids are hashed to.")] = 1_000_000,
    staleness: Annotated[float, typer.Option(min=0, help="Of het_cache; inf for no bound.")] = 100,
    share: Annotated[float, typer.Option(min=0, max=1, help="Of the table in het_cache's cache.")] = 0.1,
    policy: Annotated[str, typer.Option(help="lru, lfu or light_lfu.")] = "lfu",
    learning_rate: Annotated[float, typer.Option(help="Of SGD.")] = 0.1,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    file: Annotated[Path | None, typer.Option("--data", help="Criteo rows; generated ones without it.")] = None,
    graph: Annotated[str, typer.Option(help="As for models/train_graphsage.py.")] = "ogbn-mag",
    folder: Annotated[Path | None, typer.Option(help="Of a graph's files; generated without it.")] = None,
    factor: Annotated[float, typer.Option(help="Size of a generated graph, of the published.")] = 0.02,
    patience: Annotated[float, typer.Option(min=1, help="Seconds for a process to get ready, and to step.")] = 900,
    results: Annotated[Path | None, typer.Option(help="File that the line is added to.")] = None,
) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        try:
            setup = Setup(workers, servers, tuple(where.split(",")), warm_up, steps, rounds, curve, patience)
            sizes = {
                "batch": batch,
                "batches": setup.worker_steps * workers,
                "held_out": held_out,
                "seed": seed,
            }
            if model is Model.graphsage:
                nodes = read_graph(graph, folder, factor, seed)
                made = data.graph_nodes(Path(temporary), nodes, fanouts=FANOUTS, **sizes)
            else:
                made = data.criteo_rows(Path(temporary), file, vocabulary=vocabulary, **sizes)
            spec = Spec(system, model, made.data, batch, dimension, learning_rate, seed, staleness, share, policy)
            made_line = experiment(spec, made, setup)
        except (FileNotFoundError, ValueError, PeerUnavailable, ShardError, network.NetworkError) as error:
            sys.exit(f"experiments: {error}")
    text = json.dumps(made_line)
    if results is not None:
        with results.open("a") as lines:
            lines.write(text + "\n")
    print(text)


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    app.command()(main)
    app()
