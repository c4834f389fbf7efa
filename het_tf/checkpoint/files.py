"""Shard files: rows with their clocks and optimizer slots, in blocks that check themselves.

The format is that of the shards, which write and read these files in training
(docs/architecture.md). All numbers are little endian::

    file header   magic "HETTFROW", version, kind, 0, crc32 of these 20 bytes
    block header  kind, crc32 of the payload, its bytes, number of the block, crc32 of these 20 bytes
    payload       TABLE: what a table is; ROWS: about 1 MiB of its rows; END: how many rows there were

Values without behaviour, readers and writers that belong to one thread. Needs
NumPy alone.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np

MAGIC = b"HETTFROW"
VERSION = 1
KIND_CHECKPOINT = 1
TABLE, ROWS, END = 1, 2, 4
# Bytes of a block of rows, about.
BLOCK_BYTES = 1 << 20
# No table of the shards is wider, and no optimizer has more slots per row.
MOST_DIMENSION = 1 << 20
MOST_SLOTS = 8 * MOST_DIMENSION

_FILE_HEADER = struct.Struct("<8sIII")
_BLOCK_HEADER = struct.Struct("<IIQI")
_CRC = struct.Struct("<I")
HEADER_BYTES = _FILE_HEADER.size + _CRC.size
_TABLE_NUMBERS = struct.Struct("<6Q")
_ROWS_NUMBERS = struct.Struct("<2Q")


class CheckpointError(ValueError):
    """A checkpoint that is not there, or is not what was asked for."""


class OtherModel(CheckpointError):
    """A checkpoint is of another model than the one that it was to be restored to."""


class DamagedFile(CheckpointError):
    """A file of a checkpoint is not as it was written.

    Attributes:
      path: the file.
      reason: what is wrong, without the path.
    """

    def __init__(self, path: Path, reason: str) -> None:
        self.path = Path(path)
        self.reason = reason
        super().__init__(
            f"{path} is damaged: {reason}; restore an older checkpoint (`het-tf checkpoint list`, and `verify` for "
            "what else is damaged), or put an intact copy of the file in its place"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return DamagedFile, (self.path, self.reason)


@dataclass(frozen=True)
class Component:
    """An initializer or optimizer of the shards: a name with parameters, sorted by name."""

    name: str
    parameters: tuple[tuple[str, float], ...] = ()

    def __str__(self) -> str:
        return f"{self.name}({', '.join(f'{name}={value:g}' for name, value in self.parameters)})"


@dataclass(frozen=True)
class TableRecord:
    """What a shard knows of a table. `whole`: all of its rows follow, not just those changed since the base."""

    id: int
    name: str
    dimension: int
    slots: int
    seed: int
    synchronous: bool
    initializer: Component
    optimizer: Component
    whole: bool = field(default=True, compare=False)


@dataclass(frozen=True)
class Rows:
    """Some rows of a table.

    Attributes:
      ids, clocks: int64 [n].
      values: float32 [n, dimension].
      slots: float32 [n, slots], the optimizer's state.
    """

    table: TableRecord
    ids: np.ndarray
    clocks: np.ndarray
    values: np.ndarray
    slots: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    def where(self, chosen: np.ndarray) -> Rows:
        """Those of a bool [n]."""
        if chosen.all():
            return self
        parts = (part[chosen] for part in (self.ids, self.clocks, self.values, self.slots))
        return Rows(self.table, *parts)


def read(path: Path) -> Iterator[TableRecord | Rows]:
    """Every block of a file, in its order; one block is in memory at a time.

    Raises (while it is iterated):
      DamagedFile: the first thing that is wrong; nothing that is wrong is given out.
      FileNotFoundError.
    """
    with open(path, "rb") as source:
        yield from _Reader(path, source).blocks()


class _Reader:
    def __init__(self, path: Path, source: BinaryIO) -> None:
        self._path = path
        self._source = source
        self._left = os.fstat(source.fileno()).st_size
        self._tables: dict[int, TableRecord] = {}
        self._rows = 0

    def blocks(self) -> Iterator[TableRecord | Rows]:
        magic, version, kind, zero = self._header(_FILE_HEADER, "the header of the file")
        if magic != MAGIC:
            raise self._damaged(f"it begins with {magic!r}, expected {MAGIC!r}")
        if version != VERSION:
            raise CheckpointError(
                f"{self._path} has version {version} of the format, this het_tf reads {VERSION}: use the het_tf that "
                "wrote it, or a newer one"
            )
        if kind != KIND_CHECKPOINT or zero != 0:
            raise self._damaged(f"its kind is {kind}, expected {KIND_CHECKPOINT}, a checkpoint")
        number = 0
        while True:
            where = f"block {number}"
            kind, crc, size, its_number = self._header(_BLOCK_HEADER, f"the header of {where}")
            if its_number != number:
                raise self._damaged(f"{where} calls itself block {its_number}: blocks are missing or in another order")
            payload = self._take(size, where)
            if zlib.crc32(payload) != crc:
                raise self._damaged(f"the checksum of {where} does not fit its {size} bytes")
            try:
                if kind == END:
                    self._end(payload, where)
                    return
                yield self._block(kind, payload, where)
            except (struct.error, UnicodeDecodeError) as error:
                raise self._damaged(f"{where} has no form that is known ({error})") from None
            number += 1

    def _header(self, form: struct.Struct, where: str) -> tuple[Any, ...]:
        header = self._take(form.size + _CRC.size, where)
        if zlib.crc32(header[: form.size]) != _CRC.unpack_from(header, form.size)[0]:
            raise self._damaged(f"the checksum of {where} does not fit")
        return form.unpack_from(header)

    def _take(self, size: int, where: str) -> bytes:
        # Before it is read: a size that is wrong shall not become memory.
        if size > self._left:
            raise self._damaged(f"it is cut short in {where}: {size} bytes are missing there, {self._left} are left")
        data = self._source.read(size)
        if len(data) != size:
            raise self._damaged(f"it became shorter while it was read, in {where}")
        self._left -= size
        return data

    def _block(self, kind: int, payload: bytes, where: str) -> TableRecord | Rows:
        if kind == TABLE:
            table = _table_of(payload)
            if self._tables.setdefault(table.id, table) is not table:
                raise self._damaged(f"{where} describes the table {table.name!r} a second time")
            return table
        if kind == ROWS:
            return self._rows_of(payload, where)
        raise self._damaged(f"{where} is of kind {kind}, which is not known")

    def _rows_of(self, payload: bytes, where: str) -> Rows:
        table_id, n = _ROWS_NUMBERS.unpack_from(payload)
        table = self._tables.get(table_id)
        if table is None:
            raise self._damaged(f"{where} has rows of a table that was not described before")
        expected = _ROWS_NUMBERS.size + n * (16 + 4 * (table.dimension + table.slots))
        if len(payload) != expected:
            raise self._damaged(
                f"{where} has {len(payload)} bytes, {n} rows of table {table.name!r} take {expected}"
            )
        arrays, at = [], _ROWS_NUMBERS.size
        for dtype, width in (("<i8", 1), ("<i8", 1), ("<f4", table.dimension), ("<f4", table.slots)):
            arrays.append(np.frombuffer(payload, dtype, n * width, at))
            at += arrays[-1].nbytes
        self._rows += n
        ids, clocks, values, slots = arrays
        return Rows(table, ids, clocks, values.reshape(n, table.dimension), slots.reshape(n, table.slots))

    def _end(self, payload: bytes, where: str) -> None:
        (rows,) = struct.unpack("<Q", payload)
        if rows != self._rows:
            raise self._damaged(f"{where} says that it has {rows} rows, there were {self._rows}")
        if self._left:
            raise self._damaged(f"{self._left} bytes follow after its end")

    def _damaged(self, reason: str) -> DamagedFile:
        return DamagedFile(self._path, reason)


def _table_of(payload: bytes) -> TableRecord:
    table_id, dimension, slots, seed, synchronous, whole = _TABLE_NUMBERS.unpack_from(payload)
    at = _TABLE_NUMBERS.size
    if not 1 <= dimension <= MOST_DIMENSION or slots > MOST_SLOTS:
        raise struct.error(f"a table of dimension {dimension} with {slots} slots per row")

    def string() -> str:
        nonlocal at
        (size,) = _CRC.unpack_from(payload, at)
        text = payload[at + 4 : at + 4 + size]
        if len(text) != size:
            raise struct.error("a string goes beyond its end")
        at += 4 + size
        return text.decode()

    def component() -> Component:
        nonlocal at
        kind = string()
        (count,) = _CRC.unpack_from(payload, at)
        at += 4
        parameters = []
        for _ in range(count):
            name = string()
            parameters.append((name, struct.unpack_from("<d", payload, at)[0]))
            at += 8
        return Component(kind, tuple(parameters))

    name = string()
    initializer, optimizer = component(), component()
    if at != len(payload):
        raise struct.error(f"{len(payload) - at} bytes too many")
    numbers = (dimension, slots, seed, bool(synchronous), initializer, optimizer, bool(whole))
    return TableRecord(table_id, name, *numbers)


class Writer:
    """Writes a shard file. It has its name when `close` returns: then it is complete and on the disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._temporary = path.with_name(path.name + ".tmp")
        self._file = open(self._temporary, "wb")  # noqa: SIM115 (closed by close and by __exit__)
        self._blocks = 0
        self._rows = 0
        self._file.write(_with_crc(_FILE_HEADER.pack(MAGIC, VERSION, KIND_CHECKPOINT, 0)))

    def table(self, table: TableRecord) -> None:
        numbers = (table.id, table.dimension, table.slots, table.seed, table.synchronous, table.whole)
        payload = _TABLE_NUMBERS.pack(*numbers) + _string(table.name)
        for component in (table.initializer, table.optimizer):
            payload += _string(component.name) + _CRC.pack(len(component.parameters))
            for name, value in component.parameters:
                payload += _string(name) + struct.pack("<d", value)
        self._block(TABLE, payload)

    def rows(self, rows: Rows) -> None:
        """REQUIRES: their table is written."""
        if not len(rows):
            return
        parts = ((rows.ids, "<i8"), (rows.clocks, "<i8"), (rows.values, "<f4"), (rows.slots, "<f4"))
        payload = [np.ascontiguousarray(part, dtype).tobytes() for part, dtype in parts]
        self._block(ROWS, _ROWS_NUMBERS.pack(rows.table.id, len(rows)) + b"".join(payload))
        self._rows += len(rows)

    def close(self) -> int:
        """The bytes of the file."""
        self._block(END, struct.pack("<Q", self._rows))
        size = self._file.tell()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        os.replace(self._temporary, self._path)
        return size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        """Without `close` before it, nothing is left."""
        if not self._file.closed:
            self._file.close()
            self._temporary.unlink()

    def _block(self, kind: int, payload: bytes) -> None:
        self._file.write(_with_crc(_BLOCK_HEADER.pack(kind, zlib.crc32(payload), len(payload), self._blocks)))
        self._file.write(payload)
        self._blocks += 1


def _with_crc(header: bytes) -> bytes:
    return header + _CRC.pack(zlib.crc32(header))


def _string(text: str) -> bytes:
    data = text.encode()
    return _CRC.pack(len(data)) + data
