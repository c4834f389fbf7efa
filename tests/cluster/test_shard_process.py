"""The shard server as a process: started, stopped, refused."""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from het_tf import shard_process
from het_tf.administration import PROTOCOL_VERSION, ShardClient, ShardUnreachable, message
from het_tf.cluster import Cluster
from het_tf.shard_process import ShardError, ShardProcess, exec_shard, listen_address, server_binary
from processes import clean_environment, free_ports


def test_starts_on_a_free_port_and_ends_gracefully(tmp_path):
    log = tmp_path / "shard.log"
    with ShardProcess(log=log) as shard:
        assert shard.address.startswith("127.0.0.1:") and not shard.address.endswith(":0")
        with ShardClient(shard.address) as client:
            assert client.hello().incarnation == shard.incarnation
        assert shard.stop() == 0
        assert shard.stop() == 0
    said = log.read_text().splitlines()
    assert "listening on" in said[0] and said[-1] == "het-tf-shard stopped"


def test_serves_a_unix_socket(tmp_path):
    with ShardProcess(f"unix:{tmp_path}/s") as shard:
        assert shard.address == f"unix:{tmp_path}/s"
        with ShardClient(shard.address) as client:
            assert client.stats().incarnation == shard.incarnation


def test_its_place_is_kept(tmp_path):
    with ShardProcess(index=1, count=3) as shard, ShardClient(shard.address) as client:
        wrong = message("HelloRequest")(protocol_version=PROTOCOL_VERSION, shard_index=0, shard_count=3)
        with pytest.raises(Exception, match="number 1 of 3, a worker calls it number 0 of 3"):
            client.call("Hello", wrong)


def test_a_port_in_use_is_an_error_that_names_it(shard):
    with pytest.raises(
        ShardError, match=rf"(?s)shard 3 could not.*exit code 1.*cannot listen on {shard.address}.*in use"
    ):
        ShardProcess(shard.address, index=3, count=4)


def test_a_folder_without_a_log_ends_the_server_again(tmp_path):
    with pytest.raises(FileNotFoundError):
        ShardProcess(f"unix:{tmp_path}/s", log=tmp_path / "none" / "shard.log")
    with ShardClient(f"unix:{tmp_path}/s", timeout_seconds=0.2) as client, pytest.raises(ShardUnreachable):
        client.hello()


def fake_server(monkeypatch, tmp_path, body):
    path = tmp_path / "server"
    path.write_text(f"#!{sys.executable}\n{body}")
    path.chmod(0o755)
    monkeypatch.setattr(shard_process, "server_binary", lambda: path)


def test_a_server_that_says_nothing_is_given_up(monkeypatch, tmp_path):
    fake_server(monkeypatch, tmp_path, "import signal\nsignal.pause()")
    with pytest.raises(ShardError, match="does not listen on 127.0.0.1:0 after 0.2 s; it said: nothing"):
        ShardProcess(deadline_seconds=0.2)


def test_a_server_that_ignores_sigterm_is_killed(monkeypatch, tmp_path):
    fake_server(
        monkeypatch,
        tmp_path,
        "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('het-tf-shard 0 listening on 127.0.0.1:1 incarnation 00ff', flush=True)\n"
        "while True: signal.pause()",
    )
    shard = ShardProcess()
    assert shard.incarnation == 255
    assert shard.stop(grace_seconds=0.2) == -signal.SIGKILL


def test_a_missing_server_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(shard_process, "__file__", str(tmp_path / "shard_process.py"))
    with pytest.raises(ShardError, match="is missing: run `make build`"):
        server_binary()


@pytest.mark.parametrize(
    ("known_as", "listens_on"),
    [
        ("127.0.0.1:4700", "127.0.0.1:4700"),
        ("localhost:4700", "localhost:4700"),
        ("[::1]:4700", "[::1]:4700"),
        ("unix:/run/s", "unix:/run/s"),
        ("shard-0.job.svc:4700", "0.0.0.0:4700"),
        ("10.0.0.7:4700", "0.0.0.0:4700"),
        ("[fd00::7]:4700", "[::]:4700"),
    ],
)
def test_only_names_of_other_interfaces_open_the_network(known_as, listens_on):
    assert listen_address(known_as) == listens_on


def test_only_a_ps_task_becomes_a_shard():
    with pytest.raises(ShardError, match="worker 0, not a ps"):
        exec_shard(Cluster())


def test_a_ps_task_becomes_the_server_of_its_address():
    (port,) = free_ports(1)
    config = f'{{"cluster": {{"ps": ["127.0.0.1:{port}"], "worker": ["w:1"]}}, "task": {{"type": "ps", "index": 0}}}}'
    body = (
        "import het_tf.cluster, het_tf.shard_process\nprint('before', end='\\n')\n"
        "het_tf.shard_process.exec_shard(het_tf.cluster.from_environment(), 54321, 'saved')"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", body], env=clean_environment(TF_CONFIG=config), stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "before\n"
        assert f"listening on 127.0.0.1:{port} " in process.stdout.readline()
        assert os.readlink(f"/proc/{process.pid}/exe") == str(server_binary())
        command = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        assert b"--max-message-bytes\x0054321" in command
        assert f"--checkpoint-dir\0{os.path.abspath('saved')}\0".encode() in command
        process.terminate()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("allowed", [True, False])
def test_a_ps_task_of_the_network_needs_tls_or_the_word_that_it_is_insecure(allowed):
    (port,) = free_ports(1)
    config = {"cluster": {"ps": [f"shard.example:{port}"], "worker": ["w:1"]}, "task": {"type": "ps", "index": 0}}
    more = {"HET_TF_INSECURE": "1"} if allowed else {}
    process = subprocess.Popen(
        [sys.executable, "-c", "import het_tf; het_tf.init()"],
        env=clean_environment(TF_CONFIG=json.dumps(config), **more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        if allowed:
            assert f"listening on 0.0.0.0:{port} " in process.stdout.readline()
        else:
            assert process.wait(60) == 1
            assert f"0.0.0.0:{port} is open to the network" in process.stderr.read()
    finally:
        process.kill()
        process.communicate()


def test_it_ends_with_the_process_that_started_it():
    body = (
        "import signal\nfrom het_tf.shard_process import ShardProcess\n"
        "print(ShardProcess().pid, flush=True)\nsignal.pause()"
    )
    parent = subprocess.Popen([sys.executable, "-c", body], env=clean_environment(), stdout=subprocess.PIPE, text=True)
    try:
        shard = os.pidfd_open(int(parent.stdout.readline()))
    finally:
        parent.kill()
        parent.wait()
    try:
        with parent.stdout, selectors.DefaultSelector() as selector:
            selector.register(shard, selectors.EVENT_READ)
            assert selector.select(60), "the shard outlives its parent"
    finally:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(shard, signal.SIGKILL)
        os.close(shard)


def test_it_does_not_serve_for_a_parent_that_ended_before_it_came_up():
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    command = [str(server_binary()), "--die-with-parent", str(gone.pid), "--insecure", "--listen", "127.0.0.1:0"]
    shard = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert shard.returncode == 1 and shard.stdout == ""
    assert f"process {gone.pid} has ended or did not start this one" in shard.stderr
