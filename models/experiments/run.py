"""One experiment: a system trains a model on a network; one JSON line says what came of it.

    python -m models.experiments.run --system het_cache --model wdl --network 1 --workers 2 --steps 300

Systems differ in where tables and dense variables are, and in nothing else: model,
batches (made once, in a file), seed, first rows and SGD are the same. Emulated
networks (1 or 10 Gbit/s) need root, `ip` and `tc`; without them the loopback
interface is used, and the line says so.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import importlib.metadata
import json
import platform
import statistics
import sys
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

import het_tf
from benchmarks import network
from benchmarks.figures import commit, machine
from benchmarks.peers.environments import PeerUnavailable
from het_tf.shard_process import ShardError
from models.experiments import data, job
from models.experiments.spec import ASYNCHRONOUS, Model, Spec, System
from models.train_graphsage import read as read_graph


class Network(StrEnum):
    loopback = "loopback"
    one = "1"
    ten = "10"


FANOUTS = (5, 5)


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


def line(spec: Spec, made: data.Made, where: network.Network, measured: job.Measured, steps: int) -> dict[str, Any]:
    """What is printed."""
    cached = spec.system is System.het_cache
    counters = measured.counters
    return {
        "system": spec.system.value,
        "model": spec.model.value,
        "network": where.name,
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
        "steps": steps,
        "median_step_seconds": round(measured.step_seconds, 6),
        "mean_step_seconds": round(measured.seconds / steps, 6),
        "seconds_per_epoch": round(measured.seconds / steps * made.epoch / (spec.batch * spec.workers), 1),
        "epoch_examples": made.epoch,
        "wire_bytes_sent": measured.sent,
        "wire_bytes_received": measured.received,
        "wire_bytes_from": measured.bytes_from,
        "hit_rate": round(counters["hits"] / counters["unique_ids"], 4) if counters.get("unique_ids") else None,
        "cpu_seconds": round(measured.cpu_seconds, 2),
        measured.metric: round(measured.score, 6),
        "loss": round(statistics.mean(measured.losses[-max(1, steps // 10) :]), 6),
        "versions": versions(),
        "commit": commit(),
        "machine": machine(),
    }


def main(
    system: Annotated[System, typer.Option(help="What trains.")],
    model: Annotated[Model, typer.Option(help="What is trained.")] = Model.wdl,
    where: Annotated[Network, typer.Option("--network", help="Loopback, or Gbit/s of each link.")] = Network.loopback,
    workers: Annotated[int, typer.Option(min=1)] = 2,
    servers: Annotated[int, typer.Option(min=1, help="Shards, or parameter servers; het_ar has none.")] = 1,
    steps: Annotated[int, typer.Option(min=1, help="Measured steps per worker.")] = 300,
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
        sizes = {"batch": batch, "batches": (warm_up + steps) * workers, "held_out": held_out, "seed": seed}
        try:
            if model is Model.graphsage:
                nodes = read_graph(graph, folder, factor, seed)
                made = data.graph_nodes(Path(temporary), nodes, fanouts=FANOUTS, **sizes)
            else:
                made = data.criteo_rows(Path(temporary), file, vocabulary=vocabulary, **sizes)
        except (FileNotFoundError, ValueError) as error:
            sys.exit(f"experiments: {error}")
        spec = Spec(system, model, made.data, batch, dimension, learning_rate, seed, staleness, share, policy)
        try:
            with network.named(where.value, job.hosts_for(workers, servers)) as hosts:
                spec = job.placed(spec, hosts, workers, servers)
                with job.start(spec, hosts, patience) as running:
                    measured = job.measure(running, hosts, workers, warm_up, steps)
        except (PeerUnavailable, ShardError, network.NetworkError) as error:
            sys.exit(f"experiments: {error}")
    text = json.dumps(line(spec, made, hosts, measured, steps))
    if results is not None:
        with results.open("a") as lines:
            lines.write(text + "\n")
    print(text)


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    app.command()(main)
    app()
