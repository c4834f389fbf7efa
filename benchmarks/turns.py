"""Contenders that take turns, so that a slow moment of the machine hits all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping


def in_process(step: Callable[[int], object], steps_each: int = 1) -> Callable[[int], float]:
    """A contender of this process: `step(number)` returns when its `steps_each` steps are done.

    Returns:
      A function that runs a number of steps and gives the seconds per step.
    """
    number = 0

    def run(count: int) -> float:
        nonlocal number
        calls = -(-count // steps_each)
        begin = time.perf_counter()
        for _ in range(calls):
            step(number)
            number += 1
        return (time.perf_counter() - begin) / (calls * steps_each)

    return run


def take_turns(
    contenders: Mapping[str, Callable[[int], float]], *, rounds: int, seconds: float
) -> dict[str, list[float]]:
    """Seconds per step of every contender, one value per round.

    In its turn a contender first runs one step that does not count, which brings
    its data back into the processor's caches, and then as many as take about
    `seconds`. A first round, in which this number is found, does not count either.
    """
    counts = {name: max(1, min(1000, round(seconds / max(run(3), 1e-9)))) for name, run in contenders.items()}
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            run(1)
            times[name].append(run(counts[name]))
    return times


def medians(times: Mapping[str, list[float]]) -> dict[str, float]:
    return {name: statistics.median(values) for name, values in times.items()}
