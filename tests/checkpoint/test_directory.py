"""A directory of checkpoints: what is one, what is restorable, what is deleted."""

from __future__ import annotations

import json
import os
import pickle

import pytest

import written
from het_tf import checkpoint
from het_tf.checkpoint import directory as layout
from het_tf.checkpoint.files import CheckpointError, DamagedFile

IDS = {"user": [1, 2, 3]}


def names(directory):
    return [one.name for one in checkpoint.list(directory)]


def test_no_checkpoints_are_an_empty_list(tmp_path):
    assert checkpoint.list(tmp_path) == checkpoint.list(tmp_path / "none") == []


def test_the_order_is_that_of_saving_and_not_of_clocks_and_names(tmp_path):
    for name, number in (("b", 1), ("c", 2), ("a", 3)):
        written.save(tmp_path, name, IDS, moment=9 - number, number=number)
    assert names(tmp_path) == ["b", "c", "a"]
    assert layout.next_number(tmp_path) == 4


def test_what_has_no_manifest_is_no_checkpoint(tmp_path):
    (written.save(tmp_path, "cut", IDS, moment=1) / "manifest.json").unlink()
    written.save(tmp_path, "whole", IDS, moment=2)
    (tmp_path / "empty").mkdir()
    assert names(tmp_path) == ["whole"]
    assert layout.leftovers(tmp_path) == ["cut"]


def test_a_manifest_comes_to_be_at_once(tmp_path, monkeypatch):
    written.save(tmp_path, "one", IDS, moment=1)
    manifest = layout.read_manifest(tmp_path, "one")
    (tmp_path / "one" / "manifest.json").unlink()
    seen = []
    monkeypatch.setattr(os, "replace", lambda *paths: seen.append((names(tmp_path), *paths)))
    layout.write_manifest(tmp_path, manifest)
    ((before, source, target),) = seen
    assert before == [] and json.loads(source.read_text())["name"] == "one" and target.name == "manifest.json"
    monkeypatch.undo()
    layout.write_manifest(tmp_path, manifest)
    assert checkpoint.list(tmp_path) == [manifest]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "cannot be read"),
        ("[]", "cannot be read"),
        ('{"format": 1}', "cannot be read"),
        ('{"format": 2, "het_tf": "0.9"}', "has format 2, this het_tf reads 1.*0.9"),
    ],
)
def test_a_manifest_that_is_none(tmp_path, text, words):
    (written.save(tmp_path, "one", IDS, moment=1) / "manifest.json").write_text(text)
    with pytest.raises(CheckpointError, match=words):
        layout.read_manifest(tmp_path, "one")
    assert names(tmp_path) == []


def test_a_manifest_in_which_anything_has_changed(tmp_path):
    path = written.save(tmp_path, "one", IDS, moment=1) / "manifest.json"
    good = path.read_text()
    for before, after in (('"step": 100', '"step": 900'), ('"batch": 1', '"batch": 7'), ('"float32"', '"float64"')):
        assert before in good
        path.write_text(good.replace(before, after))
        with pytest.raises(DamagedFile, match="its checksum is wrong"):
            layout.read_manifest(tmp_path, "one")


def test_a_manifest_of_another_checkpoint(tmp_path):
    folder = written.save(tmp_path, "one", IDS, moment=1)
    folder.rename(tmp_path / "two")
    with pytest.raises(DamagedFile, match="it is that of 'one'"):
        layout.read_manifest(tmp_path, "two")


def test_a_checkpoint_that_is_not_there_names_those_that_are(tmp_path):
    written.save(tmp_path, "one", IDS, moment=1)
    with pytest.raises(CheckpointError, match="no checkpoint 'two'.*there are: one"):
        layout.check(tmp_path, "two")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "-a", "a" * 129, "a\n", "het_tf.mark", None])
def test_a_name_that_cannot_be(name):
    with pytest.raises(ValueError, match="name is"):
        layout.check_name(name)


def test_the_mark_is_drawn_once(tmp_path):
    mark = layout.mark(tmp_path / "new")
    assert len(mark) == 32 and layout.mark(tmp_path / "new") == mark
    assert (tmp_path / "new" / "het_tf.mark").read_text() == mark + "\n"
    assert layout.mark(tmp_path / "other") != mark
    (tmp_path / "other" / "het_tf.mark").write_text("something else")
    with pytest.raises(CheckpointError, match="expected 32 hex digits"):
        layout.mark(tmp_path / "other")


