"""Reads the project's own files: what the tests of this folder share.

The functions take the root of a tree, so that every rule is also tried on a
small tree that breaks it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_FOLDERS = ("het_tf", "kernels", "models", "benchmarks", "protos", "tests", "tools", "docs", ".ci")
_BUILT = ("__pycache__", "_native", "_proto")
_INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^">]+)[">]', re.MULTILINE)


def files(root: Path, *suffixes: str, folders: tuple[str, ...] = _FOLDERS) -> Iterator[Path]:
    """The files under `folders` with one of the suffixes (all without any), but for what a build writes there."""
    for folder in folders:
        for path in sorted((root / folder).rglob("*")):
            if path.is_file() and not set(path.parts) & set(_BUILT) and (not suffixes or path.suffix in suffixes):
                yield path


def includes(path: Path) -> list[str]:
    """What a C++ file includes, as written."""
    return _INCLUDE.findall(path.read_text())


def write(root: Path, tree: dict[str, str]) -> Path:
    """Makes the files of a small tree; returns its root."""
    for name, text in tree.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root
