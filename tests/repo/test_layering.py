"""The dependency rule of docs/architecture.md, read from the #include lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from sources import ROOT, files, includes, write

_POLICIES = {"base", "consistency", "optimizer", "initializer"}
# What the files of a room may include besides those of their own room.
MAY_INCLUDE = {
    "base": set(),
    "consistency": {"base"},
    "optimizer": {"base"},
    "initializer": {"base"},
    "store": _POLICIES,
    "storage": _POLICIES | {"store"},
    "shard": _POLICIES | {"store", "storage"},
    "cache": _POLICIES | {"store"},
    "gpu": _POLICIES | {"store", "cache"},
    "rpc": _POLICIES | {"store"},
    "server": _POLICIES | {"store", "rpc"},
    "ops": _POLICIES | {"store", "shard", "cache", "gpu", "rpc"},
    "testing": _POLICIES | {"store", "storage", "shard", "cache"},
    "fuzz": _POLICIES | {"store", "storage", "shard", "rpc", "testing"},
}
# They put a program together.
COMPOSITION_ROOTS = {"kernels/rpc/connect.cc": {"shard"}, "kernels/server/shard_server_main.cc": {"shard"}}
# A test may use what the contract suites may use.
_IN_TESTS = MAY_INCLUDE["testing"] | {"testing"}

# Headers of others, and the only rooms that may see them.
TENSORFLOW = ("tensorflow/", "third_party/")
RPC = ("grpc", "google/", "absl/", "protos/", "upb/")
CUDA = ("cuda",)
ONLY_IN = {
    **dict.fromkeys(TENSORFLOW, ("ops",)),
    **dict.fromkeys(RPC, ("rpc", "server", "fuzz")),
    **dict.fromkeys(CUDA, ("gpu",)),
    **dict.fromkeys(("prometheus/", "spdlog/"), ("server",)),
}


def forbidden_includes(root: Path) -> list[str]:
    found = []
    for path in files(root, ".h", ".cc", folders=("kernels",)):
        name = path.relative_to(root).as_posix()
        room = path.relative_to(root / "kernels").parts[0]
        if room not in MAY_INCLUDE:
            found.append(f"{name}: the room {room} is not in the dependency rule")
            continue
        allowed = {room} | MAY_INCLUDE[room] | COMPOSITION_ROOTS.get(name, set())
        if name.endswith(("_test.cc", "_fixture.h")):
            allowed |= _IN_TESTS
        for header in includes(path):
            if header.startswith("kernels/"):
                other = header.split("/")[1]
                if other not in allowed:
                    found.append(f"{name} includes {header}: {room} must not know {other}")
                elif not (root / header).is_file():
                    found.append(f"{name} includes {header}, which does not exist")
            elif "/" not in header and (path.parent / header).is_file():
                found.append(f"{name} includes {header}: write the path from the root, kernels/{room}/{header}")
            for prefix, homes in ONLY_IN.items():
                if header.startswith(prefix) and room not in homes:
                    found.append(f"{name} includes {header}: only {' and '.join(homes)} may")
    return found


def reachable(root: Path, room: str) -> set[str]:
    """Every header that the files of a room include, directly or through headers of ours."""
    seen: set[str] = set()
    waiting = [header for path in files(root, ".h", ".cc", folders=(f"kernels/{room}",)) for header in includes(path)]
    while waiting:
        header = waiting.pop()
        if header not in seen:
            seen.add(header)
            if (root / header).is_file():
                waiting += includes(root / header)
    return seen


def meetings(root: Path) -> list[str]:
    """Headers of RPC that TensorFlow-facing files see, and the other way round: two abseils would meet."""
    in_ops = [header for header in reachable(root, "ops") if header.startswith(RPC)]
    in_rpc = [header for header in reachable(root, "rpc") if header.startswith(TENSORFLOW)]
    return sorted(in_ops + in_rpc)


def test_the_rooms_keep_the_dependency_rule():
    assert len(list(files(ROOT, ".cc", folders=("kernels",)))) > 30
    assert forbidden_includes(ROOT) == []


def test_tensorflow_and_grpc_never_meet_in_a_file():
    assert any(header.startswith(TENSORFLOW) for header in reachable(ROOT, "ops"))
    assert any(header.startswith(RPC) for header in reachable(ROOT, "rpc"))
    assert meetings(ROOT) == []


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("base/a.h", "kernels/store/b.h"),
        ("consistency/a.h", "kernels/optimizer/b.h"),
        ("store/a.cc", "kernels/shard/b.h"),
        ("shard/a.cc", "kernels/cache/b.h"),
        ("cache/a.cc", "kernels/rpc/b.h"),
        ("rpc/shard_client.cc", "kernels/shard/b.h"),
        ("rpc/connect.cc", "kernels/cache/b.h"),
        ("rpc/connect.h", "kernels/shard/b.h"),
        ("cache/a.cc", "kernels/testing/b.h"),
        ("testing/a.cc", "kernels/rpc/b.h"),
        ("store/a_test.cc", "kernels/rpc/b.h"),
        ("utilities/a.cc", "kernels/base/b.h"),
        ("cache/a.cc", "tensorflow/core/framework/op.h"),
        ("shard/a.cc", "absl/status/status.h"),
        ("store/a.cc", "grpcpp/grpcpp.h"),
        ("ops/a_gpu.cc", "cuda_runtime.h"),
        ("cache/a.cc", "kernels/gpu/b.h"),
        ("rpc/a.cc", "kernels/fuzz/b.h"),
        ("fuzz/a.cc", "kernels/ops/b.h"),
        ("store/a.cc", "kernels/base/missing.h"),
    ],
)
def test_a_forbidden_include_is_found(tmp_path, name, header):
    write(tmp_path, {f"kernels/{name}": f'#include "{header}"\n'})
    if not header.endswith("missing.h"):
        write(tmp_path, {header: ""} if header.startswith("kernels/") else {})
    assert len(forbidden_includes(tmp_path)) == 1


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("rpc/connect.cc", "kernels/shard/b.h"),
        ("cache/a_test.cc", "kernels/testing/b.h"),
        ("ops/a.cc", "tensorflow/core/framework/op.h"),
        ("rpc/a.cc", "grpcpp/grpcpp.h"),
        ("gpu/a.cu.cc", "cuda_runtime.h"),
        ("shard/a.cc", "kernels/store/b.h"),
        ("fuzz/a.cc", "protos/b.pb.h"),
    ],
)
def test_an_allowed_include_is_not_found(tmp_path, name, header):
    write(tmp_path, {f"kernels/{name}": f'#include "{header}"\n'})
    write(tmp_path, {header: ""} if header.startswith("kernels/") else {})
    assert forbidden_includes(tmp_path) == []


def test_a_meeting_through_a_header_of_ours_is_found(tmp_path):
    write(
        tmp_path,
        {
            "kernels/ops/a.cc": '#include "kernels/rpc/b.h"\n',
            "kernels/rpc/b.h": "#include <absl/status/status.h>\n",
        },
    )
    assert forbidden_includes(tmp_path) == []
    assert meetings(tmp_path) == ["absl/status/status.h"]
