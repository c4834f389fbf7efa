"""A worker of an experiment (or the coordinator of a system that has one), on command.

    python -m models.experiments.worker SPEC RANK

Says `{"ready": true}`, then answers, one JSON object a line:

    steps N   {"times": seconds of each of its N steps, "losses": [...], "seconds": of all}
    settle    {"settled": true}: what was pending is at the servers
    traffic   {"traffic": bytes sent and received, or null, "counters": of the caches}
    score     {"score": on the held-out rows, "metric": its name}

It ends as soon as its standard input does, whatever it is doing.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import json
import queue
import sys
import threading
import time
from typing import Any, Protocol

import numpy as np

from models.experiments import records
from models.experiments.build import score
from models.experiments.spec import Spec, System


class Trainer(Protocol):
    """One worker of a system, or the coordinator of all.

    Has either of these two:
      step(): trains on this worker's next batch; the loss before.
      steps(count): the answer to "steps", made by workers that run elsewhere.
    """

    def settle(self) -> None:
        """Returns when every update of this worker is where others see it. All workers call it."""

    def predict(self, batch: records.Batch) -> np.ndarray:
        """What the model says of a batch, with the rows as they are now."""

    def traffic(self) -> dict[str, int] | None:
        """Bytes sent and received as the system itself counts them."""

    def counters(self) -> dict[str, int]:
        """Of caches; empty without."""


def make(spec: Spec, rank: int) -> Trainer:
    """The system's worker (or coordinator); modules of other systems are left alone."""
    if spec.system is System.tf_ps:
        from models.experiments.systems.tf_ps import TfPs

        return TfPs(spec, rank)
    if spec.system is System.parallax:
        from models.experiments.systems.parallax import Parallax

        return Parallax(spec, rank)
    if spec.system is System.het_ps:
        from models.experiments.systems.het_ps import HetPs

        return HetPs(spec, rank)
    if spec.system is System.het_ar:
        from models.experiments.systems.all_reduce import AllReduce

        return AllReduce(spec, rank)
    from models.experiments.systems.het_tables import HetTables

    return HetTables(spec, rank)


def steps(trainer: Trainer, count: int) -> dict[str, Any]:
    many = getattr(trainer, "steps", None)
    if many is not None:
        return many(count)
    step = getattr(trainer, "step")  # noqa: B009 (the protocol leaves it open)
    times, losses = [], []
    begin = before = time.perf_counter()
    for _ in range(count):
        losses.append(step())
        now = time.perf_counter()
        times.append(now - before)
        before = now
    return {"times": times, "losses": losses, "seconds": before - begin}


def scored(trainer: Trainer, spec: Spec) -> dict[str, Any]:
    metric = score(spec)
    for batch in records.read(spec.data.held_out, spec.data, spec.batch).prefetch(2):
        metric.update_state(batch.label, trainer.predict(batch))
    return {"score": float(np.mean(metric.result())), "metric": metric.name}


def _commands() -> queue.SimpleQueue[str]:
    """The lines of standard input; the process ends with it, even inside of a step."""
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()

    def listen() -> None:
        for line in sys.stdin:
            lines.put(line)
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    return lines


def main() -> None:
    spec, rank = Spec.from_json(sys.argv[1]), int(sys.argv[2])
    commands = _commands()
    trainer = make(spec, rank)
    print(json.dumps({"ready": True}), flush=True)
    while True:
        word, *numbers = commands.get().split()
        match word:
            case "steps":
                answer = steps(trainer, int(numbers[0]))
            case "settle":
                trainer.settle()
                answer = {"settled": True}
            case "traffic":
                answer = {"traffic": trainer.traffic(), "counters": trainer.counters()}
            case "score":
                answer = scored(trainer, spec)
            case _:
                raise ValueError(f"got {word!r}, expected steps, settle, traffic or score")
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
