"""What a user says about a table and its cache. Plain values, checked when made."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

UNBOUNDED = math.inf
POLICIES = ("lru", "lfu", "light_lfu")
# Of a cached row and its pending gradient, at the most: state 32, index 6, policy
# up to 9 and the step of an optimizer that is not linear 8 (kernels/cache).
_BYTES_BESIDE_A_ROW = 56
WIRE_FORMATS = ("float32", "bfloat16", "float16", "int8")


def check_count(name: str, value: Any, least: int) -> int:
    """`value` as an int of at least `least`; TypeError or ValueError that names it otherwise."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} is {value!r}, expected an integer of at least {least}")
    if value.__index__() < least:
        raise ValueError(f"{name} is {value!r}, expected an integer of at least {least}")
    return value.__index__()


@dataclass(frozen=True)
class CacheConfig:
    """The worker's cache of one table's hot rows (HET, section 4), and how rows travel.

    Args:
      rows: how many rows are kept between steps. 0: none, so that
        ``CacheConfig(rows=0, staleness=0, wire=...)`` is a table without a cache
        that has a `wire` of its own. Give this, `share` or `memory_bytes`.
      share: the same as a share of the vocabulary, in (0, 1]; the table then
        needs a vocabulary size.
      memory_bytes: the same as the memory that the cache may take. A row of
        dimension D takes 8 * D + 56 bytes at the most: the row, the gradient
        that waits to be pushed, and 56 bytes of clocks, index and policy.
        What steps use at the moment comes on top; ``memory_bytes`` in
        ``layer.table.stats()`` says what the cache takes with it.
      policy: which row goes when the cache is full: ``"lru"``, ``"lfu"`` or
        ``"light_lfu"`` (HET, section 4.4).
      staleness: s of the paper, in optimizer steps of a row, or ``math.inf``.
        A cached row may be up to s clock ticks behind and hold up to s own
        updates back; of a row that all workers use in every step, a valid read
        may then lack up to 2s + 1 updates of each other worker (of rows used
        now and then more, see docs/consistency.md). 0 gives exactly what
        training without a cache gives.
      max_pending_steps: optimizer steps after which, at the latest, the update of
        a row that is no longer read is pushed all the same, and not long
        before; None: 10 * (staleness + 1). With
        infinite staleness None means never for SGD and 1000 for Adagrad, which
        takes what has gathered as one step; a row pushed so is fetched again
        and gets the other workers' updates, one pushed by a flush is not.
      fresh_evaluation: reads outside of training (``evaluate``, ``predict``) go
        past the cache to the shards; False: they are served like training's.
      wire: how rows and gradients travel between this worker and the shards:
        ``"float32"`` (exact), ``"bfloat16"``, ``"float16"`` or ``"int8"`` (with
        a scale per row), or a pair of these, (rows, gradients). Shards and
        workers compute with float32 all the same. Rows are rounded to the
        nearest value, gradients at random so that their expectation is exact.
        A shard inside the process has no wire: there it changes nothing.
    """

    rows: int | None = None
    share: float | None = None
    memory_bytes: int | None = None
    policy: str = "lfu"
    staleness: float = 100
    max_pending_steps: int | None = None
    fresh_evaluation: bool = True
    wire: str | tuple[str, str] = "float32"

    def __post_init__(self) -> None:
        sizes = {"rows": self.rows, "share": self.share, "memory_bytes": self.memory_bytes}
        if sum(size is not None for size in sizes.values()) != 1:
            given = ", ".join(f"{name}={size!r}" for name, size in sizes.items())
            raise ValueError(
                f"CacheConfig takes one of rows, share and memory_bytes, got {given}: "
                "CacheConfig(rows=100_000), CacheConfig(share=0.1) or CacheConfig(memory_bytes=2**30)"
            )
        if self.rows is not None:
            check_count("CacheConfig: rows", self.rows, 0)
        elif self.memory_bytes is not None:
            check_count("CacheConfig: memory_bytes", self.memory_bytes, 1)
        elif not isinstance(self.share, int | float) or not 0 < self.share <= 1:
            raise ValueError(f"CacheConfig: share is {self.share!r}, expected a share of the vocabulary in (0, 1]")
        if self.policy not in POLICIES:
            raise ValueError(f"CacheConfig: policy is {self.policy!r}, expected one of {', '.join(POLICIES)}")
        if self.staleness != UNBOUNDED:
            check_count("CacheConfig: staleness", self.staleness, 0)
        if self.max_pending_steps is not None:
            check_count("CacheConfig: max_pending_steps", self.max_pending_steps, 1)
        if isinstance(self.wire, list):  # as JSON has it
            object.__setattr__(self, "wire", tuple(self.wire))
        if not all(isinstance(wire, str) and wire in WIRE_FORMATS for wire in self.wires):
            raise ValueError(
                f"CacheConfig: wire is {self.wire!r}, expected one of {', '.join(WIRE_FORMATS)}, "
                "or a pair of them: (rows, gradients)"
            )

    @property
    def wires(self) -> tuple[Any, Any]:
        """The formats of rows and of gradients."""
        if isinstance(self.wire, tuple) and len(self.wire) == 2:
            return self.wire[0], self.wire[1]
        return self.wire, self.wire

    def capacity(self, table: str, vocabulary_size: int | None, dimension: int) -> int:
        """Rows kept, with `share` and `memory_bytes` resolved."""
        if self.rows is not None:
            return self.rows
        if self.memory_bytes is not None:
            row = 8 * dimension + _BYTES_BESIDE_A_ROW
            if self.memory_bytes < row:
                raise ValueError(
                    f"table {table!r}: CacheConfig(memory_bytes={self.memory_bytes}) has no room for one row of "
                    f"dimension {dimension}, which takes {row} bytes; CacheConfig(rows=0) is no cache"
                )
            return self.memory_bytes // row
        if vocabulary_size is None:
            raise ValueError(
                f"table {table!r}: CacheConfig(share={self.share}) is a share of the vocabulary, which is not known: "
                "give the number of rows, CacheConfig(rows=...), or the vocabulary size (input_dim)"
            )
        assert self.share is not None
        return max(1, round(self.share * vocabulary_size))


@dataclass(frozen=True)
class TableConfig:
    """One embedding table, with the names that keras-rs uses.

    Args:
      name: the table's name on the shards; layers with one name share the rows.
      vocabulary_size: ids lie in [0, vocabulary_size); None: any int64 id.
      embedding_dim: floats per row.
      initializer: a Keras initializer or its name: uniform, normal, truncated
        normal, zeros, ones, constant.
      optimizer: the table's own optimizer, one that `Embedding` takes; None: the
        counterpart of the optimizer that the model is compiled with.
      row_clipnorm: the largest norm of a row's pushed gradient; None: no limit.
      combiner: None, ``"sum"``, ``"mean"`` or ``"sqrtn"``: how the rows of one
        example's ids are made one.
      cache: None for no cache.
      synchronous: one optimizer step per round over all workers, as one worker
        with all their batches would take it; see `Embedding`.
    """

    name: str
    vocabulary_size: int | None
    embedding_dim: int
    initializer: Any = "uniform"
    optimizer: Any = None
    combiner: str | None = None
    cache: CacheConfig | None = None
    row_clipnorm: float | None = None
    synchronous: bool = False


@dataclass(frozen=True)
class FeatureConfig:
    """One feature of a `DistributedEmbedding`: its name, for messages, and the table of its ids."""

    name: str
    table: TableConfig
