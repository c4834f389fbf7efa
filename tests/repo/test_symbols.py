"""What the op library shows to the process it is loaded into, and what it wants from it.

TensorFlow's process carries a gRPC, an abseil and a protobuf of its own. Ours
are linked into the op library and hidden: an exported symbol of theirs, or a
weak one that both halves of the library define, would make two versions of one
class meet. Reads what `make build` built.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from sources import ROOT, write

OP_LIBRARY = ROOT / "het_tf/_native/het_tf_ops.so"
SHARD_SERVER = ROOT / "het_tf/_native/het-tf-shard"
TF_FACING = ROOT / "build/ops"
RPC_FACING = (ROOT / "build/release/kernels/rpc", ROOT / "build/gen/protos")

_FOREIGN = re.compile(
    r"\b(grpc|grpc_core|google::protobuf|absl|re2|upb)\b|^(grpc|gpr|upb|ares|SSL|EVP|CRYPTO|deflate)_"
)
_C_LIBRARY = {"libc.so.6", "libm.so.6", "ld-linux-x86-64.so.2"}
OP_LIBRARY_NEEDS = _C_LIBRARY | {"libtensorflow_framework.so.2", "libstdc++.so.6", "libgcc_s.so.1"}


def _output(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout


def defined(*options: str, paths: list[Path]) -> list[tuple[str, str]]:
    """(kind, demangled name) of every symbol that the files define."""
    assert paths, "nothing to read: run `make build` first"
    lines = _output("nm", "--defined-only", "--demangle", *options, *paths).splitlines()
    return [(match[1], match[2]) for line in lines if (match := re.match(r"[0-9a-f]{16} (\w) (.*)", line))]


def exported(library: Path) -> list[str]:
    return [name for _, name in defined("-D", paths=[library])]


def shared_weak(first: list[Path], second: list[Path]) -> list[str]:
    """Weak symbols of gRPC, protobuf or abseil that both define: the linker would keep one for both."""
    weak = [{name for kind, name in defined(paths=paths) if kind in "VWu"} for paths in (first, second)]
    return sorted(name for name in weak[0] & weak[1] if _FOREIGN.search(name))


def needed(binary: Path) -> set[str]:
    return set(re.findall(r"\(NEEDED\).*\[(.+)\]", _output("readelf", "-d", binary)))


def test_the_op_library_exports_nothing_of_what_it_contains():
    names = exported(OP_LIBRARY)
    assert [name for name in names if _FOREIGN.search(name)] == []
    # Templates of the standard library, which a process may share, and nothing of ours.
    assert [name for name in names if "std::" not in name or "het::" in name] == []


def test_the_two_halves_of_the_op_library_share_no_symbol_of_grpc_protobuf_or_abseil():
    tf_facing = list(TF_FACING.rglob("*.o"))
    rpc_facing = [path for folder in RPC_FACING for path in folder.rglob("*.o")]
    assert any(_FOREIGN.search(name) for _, name in defined(paths=rpc_facing)), "the pattern finds nothing at all"
    assert shared_weak(tf_facing, rpc_facing) == []


def test_the_op_library_needs_only_tensorflow_and_the_language_runtime():
    assert needed(OP_LIBRARY) == OP_LIBRARY_NEEDS


def test_the_shard_server_needs_only_the_c_library():
    assert needed(SHARD_SERVER) == _C_LIBRARY


@pytest.fixture
def compiled(tmp_path):
    def compile_library(name: str, text: str, *options: str) -> Path:
        source = write(tmp_path, {f"{name}.cc": text}) / f"{name}.cc"
        output = tmp_path / f"{name}.out"
        _output("g++", "-std=c++17", "-fPIC", *options, source, "-o", output)
        return output

    return compile_library


def test_an_exported_symbol_is_found(compiled):
    text = "namespace grpc { int Version() { return 1; } }"
    shown = compiled("shown", text, "-shared")
    hidden = compiled("hidden", text, "-shared", "-fvisibility=hidden")
    assert [name for name in exported(shown) if _FOREIGN.search(name)] == ["grpc::Version()"]
    assert [name for name in exported(hidden) if _FOREIGN.search(name)] == []


def test_a_shared_weak_symbol_is_found(compiled):
    half = "namespace {0} {{ inline int Half(int x) {{ return x / 2; }} }} int {1}(int x) {{ return {0}::Half(x); }}"
    first = compiled("first", half.format("absl", "f"), "-c")
    second = compiled("second", half.format("absl", "g"), "-c")
    own = compiled("own", half.format("het", "h"), "-c")
    assert shared_weak([first], [second]) == ["absl::Half(int)"]
    assert shared_weak([first], [own]) == []


def test_a_library_too_many_is_found(compiled):
    text = '#include <zlib.h>\nextern "C" const char* f() { return zlibVersion(); }'
    library = compiled("compressed", text, "-shared", "-Wl,--no-as-needed", "-lz")
    assert needed(library) - OP_LIBRARY_NEEDS == {"libz.so.1"}
