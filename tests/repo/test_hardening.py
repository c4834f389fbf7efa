"""The shipped binaries are compiled for hostile input, and the wheel says what is in them.

Reads what `make build` built.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sources import ROOT, write

NATIVE = ROOT / "het_tf/_native"
BINARIES = [NATIVE / "het-tf-shard", NATIVE / "het_tf_ops.so"]


def _output(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def _readelf(option: str, binary: Path) -> str:
    return _output("readelf", "-W", option, binary)


def weaknesses(binary: Path) -> list[str]:
    """What the binary lacks of position independence, read-only relocations, stack protection and checked copies."""
    segments, dynamic, symbols = (_readelf(option, binary) for option in ("-l", "-d", "--dyn-syms"))
    checks = {
        "position-independent": "Type:" in _readelf("-h", binary) and "DYN" in _readelf("-h", binary),
        "read-only relocations": "GNU_RELRO" in segments and re.search(r"BIND_NOW|\bNOW\b", dynamic) is not None,
        "no executable stack": re.search(r"GNU_STACK.*RWE", segments) is None,
        "stack protector": "__stack_chk_fail" in symbols,
        "fortified functions": re.search(r"__\w+_chk\b", symbols.replace("__stack_chk_fail", "")) is not None,
    }
    return [name for name, holds in checks.items() if not holds]


@pytest.mark.parametrize("binary", BINARIES, ids=lambda binary: binary.name)
def test_what_is_shipped_is_hardened(binary):
    assert weaknesses(binary) == []


def test_a_weak_binary_is_found(tmp_path):
    write(tmp_path, {"main.c": "int main(void) { return 0; }"})
    program = tmp_path / "weak"
    command = ["gcc", "-no-pie", "-z", "norelro", "-z", "execstack", tmp_path / "main.c", "-o", program]
    subprocess.run(command, check=True, timeout=60)
    assert weaknesses(program) == [
        "position-independent",
        "read-only relocations",
        "no executable stack",
        "stack protector",
        "fortified functions",
    ]


def test_the_bill_of_materials_has_every_library_that_is_linked_in(tmp_path):
    _output(sys.executable, ROOT / "tools/setup/bill_of_materials.py", tmp_path)
    bill = json.loads((tmp_path / "sbom.cdx.json").read_text())
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["name"] == "het_tf"
    names = {part["name"] for part in bill["components"]}
    assert {"grpc", "protobuf", "abseil", "openssl", "prometheus-cpp", "civetweb", "trustme"} <= names
    linked = [part for part in bill["components"] if part["purl"].startswith("pkg:deb/")]
    assert all(part["version"] and part["licenses"] for part in linked)
    licences = {path.name for path in (tmp_path / "licences").iterdir()}
    assert len(licences) == len(linked), "every linked library's licence goes with the wheel"
    # What gRPC and protobuf are linked with, by the packages that the files belong to.
    flags = _output("pkg-config", "--static", "--libs-only-l", "grpc++", "protobuf").split()
    files = {Path(f"/usr/lib/x86_64-linux-gnu/lib{flag.removeprefix('-l')}.a") for flag in flags}
    owners = _output("dpkg", "-S", *(file for file in files if file.is_file())).splitlines()
    packages = {line.split(":")[0] for line in owners}
    sources = set(_output("dpkg-query", "-W", "-f", "${source:Package}\n", *packages).split())
    assert sources - {"glibc"} <= names
