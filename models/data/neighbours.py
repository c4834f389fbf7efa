"""Batches of a graph's nodes with sampled neighbours, as a tf.data.Dataset (GraphSAGE, section 3.1).

Of every node in a batch `fanouts[0]` neighbours are drawn, of each of these
`fanouts[1]`, and so on: uniformly, with repetition; a node without neighbours
stands in for its own. Elements are

    ({"ids": int64 (batch, visited, fields)[, "features": float32 (batch, visited, width)]}, labels)

with the node itself first, then its neighbours, then theirs (`visited` of them),
and labels int64 (batch,), or float32 (batch, classes) of a graph with many per
node. `features` is there when the graph has some.

All of it is TensorFlow ops on the graph's arrays, which batches share. What is
drawn is a function of the seed, the step and the worker: the same every time,
whatever runs in parallel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from models.data.graph import Graph

_TRAINING, _EVALUATION = range(2)  # what a random stream is for


def visited(fanouts: Sequence[int]) -> int:
    """Nodes of one example: itself, its sampled neighbours, theirs, and so on."""
    return sum(math.prod(fanouts[:hop]) for hop in range(len(fanouts) + 1))


def training(
    graph: Graph,
    batch: int,
    fanouts: Sequence[int],
    steps: int,
    *,
    seed: int = 0,
    rank: int = 0,
    size: int = 1,
) -> tf.data.Dataset:
    """`steps` batches of one worker's share of the training nodes.

    Every epoch has its own order of them, the same on all workers; of each
    `size` * `batch` nodes in a row worker `rank` takes numbers rank, rank + size,
    ...; a last group that is smaller is left out of an epoch.

    Raises:
      ValueError: a number out of range, fewer training nodes than such a group,
        or a graph without labels.
    """
    _check(graph, batch, fanouts, seed)
    _at_least(steps=(steps, 1), size=(size, 1), rank=(rank, 0))
    if rank >= size:
        raise ValueError(f"rank is {rank} of {size} workers; expected less")
    group = batch * size
    groups = len(graph.train) // group
    if not groups:
        raise ValueError(
            f"{graph.name} has {len(graph.train)} training nodes; a batch of {batch} on {size} workers needs {group}: "
            "make the batch smaller"
        )
    nodes = tf.constant(graph.train, tf.int64)

    def epoch(number: tf.Tensor) -> tf.data.Dataset:
        order = tf.random.experimental.stateless_shuffle(nodes, seed=tf.stack([np.int64(seed), number]))
        mine = tf.reshape(order[: groups * group], (groups, group))[:, rank::size]
        return tf.data.Dataset.from_tensor_slices(mine)

    batches = tf.data.Dataset.range(-(-steps // groups)).flat_map(epoch).take(steps)
    sampled = _sampled(batches, graph, fanouts, (seed, _TRAINING), lambda step: step * size + rank)
    return sampled.apply(tf.data.experimental.assert_cardinality(steps))


def evaluation(
    graph: Graph, nodes: np.ndarray, batch: int, fanouts: Sequence[int], *, seed: int = 0
) -> tf.data.Dataset:
    """All of `nodes` in their order; the last batch may be smaller."""
    _check(graph, batch, fanouts, seed)
    batches = tf.data.Dataset.from_tensor_slices(tf.constant(nodes, tf.int64)).batch(batch)
    return _sampled(batches, graph, fanouts, (seed, _EVALUATION), lambda step: step)


def _at_least(**numbers: tuple[int, int]) -> None:
    for name, (number, least) in numbers.items():
        if number < least:
            raise ValueError(f"{name} is {number}; expected at least {least}")


def _check(graph: Graph, batch: int, fanouts: Sequence[int], seed: int) -> None:
    _at_least(batch=(batch, 1), seed=(seed, 0))
    if not fanouts or min(fanouts) < 1:
        raise ValueError(f"fanouts are {list(fanouts)}; expected a number of neighbours, at least 1, for every layer")
    if not graph.classes:
        raise ValueError(f"the nodes of {graph.name} have no labels; expected a graph with classes")


def _sampled(batches, graph, fanouts, seed, number_of):
    """Elements of batches of nodes; `number_of` a step decides what is drawn in it."""
    pointers, neighbours = tf.constant(graph.pointers), tf.constant(graph.neighbours)
    ids, labels = tf.constant(graph.ids, tf.int64), tf.constant(graph.labels)
    features = tf.constant(graph.features) if graph.features.shape[1] else None

    def element(step, nodes):
        in_step = tf.random.experimental.stateless_fold_in(seed, number_of(step))
        hops = [nodes[:, None]]
        for hop, fanout in enumerate(fanouts):
            drawn = tf.random.experimental.stateless_fold_in(in_step, hop)
            hops.append(_neighbours_of(hops[-1], pointers, neighbours, fanout, drawn))
        found = tf.ensure_shape(tf.concat(hops, axis=1), (None, visited(fanouts)))
        inputs = {"ids": tf.gather(ids, found)}
        if features is not None:
            inputs["features"] = tf.gather(features, found)
        return inputs, tf.gather(labels, nodes)

    return batches.enumerate().map(element, tf.data.AUTOTUNE, deterministic=True).prefetch(tf.data.AUTOTUNE)


def _neighbours_of(nodes, pointers, neighbours, fanout, seed):
    """`fanout` neighbours of each of nodes (batch, n): int64 (batch, n * fanout)."""
    first = tf.gather(pointers, nodes)[..., None]
    count = tf.gather(pointers, nodes + 1)[..., None] - first
    shape = tf.concat([tf.shape(nodes), [fanout]], axis=0)
    uniform = tf.random.stateless_uniform(shape, seed, dtype=tf.float64)
    at = first + tf.cast(uniform * tf.cast(count, tf.float64), tf.int64)
    # Where there are none the place may lie behind all of them.
    drawn = tf.cast(tf.gather(neighbours, tf.minimum(at, len(neighbours) - 1)), tf.int64)
    drawn = tf.where(count > 0, drawn, nodes[..., None])
    return tf.reshape(drawn, (tf.shape(nodes)[0], nodes.shape[1] * fanout))
