"""TensorFlow's ParameterServerStrategy: a table over several ps tasks, looked up and stepped by SGD.

    python -m benchmarks.peers.cluster_tensorflow server CLUSTER TASK INDEX
    python -m benchmarks.peers.cluster_tensorflow coordinator CLUSTER IDS SIZE DIMENSION VOCABULARY WARM

CLUSTER is the JSON of a tf.train.ClusterSpec. Tuned as its users would: the table is
partitioned over the ps tasks, a step moves each distinct row once each way, batches
wait in the worker, and one scheduled function makes several steps where that is
faster.
"""

import json
import os
import sys
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf

from benchmarks.peers.serve import serve

RATE = 0.01


def server(cluster: dict[str, list[str]], task: str, index: str) -> None:
    started = tf.distribute.Server(
        tf.train.ClusterSpec(cluster), job_name=task, task_index=int(index), protocol="grpc", start=True
    )
    print(json.dumps({"ready": True}), flush=True)
    # Its input ends when whoever started it does.
    sys.stdin.read()
    del started
    os._exit(0)


def coordinator(cluster: dict[str, list[str]], file: str, *numbers: str) -> None:
    size, dimension, vocabulary, warm = map(int, numbers)
    workers = len(cluster["worker"])
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec(cluster), task_type="chief", task_id=0, rpc_layer="grpc"
    )
    strategy = tf.distribute.ParameterServerStrategy(
        resolver,
        variable_partitioner=tf.distribute.experimental.partitioners.FixedShardsPartitioner(len(cluster["ps"])),
    )
    with strategy.scope():
        table = tf.Variable(lambda: tf.random.uniform([vocabulary, dimension], -0.05, 0.05))
    cluster_of_workers = tf.distribute.coordinator.ClusterCoordinator(strategy)

    def batches(_: Any = None) -> tf.data.Dataset:
        """Each worker reads the file's batches in an order of its own."""
        records = tf.data.FixedLengthRecordDataset([file], 8 * size).cache().shuffle(1000).repeat()
        return records.map(lambda record: tf.ensure_shape(tf.io.decode_raw(record, tf.int64), [size])).prefetch(2)

    iterator = iter(cluster_of_workers.create_per_worker_dataset(batches))
    gradients = tf.constant(1e-3)

    def step(ids: tf.Tensor) -> tf.Tensor:
        unique, inverse = tf.unique(ids)
        rows = tf.gather(tf.nn.embedding_lookup(table, unique), inverse)
        with tf.control_dependencies([rows]):
            upstream = tf.fill([size, dimension], gradients)
            sums = tf.math.unsorted_segment_sum(upstream, inverse, tf.size(unique))
            table.scatter_sub(tf.IndexedSlices(RATE * sums, unique))
        return rows[0, 0]

    def steps(count: int) -> Any:
        @tf.function(autograph=False)
        def made(inputs: Any) -> tf.Tensor:
            last = tf.constant(0.0)
            for _ in range(count):
                with tf.control_dependencies([last]):
                    last = step(next(inputs))
            return last

        return made

    functions = {1: steps(1), 4: steps(4)}

    def path(per_schedule: int) -> Any:
        """All workers make `per_schedule` steps."""

        def run(_: int) -> None:
            for _ in range(workers * 4 // per_schedule):
                cluster_of_workers.schedule(functions[per_schedule], args=(iterator,))

        return run

    # A round of serve's is four steps of every worker, whichever way they are scheduled.
    serve(
        {f"{count} steps per function": path(count) for count in functions},
        warm_up=warm,
        finish=cluster_of_workers.join,
        steps_each=4,
        version=f"tensorflow {tf.__version__}",
    )
    os._exit(0)  # the servers are gone or going: nothing to say goodbye to


if __name__ == "__main__":
    verb, cluster_json, *rest = sys.argv[1:]
    (server if verb == "server" else coordinator)(json.loads(cluster_json), *rest)
