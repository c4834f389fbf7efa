"""What strangers without a token can do to a shard by HTTP/2 itself: its memory stays bounded, and it goes on.

They speak by frames of their own: gRPC's clients would not say such things.
"""

from __future__ import annotations

import gzip
import re
import socket
import struct
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import grpc
import pytest

from certificates import token_file
from het_tf.administration import ShardClient
from het_tf.named_options import command_line
from het_tf.security import Security
from het_tf.serving import Serving
from het_tf.shard_process import ShardProcess, server_binary

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RESET, SETTINGS, PING, CONTINUATION = 0, 1, 3, 4, 6, 9
END_STREAM, END_HEADERS = 1, 4
HEALTH = b"/grpc.health.v1.Health/Check"
ASSIGN = b"/het.v1.EmbeddingShard/Assign"
MEBIBYTE = 1 << 20
# A shard has about 12 MiB; what a flood sends until it is noticed comes on top.
MOST_MEMORY = 250 * MEBIBYTE
LIMIT = 8 * MEBIBYTE


@pytest.fixture
def secrets(tmp_path):
    return Security(token_file=str(token_file(tmp_path, "token")))


@pytest.fixture
def shard(secrets):
    with ShardProcess(security=secrets, max_message_bytes=LIMIT) as running:
        yield running


