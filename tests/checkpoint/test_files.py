"""Shard files are read as they were written, and refused wherever they are damaged."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

import written
from het_tf.checkpoint.files import CheckpointError, Component, DamagedFile, Rows, TableRecord, Writer, read
from tests.fuzz import checkpoint_read_fuzz

FUZZ_INPUTS = Path(__file__).parents[2] / "kernels/fuzz/corpus/checkpoint_file"
IDS = np.array([3, -8, 2**62, 0])


@pytest.fixture
def path(tmp_path):
    payloads = [(1, written.table(9, "user ü", 3, 2)), (2, written.rows(9, IDS, 3, 2, moment=1))]
    payloads += [(1, written.table(4, "item", 1, 0, whole=False)), (2, written.rows(4, [5], 1, 0, moment=2))]
    file = tmp_path / "shard-0-of-1.het"
    file.write_bytes(written.shard_file(payloads, 5))
    return file


def test_what_a_shard_wrote_is_read(path):
    user, first, item, second = read(path)
    assert user == TableRecord(
        9,
        "user ü",
        3,
        2,
        7,
        False,
        Component("uniform", (("maxval", 0.05), ("minval", -0.05))),
        Component("adagrad", (("epsilon", 1e-7),)),
    )
    assert (user.whole, item.whole) == (True, False)
    np.testing.assert_array_equal(first.ids, IDS)
    np.testing.assert_array_equal(first.clocks, IDS % 5 + 1)
    np.testing.assert_array_equal(first.values, written.values_of(IDS, 1, 3))
    np.testing.assert_array_equal(first.slots, written.values_of(IDS, 1, 2, 500))
    assert second.slots.shape == (1, 0) and second.table is item


def test_what_is_read_is_written_again_to_the_byte(path, tmp_path):
    copy = tmp_path / "copy.het"
    with Writer(copy) as writer:
        for one in read(path):
            writer.rows(one) if isinstance(one, Rows) else writer.table(one)
        assert not copy.exists()
        size = writer.close()
    assert copy.read_bytes() == path.read_bytes() and size == copy.stat().st_size


def test_a_writer_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(OSError, match="full"), Writer(tmp_path / "a.het"):
        raise OSError("full")
    assert list(tmp_path.iterdir()) == []


def test_every_byte_counts(path):
    data = path.read_bytes()
    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x40]) + data[at + 1 :])
        with pytest.raises(DamagedFile) as raised:
            list(read(path))
        assert str(path) in str(raised.value) and "older checkpoint" in str(raised.value)


def test_every_length_but_its_own_is_refused(path):
    data = path.read_bytes()
    for size in range(len(data)):
        path.write_bytes(data[:size])
        with pytest.raises(DamagedFile, match="cut short"):
            list(read(path))
    path.write_bytes(data + b"\0")
    with pytest.raises(DamagedFile, match="1 bytes follow"):
        list(read(path))


def resigned(payloads: list[tuple[int, bytes]], count: int) -> bytes:
    return written.shard_file(payloads, count)


TABLE = (1, written.table(9, "user", 3, 2))
ROWS = (2, written.rows(9, IDS, 3, 2, moment=1))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (written.header(magic=b"HETTFLOG"), "begins with b'HETTFLOG'"),
        (written.header(kind=2), "kind is 2"),
        (resigned([TABLE, ROWS], 5), "says that it has 5 rows, there were 4"),
        (resigned([ROWS], 4), "rows of a table that was not described"),
        (resigned([TABLE, TABLE], 0), "describes the table 'user' a second time"),
        (resigned([TABLE, (3, b"")], 0), "block 1 is of kind 3"),
        (resigned([TABLE, (2, ROWS[1][:-4])], 4), "4 rows of table 'user' take"),
        (resigned([(1, TABLE[1][:-3])], 0), "block 0 has no form that is known"),
        (resigned([(1, TABLE[1] + b"x")], 0), "1 bytes too many"),
        (resigned([(1, b"\xff" * 60)], 0), "block 0 has no form"),
        (resigned([(1, written.table(9, "user", 0, 2))], 0), "a table of dimension 0 with 2 slots"),
        (
            resigned([(1, written.table(9, "user", 1 << 63, 2)), (2, written.rows(9, [], 1, 0, moment=1))], 0),
            "dimension",
        ),
        (resigned([(1, written.table(9, "user", 3, 1 << 63)), (2, written.rows(9, [], 1, 0, moment=1))], 0), "slots"),
        (written.header() + written.block(1, 1, TABLE[1]), "calls itself block 1"),
        (written.header() + struct.pack("<IIQI", 1, 0, 1 << 60, 0), "cut short"),
    ],
)
def test_what_is_signed_and_wrong_is_refused(tmp_path, data, words):
    path = tmp_path / "a.het"
    path.write_bytes(data)
    with pytest.raises(DamagedFile, match=words):
        list(read(path))


def test_a_size_beyond_the_file_takes_no_memory(tmp_path):
    path = tmp_path / "a.het"
    huge = struct.pack("<IIQI", 2, 0, 1 << 60, 0)
    path.write_bytes(written.header() + huge + struct.pack("<I", written.zlib.crc32(huge)))
    with pytest.raises(DamagedFile, match=f"cut short in block 0: {1 << 60} bytes"):
        list(read(path))


def test_a_newer_format_is_no_damage(tmp_path):
    path = tmp_path / "a.het"
    path.write_bytes(written.header(version=2))
    with pytest.raises(CheckpointError, match="version 2 of the format, this het_tf reads 1") as raised:
        list(read(path))
    assert not isinstance(raised.value, DamagedFile)


@pytest.mark.parametrize("name", sorted(path.name for path in FUZZ_INPUTS.iterdir()))
def test_the_fuzz_target_reads_its_committed_inputs(name):
    data = (FUZZ_INPUTS / name).read_bytes()
    checkpoint_read_fuzz.run(data)
    whole = checkpoint_read_fuzz.join(*checkpoint_read_fuzz.split(data))
    assert (whole == data) == (name != "damaged.bin")