def test_a_chain_begins_with_the_full_one(tmp_path):
    written.save_chain(tmp_path)
    assert [one.name for one in layout.check(tmp_path, "last")] == ["full", "more", "last"]
    assert layout.dependents(tmp_path, "more") == ["more", "last"]


def test_a_chain_without_its_base(tmp_path):
    written.save_chain(tmp_path)
    layout.delete(tmp_path, "full")
    with pytest.raises(CheckpointError, match="'last' needs 'full', its base: there is no checkpoint 'full'"):
        layout.check(tmp_path, "last")


def test_a_chain_that_ends_in_itself(tmp_path):
    written.save(tmp_path, "one", IDS, moment=1, base="two")
    written.save(tmp_path, "two", IDS, moment=2, base="one")
    with pytest.raises(DamagedFile, match="ends in itself"):
        layout.chain(tmp_path, "two")


@pytest.mark.parametrize("file", ["shard-1-of-2.het", "dense.npz"])
@pytest.mark.parametrize("how", ["missing", "shorter"])
def test_a_file_that_is_not_as_it_was_is_found_at_once(tmp_path, file, how):
    path = written.save(tmp_path, "one", IDS, moment=1) / file
    path.unlink() if how == "missing" else path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DamagedFile) as raised:
        layout.check(tmp_path, "one")
    assert str(path) in str(raised.value)
    assert [error.path for error in checkpoint.verify(tmp_path, "one")] == [path]


def test_verify_reads_everything(tmp_path):
    written.save_chain(tmp_path)
    assert [checkpoint.verify(tmp_path, name) for name in ("full", "more", "last")] == [[], [], []]
    paths = [tmp_path / "more" / file for file in ("shard-0-of-2.het", "dense.npz")]
    for path in paths:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    assert sorted(error.path for error in checkpoint.verify(tmp_path, "more")) == sorted(paths)
    assert checkpoint.verify(tmp_path, "full") == []


def test_an_error_about_a_file_travels(tmp_path):
    error = pickle.loads(pickle.dumps(DamagedFile(tmp_path / "a", "it is missing")))
    assert type(error) is DamagedFile and error.reason == "it is missing" and str(tmp_path) in str(error)


def test_prune_keeps_the_newest_and_what_they_build_on(tmp_path):
    for moment in range(6):
        base = None if moment % 3 == 0 else f"c{moment - 1}"
        written.save(tmp_path, f"c{moment}", IDS, moment=moment, base=base)
    assert checkpoint.prune(tmp_path, 2) == ["c2", "c1", "c0"]
    assert names(tmp_path) == ["c3", "c4", "c5"]
    assert checkpoint.prune(tmp_path, 9) == []


def test_prune_counts_what_can_be_restored(tmp_path):
    for moment in range(4):
        written.save(tmp_path, f"c{moment}", IDS, moment=moment)
    (tmp_path / "c3" / "shard-0-of-2.het").unlink()
    # The newest may be mended by whoever has a copy of the file.
    assert checkpoint.prune(tmp_path, 2) == ["c0"]
    assert names(tmp_path) == ["c1", "c2", "c3"]


def test_prune_deletes_nothing_where_nothing_can_be_restored(tmp_path):
    (written.save(tmp_path, "one", IDS, moment=1) / "dense.npz").unlink()
    assert checkpoint.prune(tmp_path, 1, unfinished=True) == []
    assert names(tmp_path) == ["one"]


def test_prune_leaves_what_is_not_ours(tmp_path):
    for moment in range(2):
        written.save(tmp_path, f"c{moment}", IDS, moment=moment)
    (tmp_path / "c0" / "notes.txt").write_text("mine")
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a.txt").write_text("mine")
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "shard-0-of-2.het.tmp").write_bytes(b"half")
    layout.mark(tmp_path)
    assert checkpoint.prune(tmp_path, 1, unfinished=True) == ["cut"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c0", "c1", "het_tf.mark", "logs"]


@pytest.mark.parametrize("keep", [0, -1, True, 1.5])
def test_prune_keeps_at_least_one(tmp_path, keep):
    with pytest.raises(ValueError, match="at least 1"):
        checkpoint.prune(tmp_path, keep)
