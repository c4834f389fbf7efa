"""`DistributedEmbedding`: many features, from any number of tables, in one lookup."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from het_tf import anchors
from het_tf.config import FeatureConfig, TableConfig
from het_tf.layers.combine import combine
from het_tf.layers.embedding import Embedding, flat_ids, ids_of
from het_tf.layers.unsaved import Unsaved
from het_tf.table import Table


class DistributedEmbedding(Unsaved):
    """Turns the ids of many features into rows, all in one op and one exchange per shard.

    What each feature gets is what an `Embedding` on its table would give it;
    duplicates are removed over all features of a table. Freezing works table by
    table (`layer.embeddings[name].trainable`).

    Args:
      feature_configs: any nested structure of `FeatureConfig`. Features whose
        tables have one name share the table and must configure it alike.

    Call arguments:
      inputs: ids in the same structure: of any rank, dense, ragged or sparse.
      weights: None, or floats in the same structure and of the ids' shapes, None
        for features without: each row is multiplied by its weight, "mean"
        divides by the sum of the weights, "sqrtn" by the root of the sum of
        their squares. Only for tables with a combiner.
      training: as for `Embedding`.

    Returns:
      The same structure of rows, in the layer's compute dtype; shapes as for
      `Embedding`.
    """

    def __init__(self, feature_configs: Any, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        # Keras would wrap its dicts and lists: structures of another kind.
        object.__setattr__(self, "_features", feature_configs)
        self.supports_jit = False
        tables: dict[str, TableConfig] = {}
        for feature in self._flat_features():
            if not isinstance(feature, FeatureConfig):
                raise TypeError(f"layer {self.name!r}: {feature!r} is among the features, expected a FeatureConfig")
            known = tables.setdefault(feature.table.name, feature.table)
            if known != feature.table:
                raise ValueError(
                    f"layer {self.name!r}: feature {feature.name!r} configures its table as {feature.table}, another "
                    f"one as {known}: features that share a table give the same TableConfig"
                )
        if not tables:
            raise ValueError(f"layer {self.name!r}: there are no features, expected at least one FeatureConfig")
        # One for every table: it owns the anchor, checks the configuration,
        # and reads and assigns rows.
        self.embeddings = {
            name: Embedding.from_table(table, dtype=self.dtype_policy, name=f"{self.name}_{number}")
            for number, (name, table) in enumerate(tables.items())
        }

    def _flat_features(self) -> list[FeatureConfig]:
        return keras.tree.flatten(self._features)

    def build(self, input_shape: Any = None) -> None:
        for embedding in self.embeddings.values():
            if not embedding.built:
                embedding.build()
        self.built = True

    def call(self, inputs: Any, weights: Any = None, training: bool | None = None) -> Any:
        features = self._flat_features()
        given = self._flat("inputs", inputs, len(features))
        weighed = [None] * len(features) if weights is None else self._flat("weights", weights, len(features))
        ids = [ids_of(one) for one in given]
        if training:
            for embedding in self.embeddings.values():
                anchors.is_used_by(embedding.table, self)
        rows: list[Any] = [None] * len(features)
        # All of them at once, unless some tables are frozen and others are not.
        for trains in (True, False):
            chosen = [
                i
                for i, feature in enumerate(features)
                if (bool(training) and self.embeddings[feature.table.name].trainable) is trains
            ]
            if not chosen:
                continue
            flat = [ids[i].flat_values if isinstance(ids[i], tf.RaggedTensor) else ids[i] for i in chosen]
            tables = [self.embeddings[features[i].table.name].table for i in chosen]
            for i, found in zip(chosen, anchors.lookup_many(tables, flat, trains), strict=True):
                rows[i] = ids[i].with_flat_values(found) if isinstance(ids[i], tf.RaggedTensor) else found
        outputs = []
        for feature, its_ids, its_rows, its_weights in zip(features, ids, rows, weighed, strict=True):
            combiner = feature.table.combiner
            if combiner is not None:
                its_rows = combine(its_ids, its_rows, combiner, skip_zero=False, weights=its_weights)
            elif its_weights is not None:
                raise ValueError(
                    f"layer {self.name!r}: feature {feature.name!r} has weights and its table no combiner: give "
                    "TableConfig(..., combiner='sum'), 'mean' or 'sqrtn'"
                )
            outputs.append(tf.cast(its_rows, self.compute_dtype))
        return keras.tree.pack_sequence_as(self._features, outputs)

    def lookups_of(self, inputs: Any) -> list[tuple[Table, tf.Tensor]]:
        """What a training call with these inputs looks up: for each table all ids, flat; for `het.data.prefetch`."""
        features = self._flat_features()
        if isinstance(self._features, list) and isinstance(inputs, tuple):
            inputs = list(inputs)  # a dataset has no lists
        ids: dict[str, list[tf.Tensor]] = {}
        for feature, given in zip(features, self._flat("inputs", inputs, len(features)), strict=True):
            ids.setdefault(feature.table.name, []).append(flat_ids(ids_of(given)))
        return [
            (self.embeddings[name].table, tf.concat([tf.cast(one, tf.int64) for one in its], axis=0))
            for name, its in ids.items()
            if self.embeddings[name].trainable
        ]

    def _flat(self, name: str, structure: Any, count: int) -> list[Any]:
        leaves = keras.tree.flatten(structure)
        if isinstance(structure, dict) != isinstance(self._features, dict) or len(leaves) != count:
            raise ValueError(
                f"layer {self.name!r}: {name} have {len(leaves)} parts, expected {count} in the structure of the "
                f"features, {keras.tree.map_structure(lambda feature: feature.name, self._features)}"
            )
        keras.tree.assert_same_structure(self._features, structure)
        return leaves

    def compute_output_spec(self, inputs: Any, weights: Any = None, training: bool | None = None) -> Any:
        features = self._flat_features()
        given = self._flat("inputs", inputs, len(features))
        specs = [
            self.embeddings[feature.table.name].compute_output_spec(one)
            for feature, one in zip(features, given, strict=True)
        ]
        return keras.tree.pack_sequence_as(self._features, specs)

    def get_config(self) -> dict[str, Any]:
        raise NotImplementedError(
            f"layer {self.name!r}: a DistributedEmbedding cannot be serialized yet, nor a model that has one: make it "
            f"anew from its features. Its rows are in the shards and would be missing; {anchors.REMEDY}"
        )
