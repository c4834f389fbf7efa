"""Pretrained rows into a table."""

from __future__ import annotations

from typing import Any

import numpy as np

from het_tf.config import check_count
from het_tf.table import Table


def import_rows(layer: Any, ids: Any, rows: Any, *, batch: int = 65_536) -> int:
    """Overwrites rows of a table at the shards, batch by batch; their optimizer state begins anew.

    One worker calls this, and the others wait, ``het.barrier()``, until it has
    returned: before training, or between two steps after ``het.flush(wait_for_all=True)``.

    Args:
      layer: an `Embedding`, one of `DistributedEmbedding.embeddings`, or a table.
      ids: integers [n], each at most once.
      rows: float32 [n, dimension]; also a memory map, of which a batch at a time
        is read.
      batch: rows that go out at once.

    Returns:
      n.

    Raises:
      TypeError: the ids are no integers.
      ValueError: other shapes, an id that is there twice, or a number that is not
        finite; names it.
      tf.errors.InvalidArgumentError: an id outside of the vocabulary.
    """
    table = layer if isinstance(layer, Table) else getattr(layer, "table", None)
    if not isinstance(table, Table):
        raise TypeError(f"import_rows: got {layer!r}, expected an Embedding of het_tf.layers or a table")
    check_count("import_rows: batch", batch, 1)
    ids = np.asarray(ids)
    if not np.issubdtype(ids.dtype, np.integer):
        raise TypeError(f"import_rows: ids have dtype {ids.dtype}, expected integers")
    shape, expected = np.shape(rows), (*ids.shape, table.spec.dimension)
    if ids.ndim != 1 or shape != expected:
        raise ValueError(
            f"import_rows: table {table.name!r} takes ids of shape (n,) and rows of shape (n, {table.spec.dimension}), "
            f"got {ids.shape} and {shape}"
        )
    ids = ids.astype(np.int64)
    in_order = np.sort(ids)
    again = in_order[1:][in_order[1:] == in_order[:-1]]
    if len(again):
        raise ValueError(f"import_rows: id {again[0]} is there more than once, expected each at most once")
    for start in range(0, len(ids), batch):
        some = np.asarray(rows[start : start + batch], np.float32)
        finite = np.isfinite(some).all(axis=1)
        if not finite.all():
            raise ValueError(
                f"import_rows: the row of id {ids[start + int(np.argmin(finite))]} has NaN or Inf; the {start} rows "
                "before its batch are imported"
            )
        table.assign(ids[start : start + batch], some)
    return len(ids)
