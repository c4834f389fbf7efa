"""Fake shards: servers in this process that answer otherwise, or hold exchanges until enough are in flight."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from het_tf.administration import message

_SERVICE = "het.v1.EmbeddingShard"
PATIENCE_SECONDS = 8.0


def serve(methods: dict[str, Any], service: str = _SERVICE, threads: int = 64) -> tuple[grpc.Server, str]:
    """A server of methods bytes -> bytes, and its address."""
    server = grpc.server(ThreadPoolExecutor(threads))
    handlers = {name: grpc.unary_unary_rpc_method_handler(method) for name, method in methods.items()}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, f"127.0.0.1:{port}"


def impostor(**reply: Any) -> tuple[grpc.Server, str]:
    """A shard that says `reply` to Hello and knows nothing else."""
    answer = message("HelloReply")(**reply).SerializeToString()
    return serve({"Hello": lambda request, context: answer})


class Gate:
    """A proxy before a shard that can hold fetches until `count` of them are in flight at once.

    When they do not come, which is what happens if one waits for the other, the
    gate opens after a while and `most_at_once` tells how many there were.
    """

    def __init__(self, address: str) -> None:
        self._channel = grpc.insecure_channel(address)
        methods = {name: self._forward(name) for name in ("Hello", "CreateTable", "Assign", "Stats")}
        self._exchange = self._forward("Exchange")
        self.server, self.address = serve({**methods, "Exchange": self._held})
        self._changed = threading.Condition()
        self._wanted = self._inside = self.most_at_once = 0

    def hold(self, count: int) -> None:
        with self._changed:
            self._wanted, self.most_at_once = count, 0

    def close(self) -> None:
        self.server.stop(0).wait()
        self._channel.close()

    def _forward(self, method: str) -> Any:
        call = self._channel.unary_unary(f"/{_SERVICE}/{method}")

        def forward(request: bytes, context: grpc.ServicerContext) -> bytes:
            try:
                return call(request, timeout=30)
            except grpc.RpcError as error:
                context.abort(error.code(), error.details())

        return forward

    def _held(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        # Lookups of different tables may share an exchange.
        fetches = sum(bool(table.fetch_id_deltas) for table in message("ExchangeRequest").FromString(request).tables)
        if fetches:
            with self._changed:
                self._inside += fetches
                self.most_at_once = max(self.most_at_once, self._inside)
                self._changed.notify_all()
                if not self._changed.wait_for(lambda: self.most_at_once >= self._wanted, PATIENCE_SECONDS):
                    self._wanted = 0
                    self._changed.notify_all()
        try:
            return self._exchange(request, context)
        finally:
            if fetches:
                with self._changed:
                    self._inside -= fetches
