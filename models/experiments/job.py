"""The processes of one experiment, each on its host, and what is measured of them.

Hosts are numbered: the workers, the servers, then one for a coordinator. All
processes end with the context that started them, and by themselves when this
process ends: their standard input does, and shards ask the kernel for a signal.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks import network
from benchmarks.peers.coprocess import Coprocess
from het_tf.shard_process import server_binary
from models.experiments.spec import IN_SHARDS, IN_TENSORFLOW_SERVERS, Spec, System

# Describe another job.
_JOB_VARIABLES = ("HOROVOD_", "HET_TF_SHARDS", "HET_TF_LAUNCHER", "TF_CONFIG")


def hosts_for(workers: int, servers: int) -> int:
    return workers + servers + 1


def placed(spec: Spec, where: network.Network, workers: int, servers: int) -> Spec:
    """`spec` with addresses on `where`."""
    hosts = [*range(hosts_for(workers, servers)), *range(workers)]
    ports = network.free_ports(len(hosts))
    addresses = tuple(f"{where.address(host)}:{port}" for host, port in zip(hosts, ports, strict=True))
    servers_end = workers + servers
    has_servers = spec.system in (*IN_SHARDS, *IN_TENSORFLOW_SERVERS)
    return dataclasses.replace(
        spec,
        worker_addresses=addresses[:workers],
        server_addresses=addresses[workers:servers_end] if has_servers else (),
        meeting_addresses=addresses[servers_end + 1 :],
        coordinator_address=addresses[servers_end] if spec.system is System.tf_ps else "",
    )


class Job:
    """A running experiment.

    Attributes:
      trainers: processes of models/experiments/worker.py, by rank; with a
        coordinator, which makes the steps of all workers, that one alone.
      everyone: all processes.
    """

    def __init__(self, trainers: Sequence[Coprocess], everyone: Sequence[Coprocess]) -> None:
        self.trainers = tuple(trainers)
        self.everyone = tuple(everyone)

    def ask(self, words: str, key: str) -> list[dict[str, Any]]:
        """Has all trainers do something at a time; their answers."""
        for trainer in self.trainers:
            trainer.tell(words)
        return [trainer.answer(key) for trainer in self.trainers]

    def cpu_seconds(self) -> float:
        return sum(process.cpu_seconds() for process in self.everyone)


@contextlib.contextmanager
def start(spec: Spec, where: network.Network, patience_seconds: float) -> Iterator[Job]:
    """Starts all processes of a placed experiment and waits until they are ready.

    Args:
      patience_seconds: for one to get ready, and for any answer later.

    Raises:
      PeerUnavailable: a process did not come up; with the end of its log.
    """
    environ = {name: value for name, value in os.environ.items() if not name.startswith(_JOB_VARIABLES)}
    everyone: list[Coprocess] = []
    with contextlib.ExitStack() as stack:

        def run(name: str, host: int, command: list[str], *, ends_by_signal: bool = False) -> Coprocess:
            made = Coprocess(
                name,
                where.command(host, command),
                environ,
                ready_seconds=patience_seconds,
                ends_by_signal=ends_by_signal,
            )
            everyone.append(stack.enter_context(made))
            return made

        def trainer(name: str, host: int, rank: int) -> Coprocess:
            command = [sys.executable, "-m", "models.experiments.worker", spec.to_json(), str(rank)]
            return run(name, host, command)

        def tensorflow_server(name: str, host: int, task: str, index: int) -> Coprocess:
            program = [sys.executable, "-m", "benchmarks.peers.cluster_tensorflow", "server"]
            return run(name, host, [*program, json.dumps(spec.cluster), task, str(index)])

        servers = len(spec.server_addresses)
        for index, address in enumerate(spec.server_addresses if spec.system in IN_SHARDS else ()):
            place = ["--shard-index", str(index), "--shard-count", str(servers)]
            command = [str(server_binary()), "--die-with-parent", "--listen", address, *place]
            # A worker waits until its shards are up.
            run(f"shard {index}", spec.workers + index, command, ends_by_signal=True)
        tasks = [("ps", index, spec.workers + index) for index in range(servers)]
        if spec.system is System.tf_ps:
            tasks += [("worker", rank, rank) for rank in range(spec.workers)]
        elif spec.system is not System.parallax:
            tasks = []
        waiting = [tensorflow_server(f"{task} {index}", host, task, index) for task, index, host in tasks]
        for one in waiting:
            one.wait_until_ready()
        if spec.system is System.tf_ps:
            trainers = [trainer("coordinator", spec.workers + servers, 0)]
        else:
            trainers = [trainer(f"worker {rank}", rank, rank) for rank in range(spec.workers)]
        for one in trainers:
            one.wait_until_ready()
        yield Job(trainers, everyone)


@dataclass(frozen=True)
class Measured:
    """Of the steps after the warm-up.

    Attributes:
      step_seconds: median over all workers and steps.
      seconds: from the first step's begin to the last one's end, of the slowest worker.
      losses: of worker 0, the warm-up included.
      sent, received: bytes, summed over the workers' hosts; None where nobody counts.
      bytes_from: who counted them.
      cpu_seconds: of all processes.
    """

    step_seconds: float
    seconds: float
    losses: list[float]
    sent: int | None
    received: int | None
    bytes_from: str
    cpu_seconds: float
    score: float
    metric: str
    counters: dict[str, int]


def measure(job: Job, where: network.Network, workers: int, warm_up: int, steps: int) -> Measured:
    """Trains for `warm_up` + `steps` steps and scores the model."""
    first = job.ask(f"steps {warm_up}", "times")
    told_before = job.ask("traffic", "traffic")
    links_before = where.wire_bytes() if where.emulated else []
    cpu_before = job.cpu_seconds()
    answers = job.ask(f"steps {steps}", "times")
    cpu = job.cpu_seconds() - cpu_before
    links = where.wire_bytes() if where.emulated else []
    told = job.ask("traffic", "traffic")
    job.ask("settle", "settled")
    job.trainers[0].tell("score")
    scored = job.trainers[0].answer("score")

    def summed(answers: list[dict[str, Any]], name: str) -> int:
        return sum(answer["counters"].get(name, 0) for answer in answers)

    sent = received = None
    source = "nobody: the loopback interface is shared, and this system does not count"
    if where.emulated:
        source = "the links' counters, of the workers' hosts"
        sent = sum(links[host].sent - links_before[host].sent for host in range(workers))
        received = sum(links[host].received - links_before[host].received for host in range(workers))
    elif all(one["traffic"] is not None for one in told):
        source = "the caches' counters: exchanges with the shards alone, without AllReduce and TCP"
        pairs = list(zip(told, told_before, strict=True))
        sent = sum(after["traffic"]["sent"] - before["traffic"]["sent"] for after, before in pairs)
        received = sum(after["traffic"]["received"] - before["traffic"]["received"] for after, before in pairs)
    return Measured(
        step_seconds=statistics.median(time for answer in answers for time in answer["times"]),
        seconds=max(answer["seconds"] for answer in answers),
        losses=[*first[0]["losses"], *answers[0]["losses"]],
        sent=sent,
        received=received,
        bytes_from=source,
        cpu_seconds=cpu,
        score=scored["score"],
        metric=scored["metric"],
        counters={name: summed(told, name) - summed(told_before, name) for name in told[0]["counters"]},
    )
