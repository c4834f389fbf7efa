"""The version is one, wherever it stands; so is the TensorFlow that is supported."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from sources import ROOT, write

PACKAGE = {
    "kernels/base/version.h": r'kVersion\[\] = "([^"]+)"',
    "het_tf/version.py": r'^VERSION = "([^"]+)"',
    "pyproject.toml": r'^version = "([^"]+)"',
}
TENSORFLOW = {
    "het_tf/version.py": r'^TENSORFLOW = "([^"]+)"',
    "tools/setup/tensorflow_flags.py": r'^SUPPORTED = "([^"]+)"',
    "tools/setup/requirements.txt": r"^tensorflow-cpu==([\d.]+)\.\*",
    "pyproject.toml": r"tensorflow-cpu==([\d.]+)\.\*",
}
HOROVOD = {
    "tools/setup/horovod_wheel.sh": r"^HOROVOD=(\S+)",
    "pyproject.toml": r'"horovod==([\d.]+)"',
}
PROTOCOL = {
    "kernels/base/version.h": r"kProtocolVersion = (\d+);",
    "het_tf/administration.py": r"^PROTOCOL_VERSION = (\d+)",
}


def versions(root: Path, places: dict[str, str]) -> dict[str, list[str]]:
    return {name: re.findall(pattern, (root / name).read_text(), re.MULTILINE) for name, pattern in places.items()}


def agree(found: dict[str, list[str]]) -> bool:
    """Whether every place names a version, and all the same."""
    return all(found.values()) and len({version for named in found.values() for version in named}) == 1


@pytest.mark.parametrize(
    "places", [PACKAGE, TENSORFLOW, HOROVOD, PROTOCOL], ids=["het_tf", "tensorflow", "horovod", "protocol"]
)
def test_all_places_name_one_version(places):
    found = versions(ROOT, places)
    assert agree(found), found


def test_the_changelog_has_a_section_of_this_version():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"\n## [{version}]" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("header", ['kVersion[] = "0.2.0";', "kVersion is gone"])
def test_a_version_that_differs_is_found(tmp_path, header):
    tree = {name: (ROOT / name).read_text() for name in PACKAGE}
    write(tmp_path, tree)
    assert agree(versions(tmp_path, PACKAGE))
    write(tmp_path, {"kernels/base/version.h": header})
    assert not agree(versions(tmp_path, PACKAGE))
