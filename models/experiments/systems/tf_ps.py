"""TensorFlow's ParameterServerStrategy: all variables on its servers, workers asynchronous.

Runs in the coordinator; workers and servers are plain tf.distribute.Servers. Keras 3
does not make variables under this strategy, so the model is called with the values
of variables that are made here. Set as its users would: tables are partitioned over
all servers, dense variables are dealt out to them; batches are made distinct in the
workers' input pipelines and wait there, so that a step moves each row once each way;
one scheduled function makes `PER_FUNCTION` steps, which hides the coordinator. A
worker reads and steps variables whenever it comes to it, with its own gradients at
the full learning rate. The coordinator deals steps out to whoever is free, and each
worker shuffles all batches by itself: some are used twice, others not at all.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import tensorflow as tf

from models.experiments import records
from models.experiments.forward import Distinct, Forward, distinct
from models.experiments.spec import Spec
from models.experiments.workers import first_rows

PER_FUNCTION = 4


class TfPs:
    """The coordinator: makes the steps of all workers."""

    def __init__(self, spec: Spec, rank: int) -> None:
        self._spec = spec
        rows = first_rows(spec)
        resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
            tf.train.ClusterSpec(spec.cluster), task_type="chief", task_id=0, rpc_layer="grpc"
        )
        strategy = tf.distribute.ParameterServerStrategy(resolver, variable_partitioner=self._partitions)
        self._forward = Forward(spec)
        with strategy.scope():
            self._for_tables = True
            self._tables = {name: tf.Variable(values, name=name) for name, values in rows.items()}
            self._for_tables = False
            self._dense = [tf.Variable(variable.numpy()) for variable in self._forward.model.trainable_variables]
        tf.random.set_seed(None)  # with a seed all workers would have one order
        self._coordinator = tf.distribute.coordinator.ClusterCoordinator(strategy)
        self._batches = iter(self._coordinator.create_per_worker_dataset(self._dataset))
        self._function = tf.function(self._some_steps, autograph=False)

    def _partitions(self, shape: Any, dtype: Any, axis: int = 0, **_: Any) -> list[int]:
        partitions = [1] * len(shape)
        if self._for_tables:
            partitions[axis] = min(len(self._spec.server_addresses), shape[axis])
        return partitions

    def _dataset(self) -> tf.data.Dataset:
        """On every worker. TensorFlow does not say which one: each takes the batches in an order of its own."""
        data = records.read(self._spec.data.train, self._spec.data, self._spec.batch, shuffled=True).repeat()
        return data.map(distinct, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).prefetch(tf.data.AUTOTUNE)

    def _rows(self, data: Distinct) -> dict[str, tf.Tensor]:
        return {name: tf.nn.embedding_lookup(table, data.unique) for name, table in self._tables.items()}

    def _weights(self) -> list[tf.Tensor]:
        return [tf.convert_to_tensor(variable) for variable in self._dense]

    def _one_step(self, data: Distinct) -> tuple[tf.Tensor, list[Any]]:
        value, of_rows, of_dense = self._forward.step(self._rows(data), data, self._weights())
        rate = self._spec.learning_rate
        updates = [
            variable.assign_sub(rate * gradient, read_value=False)
            for variable, gradient in zip(self._dense, of_dense, strict=True)
        ]
        for name, table in self._tables.items():
            table.scatter_sub(tf.IndexedSlices(rate * of_rows[name], data.unique))
        return value, updates

    def _some_steps(self, batches: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """Losses, and seconds from one step's end to the next one's."""
        losses, times = [], []
        before = tf.timestamp()
        for _ in range(PER_FUNCTION):
            with tf.control_dependencies([before]):
                value, updates = self._one_step(next(batches))
            with tf.control_dependencies([value, *updates]):
                now = tf.timestamp()
            losses.append(value)
            times.append(now - before)
            before = now
        return tf.stack(losses), tf.stack(times)

    def steps(self, count: int) -> dict[str, Any]:
        """`count` steps of every worker, rounded up to whole functions; `seconds` are those of `count`."""
        calls = -(-count // PER_FUNCTION)
        begin = time.perf_counter()
        made = [
            self._coordinator.schedule(self._function, args=(self._batches,)) for _ in range(calls * self._spec.workers)
        ]
        self._coordinator.join()
        seconds = time.perf_counter() - begin
        fetched = [value.fetch() for value in made]
        return {
            "losses": np.concatenate([losses for losses, _ in fetched]).tolist(),
            "times": np.concatenate([times for _, times in fetched]).tolist(),
            "seconds": seconds * count / (calls * PER_FUNCTION),
        }

    def settle(self) -> None:
        """`steps` returns when all of them are done."""

    def predict(self, batch: records.Batch) -> np.ndarray:
        data = distinct(batch)
        return self._forward.predict(self._rows(data), data, self._weights()).numpy()

    def traffic(self) -> None:
        """TensorFlow does not count."""

    def counters(self) -> dict[str, int]:
        return {}
