"""Security: who may talk to a shard, and what of it others on the network can read.

Shards and workers take the same options: TLS, mutual TLS by certificates of one
CA, and two tokens that a shard tells callers by. A worker's may exchange and
read; the admin's may do that and snapshot, restore, drop and stop. Files are
named here, not read into it: what prints an instance prints no secret.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from het_tf import named_options
from het_tf.cluster import is_local
from het_tf.named_options import OptionError, option, spelled

TOKEN_LENGTHS = (16, 512)
_FILES = ("tls_ca", "tls_cert", "tls_key", "token_file", "admin_token_file")
_TOKENS = ("token_file", "admin_token_file")


class SecurityError(OptionError):
    """Certificates or tokens that cannot be used, or may not be used like this."""


@dataclass(frozen=True)
class Security:
    """The files of one side of the connections, a shard's or a worker's.

    All are checked when this is made: they can be read, key and certificate belong
    together, and a token is no secret of every user of the host.

    Raises:
      SecurityError: says which option, what is wrong and what to do.
    """

    tls_ca: str | None = option(
        "PEM file of the CA that has signed the other side's certificates: what connects has TLS, and what listens "
        "asks for a certificate (mutual TLS)."
    )
    tls_cert: str | None = option("PEM file of this side's certificate and what stands between it and the CA.")
    tls_key: str | None = option("PEM file of the certificate's key.")
    token_file: str | None = option("File with the workers' token, a line of 16 to 512 characters.")
    admin_token_file: str | None = option("File with the token that may also snapshot, restore, drop and stop.")
    insecure: bool = option("Listen beyond loopback without TLS: who is on the network may read and write all.", False)

    def __post_init__(self) -> None:
        for name in _FILES:
            given = getattr(self, name)
            if given is not None:
                object.__setattr__(self, name, os.path.abspath(os.fspath(given)))
                _read(name, getattr(self, name))
        if (self.tls_cert is None) != (self.tls_key is None):
            given, missing = ("tls_cert", "tls_key") if self.tls_key is None else ("tls_key", "tls_cert")
            raise SecurityError(
                f"{spelled(given)} is {getattr(self, given)!r} and there is no {spelled(missing)}: a certificate and "
                "its key belong together; give both or neither"
            )
        self._check_certificates()
        tokens = [read_token(name, getattr(self, name)) for name in _TOKENS if getattr(self, name) is not None]
        if len(set(tokens)) < len(tokens):
            raise SecurityError(
                f"{spelled('token_file')} and {spelled('admin_token_file')} hold the same token: make two, for every "
                "worker would be an administrator"
            )

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None, **given: Any) -> Security:
        """The options given, and for those that are None what HET_TF_TLS_CA, HET_TF_TOKEN_FILE and so on say."""
        return named_options.from_environment(cls, environ, **given)

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the options that are given."""
        return tuple(name for name in _FILES if getattr(self, name) is not None)

    def op_attributes(self) -> dict[str, str]:
        """As attributes of the store op."""
        return {name: getattr(self, name) or "" for name in _FILES}

    def client_files(self) -> tuple[bytes, bytes | None, bytes | None] | None:
        """CA, key and certificate of who connects, as PEM; None: without TLS."""
        if self.tls_ca is None:
            if self.tls_cert is not None:
                raise SecurityError(
                    f"{spelled('tls_cert')} is {self.tls_cert!r} and there is no {spelled('tls_ca')}: who connects has "
                    "to know the CA that has signed the shards' certificates"
                )
            return None
        own: tuple[bytes | None, bytes | None] = (None, None)
        if self.tls_key is not None and self.tls_cert is not None:
            own = (_read("tls_key", self.tls_key), _read("tls_cert", self.tls_cert))
        return (_read("tls_ca", self.tls_ca), *own)

    def token_for(self, address: str) -> str | None:
        """What to send a shard with every call: the admin's token, else the workers', else nothing.

        Raises:
          SecurityError: others on the network could read it.
        """
        name = next((name for name in reversed(_TOKENS) if getattr(self, name) is not None), None)
        if name is None:
            return None
        if self.tls_ca is None and not is_local(address):
            raise SecurityError(
                f"{spelled(name)} is given, but not {spelled('tls_ca')}: without TLS the token would travel to "
                f"{address} for all to read; it is sent to loopback addresses and unix sockets alone"
            )
        return read_token(name, getattr(self, name))

    def _check_certificates(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if self.tls_ca is not None:
            try:
                context.load_verify_locations(self.tls_ca)
            except (ssl.SSLError, OSError) as error:
                raise SecurityError(
                    f"{spelled('tls_ca')} is {self.tls_ca!r}, which has no certificate in PEM ({_reason(error)})"
                ) from None
        if self.tls_cert is not None and self.tls_key is not None:
            _check_secret("tls_key", self.tls_key)
            try:
                # A password instead of a question at the terminal.
                context.load_cert_chain(self.tls_cert, self.tls_key, password="")
            except (ssl.SSLError, OSError) as error:
                raise SecurityError(
                    f"{spelled('tls_cert')} is {self.tls_cert!r} and {spelled('tls_key')} {self.tls_key!r}: expected "
                    f"a certificate and its unencrypted key, both in PEM ({_reason(error)})"
                ) from None


def read_token(name: str, path: str) -> str:
    """The token in the file of this option.

    Raises:
      SecurityError: it is no token, or not this user's secret.
    """
    content = _read(name, path)
    _check_secret(name, path)
    least, most = TOKEN_LENGTHS
    token = content.rstrip(b"\r\n")
    if not (least <= len(token) <= most and all(0x21 <= byte <= 0x7E for byte in token)):
        lines = len(token.splitlines())
        what = f"{len(token)} bytes" if lines < 2 else f"{lines} lines"
        raise SecurityError(
            f"{spelled(name)} is {path!r}, which has {what}: expected one line of {least} to {most} printable ASCII "
            "characters without spaces, such as `openssl rand -hex 32` prints"
        )
    return token.decode("ascii")


def _check_secret(name: str, path: str) -> None:
    mode = os.stat(path).st_mode & 0o777
    if mode & 0o007:
        raise SecurityError(
            f"{spelled(name)} is {path!r}, which every user of this host may use (its mode is {mode:04o}): "
            f"chmod 600 {path}"
        )


def _read(name: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise SecurityError(f"{spelled(name)} is {path!r}, which cannot be read: {error.strerror}") from None


def _reason(error: OSError) -> str:
    # "[X509: KEY_VALUES_MISMATCH] key values mismatch (_ssl.c:4123)"
    return getattr(error, "reason", None) or error.strerror or str(error)
