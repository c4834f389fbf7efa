"""Besieges a shard that trains: idle connections, slow, truncated and oversized messages, strangers without a token.

    python tools/check/siege.py [--connections 1000] [--seconds 20] [--plain]

One shard (mutual TLS and tokens; with --plain tokens alone) and one training
process that counts its steps. Beside it other processes hold connections over which
nothing is said, send the beginning of a TLS handshake or of HTTP/2 one byte per
second, send exchanges that are cut in half or larger than the shard takes (with the
job's token: a broken worker), and large ones without a token. What is printed is
what the shard took of memory and what training kept of its steps, before, during
and after; the end is an error when training stopped, the shard died, or memory was
not bounded.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import socket
import ssl
import sys
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import grpc
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from het_tf.administration import ShardClient, message
from het_tf.job_secrets import JobSecrets, made_for_a_job
from het_tf.security import Security
from het_tf.serving import Serving
from het_tf.shard_process import ShardProcess

MOST_MESSAGE = 8 << 20
# Beside what the shard takes without a siege: connections at gRPC's 60 KB or so
# with TLS, and the messages of those who have the token.
MOST_EXTRA = 512 << 20
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
METHOD = "/het.v1.EmbeddingShard/Exchange"


def train(address: str, files: dict[str, Any], steps: Any) -> None:
    """Exchanges without a cache, so that every step talks to the shard; adds up its steps."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    import keras
    import numpy as np

    import het_tf as het

    het.init([address], **files)
    layer = het.layers.Embedding(None, 16, table="siege")
    given = keras.Input((26,), dtype="int64")
    model = keras.Model(given, keras.layers.Dense(1)(keras.layers.Flatten()(layer(given))))
    model.compile(het.DistributedOptimizer(keras.optimizers.SGD(0.01)), "mse")
    random = np.random.default_rng(0)
    while True:
        ids = random.integers(0, 100_000, (64, 26))
        model.train_on_batch(ids, ids[:, :1] % 2)
        steps.value += 1


def endpoint(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)


def idle(address: str, connections: int) -> None:
    held: list[socket.socket] = []
    while True:
        while len(held) < connections:
            with suppress(OSError):
                held.append(socket.create_connection(endpoint(address), timeout=5))
        # The shard closes those that say nothing: come again.
        for one in list(held):
            one.setblocking(False)
            try:
                if one.recv(1 << 16, socket.MSG_DONTWAIT) == b"":
                    raise ConnectionError
            except BlockingIOError:
                continue
            except OSError:
                one.close()
                held.remove(one)
        time.sleep(0.2)


