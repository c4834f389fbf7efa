"""GraphSAGE as HET trains it: a plain Keras model on het_tf's public API.

What is known of a node are the embeddings of its fields (its own id, authors,
topics: one table), and dense features if there are some. Every layer joins what
it knows of a node with the mean over the node's sampled neighbours (Hamilton et
al., 2017, the mean aggregator); HET has two of 128.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras

from models.data.neighbours import visited


def graphsage(
    embedding: keras.layers.Layer,
    *,
    fields: int,
    classes: int,
    fanouts: Sequence[int] = (5, 5),
    hidden: Sequence[int] = (128, 128),
    features: int = 0,
    multi_label: bool = False,
    seed: int = 0,
) -> keras.Model:
    """The model.

    Args:
      embedding: turns int64 ids (batch, visited, fields) into (batch, visited,
        fields, dimension); a `het_tf.layers.Embedding` or a
        `keras.layers.Embedding`.
      fanouts: sampled neighbours of a node, of a neighbour, ...: one per layer,
        as the batches of `models.data.neighbours` have them.
      hidden: widths of the layers.
      features: width of the nodes' dense features, 0 for none.
      multi_label: a node may have several of the classes.
      seed: of the dense weights.

    Returns:
      A model of {"ids": int64 (batch, visited, fields)[, "features": float32
      (batch, visited, features)]} that gives the probability of every class,
      (batch, classes).

    Raises:
      ValueError: another number of fanouts than of layers.
    """
    if len(fanouts) != len(hidden):
        raise ValueError(f"there are {len(fanouts)} fanouts for {len(hidden)} layers; expected one for each")

    def dense(width: int, number: int, activation: str | None) -> keras.layers.Dense:
        initializer = keras.initializers.GlorotUniform(seed=seed * 1000 + number)
        return keras.layers.Dense(width, activation, kernel_initializer=initializer, name=f"sage_{number}")

    nodes = visited(fanouts)
    ids = keras.Input((nodes, fields), dtype="int64", name="ids")
    inputs: dict[str, Any] = {"ids": ids}
    rows = embedding(ids)
    known = keras.layers.Reshape((nodes, fields * rows.shape[-1]))(rows)
    if features:
        inputs["features"] = keras.Input((nodes, features), name="features")
        known = keras.layers.Concatenate()([known, inputs["features"]])
    counts = [math.prod(fanouts[:hop]) for hop in range(len(fanouts) + 1)]
    hops = [known[:, sum(counts[:hop]) : sum(counts[: hop + 1])] for hop in range(len(counts))]
    for number, width in enumerate(hidden):
        layer = dense(width, number, "relu")
        pairs = zip(hops[:-1], hops[1:], counts, fanouts, strict=False)
        hops = [layer(_with_mean(own, theirs, count, fanout)) for own, theirs, count, fanout in pairs]
    scores = dense(classes, len(hidden), None)(keras.layers.Flatten()(hops[0]))
    activation = "sigmoid" if multi_label else "softmax"
    return keras.Model(inputs, keras.layers.Activation(activation, dtype="float32")(scores), name="graphsage")


def _with_mean(own: Any, theirs: Any, count: int, fanout: int) -> Any:
    """What is known of `count` nodes beside the mean of what is known of the `fanout` neighbours of each."""
    of_each = keras.layers.Reshape((count, fanout, theirs.shape[-1]))(theirs)
    return keras.layers.Concatenate()([own, keras.ops.mean(of_each, axis=2)])
