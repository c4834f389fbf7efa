"""A shard, seen from outside of training: its version, its statistics, and what an administrator has it do.

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

from het_tf.named_options import flag, variable
from het_tf.security import Security

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


def service() -> Any:
    """The description of the service: its methods, their requests and replies."""
    return _pool().FindServiceByName(_SERVICE)


@functools.cache
def message(name: str) -> Any:
    """The message class ``het.v1.NAME``."""
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"het.v1.{name}"))


class ShardClient:
    """One shard's calls, by plain protobuf messages.

    Args:
      address: ``host:port`` or ``unix:/path``.
      timeout_seconds: of every call.
      security: certificates and token; default: those of the environment. With
        both tokens it is the admin's that is sent. Files are read once, now.

    Raises:
      SecurityError: a file is not what it was, or the token would travel for all
        to read.
    """

    def __init__(self, address: str, *, timeout_seconds: float = 5.0, security: Security | None = None) -> None:
        self.address = address
        self._timeout = timeout_seconds
        self._security = Security.from_environment() if security is None else security
        token = self._security.token_for(address)
        self._metadata = () if token is None else (("authorization", f"Bearer {token}"),)
        self._channel = _channel(address, self._security)
        self._calls = {}
        for method in service().methods:
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
            return self._calls[method](request, timeout=self._timeout, metadata=self._metadata)
        except grpc.RpcError as error:
            if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                words = (error.details() or error.code().name).rpartition("last error: ")[2]
                raise ShardUnreachable(
                    f"the shard at {self.address} does not answer within {self._timeout:g} s ({words})"
                    + _hint(words, self._security)
                ) from None
            raise

    def hello(self) -> Any:
        """HelloReply: versions and incarnation; makes no claim about the shard's place."""
        return self.call("Hello", message("HelloRequest")(protocol_version=PROTOCOL_VERSION))

    def stats(self) -> Any:
        """StatsReply: uptime, exchanges, traffic and tables."""
        return self.call("Stats", message("StatsRequest")())

    def drop_table(self, name: str, incarnation: int) -> None:
        """Has the shard forget a table and its rows, if it still is that incarnation."""
        self.call("DropTable", message("DropTableRequest")(name=name, shard=incarnation))

    def stop(self, incarnation: int) -> None:
        """Ends the shard as SIGTERM does, if it still is that incarnation."""
        self.call("Stop", message("StopRequest")(shard=incarnation))

    def close(self) -> None:
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _channel(address: str, security: Security) -> grpc.Channel:
    # A proxy of the environment knows nothing of shards.
    options: list[tuple[str, Any]] = [("grpc.enable_http_proxy", 0)]
    options += [(f"grpc.max_{way}_message_length", -1) for way in ("send", "receive")]
    files = security.client_files()
    if files is None:
        return grpc.insecure_channel(address, options=options)
    if address.startswith("unix:"):
        # A path is no name that a certificate could have.
        options.append(("grpc.default_authority", "localhost"))
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(*files), options=options)


def _spelled(*names: str) -> str:
    return " and ".join(f"{flag(name)} ({variable(name)})" for name in names)


def _hint(words: str, security: Security) -> str:
    """What to do about a connection that TLS, or its lack, has ended; gRPC's words say which, and nothing else does."""
    said = {sign for sign in _SIGNS if sign in words}
    ended = bool(said & _ENDED)
    if security.tls_ca is None:
        return f": if it takes TLS alone, give {_spelled('tls_ca')}, the CA of its certificate" if ended else ""
    if "WRONG_VERSION_NUMBER" in said:
        return f": it has no TLS; start it with {flag('tls_cert')} and {flag('tls_key')}, or leave {flag('tls_ca')} out"
    if "CERTIFICATE_VERIFY_FAILED" in said:
        return f": its certificate is not one that the CA in {security.tls_ca} has signed, or is out of date"
    if said & _OTHER_NAME:
        return ": its certificate is for other names; the host of this address has to be a subjectAltName of it"
    if ended and security.tls_cert is None:
        return f": if it was started with {flag('tls_ca')} it wants yours; give {_spelled('tls_cert', 'tls_key')}"
    if ended:
        return f": if it was started with {flag('tls_ca')}, its CA has not signed {security.tls_cert}, or that is old"
    return ""


# Spelled as gRPC does, in any of its versions.
_ENDED = {"Socket closed", "onnection reset", "Broken pipe", "End of TCP stream"}
_OTHER_NAME = {"Hostname Verification", "Peer name"}
_SIGNS = {"WRONG_VERSION_NUMBER", "CERTIFICATE_VERIFY_FAILED", *_OTHER_NAME, *_ENDED}


def describe(address: str, error: Exception) -> str:
    """What went wrong with a call, for who made it."""
    if not isinstance(error, grpc.RpcError):
        return str(error)
    if error.code() == grpc.StatusCode.UNIMPLEMENTED:
        return f"{address} is no shard of het_tf, or of another version ({error.code().name}: {error.details()})"
    return f"the shard at {address} refuses the call: {error.details()}"
