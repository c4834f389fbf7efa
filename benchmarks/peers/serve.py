"""The side of a peer in coprocess.py's protocol. Imports the standard library alone."""

import json
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any


def serve(paths: Mapping[str, Callable[[int], Any]], warm_up: int, **details: Any) -> None:
    """Warms up, chooses the fastest path, and runs steps on command.

    Args:
      paths: the ways in which this system can do a step, by name: functions of
        the step's number that return when the step is done.
      warm_up: steps of each path before the clock, and with it.
      details: what else to say when ready.
    """
    number = 0

    def run(step: Callable[[int], Any], count: int) -> float:
        nonlocal number
        begin = time.perf_counter()
        for _ in range(count):
            step(number)
            number += 1
        return time.perf_counter() - begin

    times = {}
    for name, step in paths.items():
        run(step, warm_up)
        times[name] = run(step, warm_up) / warm_up
    best = min(times, key=times.__getitem__)
    print(json.dumps({"ready": True, "path": best, "paths": times, **details}), flush=True)
    for line in sys.stdin:
        word, count = line.split()
        if word != "steps":
            raise ValueError(f"got {line!r}, expected 'steps N'")
        print(json.dumps({"seconds": run(paths[best], int(count))}), flush=True)
