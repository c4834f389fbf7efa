"""TensorFlow Recommenders Addons' dynamic embedding: a hash table of rows, looked up and stepped by SGD.

python -m benchmarks.peers.hit_path_tfra IDS BATCHES SIZE DIMENSION VOCABULARY THREADS
"""

import sys

import numpy as np
import tensorflow as tf
import tensorflow_recommenders_addons as tfra
from tensorflow_recommenders_addons import dynamic_embedding as de

from benchmarks.peers.in_graph import in_graph
from benchmarks.peers.serve import serve

RATE = 0.01


def main() -> None:
    file, *numbers = sys.argv[1:]
    batches, size, dimension, vocabulary, threads = map(int, numbers)
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    ids = [tf.constant(part) for part in np.fromfile(file, np.int64).reshape(batches, size)]
    gradients = tf.fill([size, dimension], 1e-3)
    table = de.get_variable(
        "hit_path", tf.int64, tf.float32, devices=["/CPU:0"], initializer=0.01, dim=dimension, init_size=vocabulary
    )
    for begin in range(0, vocabulary, 100_000):
        keys = tf.range(begin, begin + 100_000, dtype=tf.int64)
        table.upsert(keys, tf.random.uniform([100_000, dimension], -0.05, 0.05))

    def by_hand(batch: tf.Tensor) -> tf.Tensor:
        """Its table's ops alone: find the distinct ids' rows, step them, write them back."""
        unique, inverse = tf.unique(batch)
        found = table.lookup(unique)
        rows = tf.gather(found, inverse)
        with tf.control_dependencies([rows]):
            sums = tf.math.unsorted_segment_sum(gradients, inverse, tf.size(unique))
            with tf.control_dependencies([table.upsert(unique, found - RATE * sums)]):
                return tf.identity(rows[0])

    optimizer = de.DynamicEmbeddingOptimizer(tf.keras.optimizers.legacy.SGD(RATE))
    shadow = de.shadow_ops.ShadowVariable(table, name="hit_path_shadow")

    def by_optimizer(batch: tf.Tensor) -> tf.Tensor:
        """The documented way: a shadow variable of the step's rows, and its optimizer."""
        with tf.GradientTape() as tape:
            rows = de.shadow_ops.embedding_lookup_unique(shadow, batch, dimension, False)
            loss = tf.reduce_sum(rows * gradients)
        variables = [shadow]
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return rows[0]

    paths = {
        "table ops": in_graph(by_hand, ids),
        "DynamicEmbeddingOptimizer": in_graph(by_optimizer, ids),
    }
    for name in list(paths):
        try:
            paths[name](0)
        except (TypeError, ValueError, AttributeError, tf.errors.OpError) as error:
            print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
            del paths[name]
    version = f"tensorflow_recommenders_addons {tfra.__version__}, tensorflow {tf.__version__}"
    serve(paths, warm_up=2, steps_each=batches, version=version)


if __name__ == "__main__":
    main()