def hello_of_tls() -> bytes:
    """What a TLS handshake begins with."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).wrap_bio(incoming, outgoing, server_hostname="shard").do_handshake()
    return outgoing.read()


def slow(address: str, connections: int) -> None:
    """One byte per second, of a TLS handshake, of HTTP/2, of nothing that makes sense."""
    texts = [hello_of_tls(), PREFACE + b"\0\0\4\x01", b"\x16\x03\x01\x40\0" + b"x" * 64]

    def one(text: bytes) -> None:
        while True:
            with suppress(OSError), socket.create_connection(endpoint(address), timeout=5) as connection:
                for byte in text * 1000:
                    connection.send(bytes((byte,)))
                    time.sleep(1)

    threads = [threading.Thread(target=one, args=(texts[i % len(texts)],), daemon=True) for i in range(connections)]
    for thread in threads:
        thread.start()
    threads[0].join()


def broken(address: str, files: dict[str, Any], refusals: Any) -> None:
    """Exchanges that are torn or too large, by who has the token, and large ones by who has none."""
    request = message("ExchangeRequest")(worker=5, shard=6, sequence=1)
    table = request.tables.add(table=7)
    table.push_id_deltas.extend([1] * 1000)
    table.push_gradients = b"\0" * 64000
    whole = request.SerializeToString()
    messages = [whole[: len(whole) * part // 8] for part in range(1, 8)]
    messages += [b"\xff" * 100_000, b"\0" * (MOST_MESSAGE + 1)]
    security = Security(**files)
    pem = security.client_files()
    options = [("grpc.max_send_message_length", -1)]
    if pem is None:
        channel = grpc.insecure_channel(address, options=options)
    else:
        channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(*pem), options=options)
    call = channel.unary_unary(METHOD)
    token = (("authorization", f"Bearer {security.token_for(address)}"),)
    while True:
        for metadata in (token, ()):
            for content in messages:
                try:
                    call(content, metadata=metadata, timeout=10)
                    raise SystemExit("siege: a broken exchange was answered as if it were none")
                except grpc.RpcError:
                    refusals.value += 1


def watch(shard: ShardProcess, steps: Any, seconds: float) -> dict[str, Any]:
    """Steps per second, and the most memory that the shard had."""
    process = psutil.Process(shard.pid)
    begin, before, most = time.monotonic(), steps.value, 0
    while time.monotonic() - begin < seconds:
        most = max(most, process.memory_info().rss)
        time.sleep(0.05)
    return {"steps_per_second": (steps.value - before) / (time.monotonic() - begin), "memory_bytes": most}


def besiege(secrets: JobSecrets, plain: bool, connections: int, seconds: float) -> int:
    tls = set() if plain else {"tls_ca", "tls_cert", "tls_key"}
    mine = {"token_file", "admin_token_file"} | tls
    given = [{n: getattr(side, n) for n in mine} for side in (secrets.shards, secrets.workers)]
    serving = Serving(max_connections=2 * connections, log_level="warning")
    fork = multiprocessing.get_context("spawn")
    steps, refusals = fork.Value("q", 0), fork.Value("q", 0)
    with ExitStack() as stack:
        shard = stack.enter_context(
            ShardProcess(security=Security(**given[0]), serving=serving, max_message_bytes=MOST_MESSAGE)
        )

        def start(target: Any, *arguments: Any) -> Any:
            process = fork.Process(target=target, args=arguments, daemon=True)
            process.start()
            stack.callback(process.join)
            stack.callback(process.kill)
            return process

        trainer = start(train, shard.address, given[1], steps)
        while steps.value < 50:
            if not trainer.is_alive():
                raise SystemExit("siege: training did not start")
            time.sleep(0.05)
        before = watch(shard, steps, seconds / 2)
        besiegers = [
            start(idle, shard.address, connections),
            start(slow, shard.address, 60),
            start(broken, shard.address, given[1], refusals),
        ]
        with ShardClient(shard.address, security=Security(**given[1])) as client:
            while client.stats().connections < connections or refusals.value < 36:
                time.sleep(0.05)
            during = watch(shard, steps, seconds)
            held = client.stats().connections
            for process in besiegers:
                process.kill()
                process.join()
            while client.stats().connections > 3:
                time.sleep(0.05)
            after = watch(shard, steps, seconds / 2)
            stats = client.stats()
        alive = trainer.is_alive()
    print(
        json.dumps(
            {
                "shard": "tokens" if plain else "mutual TLS and tokens",
                "connections": held,
                "broken_messages": refusals.value,
                "refused": {one.reason: one.count for one in stats.refused},
                "before": before,
                "during": during,
                "after": after,
            },
            indent=2,
        )
    )
    extra = during["memory_bytes"] - before["memory_bytes"]
    wrong = []
    if not alive or during["steps_per_second"] == 0 or after["steps_per_second"] == 0:
        wrong.append("training stopped")
    if extra > MOST_EXTRA:
        wrong.append(f"the shard took {extra >> 20} MiB more, at most {MOST_EXTRA >> 20} were expected")
    for text in wrong:
        print(f"siege: {text}", file=sys.stderr)
    return 1 if wrong else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--plain", action="store_true", help="tokens without TLS")
    given = parser.parse_args()
    with made_for_a_job() as secrets:
        return besiege(secrets, given.plain, given.connections, given.seconds)


if __name__ == "__main__":
    sys.exit(main())
