"""A shard, seen from outside of training: its version and its statistics.

Speaks protos/shard.proto through grpcio. The messages are made at run time from
the compiled description of that file (het_tf/_proto/shard.binpb) in a pool of
their own: that works with every protobuf runtime, where generated code is tied
to the version that generated it.

Thread-safety: a ShardClient may be used by several threads.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, Self

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PROTOCOL_VERSION = 3
_SERVICE = "het.v1.EmbeddingShard"


class ShardUnreachable(ConnectionError):
    """A shard did not answer."""


@functools.cache
def _pool() -> Any:
    path = Path(__file__).parent / "_proto" / "shard.binpb"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: run `make build` in a checkout, or reinstall het_tf from a wheel")
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(path.read_bytes()).file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool


@functools.cache
def message(name: str) -> Any:
    """The message class ``het.v1.NAME``."""
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"het.v1.{name}"))


class ShardClient:
    """One shard's calls, by plain protobuf messages.

    Args:
      address: ``host:port`` or ``unix:/path``.
      timeout_seconds: of every call.
    """

    def __init__(self, address: str, *, timeout_seconds: float = 5.0) -> None:
        self.address = address
        self._timeout = timeout_seconds
        unlimited = [(f"grpc.max_{way}_message_length", -1) for way in ("send", "receive")]
        # A proxy of the environment knows nothing of shards.
        self._channel = grpc.insecure_channel(address, options=[*unlimited, ("grpc.enable_http_proxy", 0)])
        self._calls = {}
        for method in _pool().FindServiceByName(_SERVICE).methods:
            self._calls[method.name] = self._channel.unary_unary(
                f"/{_SERVICE}/{method.name}",
                request_serializer=message(method.input_type.name).SerializeToString,
                response_deserializer=message(method.output_type.name).FromString,
            )

    def call(self, method: str, request: Any) -> Any:
        """One call; the reply.

        Raises:
          ShardUnreachable: no answer in time.
          grpc.RpcError: the shard's own error, with its code and text.
        """
        try:
            return self._calls[method](request, timeout=self._timeout)
        except grpc.RpcError as error:
            if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                raise ShardUnreachable(
                    f"the shard at {self.address} does not answer within {self._timeout:g} s ({error.details()})"
                ) from None
            raise

    def hello(self) -> Any:
        """HelloReply: versions and incarnation; makes no claim about the shard's place."""
        return self.call("Hello", message("HelloRequest")(protocol_version=PROTOCOL_VERSION))

    def stats(self) -> Any:
        """StatsReply: uptime, exchanges, traffic and tables."""
        return self.call("Stats", message("StatsRequest")())

    def close(self) -> None:
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
