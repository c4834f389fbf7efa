"""Emulated hosts on this machine: network namespaces behind one switch, each with a link of a given rate.

Every host has a full-duplex link: its packets pass a token bucket on their way to
the switch, and those to it one on their way from there. The switch is a bridge in
a namespace of its own, so nothing is added to this machine's network and no packet
can leave it. Hosts use one congestion control, whatever this machine is set to. It
needs root, `ip` and `tc`; without them there is the loopback interface, which
`emulated` says. The buckets count what passes them: `wire_bytes`.

Everything is removed when the context ends, by an exception or SIGTERM too; what a
killed process left behind goes when the next network is made.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import NamedTuple

FREE = math.inf
_FASTEST = 100.0  # more than memory lets a link carry here
# Between hosts with a round trip below a millisecond Linux' usual CUBIC is as fast as Reno (RFC 9438, 4.3), which
# every kernel lets a namespace choose. BBR, which some machines are set to, does not slow down for a full buffer:
# eight workers that push at the same time then repeat a seventh of their bytes, and wait for timeouts.
CONGESTION_CONTROL = "reno"
_PREFIX = "hetbench"
_NAME = re.compile(rf"^{_PREFIX}-(\d+)-(?:h\d+|switch)$")


class NetworkError(RuntimeError):
    """The hosts could not be made."""


class WireBytes(NamedTuple):
    """What a host's link has carried since it was made, Ethernet, IP and TCP headers of every packet included."""

    sent: int
    received: int


class Network:
    """Hosts 0, 1, ... and how to run programs on them; the loopback interface for all without namespaces."""

    def __init__(self, name: str, namespaces: Sequence[str] = (), switch: str = "") -> None:
        self.name = name
        self._namespaces = tuple(namespaces)
        self._switch = switch

    @property
    def emulated(self) -> bool:
        return bool(self._namespaces)

    def address(self, host: int) -> str:
        return f"10.77.0.{host + 1}" if self.emulated else "127.0.0.1"

    def command(self, host: int, command: Sequence[str]) -> list[str]:
        """What runs `command` on the host, in the same process.

        The host is also named as its address: Horovod 0.28 listens, whatever
        interface it is told, where its host's name leads.
        """
        if not self.emulated:
            return list(command)
        named = ["unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', self.address(host)]
        return ["ip", "netns", "exec", self._namespaces[host], *named, *command]

    def limit(self, gigabits: float) -> None:
        """Sets the rate of every link, each way; `FREE` for as fast as this machine can.

        REQUIRES: emulated.

        Raises:
          NetworkError: it could not be set.
        """
        for host, name in enumerate(self._namespaces):
            _shape(name, "eth0", gigabits)
            _shape(self._switch, f"port{host}", gigabits)

    def plug(self, host: int, *, connected: bool) -> None:
        """Puts the host's cable into the switch, or pulls it out: what is sent then is lost. REQUIRES: emulated."""
        _run("ip", "-n", self._switch, "link", "set", f"port{host}", "up" if connected else "down")

    def wire_bytes(self) -> list[WireBytes]:
        """Of every host. REQUIRES: emulated; the loopback interface does not know whose its bytes are."""
        hosts = range(len(self._namespaces))
        sent = [_passed(name, "eth0") for name in self._namespaces]
        received = [_passed(self._switch, f"port{host}") for host in hosts]
        return [WireBytes(sent[host], received[host]) for host in hosts]


def loopback() -> Network:
    return Network("loopback")


def gigabits(name: str) -> float:
    """The rate that a name says: "free", or a number of Gbit/s.

    Raises:
      ValueError: it says none.
    """
    try:
        rate = FREE if name == "free" else float(name)
    except ValueError:
        rate = 0.0
    if not rate > 0:
        raise ValueError(f"there is no network {name!r}; expected loopback, free or Gbit/s of every link, above 0")
    return rate


@contextlib.contextmanager
def named(name: str, hosts: int) -> Iterator[Network]:
    """The network of this name: "loopback", or emulated hosts as `gigabits` says.

    Where there can be no emulated hosts it is the loopback interface, with a notice
    on stderr. Either way SIGTERM unwinds the stack as an interrupt does.
    """
    reason = None if name == "loopback" else why_not()
    if reason is not None:
        print(f"no emulated hosts here: {reason}; the loopback interface instead", file=sys.stderr)
    if name == "loopback" or reason is not None:
        with sigterm_raises():
            yield loopback()
    else:
        with emulated(hosts, gigabits(name)) as network:
            yield network


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now; all different."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in sockets]


def why_not() -> str | None:
    """Why there can be no emulated hosts here; None if there can."""
    for tool in ("ip", "tc"):
        if shutil.which(tool) is None:
            return f"there is no program {tool!r} (Debian's package iproute2)"
    if os.geteuid() != 0:
        return "network namespaces need root"
    # Root in a container may lack the right to.
    trial = f"{_PREFIX}-{os.getpid()}-h0"
    if trial not in (name for name, _ in _existing()):
        try:
            _run("ip", "netns", "add", trial)
        except NetworkError as error:
            return str(error)
        _run("ip", "netns", "delete", trial)
    return None


def _run(*command: str) -> str:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise NetworkError(f"`{' '.join(command)}` failed: {result.stderr.strip()}")
    return result.stdout


def _passed(namespace: str, device: str) -> int:
    """Bytes that the device's token bucket has let pass, with the headers of each segment of a large packet."""
    said = _run("ip", "netns", "exec", namespace, "tc", "-s", "-j", "qdisc", "show", "dev", device, "root")
    return int(json.loads(said)[0]["bytes"])


def _existing() -> list[tuple[str, int]]:
    """Namespaces of ours, with the processes that made them."""
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=False).stdout
    names = [line.split()[0] for line in listed.splitlines() if line.split()]
    return [(name, int(match[1])) for name in names if (match := _NAME.match(name))]


