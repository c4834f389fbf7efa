"""Tables made by the ops themselves, without the Python layers above them."""

from __future__ import annotations

import itertools
from typing import Any

import tensorflow as tf

from het_tf import ops

_numbers = itertools.count()
ADAGRAD = {
    "optimizer": "adagrad",
    "optimizer_names": ["initial_accumulator_value", "epsilon"],
    "optimizer_values": [0.1, 1e-7],
}
HALVES = {"initializer": "constant", "initializer_names": ["value"], "initializer_values": [0.5]}


class Opener:
    """Opens stores and tables; what it has opened is destroyed with the test."""

    def __init__(self) -> None:
        self._opened: list[tf.Tensor] = []
        self.embedded = None

    def store(self, addresses: list[str] = (), **options: Any) -> tf.Tensor:
        handle = ops.library().het_store(
            addresses=list(addresses), **{"shared_name": f"test/store/{next(_numbers)}", **options}
        )
        self._opened.append(handle)
        return handle

    def table(self, store: tf.Tensor | None = None, **options: Any) -> tf.Tensor:
        """Rows of three halves, trained by SGD, without a cache, if not said otherwise."""
        if store is None:
            if self.embedded is None:
                self.embedded = self.store()
            store = self.embedded
        name = f"table{next(_numbers)}"
        defaults = {"table_name": name, "shared_name": f"test/{name}", "dimension": 3, "optimizer": "sgd", **HALVES}
        handle = ops.library().het_embedding_table(store, **{**defaults, **options})
        self._opened.insert(0, handle)
        return handle

    def close(self) -> None:
        for handle in self._opened:
            tf.raw_ops.DestroyResourceOp(resource=handle, ignore_lookup_error=True)


def rows_of(table: tf.Tensor, ids: list[int], dimension: int = 3) -> Any:
    """Rows as the shards have them, with the own pending updates."""
    return ops.lookup(table, tf.constant(ids, tf.int64), dimension, "fresh").numpy()
