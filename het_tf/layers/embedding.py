"""`Embedding`: keras.layers.Embedding whose rows live in parameter-server shards.

How it hooks into an unchanged ``fit``: the layer owns one trainable weight of
shape (0, dimension), the anchor. The lookup's gradient with respect to it is
``IndexedSlices(gradient, ids)``, without side effects; `DistributedOptimizer`
takes the anchors' gradients out and gives them to the table. So freezing,
clipping, several optimizers and custom loops do what they do for any variable.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import tensorflow as tf

from het_tf import anchors
from het_tf.components import initializer_component, optimizer_component
from het_tf.config import CacheConfig, TableConfig, check_count
from het_tf.layers.combine import COMBINERS, combine
from het_tf.layers.unsaved import Unsaved
from het_tf.table import Table, TableSpec, get, integer_ids

# Options of an optimizer that a table's own optimizer cannot have.
_REFUSED_OPTIONS = (
    "clipnorm",
    "clipvalue",
    "global_clipnorm",
    "use_ema",
    "loss_scale_factor",
    "gradient_accumulation_steps",
)


class Embedding(Unsaved):
    """Turns integer ids into rows of an embedding table (HET, VLDB 2022).

    Args:
      input_dim: ids lie in [0, input_dim), others are errors; None: any int64.
      output_dim: floats per row.
      embeddings_initializer: a Keras initializer or its name: uniform, normal,
        truncated normal, zeros, ones or constant. A row is computed from (seed,
        table name, id); the seed is the initializer's, else 0.
      embeddings_regularizer, embeddings_constraint: refused; there is no weight
        matrix in the model that they could apply to.
      mask_zero: as in Keras: id 0 is padding and masked in the layers behind;
        with a combiner its row is left out.
      combiner: None, or ``"sum"``, ``"mean"``, ``"sqrtn"``: reduces the last axis
        of the ids.
      cache: `CacheConfig`; None: no cache, every step reads and writes the
        shards.
      optimizer: a Keras SGD, Adagrad, Adam, AdamW or Ftrl (or its name) or a
        het_tf.RowwiseAdagrad for this table alone, with its own learning rate
        and weight decay; None: the counterpart of the optimizer that
        `DistributedOptimizer` wraps.
      row_clipnorm: the shards scale a pushed gradient whose norm over the row is
        larger down to it; None: no limit.
      table: name of the table on the shards (default: the layer's name). Layers
        with one table share its rows.
      reject_non_finite: a gradient with NaN or Inf is an error and not applied.
      synchronous: the shards add up what all workers push in a round before the
        optimizer takes one step, with one weight decay and one `row_clipnorm`,
        so that N workers train as one with N times the batch, with every
        optimizer. At staleness 0 alone (no cache, or one with staleness=0).

    Call arguments:
      inputs: ids of any rank, int32 or int64, dense, ragged or sparse.
      training: outside of training rows are read fresh (see `CacheConfig`), and
        nothing is created.

    Returns:
      Rows of shape ids.shape + [output_dim], or without the ids' last axis with
      a combiner; the layer's compute dtype. Ragged ids without a combiner give
      ragged rows.
    """

    def __init__(
        self,
        input_dim: int | None,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        *,
        combiner: str | None = None,
        cache: CacheConfig | None = None,
        optimizer: Any = None,
        table: str | None = None,
        row_clipnorm: float | None = None,
        reject_non_finite: bool = False,
        synchronous: bool = False,
        **kwargs: Any,
    ) -> None:
        for refused in ("weights", "lora_rank", "quantization_config"):
            if kwargs.pop(refused, None) is not None:
                raise ValueError(f"het_tf.layers.Embedding has no {refused}; layer.assign(ids, rows) loads rows")
        super().__init__(autocast=False, **kwargs)
        where = f"layer {self.name!r}"
        if input_dim is not None:
            check_count(f"{where}: input_dim", input_dim, 1)
        check_count(f"{where}: output_dim", output_dim, 1)
        for name, value in (("regularizer", embeddings_regularizer), ("constraint", embeddings_constraint)):
            if value is not None:
                raise ValueError(
                    f"{where}: embeddings_{name} is not supported: the rows are in the shards, not in a weight of the "
                    "model; leave it out"
                )
        if combiner not in COMBINERS:
            raise ValueError(f"{where}: combiner is {combiner!r}, expected one of {', '.join(map(str, COMBINERS))}")
        if cache is not None and not isinstance(cache, CacheConfig):
            raise TypeError(f"{where}: cache is {cache!r}, expected a het_tf.CacheConfig or None")
        if row_clipnorm is not None and not row_clipnorm > 0:
            raise ValueError(f"{where}: row_clipnorm is {row_clipnorm!r}, expected more than 0, or None for no limit")
        self.input_dim = input_dim
        self.output_dim = output_dim
        self.embeddings_initializer = keras.initializers.get(embeddings_initializer)
        self.mask_zero = mask_zero
        self.supports_masking = mask_zero
        self.combiner = combiner
        self.cache = cache
        self.reject_non_finite = reject_non_finite
        self.supports_jit = False
        self._optimizer = _own_optimizer(where, optimizer)
        initializer, seed = initializer_component(self.embeddings_initializer)
        self._spec = TableSpec(
            name=table or self.name,
            dimension=output_dim,
            initializer=initializer,
            seed=seed,
            vocabulary_size=input_dim,
            cache=cache,
            row_clipnorm=row_clipnorm,
            reject_non_finite=reject_non_finite,
            synchronous=synchronous,
        )
        self._table: Table | None = None

    @classmethod
    def from_table(cls, config: TableConfig, **kwargs: Any) -> Embedding:
        """A layer on the table that `config` describes; `kwargs` as for the layer."""
        return cls(
            config.vocabulary_size,
            config.embedding_dim,
            config.initializer,
            combiner=config.combiner,
            cache=config.cache,
            optimizer=config.optimizer,
            row_clipnorm=config.row_clipnorm,
            synchronous=config.synchronous,
            table=config.name,
            **kwargs,
        )

    @property
    def table(self) -> Table:
        """The table; built with the layer, or by whoever wants it first."""
        if not self.built:
            self.build()
        assert self._table is not None
        return self._table

    def build(self, input_shape: Any = None) -> None:
        table = get(self._spec)
        anchors.use_optimizer(table, self._optimizer)
        if table.anchor is None:
            table.anchor = self.add_weight(
                shape=(0, self.output_dim), initializer="zeros", dtype="float32", name="anchor"
            )
            anchors.register(table.anchor, table)
        self.anchor = table.anchor
        self._table = table
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        ids = ids_of(inputs)
        if training:
            anchors.is_used_by(self.table, self)
        training = bool(training) and self.trainable
        if isinstance(ids, tf.RaggedTensor):
            rows = ids.with_flat_values(anchors.lookup(self.table, ids.flat_values, training))
        else:
            rows = anchors.lookup(self.table, ids, training)
        if self.combiner is not None:
            rows = combine(ids, rows, self.combiner, skip_zero=self.mask_zero)
        return tf.cast(rows, self.compute_dtype)

    def lookups_of(self, inputs: Any) -> list[tuple[Table, tf.Tensor]]:
        """What a training call with these inputs looks up: for each table all ids, flat; for `het.data.prefetch`."""
        return [(self.table, flat_ids(ids_of(inputs)))] if self.trainable else []

    def rows(self, ids: Any) -> tf.Tensor:
        """Rows as the shards have them, with this worker's own pending updates.

        Args:
          ids: integers of any shape.

        Returns:
          float32 of shape ids.shape + [output_dim]. Reading creates nothing.
        """
        return self.table.rows(ids)

    def assign(self, ids: Any, rows: Any) -> None:
        """Overwrites rows at the shards; optimizer state of the rows starts anew.

        Args:
          ids: integers of any shape, each at most once.
          rows: float32 of shape ids.shape + [output_dim].
        """
        self.table.assign(ids, rows)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        if not self.mask_zero or self.combiner is not None or isinstance(inputs, tf.RaggedTensor | tf.SparseTensor):
            return None
        return keras.ops.not_equal(inputs, 0)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        shape = tuple(input_shape)
        return (*(shape[:-1] if self.combiner is not None else shape), self.output_dim)

    def compute_output_spec(self, inputs: Any, training: bool | None = None) -> keras.KerasTensor:
        if keras.backend.standardize_dtype(inputs.dtype) not in _ID_DTYPES:
            integer_ids(tf.zeros((), inputs.dtype))  # raises
        shape = self.compute_output_shape(inputs.shape)
        ragged = getattr(inputs, "ragged", False) and self.combiner is None
        return keras.KerasTensor(shape, dtype=self.compute_dtype, ragged=ragged)

    def get_config(self) -> dict[str, Any]:
        optimizer = self._optimizer
        return {
            **super().get_config(),
            "input_dim": self.input_dim,
            "output_dim": self.output_dim,
            "embeddings_initializer": keras.initializers.serialize(self.embeddings_initializer),
            "mask_zero": self.mask_zero,
            "combiner": self.combiner,
            "cache": dataclasses.asdict(self.cache) if self.cache is not None else None,
            "optimizer": keras.optimizers.serialize(optimizer) if optimizer is not None else None,
            "table": self._spec.name,
            "row_clipnorm": self._spec.row_clipnorm,
            "reject_non_finite": self.reject_non_finite,
            "synchronous": self._spec.synchronous,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Embedding:
        config = dict(config)
        config.pop("autocast", None)
        if config.get("cache") is not None:
            config["cache"] = CacheConfig(**config["cache"])
        if config.get("optimizer") is not None:
            config["optimizer"] = keras.optimizers.deserialize(config["optimizer"])
        return cls(**config)


_ID_DTYPES = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32")


def ids_of(inputs: Any) -> tf.Tensor | tf.RaggedTensor:
    """A layer's input as integers: dense, or ragged for ragged and sparse ones."""
    if isinstance(inputs, tf.SparseTensor):
        inputs = tf.RaggedTensor.from_sparse(inputs)
    if isinstance(inputs, tf.RaggedTensor):
        return inputs.with_flat_values(integer_ids(inputs.flat_values))
    return integer_ids(inputs)


def flat_ids(ids: tf.Tensor | tf.RaggedTensor) -> tf.Tensor:
    """The ids of `ids_of` in the order in which they are looked up."""
    return tf.reshape(ids.flat_values if isinstance(ids, tf.RaggedTensor) else ids, [-1])


def _own_optimizer(where: str, optimizer: Any) -> keras.optimizers.Optimizer | None:
    if optimizer is None:
        return None
    made = keras.optimizers.get(optimizer)
    optimizer_component(made)  # raises for one that the shards do not have
    config = made.get_config()
    for option in _REFUSED_OPTIONS:
        if config.get(option):
            raise ValueError(
                f"{where}: the table's own optimizer has {option}={config[option]!r}, which embedding rows do not "
                "support; leave it out"
            )
    return made
