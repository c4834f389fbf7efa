"""The model of an experiment on any kind of embedding, its loss and its score."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from models.dcn import deep_and_cross
from models.deepfm import deep_fm
from models.experiments.records import Batch
from models.experiments.spec import Model, Spec
from models.graphsage import graphsage
from models.wdl import wide_and_deep


def build(spec: Spec, embedding: Callable[[str, int], keras.layers.Layer]) -> keras.Model:
    """The model; `embedding` makes the layer of a table from its name and dimension."""
    layers = [embedding(name, width) for name, width in spec.tables.items()]
    data = spec.data
    if spec.model is Model.graphsage:
        return graphsage(
            layers[0],
            fields=data.ids[-1],
            classes=data.classes,
            fanouts=data.fanouts,
            hidden=[128] * len(data.fanouts),
            features=data.dense[-1] if data.dense else 0,
            multi_label=data.multi_label,
            seed=spec.seed,
        )
    make: Any = {Model.wdl: wide_and_deep, Model.deepfm: deep_fm, Model.dcn: deep_and_cross}[spec.model]
    return make(*layers, fields=data.ids[0], dense_features=data.dense[0] if data.dense else 0, seed=spec.seed)


def start(spec: Spec) -> keras.initializers.Initializer:
    """How rows begin."""
    return keras.initializers.RandomNormal(stddev=0.1 if spec.model is Model.graphsage else 0.01, seed=spec.seed)


def inputs(spec: Spec, ids: Any, batch: Batch) -> dict[str, Any]:
    """What the model takes, with `ids` in place of the batch's."""
    return {"ids": ids, **({spec.data.dense_name: batch.dense} if spec.data.dense else {})}


def loss(spec: Spec, label: Any, prediction: Any) -> Any:
    """The mean over the batch."""
    if spec.data.classes and not spec.data.multi_label:
        return keras.ops.mean(keras.losses.sparse_categorical_crossentropy(label[:, 0], prediction))
    return keras.ops.mean(keras.losses.binary_crossentropy(label, prediction))


def score(spec: Spec) -> keras.metrics.Metric:
    """AUC of clicks, micro-F1 of nodes that may be several things, else accuracy."""
    if not spec.data.classes:
        return keras.metrics.AUC(name="auc")
    if spec.data.multi_label:
        return keras.metrics.F1Score("micro", threshold=0.5, name="micro_f1")
    return keras.metrics.SparseCategoricalAccuracy(name="accuracy")
