"""het-tf checkpoint, on checkpoints that lie there."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

import written
from het_tf.cli.main import app
from processes import clean_environment


def run(*arguments):
    return CliRunner().invoke(app, ["checkpoint", *map(str, arguments)])


@pytest.fixture
def directory(tmp_path):
    written.save_chain(tmp_path)
    return tmp_path


def damage(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_list(directory):
    (directory / "cut").mkdir()
    (directory / "cut" / "dense.npz.tmp").touch()
    (directory / "more" / "shard-0-of-2.het").unlink()
    result = run("list", directory)
    assert result.exit_code == 0, result.output
    for word in ("full", "more", "last", "restorable", "shard-0-of-2.het is damaged", "no checkpoints: cut"):
        assert word in result.stdout
    found = json.loads(run("list", directory, "--json").stdout)
    assert [(one["name"], one["base"], one["step"]) for one in found] == [
        ("full", None, 100),
        ("more", "full", 200),
        ("last", "more", 300),
    ]
    assert found[0]["state"] == "restorable" and found[0]["bytes"] > 1000


def test_verify(directory):
    result = run("verify", directory)
    assert result.exit_code == 0 and result.stdout.splitlines() == ["full: intact", "more: intact", "last: intact"]
    assert run("verify", directory, "more").stdout.splitlines() == ["full: intact", "more: intact"]


def test_verify_names_every_damaged_file_and_what_needs_it(directory):
    for file in ("shard-0-of-2.het", "shard-1-of-2.het"):
        damage(directory / "more" / file)
    damage(directory / "full" / "manifest.json")
    result = run("verify", directory)
    assert result.exit_code == 1
    assert "more: damaged" in result.stdout and "full: damaged" in result.stdout
    for file in ("more/shard-0-of-2.het", "more/shard-1-of-2.het", "full/manifest.json"):
        assert f"{directory / file} is damaged" in result.stderr
    assert "cannot be restored without it: more, last" in result.stderr


def test_inspect(directory):
    result = run("inspect", directory)
    assert result.exit_code == 0, result.output
    words = ("last: step 300", "full -> more -> last", "user", "66", "adagrad(epsilon=1e-07)", "dense/kernel", "(4,)")
    for word in words:
        assert word in result.stdout, word
    found = json.loads(run("inspect", directory, "more", "--json").stdout)
    assert [(one["name"], one["rows"]) for one in found["contents"]] == [("item", 10), ("new", 0), ("user", 65)]


def test_merge_and_export(directory):
    result = run("merge", directory, "--into", "whole")
    assert result.exit_code == 0 and result.stdout.startswith("whole: "), result.output
    file = directory / "user.npz"
    result = run("export", directory, "user", file)
    assert result.exit_code == 0 and "66 rows of table 'user'" in result.stdout, result.output
    with np.load(file) as archive:
        assert archive["rows"].shape == (66, 3)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["inspect", "DIR", "nobody"], 2, "there is no checkpoint 'nobody'"),
        (["merge", "DIR", "full"], 2, "'full' is full already"),
        (["export", "DIR", "user", "a.csv"], 2, "expected an ending"),
        (["verify", "DIR/full"], 2, "there is no checkpoint in"),
    ],
)
def test_bad_input_is_one_line(directory, arguments, code, words):
    result = run(*(one.replace("DIR", str(directory)) for one in arguments))
    assert result.exit_code == code
    assert words in result.stderr and len(result.stderr.splitlines()) == 1


def test_damage_is_one_line_and_another_code(directory):
    damage(directory / "full" / "shard-1-of-2.het")
    result = run("merge", directory)
    assert result.exit_code == 1 and "shard-1-of-2.het is damaged" in result.stderr


def test_no_command_loads_tensorflow(directory):
    code = (
        "import sys; from typer.testing import CliRunner; from het_tf.cli.main import app; "
        f"done = CliRunner().invoke(app, ['checkpoint', 'verify', {str(directory)!r}]); assert done.exit_code == 0; "
        "sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], env=clean_environment()).returncode == 0
