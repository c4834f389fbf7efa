"""BUILD lists the files that the Makefile builds, and its libraries keep the dependency rule.

BUILD is read as what it is, a Python expression per target.
"""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

import pytest

from sources import ROOT, files
from test_layering import COMPOSITION_ROOTS, MAY_INCLUDE

ROOMS = tuple(MAY_INCLUDE)


def from_make() -> dict[str, list[str]]:
    """Room (sources) or room_tests -> files, as `make print-libraries` says."""
    output = subprocess.run(
        ["make", "-s", "print-libraries"], cwd=ROOT, check=True, capture_output=True, text=True, timeout=60
    ).stdout
    return {name: names.split() for name, _, names in (line.partition(":") for line in output.splitlines())}


def _value(node: ast.expr):
    """A literal; a name or another expression is left as its source."""
    try:
        return ast.literal_eval(node)
    except ValueError:
        return ast.unparse(node)


def from_bazel(text: str) -> tuple[dict[str, dict], dict[str, list[str]], dict[str, list[str]]]:
    """The cc_libraries by name; the assigned lists by name; the dependencies of each list of tests."""
    libraries, lists, tests = {}, {}, {}
    for statement in ast.parse(text).body:
        if isinstance(statement, ast.Assign):
            lists[ast.unparse(statement.targets[0])] = _value(statement.value)
            continue
        assert isinstance(statement, ast.Expr)
        call = statement.value
        if isinstance(call, ast.ListComp):
            assert isinstance(call.elt, ast.Call)
            deps = next(keyword.value for keyword in call.elt.keywords if keyword.arg == "deps")
            assert isinstance(deps, ast.List)
            tests[ast.unparse(call.generators[0].iter)] = [_value(item) for item in deps.elts]
        elif isinstance(call, ast.Call) and ast.unparse(call.func) == "cc_library":
            rule = {keyword.arg: _value(keyword.value) for keyword in call.keywords}
            libraries[rule["name"]] = rule
    return libraries, lists, tests


def differences(text: str, made: dict[str, list[str]]) -> list[str]:
    libraries, lists, tests = from_bazel(text)
    found: list[str] = []

    def compare(what: str, mine: list[str], expected: list[str]) -> None:
        found.extend(f"BUILD: add {name} to {what}" for name in sorted(set(expected) - set(mine)))
        found.extend(f"BUILD: take {name} out of {what}" for name in sorted(set(mine) - set(expected)))

    for room in ROOMS:
        rule = libraries.get(room, {})
        headers = [path.relative_to(ROOT).as_posix() for path in files(ROOT, ".h", folders=(f"kernels/{room}",))]
        headers = [name for name in headers if not name.endswith("_fixture.h")]  # part of the tests
        compare(f"the srcs of {room}", rule.get("srcs", []), made[room])
        compare(f"the hdrs of {room}", rule.get("hdrs", []), headers)
        name = f"{room.upper()}_TESTS"
        compare(name, lists.get(name, []), made[f"{room}_tests"])
        if made[f"{room}_tests"] and name not in tests:
            found.append(f"BUILD: no cc_test is made of {name}")
    return found


def broken_dependencies(text: str) -> list[str]:
    """Dependencies between rooms that the dependency rule does not have."""
    libraries, _, tests = from_bazel(text)
    roots = {Path(name).parts[1]: rooms for name, rooms in COMPOSITION_ROOTS.items()}
    found: list[str] = []
    for room in ROOMS:
        deps = {dep.removeprefix(":") for dep in libraries[room]["deps"]} if "deps" in libraries[room] else set()
        wrong = (deps & set(ROOMS)) - MAY_INCLUDE[room] - roots.get(room, set())
        found.extend(f"BUILD: {room} must not depend on {other}" for other in sorted(wrong))
        in_tests = {dep.removeprefix(":") for dep in tests.get(f"{room.upper()}_TESTS", [])}
        wrong = (in_tests & set(ROOMS)) - {room, "testing"} - MAY_INCLUDE["testing"] - MAY_INCLUDE[room]
        found.extend(f"BUILD: the tests of {room} must not depend on {other}" for other in sorted(wrong))
    return found


BUILD = (ROOT / "BUILD").read_text()


def test_build_lists_what_make_builds():
    made = from_make()
    assert set(made) == {*ROOMS, *(f"{room}_tests" for room in ROOMS)}
    assert differences(BUILD, made) == []


def test_its_libraries_keep_the_dependency_rule():
    assert broken_dependencies(BUILD) == []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('        "kernels/base/status.cc",\n', "add kernels/base/status.cc to the srcs of base"),
        ('        "kernels/rpc/connect.h",\n', "add kernels/rpc/connect.h to the hdrs of rpc"),
        ('    "kernels/store/router_test.cc",\n', "add kernels/store/router_test.cc to STORE_TESTS"),
    ],
)
def test_a_missing_line_is_found(line, expected):
    assert BUILD.count(line) == 1
    assert f"BUILD: {expected}" in differences(BUILD.replace(line, ""), from_make())


def test_a_line_too_many_is_found():
    line = '        "kernels/base/status.cc",\n'
    broken = BUILD.replace(line, line + line.replace("status", "vanished"))
    assert "BUILD: take kernels/base/vanished.cc out of the srcs of base" in differences(broken, from_make())


def test_a_dependency_too_many_is_found():
    library = BUILD.index('name = "cache"')
    at = BUILD.index("deps = [", library) + len("deps = [")
    assert broken_dependencies(BUILD[:at] + '":rpc",' + BUILD[at:]) == ["BUILD: cache must not depend on rpc"]
