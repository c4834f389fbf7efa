"""Everything by AllReduce: tables are replicated on every worker, no server.

Gradients of rows travel by AllGather: a worker sums those of its batch by distinct
id, then all workers' ids and rows are gathered, those of all tables in one piece, and
every replica takes the same SGD step on them. Dense gradients are averaged in one
fused AllReduce. Lookups are local and free. Batches are made distinct in the input
pipeline, ahead of their step.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from models.experiments import records
from models.experiments.forward import Distinct, Forward, distinct
from models.experiments.spec import Spec
from models.experiments.workers import first_rows, start_horovod


class AllReduce:
    """One worker, with a replica of all tables."""

    def __init__(self, spec: Spec, rank: int) -> None:
        self._spec = spec
        self._tables = {name: tf.Variable(rows, name=name) for name, rows in first_rows(spec).items()}
        self._hvd = start_horovod(spec, rank)
        self._forward = Forward(spec)
        data = records.read(spec.data.train, spec.data, spec.batch, first=rank, every=spec.workers)
        data = data.map(distinct, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).prefetch(tf.data.AUTOTUNE)
        self._batches = iter(data)
        self._step = tf.function(self._one_step, autograph=False, input_signature=[data.element_spec])

    def _rows(self, data: Distinct) -> dict[str, tf.Tensor]:
        return {name: tf.gather(table, data.unique) for name, table in self._tables.items()}

    def _one_step(self, data: Distinct) -> tf.Tensor:
        value, of_rows, of_dense = self._forward.step(self._rows(data), data)
        ids, rows = data.unique, tf.concat([of_rows[name] for name in self._tables], axis=1)
        if self._hvd is not None:
            of_dense = self._hvd.grouped_allreduce(of_dense, op=self._hvd.Average, name="dense")
            ids = self._hvd.allgather(ids, name="ids")
            rows = self._hvd.allgather(rows, name="rows")
        rate = self._spec.learning_rate
        for variable, gradient in zip(self._forward.model.trainable_variables, of_dense, strict=True):
            variable.value.assign_sub(rate * gradient)
        widths = [self._spec.tables[name] for name in self._tables]
        for table, mine in zip(self._tables.values(), tf.split(rows, widths, axis=1), strict=True):
            table.scatter_sub(tf.IndexedSlices(rate / self._spec.workers * mine, ids))
        return value

    def step(self) -> float:
        return float(self._step(next(self._batches)))

    def settle(self) -> None:
        """Nothing is ever pending."""

    def predict(self, batch: records.Batch) -> np.ndarray:
        data = distinct(batch)
        return self._forward.predict(self._rows(data), data).numpy()

    def traffic(self) -> None:
        """Horovod does not count."""

    def counters(self) -> dict[str, int]:
        return {}
