"""What a trainer's workers tell of a run: speed, hits, bytes with and without the cache."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

import keras

import het_tf as het


class Stopwatch(keras.callbacks.Callback):
    """Seconds and steps of training after the first step, which compiles."""

    steps = 0
    seconds = 0.0

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        now = time.monotonic()
        if batch == 0:
            self._begin = now
        else:
            self.steps += 1
            self.seconds = now - self._begin


class Progress(keras.callbacks.ProgbarLogger):
    """Keras's progress bar. Where it cannot be redrawn (a file, horovodrun's output) a refresh is a line: few."""

    LINES = 20

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if sys.stdout.isatty() or (batch + 1) % -(-self.target // self.LINES) == 0:
            super().on_train_batch_end(batch, logs)


def bytes_without_cache(embedding: het.layers.Embedding) -> int:
    """What the same steps would have sent and received for a table without a cache, framing left out.

    Every distinct id of a step is fetched (8 bytes of id; the row and a clock of
    at least 1 byte come back) and every row written is pushed (id, clock,
    gradient): a lower bound.
    """
    counters = embedding.table.stats()
    row = 8 + 1 + 4 * embedding.output_dim
    return counters["unique_ids"] * row + counters["updated_rows"] * row


def gathered(mine: dict[str, Any]) -> list[dict[str, Any]]:
    """What every worker has, in the order of their ranks."""
    if het.size() == 1:
        return [mine]
    import horovod.tensorflow as hvd  # one worker does without

    return hvd.allgather_object(mine, name="report")


def of_all_workers(watch: Stopwatch, batch: int, embeddings: Sequence[het.layers.Embedding]) -> dict[str, Any]:
    """The measured part of the report, over all workers; to be called by each of them."""
    counted = het.callbacks.Snapshot.take()
    mine = {
        "rate": watch.steps * batch / watch.seconds,
        "bytes": sum(sum(counted.traffic[way].values()) for way in ("sent", "received")),
        "bytes_without_cache": sum(map(bytes_without_cache, embeddings)),
        "hits": counted.counters["hits"],
        "unique_ids": counted.counters["unique_ids"],
    }
    everyone = gathered(mine)
    return {
        "examples_per_second": round(sum(worker["rate"] for worker in everyone), 1),
        "hit_rate": round(sum(w["hits"] for w in everyone) / sum(w["unique_ids"] for w in everyone), 4),
        "bytes_on_wire": sum(worker["bytes"] for worker in everyone),
        "bytes_without_cache": sum(worker["bytes_without_cache"] for worker in everyone),
        "workers": het.size(),
        "shards": len(het.shards()),
    }
