"""Keras callbacks: metrics averaged over workers, statistics of the caches, checkpoints."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from het_tf import ops, runtime
from het_tf.checkpoint.callback import Checkpoint

__all__ = ["CacheStats", "Checkpoint", "MetricAverage", "Snapshot"]

# The least staleness in each bucket: 0, 1, 2, 4, 8, ...
_LEAST = np.array([0, *(1 << np.arange(ops.STALENESS_BUCKETS - 1))])
# Their middles: 0, 1, 2.5, 5.5, 11.5, ...
_MIDDLE = np.array([0.0, *(1.5 * _LEAST[1:] - 0.5)])


class MetricAverage(keras.callbacks.Callback):
    """Averages the epoch's metrics over all workers, before the callbacks behind it see them.

    Put it before what reads the logs (ReduceLROnPlateau, EarlyStopping,
    TensorBoard): these then decide alike on every worker. Metrics whose names
    start with ``val_`` are averaged too, if all workers have them; a validation
    that only one worker runs stays that worker's. Ratios such as AUC become the
    mean of the workers' values.
    """

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        hvd = runtime.current().horovod
        if hvd is None or logs is None:
            return
        everywhere = set.intersection(*map(set, hvd.allgather_object(sorted(logs), name="het_tf.metric_names")))
        names = sorted(name for name in everywhere if np.ndim(logs[name]) == 0)
        if names:
            values = tf.constant([float(logs[name]) for name in names], tf.float64)
            means = hvd.allreduce(values, op=hvd.Average, name="het_tf.metrics").numpy()
            logs.update(zip(names, means.tolist(), strict=True))


class CacheStats(keras.callbacks.Callback):
    """Statistics of this worker's caches, in the progress bar and in TensorBoard.

    Adds to the logs, over all tables and since the epoch began: ``hit_rate``,
    ``miss_rate`` and ``invalid_rate`` (shares of the distinct ids looked up),
    ``mb_sent`` and ``mb_received`` (10^6 bytes on the wire), and ``staleness``,
    about the mean of the cached rows that were used. Put it before the
    TensorBoard callback, which then shows them too.

    Args:
      log_dir: if given, writes for TensorBoard at the end of every epoch the
        bytes by kind (ids, clocks, rows, gradients, framing), both ways, and the
        staleness of the cached rows that were used (0, 1, 2-3, 4-7, ...).
      every: batches between two updates of the progress bar.
      detail: also adds ``mb_sent_ids``, ``mb_received_rows`` and so on to the
        logs, one for each kind of bytes and way.
    """

    def __init__(self, log_dir: str | None = None, every: int = 10, *, detail: bool = False) -> None:
        super().__init__()
        self._detail = detail
        self._log_dir = log_dir
        self._every = every
        self._writer: Any = None
        self._begin = Snapshot.zero()
        self._shown: dict[str, float] = {}

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._begin = Snapshot.take()
        self._shown = self._summary()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if batch % self._every == 0:
            self._shown = self._summary()
        if logs is not None:
            logs.update(self._shown)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        passed = Snapshot.take() - self._begin
        if logs is not None:
            logs.update(passed.summary(detail=self._detail))
        if self._log_dir is None:
            return
        if self._writer is None:
            self._writer = tf.summary.create_file_writer(self._log_dir)
        with self._writer.as_default(step=epoch):
            for way in ("sent", "received"):
                for kind in ops.TRAFFIC_KINDS:
                    tf.summary.scalar(f"het_tf/bytes_{way}/{kind}", passed.traffic[way][kind])
            # Each bucket by its lower bound, as often as it was seen.
            tf.summary.histogram("het_tf/staleness", np.repeat(_LEAST, _thinned(passed.staleness)))
        self._writer.flush()

    def _summary(self) -> dict[str, float]:
        return (Snapshot.take() - self._begin).summary(detail=self._detail)


class Snapshot:
    """The sums of all tables' counters, and the store's traffic, at one moment."""

    def __init__(self, counters: dict[str, int], staleness: np.ndarray, traffic: dict[str, Any]) -> None:
        self.counters = counters
        self.staleness = staleness
        self.traffic = traffic

    @classmethod
    def zero(cls) -> Snapshot:
        none = dict.fromkeys(ops.TRAFFIC_KINDS, 0)
        return cls({}, np.zeros(ops.STALENESS_BUCKETS, np.int64), {"exchanges": 0, "sent": none, "received": none})

    @classmethod
    def take(cls) -> Snapshot:
        running = runtime.current()
        snapshot = cls.zero()
        for table in list(running.tables.values()):
            if table.is_open:
                stats = table.stats()
                snapshot.staleness = snapshot.staleness + np.array(stats.pop("staleness"))
                for name, value in stats.items():
                    snapshot.counters[name] = snapshot.counters.get(name, 0) + value
        if running.store is not None:
            snapshot.traffic = ops.store_traffic(running.store)
        return snapshot

    def __sub__(self, earlier: Snapshot) -> Snapshot:
        counters = {name: value - earlier.counters.get(name, 0) for name, value in self.counters.items()}
        traffic: dict[str, Any] = {"exchanges": self.traffic["exchanges"] - earlier.traffic["exchanges"]}
        for way in ("sent", "received"):
            traffic[way] = {kind: n - earlier.traffic[way][kind] for kind, n in self.traffic[way].items()}
        return Snapshot(counters, self.staleness - earlier.staleness, traffic)

    def summary(self, *, detail: bool = False) -> dict[str, float]:
        """As `CacheStats` adds it to the logs."""
        distinct = max(self.counters.get("unique_ids", 0), 1)
        kinds = [(way, kind) for way in ("sent", "received") for kind in ops.TRAFFIC_KINDS] if detail else []
        return {
            "hit_rate": self.counters.get("hits", 0) / distinct,
            "miss_rate": self.counters.get("misses", 0) / distinct,
            "invalid_rate": self.counters.get("invalid", 0) / distinct,
            "mb_sent": sum(self.traffic["sent"].values()) / 1e6,
            "mb_received": sum(self.traffic["received"].values()) / 1e6,
            "staleness": float(self.staleness @ _MIDDLE) / max(int(self.staleness.sum()), 1),
            **{f"mb_{way}_{kind}": self.traffic[way][kind] / 1e6 for way, kind in kinds},
        }


def _thinned(counts: np.ndarray, most: int = 100_000) -> np.ndarray:
    """The same shape of histogram with at most about `most` entries."""
    return np.ceil(counts * min(1.0, most / max(int(counts.sum()), 1))).astype(np.int64)
