"""What a worker says when SIGTERM ends it while its main thread is busy in native code."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from het_tf.shard_process import ShardProcess
from processes import clean_environment

# The main thread waits for a mutex, in C: Python's own signal handlers do not run.
WORKER = """
import ctypes, os, signal, sys
from het_tf import last_words
from het_tf.security import Security
def wait():
    c, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(64)
    while True: c.pthread_mutex_lock(mutex)
def begin():
    last_words.at_sigterm(sys.argv[1:], Security())
    print("ready", flush=True)
    wait()
"""


def ended(script: str, shards: list[str], number: int = signal.SIGTERM) -> tuple[int, str]:
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER + script, *shards],
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert worker.stdout.readline() == "ready\n"
        worker.send_signal(number)
        _, said = worker.communicate(timeout=60)
        return worker.returncode, said
    finally:
        worker.kill()
        worker.communicate()


def test_sigterm_names_the_lost_shards_and_only_those(tmp_path):
    with ShardProcess() as shard:
        status, said = ended("begin()", [shard.address, f"unix:{tmp_path}/nobody"])
    assert status == 128 + signal.SIGTERM
    assert f"shard 1 (unix:{tmp_path}/nobody) is lost" in said
    assert "shard 0" not in said


def test_other_signals_do_what_they_did(tmp_path):
    assert ended("begin()", [f"unix:{tmp_path}/nobody"], signal.SIGUSR1) == (-signal.SIGUSR1, "")


@pytest.mark.parametrize(
    "first",
    [
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n",
        "import socket; a, b = socket.socketpair(); b.setblocking(0); signal.set_wakeup_fd(b.fileno())\n",
    ],
)
def test_what_has_an_owner_stays_its_owners(tmp_path, first):
    script = first + (
        "before = signal.getsignal(signal.SIGTERM)\n"
        "last_words.at_sigterm(sys.argv[1:], Security())\n"
        "assert signal.getsignal(signal.SIGTERM) is before\n"
        "if before is signal.SIG_DFL: assert signal.set_wakeup_fd(-1) == b.fileno()\n"
        "signal.signal(signal.SIGTERM, signal.SIG_DFL)\n"
        "print('ready', flush=True)\n"
        "wait()\n"
    )
    assert ended(script, [f"unix:{tmp_path}/nobody"]) == (-signal.SIGTERM, "")


def test_a_forked_child_can_be_ended_without_its_parent(tmp_path):
    script = (
        "last_words.at_sigterm(sys.argv[1:], Security())\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    wait()\n"
        "os.kill(child, signal.SIGTERM)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM\n"
        "print('ready', flush=True)\n"
        "wait()\n"
    )
    status, said = ended(script, [f"unix:{tmp_path}/nobody"])
    assert status == 128 + signal.SIGTERM
    assert "shard 0" in said
