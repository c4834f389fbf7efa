"""The rows of a checkpoint, over its chain and shards: merged into one, or taken out.

A chain is read from its newest checkpoint to its oldest, file by file; of a row
that is there more than once the newest is taken. So in memory there are one
block of rows and the ids of the increments, never the table.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from het_tf.checkpoint import directory as layout
from het_tf.checkpoint.directory import DENSE, Manifest
from het_tf.checkpoint.files import BLOCK_BYTES, CheckpointError, Rows, TableRecord, Writer, read


def current(directory: Path, links: Sequence[Manifest], shard: int | None = None) -> Iterator[TableRecord | Rows]:
    """The tables and rows of a chain (the full checkpoint first), each row once; a table before its rows.

    Args:
      shard: of this one alone, where all checkpoints have the same number.

    Raises (while it is iterated):
      DamagedFile: names the file.
      CheckpointError: a table changed its form within the chain.
    """
    tables: dict[int, TableRecord] = {}
    # Ids that newer checkpoints have, sorted; of a table that a newer one has as a whole, all.
    newer: dict[int, np.ndarray] = {}
    whole: set[int] = set()
    for depth, link in enumerate(reversed(links)):
        is_last = depth == len(links) - 1
        names = link.shard_files if shard is None else link.shard_files[shard : shard + 1]
        partly: dict[int, int] = {}
        mine: dict[int, list[np.ndarray]] = {}
        for name in names:
            for block in read(directory / link.name / name):
                if isinstance(block, TableRecord):
                    partly[block.id] = partly.get(block.id, 0) + block.whole
                    if block.id in whole:
                        continue
                    known = tables.get(block.id)
                    if known is None:
                        tables[block.id] = block
                        yield block
                    else:
                        _check_same(known, block, directory / link.name / name)
                elif block.table.id not in whole:
                    rows = _without(block, newer.get(block.table.id))
                    if not is_last:
                        mine.setdefault(block.table.id, []).append(rows.ids)
                    if len(rows):
                        yield rows
        for table, ids in mine.items():
            newer[table] = np.union1d(newer.get(table, np.empty(0, np.int64)), np.concatenate(ids))
        whole |= {table for table, files in partly.items() if files == len(names)}


def _check_same(known: TableRecord, older: TableRecord, path: Path) -> None:
    """REQUIRES of a chain: a table is the same in all of it, but that it may come to have an optimizer."""
    if older.optimizer.name == "none":
        older = dataclasses.replace(older, optimizer=known.optimizer)
    if older == known:
        return
    if dataclasses.replace(older, slots=known.slots) == known:
        raise CheckpointError(
            f"table {older.name!r} has no optimizer state in {path}, where it had not been trained yet, and some in a "
            "newer checkpoint: only the shards know what it begins with; restore the checkpoint and save a full one"
        )
    raise CheckpointError(
        f"table {older.name!r} is {older} in {path} and {known} in a newer checkpoint: they do not belong to one chain"
    )


def _without(rows: Rows, ids: np.ndarray | None) -> Rows:
    """The rows that are not among sorted ids."""
    if ids is None or not len(ids):
        return rows
    places = np.minimum(np.searchsorted(ids, rows.ids), len(ids) - 1)
    return rows.where(ids[places] != rows.ids)


def merge(directory: str | Path, name: str, into: str | None = None) -> Manifest:
    """Makes one full checkpoint of an incremental one and the chain before it, in the same directory.

    The chain stays; it may then be deleted. Rows keep no order.

    Args:
      into: name of the new checkpoint; default: `name` and "-full".

    Returns:
      The new checkpoint's manifest: that of `name`, without a base.

    Raises:
      CheckpointError: `name` is full already, or `into` is there.
      DamagedFile: a file of the chain, which it names; nothing is left of the new checkpoint then.
    """
    directory = Path(directory)
    links = layout.check(directory, name)
    last = links[-1]
    if last.base is None:
        raise CheckpointError(f"checkpoint {name!r} is full already: there is nothing to merge")
    made = layout.check_name(into or f"{name}-full")
    folder = directory / made
    if folder.exists():
        raise CheckpointError(f"{folder} is there already: give the merged checkpoint another name")
    # Shards of the same number have the same ids in every checkpoint.
    together = len({link.shards for link in links}) > 1
    shards = 1 if together else last.shards
    folder.mkdir()
    try:
        files = {}
        for index, file in enumerate(layout.shard_files(shards)):
            files[file] = {"bytes": _write(folder / file, current(directory, links, None if together else index))}
        shutil.copyfile(directory / name / DENSE, folder / DENSE)
        with open(folder / DENSE, "rb") as dense:
            os.fsync(dense.fileno())
        manifest = dataclasses.replace(
            last, name=made, base=None, shards=shards, files={**files, DENSE: last.files[DENSE]}
        )
        layout.check_crc(folder / DENSE, manifest.files[DENSE])
        layout.write_manifest(directory, manifest)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return manifest


def _write(path: Path, contents: Iterator[TableRecord | Rows]) -> int:
    with Writer(path) as writer:
        gathered: dict[int, list[Rows]] = {}
        for block in contents:
            if isinstance(block, TableRecord):
                writer.table(dataclasses.replace(block, whole=True))
                continue
            # What increments leave of a block may be small.
            waiting = gathered.setdefault(block.table.id, [])
            waiting.append(block)
            if sum(one.values.nbytes + one.slots.nbytes + 16 * len(one) for one in waiting) >= BLOCK_BYTES // 2:
                writer.rows(joined(waiting))
                waiting.clear()
        for waiting in gathered.values():
            if waiting:
                writer.rows(joined(waiting))
        return writer.close()


def joined(parts: Sequence[Rows]) -> Rows:
    """Rows of one table, behind each other."""
    if len(parts) == 1:
        return parts[0]
    columns = (np.concatenate([getattr(one, name) for one in parts]) for name in ("ids", "clocks", "values", "slots"))
    return Rows(parts[0].table, *columns)


@dataclasses.dataclass
class Contents:
    """What a checkpoint has of a table, over its chain."""

    table: TableRecord
    rows: int = 0


def inspect(directory: str | Path, name: str) -> list[Contents]:
    """The tables of a checkpoint with their numbers of rows, by name; reads all of its chain."""
    found: dict[int, Contents] = {}
    links = layout.check(Path(directory), name)
    for block in current(Path(directory), links):
        if isinstance(block, TableRecord):
            found[block.id] = Contents(block)
        else:
            found[block.table.id].rows += len(block)
    return sorted(found.values(), key=lambda one: one.table.name)


def rows_of(directory: str | Path, name: str, table: str) -> Iterator[Rows]:
    """The rows of one table, block by block, in the same order every time.

    Raises (while it is iterated):
      CheckpointError: no such checkpoint or table; names those there are.
      DamagedFile: names the file.
    """
    names = set()
    for block in current(Path(directory), layout.check(Path(directory), name)):
        record = block if isinstance(block, TableRecord) else block.table
        names.add(record.name)
        if isinstance(block, Rows) and record.name == table:
            yield block
    if table not in names:
        present = ", ".join(sorted(names)) or "none"
        raise CheckpointError(f"checkpoint {name!r} has no table {table!r}; it has: {present}")
