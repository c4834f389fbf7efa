"""The op library, loaded when the first op is wanted.

One thin function per op; shapes and dtypes are the ops' own (see
kernels/ops/registrations.cc). Thread-safe.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.python.framework.auto_control_deps_utils import register_read_only_resource_op
from tensorflow.python.framework.kernels import get_registered_kernels_for_op

from het_tf.version import TENSORFLOW, VERSION

STALENESS_BUCKETS = 16
_CACHE_COUNTERS = (
    "lookups",
    "ids",
    "unique_ids",
    "hits",
    "misses",
    "invalid",
    "updates",
    "updated_rows",
    "pushed_rows",
    "evictions",
    "rows",
    "pending_rows",
    "memory_bytes",
    "prefetched",
)
TRAFFIC_KINDS = ("ids", "clocks", "rows", "gradients", "framing")


@functools.cache
def library() -> Any:
    """The generated wrappers of the op library.

    Raises:
      ImportError: it is not there, or TensorFlow is not the one it is built for.
    """
    if tf.__version__.split(".")[:2] != TENSORFLOW.split("."):
        raise ImportError(
            f"het_tf {VERSION} is built for TensorFlow {TENSORFLOW}, but {tf.__version__} is loaded: "
            f"pip install 'tensorflow-cpu=={TENSORFLOW}.*'"
        )
    path = Path(__file__).parent / "_native" / "het_tf_ops.so"
    if not path.exists():
        raise ImportError(
            f"the op library {path} is missing: run `make build` in a checkout, or reinstall het_tf from a wheel"
        )
    module = tf.load_op_library(str(path))
    # A lookup only reads its table: without this, tf.function would run the
    # lookups of one table one after the other.
    register_read_only_resource_op("HetEmbeddingLookup")
    return module


def has_gpu_kernels() -> bool:
    """Whether the op library was built with CUDA=1."""
    library()
    kernels = get_registered_kernels_for_op("HetEmbeddingLookup").kernel
    return any(kernel.device_type == "GPU" for kernel in kernels)


@functools.cache
def device() -> str:
    """Where stores and tables are made, and with them their ops: on the first GPU if there are kernels for it."""
    return "/gpu:0" if has_gpu_kernels() and tf.config.list_logical_devices("GPU") else "/cpu:0"


def lookup(table: tf.Tensor, ids: tf.Tensor, dimension: int, mode: str) -> tf.Tensor:
    """Rows of `ids` (any shape, int32 or int64): float32 of shape ids.shape + [dimension]."""
    return lookup_many([table], [ids], [0], [dimension], mode)[0]


def lookup_many(
    tables: Sequence[tf.Tensor],
    ids: Sequence[tf.Tensor],
    table_of: Sequence[int],
    dimensions: Sequence[int],
    mode: str,
) -> list[tf.Tensor]:
    """Rows of every tensor of `ids` (all int32 or all int64), from the table of that number: one exchange per shard."""
    return library().het_embedding_lookup(
        tables=tables, ids=ids, table_of=list(table_of), dimensions=list(dimensions), mode=mode
    )


def prefetch_many(
    tables: Sequence[tf.Tensor], ids: Sequence[tf.Tensor], table_of: Sequence[int], ahead: int
) -> tf.Operation | None:
    """Asks for what training lookups will read at most `ahead` commits later; arguments as for `lookup_many`."""
    return library().het_embedding_prefetch(tables=tables, ids=ids, table_of=list(table_of), ahead=ahead)


def update(
    table: tf.Tensor, ids: tf.Tensor, gradients: tf.Tensor, learning_rate: tf.Tensor, scale: float
) -> tf.Operation | None:
    """One optimizer step on the rows `ids` [n] with `gradients` [n, dimension]."""
    return update_many([table], [ids], [gradients], [learning_rate], scale)


def update_many(
    tables: Sequence[tf.Tensor],
    ids: Sequence[tf.Tensor],
    gradients: Sequence[tf.Tensor],
    learning_rates: Sequence[tf.Tensor],
    scale: float,
) -> tf.Operation | None:
    """One optimizer step of every table: of the rows `ids` [n] with `gradients` [n, dimension]."""
    rates = [tf.cast(rate, tf.float32) for rate in learning_rates]
    return library().het_embedding_update(tables, ids, gradients, rates, scale)


def check_clocks(start: tf.Tensor, current: tf.Tensor, global_clocks: tf.Tensor, staleness: int) -> tf.Tensor:
    """Which copies may be read, bool [n], by their clocks, int64 [n] each; a staleness of -1 is unbounded.

    The cache decides this by itself, copy by copy; this is the same rule for
    clocks that lie in tensors, on either device.
    """
    return library().het_check_clocks(start, current, global_clocks, staleness=staleness)


def cache_stats(table: tf.Tensor) -> dict[str, Any]:
    """The cache's counters since it was made, by name; ``staleness`` is a list of buckets 0, 1, 2-3, 4-7, ..."""
    numbers = library().het_embedding_stats(table).numpy().tolist()
    stats = dict(zip(_CACHE_COUNTERS, numbers, strict=False))
    stats["staleness"] = numbers[len(_CACHE_COUNTERS) :]
    return stats


def store_snapshot(
    store: tf.Tensor, directory: str, mark: str, name: str, base: str, call: int, *, begin: bool
) -> tuple[bool, int, int]:
    """Has the shards write a checkpoint, or asks how far they are with the same `call`: done, rows and bytes."""
    number = tf.constant(call, tf.int64)
    reply = library().het_store_snapshot(store, directory, mark, name, base, number, begin=begin)
    done, rows, size = reply.numpy().tolist()
    return bool(done), rows, size


def store_restore(
    store: tf.Tensor, directory: str, mark: str, names: Sequence[str], shards: Sequence[int], call: int
) -> tuple[bool, int, int]:
    """Has the shards read a chain of checkpoints, or asks how far they are, as `store_snapshot` does."""
    counts = tf.constant(list(shards), tf.int64)
    number = tf.constant(call, tf.int64)
    reply = library().het_store_restore(store, directory, mark, tf.constant(list(names)), counts, number)
    done, rows, size = reply.numpy().tolist()
    return bool(done), rows, size


def embedding_forget(table: tf.Tensor) -> None:
    """This worker's copies of rows are forgotten. REQUIRES: no pending updates."""
    library().het_embedding_forget(table)


def store_traffic(store: tf.Tensor) -> dict[str, Any]:
    """Exchanges, and bytes by kind in ``sent`` and ``received``, as this worker counts them."""
    exchanges, *numbers = library().het_store_traffic(store).numpy().tolist()
    kinds = len(TRAFFIC_KINDS)
    return {
        "exchanges": exchanges,
        "sent": dict(zip(TRAFFIC_KINDS, numbers[:kinds], strict=True)),
        "received": dict(zip(TRAFFIC_KINDS, numbers[kinds:], strict=True)),
    }
