"""The side of a contender in coprocess.py's protocol. Imports the standard library alone."""

import json
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any


def serve(
    paths: Mapping[str, Callable[[int], Any]],
    warm_up: int,
    *,
    finish: Callable[[], Any] = lambda: None,
    steps_each: int = 1,
    **details: Any,
) -> None:
    """Warms up, chooses the fastest path, and runs steps on command.

    Args:
      paths: the ways in which this system can do its steps, by name: functions of
        the call's number.
      warm_up: calls of each path before the clock, and, with several, as many more
        with it.
      finish: returns when all calls made are done, where a path does not itself.
      steps_each: how many steps a call makes; as many commands as are asked for
        are rounded up to a multiple of it, and the answer is scaled down again.
      details: what else to say when ready.
    """
    number = 0

    def run(call: Callable[[int], Any], count: int) -> float:
        nonlocal number
        begin = time.perf_counter()
        for _ in range(count):
            call(number)
            number += 1
        finish()
        return time.perf_counter() - begin

    times = {}
    for name, call in paths.items():
        run(call, warm_up)
        times[name] = run(call, warm_up) / warm_up if len(paths) > 1 else 0.0
    best = min(times, key=times.__getitem__)
    print(json.dumps({"ready": True, "path": best, "paths": times, **details}), flush=True)
    for line in sys.stdin:
        word, asked = line.split()
        if word != "steps":
            raise ValueError(f"got {line!r}, expected 'steps N'")
        calls = -(-int(asked) // steps_each)
        print(json.dumps({"seconds": run(paths[best], calls) * int(asked) / (calls * steps_each)}), flush=True)
