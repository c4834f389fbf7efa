"""Contenders: what they speak, how they take turns, what happens when one is missing."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys

import pytest

from benchmarks.peers import environments
from benchmarks.peers import serve as serve_module
from benchmarks.peers.coprocess import Coprocess
from benchmarks.peers.environments import Peer, PeerUnavailable
from benchmarks.turns import medians, take_turns

_CONTENDER = """
import sys
from benchmarks.peers.serve import serve
print("a library says hello")
print('{"not": "an answer"}')
serve({"only": lambda number: print("step", number)}, warm_up=2, version="1.5")
"""


class Clock:
    """Stands in for the time module."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


def test_a_contender_answers_and_ends_with_its_context():
    with Coprocess("contender", [sys.executable, "-c", _CONTENDER], os.environ) as contender:
        contender.wait_until_ready()
        assert contender.ready["version"] == "1.5"
        assert contender.steps(3) >= 0
        process = contender._process
    assert process.returncode == 0


def test_one_that_fails_says_why():
    with (
        Coprocess("broken", [sys.executable, "-c", "raise ValueError('no such table')"], os.environ) as contender,
        pytest.raises(PeerUnavailable, match=r"broken: ended with 1\n(.*\n)*ValueError: no such table"),
    ):
        contender.wait_until_ready()


def test_one_that_is_not_there_says_so(tmp_path):
    with pytest.raises(PeerUnavailable, match="cannot start"):
        Coprocess("missing", [str(tmp_path / "missing")], os.environ)


def test_the_fastest_path_is_chosen_and_steps_are_scaled(monkeypatch, capsys):
    clock = Clock()
    monkeypatch.setattr(serve_module, "time", clock)
    monkeypatch.setattr(serve_module.sys, "stdin", io.StringIO("steps 6\n"))

    def taking(seconds):
        def call(_):
            clock.now += seconds

        return call

    serve_module.serve({"slow": taking(8.0), "fast": taking(2.0)}, warm_up=1, steps_each=4)
    ready, answer = map(json.loads, capsys.readouterr().out.splitlines())
    assert ready["path"] == "fast"
    assert ready["paths"] == {"slow": 8.0, "fast": 2.0}
    # Two calls of four steps in four seconds; six steps were asked for.
    assert answer == {"seconds": 3.0}


def test_contenders_take_turns():
    asked = []

    def contender(name, seconds):
        def run(count):
            asked.append((name, count))
            return seconds

        return run

    times = take_turns({"a": contender("a", 0.1), "b": contender("b", 0.5)}, rounds=2, seconds=1.0)
    turn = [("a", 1), ("a", 10), ("b", 1), ("b", 2)]
    assert asked == [("a", 3), ("b", 3), *turn, *turn]
    assert medians(times) == {"a": 0.1, "b": 0.5}


def test_a_peer_that_is_not_installed_says_how(monkeypatch, tmp_path):
    monkeypatch.setenv("HET_TF_CACHE", str(tmp_path))
    assert environments.folder(environments.TFRA).parent == tmp_path / "peers"
    with pytest.raises(PeerUnavailable, match="tfra is not installed: run `python -m benchmarks.peers install`"):
        environments.python(environments.TFRA)


def test_a_peer_whose_import_fails_is_not_installed(monkeypatch, tmp_path):
    monkeypatch.setenv("HET_TF_CACHE", str(tmp_path))
    peer = Peer("wrong", (), ("a_module_that_nobody_has",))
    with pytest.raises(PeerUnavailable, match=r"wrong: .* failed, see .*\.log"):
        environments.install(peer)
    assert "No module named 'a_module_that_nobody_has'" in environments.folder(peer).with_suffix(".log").read_text()
    with pytest.raises(PeerUnavailable, match="not installed"):
        environments.python(peer)
    works = Peer("works", (), ("json",))
    interpreter = environments.install(works)
    assert subprocess.run([interpreter, "-c", "print(1)"], check=False).returncode == 0
    assert environments.install(works) == interpreter


def test_a_peers_processes_do_not_see_this_environments_modules(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    environ = environments.environment(environments.TFRA)
    assert "PYTHONPATH" not in environ
    assert environ["TF_USE_LEGACY_KERAS"] == "1"
