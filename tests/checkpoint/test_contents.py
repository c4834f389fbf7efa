"""A chain is one table after the other, each row once and the newest: merged, inspected, exported."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import written
from het_tf import checkpoint
from het_tf.checkpoint import contents
from het_tf.checkpoint import directory as layout
from het_tf.checkpoint.files import CheckpointError, DamagedFile, Rows, TableRecord


def table_of(directory, name, table):
    """ids, clocks, values and slots in the order of the ids."""
    found = contents.joined(list(contents.rows_of(directory, name, table)))
    order = np.argsort(found.ids)
    return found.ids[order], found.clocks[order], found.values[order], found.slots[order]


def assert_saved_at(directory, name, table, moments):
    ids, clocks, values, slots = table_of(directory, name, table)
    assert ids.tolist() == sorted(moments)
    for i, number in enumerate(ids):
        moment, one = moments[number], np.array([number])
        assert clocks[i] == number % 5 + moment
        np.testing.assert_array_equal(values[i : i + 1], written.values_of(one, moment, 3))
        np.testing.assert_array_equal(slots[i : i + 1], written.values_of(one, moment, 2, 500))


def test_the_newest_of_every_row_is_taken(tmp_path):
    moments = written.save_chain(tmp_path)
    for table, its in moments.items():
        assert_saved_at(tmp_path, "last", table, its)
    assert len(table_of(tmp_path, "more", "user")[0]) == 65


def test_a_table_that_is_there_as_a_whole_hides_what_it_was(tmp_path):
    written.save(tmp_path, "full", {"user": range(20)}, moment=1)
    written.save(tmp_path, "more", {"user": [1, 2]}, moment=2, base="full", whole=True)
    assert_saved_at(tmp_path, "more", "user", {1: 2, 2: 2})
    merged = checkpoint.merge(tmp_path, "more")
    assert_saved_at(tmp_path, merged.name, "user", {1: 2, 2: 2})


def test_a_merged_checkpoint_is_the_chain_in_one(tmp_path):
    moments = written.save_chain(tmp_path)
    manifest = checkpoint.merge(tmp_path, "last")
    assert (manifest.name, manifest.base, manifest.step, manifest.shards) == ("last-full", None, 300, 2)
    assert checkpoint.list(tmp_path)[-1] == manifest
    assert checkpoint.verify(tmp_path, "last-full") == []
    for name in ("last", "more", "full"):
        layout.delete(tmp_path, name)
    for table, its in moments.items():
        assert_saved_at(tmp_path, "last-full", table, its)
    # Every shard still has its own rows.
    for shard in range(2):
        for one in contents.current(tmp_path, [manifest], shard):
            assert isinstance(one, TableRecord) or (one.ids % 2 == shard).all()
    assert (tmp_path / "last-full" / "dense.npz").exists()


def test_a_chain_over_several_numbers_of_shards_becomes_one_file(tmp_path):
    written.save(tmp_path, "full", {"user": range(30)}, moment=1, shards=2)
    written.save(tmp_path, "more", {"user": range(0, 40, 5)}, moment=2, base="full", shards=3)
    moments = dict.fromkeys(range(30), 1) | dict.fromkeys(range(0, 40, 5), 2)
    assert_saved_at(tmp_path, "more", "user", moments)
    assert checkpoint.merge(tmp_path, "more", "one").shards == 1
    assert_saved_at(tmp_path, "one", "user", moments)


def test_merging_keeps_blocks_and_memory_small(tmp_path, monkeypatch):
    monkeypatch.setattr(contents, "BLOCK_BYTES", 600)
    written.save_chain(tmp_path)
    manifest = checkpoint.merge(tmp_path, "last")
    blocks = [one for one in contents.current(tmp_path, [manifest]) if isinstance(one, Rows)]
    assert max(map(len, blocks)) <= 20 and len(blocks) > 6


def test_what_cannot_be_merged(tmp_path):
    written.save_chain(tmp_path)
    with pytest.raises(CheckpointError, match="'full' is full already"):
        checkpoint.merge(tmp_path, "full")
    with pytest.raises(CheckpointError, match="is there already"):
        checkpoint.merge(tmp_path, "last", "more")
    with pytest.raises(ValueError, match="name is"):
        checkpoint.merge(tmp_path, "last", "../x")


def test_a_damaged_chain_leaves_no_merged_checkpoint(tmp_path):
    written.save_chain(tmp_path)
    path = tmp_path / "full" / "shard-1-of-2.het"
    data = bytearray(path.read_bytes())
    data[-60] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamagedFile, match="shard-1-of-2.het"):
        checkpoint.merge(tmp_path, "last")
    assert not (tmp_path / "last-full").exists()


def test_a_table_that_changes_its_form_within_a_chain(tmp_path):
    written.save(tmp_path, "full", {"user": range(4)}, moment=1, dimension=3)
    written.save(tmp_path, "more", {"user": range(4)}, moment=2, base="full", dimension=4)
    with pytest.raises(CheckpointError, match="dimension=3.*dimension=4.*do not belong to one chain"):
        list(contents.rows_of(tmp_path, "more", "user"))


def test_inspect_counts_rows_once(tmp_path):
    moments = written.save_chain(tmp_path)
    found = checkpoint.inspect(tmp_path, "last")
    assert {one.table.name: one.rows for one in found} == {table: len(its) for table, its in moments.items()}
    assert str(found[0].table.optimizer) == "adagrad(epsilon=1e-07)"


@pytest.mark.parametrize("slots", [False, True])
def test_export_for_numpy(tmp_path, slots):
    written.save_chain(tmp_path)
    ids, clocks, values, its_slots = table_of(tmp_path, "last", "user")
    assert checkpoint.export(tmp_path, "last", "user", tmp_path / "user.npz", slots=slots) == len(ids)
    with np.load(tmp_path / "user.npz") as archive:
        assert set(archive) == ({"ids", "rows", "clocks", "slots"} if slots else {"ids", "rows"})
        order = np.argsort(archive["ids"])
        np.testing.assert_array_equal(archive["ids"][order], ids)
        np.testing.assert_array_equal(archive["rows"][order], values)
        if slots:
            np.testing.assert_array_equal(archive["clocks"][order], clocks)
            np.testing.assert_array_equal(archive["slots"][order], its_slots)
    checkpoint.export(tmp_path, "last", "user", tmp_path / "user.npy", slots=slots)
    records = np.load(tmp_path / "user.npy", mmap_mode="r")
    order = np.argsort(records["id"])
    np.testing.assert_array_equal(records["id"][order], ids)
    np.testing.assert_array_equal(records["row"][order], values)
    assert records.dtype.names == (("id", "row", "clock", "slot") if slots else ("id", "row"))


def test_export_for_parquet(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    written.save_chain(tmp_path)
    ids, _, values, slots = table_of(tmp_path, "last", "user")
    checkpoint.export(tmp_path, "last", "user", tmp_path / "user.parquet", slots=True)
    table = parquet.read_table(tmp_path / "user.parquet")
    order = np.argsort(table["id"].to_numpy())
    np.testing.assert_array_equal(table["id"].to_numpy()[order], ids)
    np.testing.assert_array_equal(np.array(table["row"].to_pylist(), np.float32)[order], values)
    np.testing.assert_array_equal(np.array(table["slot"].to_pylist(), np.float32)[order], slots)


def test_parquet_without_pyarrow_says_so(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    written.save_chain(tmp_path)
    with pytest.raises(CheckpointError, match="pip install pyarrow, or export to .npz"):
        checkpoint.export(tmp_path, "last", "user", tmp_path / "user.parquet")
    assert not list(tmp_path.glob("user*"))


@pytest.mark.parametrize(
    ("table", "file", "words"),
    [
        ("nobody", "a.npz", "no table 'nobody'; it has: item, new, user"),
        ("user", "a.csv", "expected an ending of .npz, .npy, .parquet"),
        ("user", "full", "expected an ending"),
        ("user", "there.npz", "is there already"),
    ],
)
def test_what_cannot_be_exported(tmp_path, table, file, words):
    written.save_chain(tmp_path)
    (tmp_path / "there.npz").touch()
    with pytest.raises(CheckpointError, match=words):
        checkpoint.export(tmp_path, "last", table, tmp_path / file)
