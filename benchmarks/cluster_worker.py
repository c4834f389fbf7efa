"""A het_tf worker of cluster.py: looks ids up and steps their rows, on command.

HET_TF_SHARDS=... python -m benchmarks.cluster_worker IDS RANK SIZE DIMENSION VOCABULARY SHARE STALENESS WARM
"""

from __future__ import annotations

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf

import het_tf as het
from benchmarks.peers.serve import serve
from het_tf import ops


def main() -> None:
    file, rank, *numbers = sys.argv[1:]
    size, dimension, vocabulary = map(int, numbers[:3])
    share, staleness, warm = float(numbers[3]), int(numbers[4]), int(numbers[5])
    batches = np.memmap(file, np.int64, mode="r").reshape(-1, size)
    order = np.random.default_rng(int(rank)).permutation(len(batches))
    gradients = tf.fill([size, dimension], 1e-3)
    layer = het.layers.Embedding(
        vocabulary,
        dimension,
        table="cluster",
        cache=het.CacheConfig(rows=round(share * vocabulary), staleness=staleness),
        optimizer=tf.keras.optimizers.SGD(0.01),
    )
    handle = layer.table.handle

    # As het.data.prefetch does: the exchange for a batch is under way while the
    # step before it runs.
    @tf.function(autograph=False)
    def step(ids: tf.Tensor, coming: tf.Tensor) -> tf.Tensor:
        asked = ops.prefetch_many([handle], [coming], [0], ahead=1)
        with tf.control_dependencies([asked]):
            rows = ops.lookup(handle, ids, dimension, "training")
        with tf.control_dependencies([rows]):
            ops.update(handle, ids, gradients, tf.constant(0.01), 1.0)
        return rows[0]

    def ids(number: int) -> tf.Tensor:
        return tf.constant(batches[order[number % len(batches)]])

    serve(
        {"ops": lambda number: step(ids(number), ids(number + 1)).numpy()},
        warm_up=warm,
        version=het.__version__,
    )
    het.shutdown()


if __name__ == "__main__":
    main()
