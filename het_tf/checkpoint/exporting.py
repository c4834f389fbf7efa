"""Tables of a checkpoint as files of NumPy or Parquet; one block of rows is in memory at a time."""

from __future__ import annotations

import importlib
import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from het_tf.checkpoint.contents import inspect, rows_of
from het_tf.checkpoint.files import CheckpointError, Rows, TableRecord


def export(directory: str | Path, name: str, table: str, path: str | Path, *, slots: bool = False) -> int:
    """Writes a table's rows to a file, whose ending says how:

    - ``.npz``: arrays ``ids`` int64 [n] and ``rows`` float32 [n, dimension];
    - ``.npy``: one array of n records (``id`` int64, ``row`` float32 [dimension]);
    - ``.parquet``: columns ``id`` and ``row``, a list of `dimension` floats. Needs pyarrow.

    Args:
      slots: also ``clocks`` and ``slots`` (in records and columns: ``clock`` and
        ``slot``): the row's number of updates, int64, and its optimizer state,
        float32 [number of slots].

    Returns:
      The number of rows. Rows keep no order.

    Raises:
      CheckpointError: no such checkpoint or table, another ending, no pyarrow, or the file exists.
    """
    path = Path(path)
    write = _FORMATS.get(path.suffix)
    if write is None:
        raise CheckpointError(f"the export's file is {str(path)!r}, expected an ending of {', '.join(_FORMATS)}")
    if path.exists():
        raise CheckpointError(f"{path} is there already: delete it or give another name")
    tables = {one.table.name: one for one in inspect(directory, name)}
    if table not in tables:
        present = ", ".join(tables) or "none"
        raise CheckpointError(f"checkpoint {name!r} has no table {table!r}; it has: {present}")
    contents = tables[table]
    temporary = path.with_name(path.name + ".tmp")
    try:
        write(temporary, contents.table, contents.rows, lambda: rows_of(directory, name, table), slots)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return contents.rows


_Source = Callable[[], Iterator[Rows]]


def _write_npz(path: Path, table: TableRecord, count: int, source: _Source, slots: bool) -> None:
    arrays = {"ids": ("ids", "<i8", (count,)), "rows": ("values", "<f4", (count, table.dimension))}
    if slots:
        arrays |= {"clocks": ("clocks", "<i8", (count,)), "slots": ("slots", "<f4", (count, table.slots))}
    with zipfile.ZipFile(path, "w") as archive:
        for name, (part, dtype, shape) in arrays.items():  # each reads the checkpoint once
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                header = {"descr": dtype, "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(entry, header)
                for rows in source():
                    entry.write(np.ascontiguousarray(getattr(rows, part), dtype).tobytes())


def _write_npy(path: Path, table: TableRecord, count: int, source: _Source, slots: bool) -> None:
    fields: list[Any] = [("id", "<i8"), ("row", "<f4", (table.dimension,))]
    if slots:
        fields += [("clock", "<i8"), ("slot", "<f4", (table.slots,))]
    with open(path, "wb") as file:
        header = {"descr": np.lib.format.dtype_to_descr(np.dtype(fields)), "fortran_order": False, "shape": (count,)}
        np.lib.format.write_array_header_1_0(file, header)
        for rows in source():
            records = np.empty(len(rows), fields)
            records["id"], records["row"] = rows.ids, rows.values
            if slots:
                records["clock"], records["slot"] = rows.clocks, rows.slots
            file.write(records.tobytes())


def _write_parquet(path: Path, table: TableRecord, count: int, source: _Source, slots: bool) -> None:
    try:
        arrow = importlib.import_module("pyarrow")
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise CheckpointError(f"Parquet needs pyarrow ({error}): pip install pyarrow, or export to .npz") from None

    def lists(values: np.ndarray, width: int) -> Any:
        return arrow.FixedSizeListArray.from_arrays(arrow.array(values.reshape(-1)), width)

    fields = [("id", arrow.int64()), ("row", arrow.list_(arrow.float32(), table.dimension))]
    if slots:
        fields += [("clock", arrow.int64()), ("slot", arrow.list_(arrow.float32(), table.slots))]
    schema = arrow.schema(fields)
    with parquet.ParquetWriter(path, schema) as writer:
        for rows in source():
            columns = [arrow.array(rows.ids), lists(rows.values, table.dimension)]
            if slots:
                columns += [arrow.array(rows.clocks), lists(rows.slots, table.slots)]
            writer.write_table(arrow.Table.from_arrays(columns, schema=schema))


_FORMATS = {".npz": _write_npz, ".npy": _write_npy, ".parquet": _write_parquet}
