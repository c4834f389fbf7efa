"""Table: this worker's end of one embedding table.

One per table name and process; layers with one name share it. The handle is
made at the first use, because only then the shards have to be there. `lookup`,
`update` and `flush` may be called eagerly or inside a tf.function, `rows` and
`assign` too; `stats` eagerly only. Any thread may call; but a table gets its
optimizer before it is trained, from one thread.
"""

from __future__ import annotations

import dataclasses
import threading
import weakref
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from het_tf import ops, runtime
from het_tf.components import NO_OPTIMIZER, Component
from het_tf.config import UNBOUNDED, CacheConfig


@dataclasses.dataclass(frozen=True)
class TableSpec:
    """Everything that has to be the same wherever a table is used."""

    name: str
    dimension: int
    initializer: Component
    seed: int
    vocabulary_size: int | None
    cache: CacheConfig | None
    row_clipnorm: float | None
    reject_non_finite: bool
    synchronous: bool

    def __post_init__(self) -> None:
        if self.synchronous and self.staleness != 0:
            raise ValueError(
                f"table {self.name!r}: synchronous=True takes one optimizer step per round over all workers, which is "
                f"there at staleness 0 alone, got staleness={self.staleness:g}: give it no cache, or "
                "CacheConfig(..., staleness=0)"
            )
        # A share without a vocabulary is an error here, not at the first step.
        _ = self.capacity

    @property
    def staleness(self) -> float:
        return self.cache.staleness if self.cache is not None else 0

    @property
    def wires(self) -> tuple[str, str]:
        return self.cache.wires if self.cache is not None else ("float32", "float32")

    @property
    def capacity(self) -> int:
        return self.cache.capacity(self.name, self.vocabulary_size, self.dimension) if self.cache is not None else 0


class Table:
    """See the module. Made by `get`."""

    def __init__(self, spec: TableSpec, owner: runtime.Runtime) -> None:
        self.spec = spec
        self.optimizer = NO_OPTIMIZER
        # The Keras optimizer that was given for this table alone, if any.
        self.own_optimizer: keras.optimizers.Optimizer | None = None
        # The trainable (0, dimension) weight through which gradients find the
        # rows; made by the first layer that uses the table.
        self.anchor: keras.Variable | None = None
        # The model whose training has last looked rows up, if any.
        self.model: weakref.ref[keras.layers.Layer] | None = None
        self._owner = owner
        self._handle: tf.Tensor | None = None
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def is_open(self) -> bool:
        return self._handle is not None

    @property
    def in_lock_step(self) -> bool:
        """Staleness 0: a commit is in the shards before the next step reads."""
        return self.spec.staleness == 0

    @property
    def handle(self) -> tf.Tensor:
        if self._handle is None:
            with self._lock:
                if self._handle is None:
                    self._handle = self._open(self.optimizer)
        return self._handle

    def _open(self, optimizer: Component) -> tf.Tensor:
        if runtime.current() is not self._owner:
            raise RuntimeError(f"table {self.name!r} was made before het_tf.shutdown(): make the model anew")
        spec = self.spec
        with tf.init_scope(), tf.device(ops.device()):
            return ops.library().het_embedding_table(
                runtime.store(),
                table_name=spec.name,
                dimension=spec.dimension,
                **spec.initializer.attributes("initializer"),
                seed=spec.seed,
                **optimizer.attributes("optimizer"),
                capacity=spec.capacity,
                staleness=-1 if spec.staleness == UNBOUNDED else int(spec.staleness),
                policy=spec.cache.policy if spec.cache is not None else "lfu",
                synchronous=spec.synchronous,
                max_pending_commits=(spec.cache.max_pending_steps or 0) if spec.cache is not None else 0,
                vocabulary_size=spec.vocabulary_size or 0,
                reject_non_finite=spec.reject_non_finite,
                row_format=spec.wires[0],
                gradient_format=spec.wires[1],
                shared_name=f"{self._owner.store_name}/{spec.name}",
            )

    def set_optimizer(self, optimizer: Component) -> None:
        """Says what trains the table.

        Raises:
          tf.errors.InvalidArgumentError: something else does already, here or
            on another worker.
        """
        optimizer = optimizer.with_option("row_clipnorm", self.spec.row_clipnorm)
        if optimizer == self.optimizer:
            return
        handle = self._open(optimizer)
        self.optimizer = optimizer
        with self._lock:
            self._handle = self._handle if self._handle is not None else handle

    def mode(self, training: bool) -> str:
        """How a lookup reads; see `HetEmbeddingLookup`."""
        if training:
            return "training"
        return "fresh" if self.spec.cache is None or self.spec.cache.fresh_evaluation else "inference"

    def rows(self, ids: Any) -> tf.Tensor:
        """Rows as the shards have them, with this worker's own pending updates; nothing is created."""
        return ops.lookup(self.handle, integer_ids(ids), self.spec.dimension, "fresh")

    def assign(self, ids: Any, rows: Any) -> None:
        """Overwrites rows: `rows` has shape ids.shape + [dimension]."""
        dimension = self.spec.dimension
        ids, rows = integer_ids(ids), tf.convert_to_tensor(rows, tf.float32)
        if rows.shape != ids.shape + [dimension]:
            raise ValueError(
                f"table {self.name!r}: ids of shape {tuple(ids.shape)} take rows of shape "
                f"{tuple(ids.shape) + (dimension,)}, got {tuple(rows.shape)}"
            )
        ops.library().het_embedding_assign(self.handle, tf.reshape(ids, [-1]), tf.reshape(rows, [-1, dimension]))

    def flush(self) -> None:
        """Pushes this worker's pending updates and waits for the shards to have them."""
        if self.is_open:
            ops.library().het_embedding_flush(self.handle)

    def stats(self) -> dict[str, Any]:
        """The cache's counters; see `ops.cache_stats`."""
        return ops.cache_stats(self.handle)


