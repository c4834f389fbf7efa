"""Counts the remote procedure calls of a training step, for every system, from gRPC's own traces.

    python -m models.experiments.rpcs [--quick]

Wide & Deep, two workers and a server on the loopback interface. All processes trace
gRPC's API; what their logs say of the steps after the warm-up is counted, per worker's
step. A call is one that a client ends its own half of at its start, or one message of a
client's stream that stays open, as TensorFlow's eager runtime keeps one. Collectives
are none: Horovod makes them by TCP connections of its own.

Prints JSON lines as the benchmarks do. Steps are slow while they are traced: times
are measured elsewhere.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import network
from benchmarks.figures import figure, unavailable
from benchmarks.peers.environments import PeerUnavailable
from het_tf.shard_process import ShardError
from models.experiments import data, job
from models.experiments.spec import Model, Spec, System

WORKERS, SERVERS = 2, 1
TRACED = {"GRPC_VERBOSITY": "DEBUG", "GRPC_TRACE": "api", "TF_CPP_MIN_LOG_LEVEL": "0"}
_CALL = b": SEND_CLOSE_FROM_CLIENT"
# Alone in its batch: a message of a stream.
_STREAMED = b"ops[0]: SEND_MESSAGE"


class _Logs:
    """How many calls the processes' logs have told of so far."""

    def __init__(self, running: job.Job) -> None:
        self._running = running
        self._read = [0] * len(running.everyone)

    def calls(self) -> int:
        """Those since the last time; servers answer in streams, too, so that only trainers' messages count."""
        found = 0
        for number, process in enumerate(self._running.everyone):
            text = process.log(self._read[number])
            # A line that is being written is for the next time.
            whole = text.rfind(b"\n") + 1
            self._read[number] += whole
            found += text.count(_CALL, 0, whole)
            if process in self._running.trainers:
                found += text.count(_STREAMED, 0, whole)
        return found


def calls_of_step(spec: Spec, *, warm_up: int, steps: int, patience_seconds: float) -> float:
    """Calls of a worker's step, all processes together.

    Raises:
      PeerUnavailable: a process did not come up, or ended.
    """
    with network.named("loopback", job.hosts_for(WORKERS, SERVERS)) as hosts:
        placed = job.placed(spec, hosts, WORKERS, SERVERS)
        with job.start(placed, hosts, patience_seconds, TRACED) as running:
            logs = _Logs(running)
            running.ask(f"steps {warm_up}", "times")
            logs.calls()
            running.ask(f"steps {steps}", "times")
            return logs.calls() / (steps * WORKERS)


def main(quick: Annotated[bool, typer.Option(help="Fewer steps.")] = False) -> None:
    warm_up, steps = (110, 20) if quick else (110, 100)
    with tempfile.TemporaryDirectory() as folder:
        sizes = {"batch": 128, "batches": (warm_up + steps) * WORKERS, "held_out": 1, "seed": 0}
        made = data.criteo_rows(Path(folder), None, vocabulary=10_000, **sizes)
        for system in System:
            spec = Spec(system, Model.wdl, made.data, 128, 16, 0.1, 0, 100.0, 0.1, "lfu")
            try:
                calls = calls_of_step(spec, warm_up=warm_up, steps=steps, patience_seconds=300.0)
            except (PeerUnavailable, ShardError) as error:
                unavailable("rpcs", system.value, str(error))
                continue
            figure(
                "rpcs",
                f"{system.value}, {WORKERS} workers, {SERVERS} server",
                calls,
                "calls per step of a worker",
                data=made.source,
                reference="counted in gRPC's traces",
                ratio=None,
            )


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    app.command()(main)
    app()
