"""The processes of one experiment, each on its host, and what is measured of them.

Hosts are numbered: the workers, the servers, then one for a coordinator. All
processes end with the context that started them, and by themselves when this
process ends: their standard input does, and shards ask the kernel for a signal.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from benchmarks import network
from benchmarks.peers.coprocess import Coprocess
from benchmarks.peers.environments import PeerUnavailable
from het_tf.shard_process import server_command
from models.experiments.spec import IN_SHARDS, IN_TENSORFLOW_SERVERS, Spec, System

# Describe another job.
_JOB_VARIABLES = ("HOROVOD_", "HET_TF_SHARDS", "HET_TF_LAUNCHER", "TF_CONFIG")
# For those to end whom a failed process takes with it.
_END_SECONDS = 5.0


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
def start(
    spec: Spec, where: network.Network, patience_seconds: float, more: Mapping[str, str] | None = None
) -> Iterator[Job]:
    """Starts all processes of a placed experiment and waits until they are ready.

    Args:
      patience_seconds: for one to get ready, and for any answer later.
      more: variables for the environment of all.

    Raises:
      PeerUnavailable: a process did not come up, or ended (from inside the context, too); with the ends of the logs
        of all that have ended.
    """
    environ = {name: value for name, value in os.environ.items() if not name.startswith(_JOB_VARIABLES)}
    environ |= more or {}
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
            command = [*server_command(), "--insecure", "--listen", address, *place]
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
        try:
            for one in trainers:
                one.wait_until_ready()
            yield Job(trainers, everyone)
        except PeerUnavailable as error:
            # Who fails takes the others with it, and is not always the first whose end is seen.
            until = time.monotonic() + _END_SECONDS
            ends = [one.end(max(0.0, until - time.monotonic())) for one in everyone]
            others = [end for end in ends if end is not None and end != str(error)]
            raise PeerUnavailable("\n".join([str(error), *others])) from error


@dataclass
class Measured:
    """Steps on one network, the warm-up left out.

    Attributes:
      times: seconds of every step, of all workers together.
      seconds: of all steps, each round's from its first step's begin to its last one's end, of the slowest worker.
      sent, received: bytes, summed over the workers' hosts; None where nobody counts.
      cpu_seconds: of all processes.
    """

    gigabits: float
    steps: int = 0
    times: list[float] = dataclasses.field(default_factory=list)
    seconds: float = 0.0
    sent: int | None = 0
    received: int | None = 0
    cpu_seconds: float = 0.0


class Scored(NamedTuple):
    """The model on the held-out rows after `steps` steps, `seconds` of them (the warm-up is left out of the latter)."""

    steps: int
    seconds: float
    score: float


@dataclass(frozen=True)
class Trained:
    """What came of a job.

    Attributes:
      networks: in the order asked for.
      bytes_from: who counted them.
      losses: of worker 0, the warm-up included.
      curve: the last one is the trained model's.
      metric: what the score is.
      counters: of the caches, in all measured steps.
    """

    networks: list[Measured]
    bytes_from: str
    losses: list[float]
    curve: list[Scored]
    metric: str
    counters: dict[str, int]


class _Counters:
    """What has been counted so far: bytes of the workers, and processor time."""

    def __init__(self, job: Job, where: network.Network, workers: int) -> None:
        told = job.ask("traffic", "traffic")
        self.caches = {name: sum(one["counters"].get(name, 0) for one in told) for name in told[0]["counters"]}
        self.sent: int | None = None
        self.received: int | None = None
        if where.emulated:
            links = where.wire_bytes()[:workers]
            self.sent, self.received = sum(link.sent for link in links), sum(link.received for link in links)
        elif all(one["traffic"] is not None for one in told):
            self.sent, self.received = (sum(one["traffic"][way] for one in told) for way in ("sent", "received"))
        self.cpu_seconds = job.cpu_seconds()

    def source(self, where: network.Network) -> str:
        if where.emulated:
            return "the links' counters, of the workers' hosts"
        if self.sent is not None:
            return "the caches' counters: exchanges with the shards alone, without AllReduce and TCP"
        return "nobody: the loopback interface is shared, and this system does not count"


def _since(before: int | None, after: int | None, so_far: int | None) -> int | None:
    return None if before is None or after is None or so_far is None else so_far + after - before


def refuse_divergence(losses: Sequence[float]) -> None:
    """Raises: ValueError: a loss is no number: times and bytes of such a training say nothing."""
    for step, loss in enumerate(losses):
        if not math.isfinite(loss):
            raise ValueError(f"the loss was {loss} in step {step}: the training diverges; use a smaller learning rate")


def train(
    job: Job,
    where: network.Network,
    workers: int,
    *,
    warm_up: int,
    steps: int,
    rates: Sequence[float],
    rounds: int,
    curve: bool,
    told: Callable[[int], None] = lambda _: None,
) -> Trained:
    """Trains for `warm_up` steps, then for `steps` on every network, and scores the model.

    The networks take turns, so that a slow minute of the machine hits all alike.

    Args:
      rates: Gbit/s of the links; as many as `where` is asked to have in turn. Loopback has one, whatever it is.
      rounds: in which the steps are made; a multiple of them are.
      curve: the model is scored after every round, not at the end alone.
      told: is called with the number of steps made, after every turn.

    Raises:
      PeerUnavailable: a process ended, or did not answer in time.
      ValueError: the training diverges.
    """
    losses = list(job.ask(f"steps {warm_up}", "times")[0]["losses"])
    networks = [Measured(rate) for rate in (rates if where.emulated else rates[:1])]
    counters: dict[str, int] = {}
    made, scores = warm_up, []
    each = -(-steps // rounds)
    for number in range(rounds):
        for one in networks:
            if where.emulated:
                where.limit(one.gigabits)
            before = _Counters(job, where, workers)
            answers = job.ask(f"steps {each}", "times")
            after = _Counters(job, where, workers)
            one.steps += each
            one.times += [time for answer in answers for time in answer["times"]]
            one.seconds += max(answer["seconds"] for answer in answers)
            one.sent = _since(before.sent, after.sent, one.sent)
            one.received = _since(before.received, after.received, one.received)
            one.cpu_seconds += after.cpu_seconds - before.cpu_seconds
            for name, count in after.caches.items():
                counters[name] = counters.get(name, 0) + count - before.caches[name]
            losses += answers[0]["losses"]
            refuse_divergence(losses)
            made += each
            told(made)
        if curve or number == rounds - 1:
            job.ask("settle", "settled")
            job.trainers[0].tell("score")
            scored = job.trainers[0].answer("score")
            scores.append(Scored(made, sum(one.seconds for one in networks), scored["score"]))
    return Trained(
        networks=networks,
        bytes_from=after.source(where),
        losses=losses,
        curve=scores,
        metric=scored["metric"],
        counters=counters,
    )