def lookup_many(tables: Sequence[Table], ids: Sequence[tf.Tensor], *, training: bool) -> list[tf.Tensor]:
    """For every tensor of ids (int32, int64) float32 rows of shape ids.shape + [dimension], of the table at its place.

    All go out as one exchange per shard (as one for each way of reading, where
    tables are evaluated in different ways).

    Raises (when it runs):
      tf.errors.InvalidArgumentError: an id outside of the vocabulary.
      tf.errors.UnavailableError, DeadlineExceededError: names the shard.
    """
    if len({one.dtype for one in ids}) > 1:
        ids = [tf.cast(one, tf.int64) for one in ids]
    rows: list[Any] = [None] * len(ids)
    for mode in sorted({table.mode(training) for table in tables}):
        chosen = [i for i, table in enumerate(tables) if table.mode(training) == mode]
        distinct = list(dict.fromkeys(tables[i] for i in chosen))
        found = ops.lookup_many(
            [table.handle for table in distinct],
            [ids[i] for i in chosen],
            [distinct.index(tables[i]) for i in chosen],
            [table.spec.dimension for table in distinct],
            mode,
        )
        for i, one in zip(chosen, found, strict=True):
            rows[i] = one
    return rows


def prefetch_many(lookups: Sequence[tuple[Table, tf.Tensor]], steps: int) -> tf.Operation | None:
    """Asks for the rows of coming training lookups, at most `steps` commits of each table ahead of them.

    Args:
      lookups: for each lookup its table, and integer ids (any shape) that are
        all it reads there. All go out as one exchange per shard.

    Raises:
      ValueError: a table has staleness 0.
    """
    for table, _ in lookups:
        if table.in_lock_step:
            raise ValueError(
                f"table {table.name!r} has staleness 0: its rows cannot be asked for a step ahead, because every step "
                "reads what the step before has written; leave it out of the prefetch, or give it a cache with a "
                "staleness, CacheConfig(rows=..., staleness=1) or more"
            )
    distinct = list(dict.fromkeys(table for table, _ in lookups))
    ids = [one for _, one in lookups]
    if len({one.dtype for one in ids}) > 1:
        ids = [tf.cast(one, tf.int64) for one in ids]
    return ops.prefetch_many(
        [table.handle for table in distinct], ids, [distinct.index(table) for table, _ in lookups], steps
    )


def update_many(
    tables: Sequence[Table], gradients: Sequence[tf.IndexedSlices], learning_rates: Sequence[Any]
) -> tf.Operation | None:
    """One step of every table, each given once: this worker's part of the average over all workers.

    Inside a tf.function it returns the operation, for others to wait for.
    """
    return ops.update_many(
        [table.handle for table in tables],
        [gradient.indices for gradient in gradients],
        [gradient.values for gradient in gradients],
        learning_rates,
        1.0 / runtime.size(),
    )


def integer_ids(ids: Any) -> tf.Tensor:
    """`ids` as an int32 or int64 tensor; TypeError for any other dtype."""
    tensor = tf.convert_to_tensor(ids)
    if tensor.dtype in (tf.int32, tf.int64):
        return tensor
    if tensor.dtype in (tf.int8, tf.int16, tf.uint8, tf.uint16, tf.uint32):
        return tf.cast(tensor, tf.int64)
    raise TypeError(
        f"ids have dtype {tensor.dtype.name}, expected int32 or int64: a float cannot tell large ids apart; give "
        "integers, and keras.Input(..., dtype='int64') (keras.Sequential without one assumes float32)"
    )


def get(spec: TableSpec) -> Table:
    """The table of that name in this process.

    Raises:
      ValueError: it is there with another configuration.
    """
    owner = runtime.current()
    table = owner.tables.get(spec.name)
    if table is None:
        table = owner.tables[spec.name] = Table(spec, owner)
    elif table.spec != spec:
        for field in dataclasses.fields(spec):
            there, here = getattr(table.spec, field.name), getattr(spec, field.name)
            if there != here:
                raise ValueError(
                    f"table {spec.name!r} is in use with {field.name}={there!r}, asked for {here!r}: layers that share "
                    "a table configure it alike; give one of them another name"
                )
    return table
