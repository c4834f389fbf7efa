"""The set-up's cache: an entry that is damaged or half-written is noticed and built again.

Runs the shell functions of tools/setup/steps.sh on a small entry in a cache of
the test's own, and the script of the native libraries on a copy of a real one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from sources import ROOT

SETUP = ROOT / "tools/setup"
# Fills an entry with two files, and counts how often it was asked to.
BUILDER = """
set -euo pipefail
. "$STEPS"
fill() {
  echo built >>"$HET_TF_CACHE/builds"
  mkdir -p "$1/lib"
  echo one >"$1/lib/one.a"
  seq 1000 >"$1/lib/two.a"
  [ -z "${FAIL_WITH:-}" ] || return "$FAIL_WITH"
  [ -z "${DIE:-}" ] || kill -KILL $$
}
make_entry() { step "fill the entry" fill "$1"; }
build_entry "$CACHE_DIR/entry" make_entry
"""


@pytest.fixture
def environment(tmp_path) -> dict[str, str]:
    """The variables under which the set-up scripts use a cache in tmp_path."""
    return {**os.environ, "HET_TF_CACHE": str(tmp_path / "cache"), "STEPS": str(SETUP / "steps.sh")}


@pytest.fixture
def build(environment):
    def run(**variables: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            ["bash", "-c", BUILDER], env={**environment, **variables}, capture_output=True, text=True, timeout=60
        )

    return run


@pytest.fixture
def entry(tmp_path) -> Path:
    return tmp_path / "cache/entry"


def _builds(entry: Path) -> int:
    return len((entry.parent / "builds").read_text().splitlines())


def _is_whole(entry: Path) -> bool:
    names = sorted(path.relative_to(entry).as_posix() for path in entry.rglob("*") if path.is_file())
    return names == ["MANIFEST.sha256", "lib/one.a", "lib/two.a"] and (entry / "lib/one.a").read_text() == "one\n"


def _flip_a_bit(entry: Path) -> None:
    content = bytearray((entry / "lib/two.a").read_bytes())
    content[100] ^= 1
    (entry / "lib/two.a").write_bytes(content)


def _cut_a_line(entry: Path) -> None:
    lines = (entry / "MANIFEST.sha256").read_text().splitlines(keepends=True)
    (entry / "MANIFEST.sha256").write_text("".join(lines[:-1]))


def _empty_it(entry: Path) -> None:
    shutil.rmtree(entry)
    entry.mkdir()


def _replace_it_by_a_file(entry: Path) -> None:
    shutil.rmtree(entry)
    entry.write_text("")


DAMAGES = {
    "a flipped bit": _flip_a_bit,
    "a truncated file": lambda entry: (entry / "lib/two.a").write_text("1\n"),
    "a missing file": lambda entry: (entry / "lib/two.a").unlink(),
    "a file too many": lambda entry: (entry / "lib/three.a").write_text("three\n"),
    "no manifest": lambda entry: (entry / "MANIFEST.sha256").unlink(),
    "an empty manifest": lambda entry: (entry / "MANIFEST.sha256").write_text(""),
    "a cut manifest": _cut_a_line,
    "a manifest of other things": lambda entry: (entry / "MANIFEST.sha256").write_text("not a manifest\n"),
    "an empty folder": _empty_it,
    "a file in its place": _replace_it_by_a_file,
}


def test_a_whole_entry_is_built_once(build, entry):
    for _ in range(3):
        result = build()
        assert result.returncode == 0, result.stderr
    assert _is_whole(entry)
    assert _builds(entry) == 1


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_entry_is_named_and_built_again(build, entry, damage):
    assert build().returncode == 0
    damage(entry)
    result = build()
    assert result.returncode == 0, result.stderr
    assert "the cache entry entry is broken: building it again" in result.stderr
    assert _is_whole(entry)
    assert _builds(entry) == 2


def test_a_build_that_fails_leaves_no_entry_and_says_where_its_log_is(build, entry):
    result = build(FAIL_WITH="7")
    assert result.returncode == 7
    log = entry.parent / "logs/fill-the-entry.log"
    assert f'"fill the entry" failed with status 7; the whole log: {log}' in result.stderr
    assert log.exists()
    assert [path.name for path in entry.parent.glob("entry*")] == ["entry.lock"]
    assert build().returncode == 0
    assert _is_whole(entry)


def test_a_killed_build_leaves_no_entry_and_the_next_one_cleans_up(build, entry):
    assert build(DIE="1").returncode == -9
    assert not entry.exists()
    assert list(entry.parent.glob("entry.building.*"))
    result = build()
    assert result.returncode == 0, result.stderr
    assert _is_whole(entry)
    assert sorted(path.name for path in entry.parent.glob("entry*")) == ["entry", "entry.lock"]


def test_two_set_ups_at_one_time_build_once(environment, entry):
    command = ["bash", "-c", BUILDER]
    running = [subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) for _ in range(4)]
    assert [process.wait(timeout=60) for process in running] == [0, 0, 0, 0]
    assert _is_whole(entry)
    assert _builds(entry) == 1


def test_the_native_libraries_are_used_when_whole_and_not_when_damaged(environment, tmp_path):
    script = SETUP / "native_libraries.sh"
    # Whoever builds needs cmake; with this one a build ends at once.
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("apt-get", "cmake"):
        (programs / name).write_text("#!/bin/sh\necho 'no build in this test' >&2\nexit 9\n")
        (programs / name).chmod(0o755)
    environment["PATH"] = f"{programs}:{environment['PATH']}"
    real = {**environment, "HET_TF_CACHE": os.environ.get("HET_TF_CACHE", "")}
    if not real["HET_TF_CACHE"]:
        del real["HET_TF_CACHE"]
    found = subprocess.run([script], env=real, capture_output=True, text=True, timeout=60, check=True).stdout.strip()
    copied = Path(shutil.copytree(found, Path(environment["HET_TF_CACHE"]) / Path(found).name))

    def run() -> subprocess.CompletedProcess:
        return subprocess.run([script], env=environment, capture_output=True, text=True, timeout=60)

    whole = run()
    assert (whole.returncode, whole.stdout.strip()) == (0, str(copied)), whole.stderr
    library = copied / "lib/libprotobuf.a"
    library.write_bytes(library.read_bytes()[:-1])
    damaged = run()
    assert damaged.returncode == 9
    assert "is broken: building it again" in damaged.stderr
    assert "no build in this test" in damaged.stderr
    assert not copied.exists()