def most_memory(shard: ShardProcess) -> int:
    status = Path(f"/proc/{shard.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) << 10


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def literal(name: bytes, value: bytes) -> bytes:
    """A header field that is not indexed, HPACK without Huffman; both below 127 bytes."""
    return b"\x00" + bytes((len(name),)) + name + bytes((len(value),)) + value


def headers(path: bytes, *more: bytes) -> bytes:
    fields = (b":method", b"POST"), (b":scheme", b"http"), (b":path", path), (b":authority", b"h")
    rest = (b"te", b"trailers"), (b"content-type", b"application/grpc")
    return b"".join(literal(*field) for field in (*fields, *rest)) + b"".join(more)


def connect(shard: ShardProcess) -> socket.socket:
    host, _, port = shard.address.rpartition(":")
    connection = socket.create_connection((host, int(port)), timeout=10)
    connection.sendall(PREFACE + frame(SETTINGS, 0, 0) + frame(SETTINGS, 1, 0))
    return connection


def flood(shard: ShardProcess, begin: bytes, again, most: int = 512 * MEBIBYTE) -> int:
    """Sends begin, then again(i) until the shard ends the connection or `most` bytes are sent; how many were."""
    sent = 0
    with connect(shard) as connection, suppress(OSError):
        connection.sendall(begin)
        for i in range(1 << 30):
            if sent >= most:
                break
            piece = again(i)
            connection.sendall(piece)
            sent += len(piece)
    return sent


def still_serves(shard: ShardProcess, secrets: Security) -> bool:
    with ShardClient(shard.address, security=secrets) as client:
        return client.hello().incarnation == shard.incarnation


def many_fields(_: int) -> bytes:
    return frame(CONTINUATION, 0, 1, b"".join(literal(b"x%05d" % i, b"v" * 100) for i in range(100))) * 20


def streams(path: bytes, per_piece: int, then: bytes = b""):
    def piece(i: int) -> bytes:
        numbers = range(1 + 2 * per_piece * i, 1 + 2 * per_piece * (i + 1), 2)
        reset = [frame(RESET, 0, n, then) if then else b"" for n in numbers]
        opened = [frame(HEADERS, END_HEADERS, n, headers(path)) for n in numbers]
        return b"".join(a + b for a, b in zip(opened, reset, strict=True))

    return piece


@pytest.mark.parametrize(
    ("begin", "again"),
    [
        (frame(HEADERS, 0, 1, headers(ASSIGN)), many_fields),
        (b"", streams(ASSIGN, 500)),
        (b"", streams(b"/grpc.health.v1.Health/Watch", 500)),
        (b"", streams(HEALTH, 500)),
        (b"", streams(ASSIGN, 500, struct.pack(">I", 8))),
        (b"", lambda _: frame(SETTINGS, 0, 0) * 2000),
        (b"", lambda _: frame(PING, 0, 0, b"01234567") * 2000),
        (frame(HEADERS, END_HEADERS, 1, headers(HEALTH)), lambda _: frame(DATA, 0, 1, b"\0" * 16384) * 4),
    ],
    ids=["CONTINUATION", "streams", "Watch", "health checks", "rapid reset", "SETTINGS", "PING", "health DATA"],
)
def test_a_flood_ends_by_the_connection(shard, secrets, begin, again):
    sent = flood(shard, begin, again)
    assert sent < 512 * MEBIBYTE, "nobody ended it"
    assert most_memory(shard) < MOST_MEMORY
    assert still_serves(shard, secrets)


def test_a_message_that_inflates_is_not_inflated(shard, secrets):
    """gRPC would inflate it first and look at the limit then."""
    large = bytes(64 * MEBIBYTE)
    assert len(gzip.compress(large)) < LIMIT
    with grpc.insecure_channel(shard.address) as channel:
        for path, metadata in (
            (HEALTH.decode(), ()),
            ("/het.v1.EmbeddingShard/Stats", ()),
            ("/het.v1.EmbeddingShard/Exchange", (("authorization", f"Bearer {secrets.token_for(shard.address)}"),)),
        ):
            call = channel.unary_unary(path)
            with suppress(grpc.RpcError):
                call(large, metadata=metadata, compression=grpc.Compression.Gzip, timeout=30)
    assert most_memory(shard) < 60 * MEBIBYTE
    assert still_serves(shard, secrets)


def close_wait(port: int) -> list[str]:
    """The connections to a port of this machine that the other side has ended and this one has not."""
    sockets = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return [line for line in sockets if int(line.split()[1].split(":")[1], 16) == port and line.split()[3] == "08"]


def test_a_half_closed_connection_does_not_stay(secrets):
    """gRPC does not read on while its answers are not taken, and would not see the end."""
    with ShardProcess(security=secrets, serving=Serving(max_connections=50)) as shard:
        held = []
        for _ in range(10):
            connection = connect(shard)
            held.append(connection)
            with suppress(OSError):
                connection.sendall(frame(SETTINGS, 0, 0) * 50_000)
                connection.shutdown(socket.SHUT_WR)
        with ShardClient(shard.address, security=secrets) as client:
            deadline = time.monotonic() + 30
            while client.stats().connections > 1:
                assert time.monotonic() < deadline, client.stats()
                time.sleep(0.05)
        # What has been taken off the record is closed a moment later.
        while waiting := close_wait(int(shard.address.rpartition(":")[2])):
            assert time.monotonic() < deadline, f"the shard holds what has ended: {waiting}"
            time.sleep(0.05)
        for connection in held:
            connection.close()


def test_strangers_do_not_keep_a_worker_out(secrets):
    with ShardProcess(security=secrets, serving=Serving(max_connections=20)) as shard:
        held = [connect(shard) for _ in range(60)]
        for _ in range(20):
            assert still_serves(shard, secrets)
            held += [connect(shard) for _ in range(5)]
        for connection in held:
            connection.close()


def test_a_log_without_a_reader_does_not_end_the_shard(secrets, tmp_path):
    command = [str(server_binary()), "--listen", f"unix:{tmp_path}/s", *command_line(secrets)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as alone:
        assert b"listening on" in alone.stdout.readline()
        alone.stderr.close()
        with ShardClient(f"unix:{tmp_path}/s", security=Security()) as client, pytest.raises(grpc.RpcError):
            client.hello()
        with ShardClient(f"unix:{tmp_path}/s", security=secrets) as client:
            assert client.hello().incarnation
        alone.terminate()
        assert alone.wait(30) == 0


def test_a_file_that_is_no_socket_is_left_alone(tmp_path):
    mine = tmp_path / "mine"
    mine.write_text("data")
    command = [str(server_binary()), "--listen", f"unix:{mine}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert "no socket" in done.stderr
    assert mine.read_text() == "data"
