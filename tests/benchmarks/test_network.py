"""Emulated hosts: they reach each other at their rate's shape, and nothing is left of them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys

import pytest

from benchmarks import network
from processes import needs_namespaces

_LISTEN = """
import socket
server = socket.create_server(("0.0.0.0", 5000))
print("listening", flush=True)
connection, peer = server.accept()
print(peer[0], flush=True)
"""
_CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], 5000), timeout=10)"
_HOLD = """
from benchmarks import network
with network.emulated(2, 1):
    print("up", flush=True)
    import signal
    signal.pause()
"""


def test_the_loopback_runs_commands_as_they_are():
    where = network.loopback()
    assert not where.emulated
    assert where.address(3) == "127.0.0.1"
    assert where.command(3, ["true"]) == ["true"]


def forbidden(*command: str) -> str:
    raise network.NetworkError(f"`{' '.join(command)}` failed: Operation not permitted")


def test_without_the_right_it_says_so(monkeypatch):
    monkeypatch.setattr(network.shutil, "which", lambda tool: f"/sbin/{tool}")
    monkeypatch.setattr(network.os, "geteuid", lambda: 1000)
    with pytest.raises(network.NetworkError, match="root"), network.emulated(2, 1):
        pass
    monkeypatch.setattr(network.shutil, "which", lambda tool: None)
    with pytest.raises(network.NetworkError, match="iproute2"), network.emulated(2, 1):
        pass


@needs_namespaces
def test_hosts_reach_each_other_under_their_addresses_and_go_with_the_context():
    with network.emulated(2, 1) as where:
        assert where.emulated
        listener = where.command(1, [sys.executable, "-c", _LISTEN])
        with subprocess.Popen(listener, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            assert server.stdout.readline() == "listening\n"
            subprocess.run(where.command(0, [sys.executable, "-c", _CONNECT, where.address(1)]), check=True)
            assert server.stdout.readline() == f"{where.address(0)}\n"
        shapes = subprocess.run(
            where.command(0, ["tc", "qdisc", "show", "dev", "eth0"]), capture_output=True, text=True, check=True
        ).stdout
        assert "tbf" in shapes and "rate 1Gbit" in shapes
        tcp = where.command(0, ["cat", "/proc/sys/net/ipv4/tcp_congestion_control"])
        assert subprocess.run(tcp, capture_output=True, text=True, check=True).stdout == "reno\n"
        mine = [name for name, owner in network._existing() if owner == os.getpid()]
        assert len(mine) >= 3
    assert not set(mine) & {name for name, _ in network._existing()}


_RECEIVE = """
import socket
server = socket.create_server(("0.0.0.0", 5000))
print("listening", flush=True)
connection, _ = server.accept()
while connection.recv(1 << 20):
    pass
"""
_SEND = "import socket, sys; socket.create_connection((sys.argv[1], 5000)).sendall(bytes(int(sys.argv[2])))"


@needs_namespaces
def test_links_count_what_they_carry_with_all_headers():
    payload = 10_000_000
    with network.emulated(3, 1) as where:
        before = where.wire_bytes()
        with subprocess.Popen(where.command(1, [sys.executable, "-c", _RECEIVE]), stdout=subprocess.PIPE) as server:
            assert server.stdout is not None
            server.stdout.readline()
            subprocess.run(where.command(0, [sys.executable, "-c", _SEND, where.address(1), str(payload)]), check=True)
        after = where.wire_bytes()
    sent = [new.sent - old.sent for new, old in zip(after, before, strict=True)]
    received = [new.received - old.received for new, old in zip(after, before, strict=True)]
    # A full frame of 1,514 bytes carries 1,448 of TCP's: 4.6 %.
    assert 1.045 * payload < sent[0] < 1.055 * payload
    assert abs(received[1] - sent[0]) < 10_000
    assert sent[1] < 0.1 * payload and abs(received[0] - sent[1]) < 10_000
    assert max(sent[2], received[2]) < 10_000


_BROADCAST = """
import socket
sender = socket.socket(type=socket.SOCK_DGRAM)
sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
sender.sendto(b"x", ("10.77.0.255", 9))
"""


@needs_namespaces
def test_a_link_keeps_its_count_when_its_rate_changes():
    with network.emulated(1, network.FREE) as where:
        show = where.command(0, ["tc", "qdisc", "show", "dev", "eth0"])
        send = where.command(0, [sys.executable, "-c", _BROADCAST])
        rates, counts = [], []
        for rate in (network.FREE, 0.5, 10):
            where.limit(rate)
            subprocess.run(send, check=True)
            rates.append(subprocess.run(show, capture_output=True, text=True, check=True).stdout)
            counts.append(where.wire_bytes()[0].sent)
    assert ["rate 100Gbit" in rates[0], "rate 500Mbit" in rates[1], "rate 10Gbit" in rates[2]] == [True] * 3
    assert 0 < counts[0] < counts[1] < counts[2]


@needs_namespaces
def test_a_host_has_the_name_of_its_address_and_this_machine_keeps_its_own():
    mine = socket.gethostname()
    with network.emulated(1, 1) as where:
        said = subprocess.run(where.command(0, ["hostname"]), capture_output=True, text=True, check=True).stdout
    assert said.strip() == where.address(0)
    assert socket.gethostname() == mine


def test_by_name_there_is_the_loopback_where_nothing_else_can_be(monkeypatch, capsys):
    with network.named("loopback", 2) as where:
        assert not where.emulated
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(network.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(network.shutil, "which", lambda tool: f"/sbin/{tool}")
    with network.named("1", 2) as where:
        assert not where.emulated and where.name == "loopback"
    assert "network namespaces need root; the loopback interface instead" in capsys.readouterr().err


@needs_namespaces
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_process_leaves_nothing(number):
    with subprocess.Popen([sys.executable, "-c", _HOLD], stdout=subprocess.PIPE, cwd=network_root()) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        assert process.pid in {pid for _, pid in network._existing()}
        process.send_signal(number)
    assert process.pid not in {pid for _, pid in network._existing()}


@needs_namespaces
def test_what_a_killed_process_left_goes_with_the_next_network():
    with subprocess.Popen([sys.executable, "-c", _HOLD], stdout=subprocess.PIPE, cwd=network_root()) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        process.kill()
    assert process.pid in {pid for _, pid in network._existing()}
    with network.emulated(1, 1):
        assert process.pid not in {pid for _, pid in network._existing()}


def network_root() -> str:
    return str(network.__file__).rsplit("/benchmarks/", 1)[0]
