"""Asking the shards for a checkpoint: once to begin, then again and again until they are done."""

from __future__ import annotations

import time
from collections.abc import Callable

import tensorflow as tf

_SOONEST_SECONDS, _LATEST_SECONDS = 0.02, 1.0
# How long a shard may be busy with what a job before has asked of it.
_BUSY_SECONDS = 600.0

# done, rows and bytes so far, over all shards
Progress = tuple[bool, int, int]


def begin(ask: Callable[[], Progress]) -> Progress:
    """The first answer; waits while a shard is still busy for workers that are no more, but not for ever.

    Raises:
      tf.errors.OpError: what else a shard objects to, or that it is still busy.
    """
    pause = _SOONEST_SECONDS
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            return ask()
        except tf.errors.FailedPreconditionError as error:
            if "is busy with" not in str(error) or time.monotonic() > deadline:
                raise
        time.sleep(pause)
        pause = min(2 * pause, _LATEST_SECONDS)


def until_done(ask: Callable[[], Progress], report: Callable[[Progress], None] | None = None) -> None:
    """Asks until all shards are done."""
    pause = _SOONEST_SECONDS
    while not (progress := begin(ask))[0]:
        if report is not None:
            report(progress)
        time.sleep(pause)
        pause = min(2 * pause, _LATEST_SECONDS)
