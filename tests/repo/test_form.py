"""What every file of the project looks like: short, opened by a comment, free of what does not belong."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from sources import ROOT, files, write

LONGEST = 400
VAGUE_ROOMS = {"util", "utils", "common", "helper", "helpers", "manager", "managers", "misc"}
# Spelled so that this file does not contain them.
FOREIGN = {
    "a path of one machine": re.compile(r"(?<![\w.~-])/(work|root|mnt|Users|home/[a-z]\w*)/"),
    "a package index of one site": re.compile(r"(extra-)?index[-_]url|trusted[-_]host"),
    "unfinished work": re.compile(r"\b(TO[D]O|FIX[M]E|XX[X])\b"),
}
_TEXT = (".h", ".cc", ".py", ".sh", ".proto", ".md", ".txt", "")
_TOP = ("Makefile", "BUILD", "WORKSPACE", "setup.py", "pyproject.toml", "README.md", "CONTRIBUTING.md", "CHANGELOG.md")


def long_files(root: Path) -> list[str]:
    counts = {path: len(path.read_text().splitlines()) for path in files(root, ".h", ".cc", ".py", ".sh", ".proto")}
    return [f"{path.relative_to(root)}: {lines} lines" for path, lines in counts.items() if lines > LONGEST]


def vague_names(root: Path) -> list[str]:
    names = {part for path in files(root) for part in (*path.relative_to(root).parts[:-1], path.stem)}
    return sorted(names & VAGUE_ROOMS)


def unopened(root: Path) -> list[str]:
    """Files that do not open with what they are."""
    found = []
    for path in files(root, ".h", ".py", ".sh", ".proto"):
        text = path.read_text()
        if path.suffix == ".py":
            opened = not text.strip() or ast.get_docstring(ast.parse(text)) is not None
        elif path.suffix == ".sh":
            opened = re.match(r"(#!.*\n)?# \S", text) is not None
        else:
            opened = re.match(r"// \S", text) is not None
        if not opened:
            found.append(str(path.relative_to(root)))
    return found


def wrong_guards(root: Path) -> list[str]:
    """Headers whose include guard is not their path: two with one guard hide each other."""
    found = []
    for path in files(root, ".h", folders=("kernels",)):
        name = path.relative_to(root).as_posix()
        guard = "HET_TF_" + re.sub(r"\W", "_", name).upper() + "_"
        if f"#ifndef {guard}\n#define {guard}\n" not in path.read_text():
            found.append(f"{name}: its guard must be {guard}")
    return found


def foreign(root: Path) -> list[str]:
    found = []
    for path in [*files(root, *_TEXT), *(root / name for name in _TOP if (root / name).exists())]:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            for what, pattern in FOREIGN.items():
                if match := pattern.search(line):
                    found.append(f"{path.relative_to(root)}:{number}: {what}: {match.group()}")
    return found


@pytest.mark.parametrize("rule", [long_files, vague_names, unopened, wrong_guards, foreign])
def test_the_project_keeps_the_rule(rule):
    assert rule(ROOT) == []


_GOOD = "// A thing.\n#ifndef HET_TF_KERNELS_BASE_A_H_\n#define HET_TF_KERNELS_BASE_A_H_\n#endif\n"


@pytest.mark.parametrize(
    ("rule", "name", "text"),
    [
        (long_files, "kernels/base/a.cc", "\n" * (LONGEST + 1)),
        (vague_names, "kernels/utils/a.cc", ""),
        (vague_names, "het_tf/common.py", ""),
        (unopened, "kernels/base/a.h", "#ifndef HET_TF_KERNELS_BASE_A_H_\n"),
        (unopened, "het_tf/a.py", "import os\n"),
        (unopened, "tools/a.sh", "#!/bin/sh\nset -e\n"),
        (wrong_guards, "kernels/base/b.h", _GOOD),
        (foreign, "docs/a.md", "see {slash}work/a"),
        (foreign, "tests/a.py", "path = '{slash}home/someone/data'"),
        (foreign, "tools/a.sh", "pip install --index{dash}url x"),
        (foreign, "kernels/base/a.cc", "// TO{nothing}DO: later"),
    ],
)
def test_a_broken_file_is_found(tmp_path, rule, name, text):
    write(tmp_path, {"kernels/base/a.h": _GOOD})
    assert rule(tmp_path) == []
    write(tmp_path, {name: text.format(slash="/", dash="-", nothing="")})
    assert len(rule(tmp_path)) == 1
