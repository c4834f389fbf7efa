"""As Parallax does it: embedding tables on TensorFlow's own servers, dense variables by AllReduce, synchronous.

Between-graph replication, TensorFlow's oldest way: every worker is a session on the
same servers' variables, whose master is a server inside the worker, so that rows
take no detour. Tables are partitioned over all servers. A step makes its batch's ids
distinct (in the input pipeline, ahead), fetches each row once, computes, averages
the dense gradients with Horovod, sends each row's summed gradient once, and waits
until all workers have. The servers add up what workers push, which for SGD is the
aggregated update: no accumulator is in the way. Keras runs eagerly beside the
session and rows are handed over as arrays, so a step takes two runs of the session
where Parallax, whose model is in the graph, takes one: a few milliseconds more.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from models.experiments import records
from models.experiments.forward import Distinct, Forward, distinct
from models.experiments.spec import Spec
from models.experiments.workers import first_rows, start_horovod

_v1 = tf.compat.v1
_ROWS_AT_ONCE = 1 << 16


class _Tables:
    """The tables, as one worker's session sees them."""

    def __init__(self, spec: Spec, rank: int) -> None:
        self._spec = spec
        cluster = tf.train.ClusterSpec({task: spec.cluster[task] for task in ("ps", "worker")})
        self._server = tf.distribute.Server(cluster, job_name="worker", task_index=rank, protocol="grpc")
        graph = tf.Graph()
        with graph.as_default(), tf.device(f"/job:worker/task:{rank}"):
            self.ids = _v1.placeholder(tf.int64, [None])
            self.values = {name: _v1.placeholder(tf.float32, [None, width]) for name, width in spec.tables.items()}
            shards = {name: self._shards(name, width) for name, width in spec.tables.items()}
            everything = [shard for table in shards.values() for shard in table]
            self.initializer = tf.group(*(shard.initializer for shard in everything))
            self.fetch = {
                name: _v1.nn.embedding_lookup(table, self.ids, partition_strategy="mod")
                for name, table in shards.items()
            }
            self.assign = self._scattered(shards, "scatter_update")
            self.subtract = self._scattered(shards, "scatter_sub")
        self._session = _v1.Session(self._server.target, graph=graph)

    def _shards(self, name: str, width: int) -> list[Any]:
        """Rows i, i + servers, ... of a table: embedding_lookup's layout "mod"."""
        servers = len(self._spec.server_addresses)
        made = []
        for server in range(servers):
            rows = len(range(server, self._spec.data.vocabulary, servers))
            with tf.device(f"/job:ps/task:{server}"):
                made.append(
                    _v1.get_variable(
                        f"{name}_{server}", [rows, width], initializer=_v1.zeros_initializer(), use_resource=True
                    )
                )
        return made

    def _scattered(self, shards: dict[str, list[Any]], what: str) -> Any:
        """`values` go to the rows of `ids`."""
        servers = len(self._spec.server_addresses)
        owner = tf.cast(self.ids % servers, tf.int32)
        places = tf.dynamic_partition(self.ids // servers, owner, servers)
        done = []
        for name, table in shards.items():
            parts = tf.dynamic_partition(self.values[name], owner, servers)
            for shard, at, part in zip(table, places, parts, strict=True):
                with tf.device(shard.device):
                    done.append(getattr(shard, what)(tf.IndexedSlices(part, at)).op)
        return tf.group(*done)

    def run(self, what: Any, ids: np.ndarray, values: dict[str, np.ndarray] | None = None) -> Any:
        fed = {self.values[name]: array for name, array in (values or {}).items()}
        return self._session.run(what, {self.ids: ids, **fed})

    def begin(self, rows: dict[str, np.ndarray]) -> None:
        """Sets all rows; one worker does."""
        self._session.run(self.initializer)
        for first in range(0, self._spec.data.vocabulary, _ROWS_AT_ONCE):
            ids = np.arange(first, min(first + _ROWS_AT_ONCE, self._spec.data.vocabulary))
            self.run(self.assign, ids, {name: table[ids] for name, table in rows.items()})


class Parallax:
    """One worker."""

    def __init__(self, spec: Spec, rank: int) -> None:
        self._spec = spec
        rows = first_rows(spec) if rank == 0 else {}
        self._hvd = start_horovod(spec, rank)
        self._tables = _Tables(spec, rank)
        if rank == 0:
            self._tables.begin(rows)
        self._meet()
        self._forward = Forward(spec)
        data = records.read(spec.data.train, spec.data, spec.batch, first=rank, every=spec.workers)
        data = data.map(distinct, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).prefetch(tf.data.AUTOTUNE)
        self._batches = iter(data)
        specs = {name: tf.TensorSpec([None, width], tf.float32) for name, width in spec.tables.items()}
        self._compute = tf.function(self._one_step, autograph=False, input_signature=[specs, data.element_spec])

    def _meet(self) -> None:
        """Returns when every worker has come here."""
        if self._hvd is not None:
            self._hvd.allreduce(tf.zeros(()), op=self._hvd.Sum, name="meet")

    def _one_step(self, rows: dict[str, tf.Tensor], data: Distinct) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        value, of_rows, of_dense = self._forward.step(rows, data)
        if self._hvd is not None:
            of_dense = self._hvd.grouped_allreduce(of_dense, op=self._hvd.Average, name="dense")
        for variable, gradient in zip(self._forward.model.trainable_variables, of_dense, strict=True):
            variable.value.assign_sub(self._spec.learning_rate * gradient)
        rate = self._spec.learning_rate / self._spec.workers
        return value, {name: rate * gradient for name, gradient in of_rows.items()}

    def _rows(self, unique: np.ndarray) -> dict[str, tf.Tensor]:
        return {name: tf.constant(rows) for name, rows in self._tables.run(self._tables.fetch, unique).items()}

    def step(self) -> float:
        data = next(self._batches)
        unique = data.unique.numpy()
        # The AllReduce in it ends when every worker has computed, hence has its rows.
        value, changes = self._compute(self._rows(unique), data)
        self._tables.run(self._tables.subtract, unique, {name: change.numpy() for name, change in changes.items()})
        self._meet()
        return float(value)

    def settle(self) -> None:
        """Nothing is ever pending."""

    def predict(self, batch: records.Batch) -> np.ndarray:
        data = distinct(batch)
        return self._forward.predict(self._rows(data.unique.numpy()), data).numpy()

    def traffic(self) -> None:
        """Neither TensorFlow nor Horovod counts."""

    def counters(self) -> dict[str, int]:
        return {}