def _remove(owner: int) -> None:
    for name, pid in _existing():
        if pid == owner:
            subprocess.run(["ip", "netns", "delete", name], check=False)


def _remove_abandoned() -> None:
    for _, pid in _existing():
        if not os.path.exists(f"/proc/{pid}"):
            _remove(pid)


def _shape(namespace: str, device: str, gigabits: float) -> None:
    """A token bucket: room for 2 ms of bytes and a large segment; a buffer of 4 ms, at least 1 MiB, as switches have.

    With less, workers that push at the same time lose packets, and a slow link
    spends its time on repeating them. Free links have a bucket too, so that every
    link counts its bytes from its beginning.
    """
    bits = round(min(gigabits, _FASTEST) * 1e9)
    burst = max(bits // 8 // 500, 128 << 10)
    limit = max(bits // 8 // 250, 1 << 20)
    rate = ["rate", f"{bits}bit", "burst", str(burst), "limit", str(limit)]
    _run("ip", "netns", "exec", namespace, "tc", "qdisc", "replace", "dev", device, "root", "tbf", *rate)


def _make(hosts: int, gigabits: float) -> tuple[str, list[str]]:
    switch = f"{_PREFIX}-{os.getpid()}-switch"
    _run("ip", "netns", "add", switch)
    _run("ip", "-n", switch, "link", "add", "bridge0", "type", "bridge", "stp_state", "0")
    _run("ip", "-n", switch, "link", "set", "bridge0", "up")
    namespaces = [f"{_PREFIX}-{os.getpid()}-h{host}" for host in range(hosts)]
    for host, name in enumerate(namespaces):
        port = f"port{host}"
        _run("ip", "netns", "add", name)
        choose = f"echo {CONGESTION_CONTROL} > /proc/sys/net/ipv4/tcp_congestion_control"
        _run("ip", "netns", "exec", name, "sh", "-c", choose)
        _run("ip", "-n", name, "link", "add", "eth0", "type", "veth", "peer", "name", port, "netns", switch)
        _run("ip", "-n", switch, "link", "set", port, "master", "bridge0", "up")
        _run("ip", "-n", name, "address", "add", f"10.77.0.{host + 1}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            _run("ip", "-n", name, "link", "set", device, "up")
        _shape(name, "eth0", gigabits)
        _shape(switch, port, gigabits)
    return switch, namespaces


@contextlib.contextmanager
def sigterm_raises() -> Iterator[None]:
    """SIGTERM unwinds the stack as an interrupt does, so that contexts clean up."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def emulated(hosts: int, gigabits: float) -> Iterator[Network]:
    """`hosts` hosts with links of `gigabits` per second each way, `FREE` for as fast as this machine can.

    Raises:
      NetworkError: they cannot be made here; `why_not` says so beforehand.
    """
    if (reason := why_not()) is not None:
        raise NetworkError(reason)
    with sigterm_raises():
        _remove_abandoned()
        try:
            switch, namespaces = _make(hosts, gigabits)
            rate = "no limit" if gigabits == FREE else f"{gigabits:g} Gbit/s"
            yield Network(f"emulated hosts, {rate}", namespaces, switch)
        finally:
            _remove(os.getpid())
