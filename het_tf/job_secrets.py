"""Certificates and tokens of one local job, made for it and gone with it.

A CA signs one certificate for the shards, for the names of the loopback
interface, and one for the workers, for no name at all; its key is never written.
All files are in a folder that this user alone may read.
"""

from __future__ import annotations

import dataclasses
import os
import secrets
import shlex
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from het_tf import named_options
from het_tf.security import Security

_NAMES = ("localhost", "127.0.0.1", "::1")
_TOKEN_BYTES = 32


@dataclasses.dataclass(frozen=True)
class JobSecrets:
    """What the shards and the workers of a job are given, mutual TLS and both tokens."""

    folder: Path
    shards: Security
    workers: Security

    def write_environment(self, addresses: Sequence[str]) -> str:
        """A file for a shell to source; commands then know the job's shards and may administer them."""
        file = self.folder / "env"
        said = {"HET_TF_SHARDS": ",".join(addresses), **named_options.variables(self.workers)}
        lines = [f"export {name}={shlex.quote(value)}\n" for name, value in said.items()]
        return _write(file, "".join(lines).encode())


@contextmanager
def made_for_a_job(hosts: Sequence[str] = _NAMES) -> Iterator[JobSecrets]:
    """Secrets for shards on these hosts that are removed when the context ends.

    What a killed process leaves is of no use: its job is gone.
    """
    # Workers import the launcher's module, too, and have no use for this.
    import trustme

    folder = Path(tempfile.mkdtemp(prefix="het-tf-job-"))  # of mode 0700
    try:
        ca = trustme.CA(organization_name="het-tf launch")
        shared = Security(
            tls_ca=_write(folder / "ca.pem", ca.cert_pem.bytes()),
            token_file=_write(folder / "token", secrets.token_urlsafe(_TOKEN_BYTES).encode()),
            admin_token_file=_write(folder / "admin-token", secrets.token_urlsafe(_TOKEN_BYTES).encode()),
        )
        sides = []
        for side, names in (("shard", hosts), ("worker", ())):
            issued = ca.issue_cert(*names, common_name=f"het-tf {side}")
            chain = b"".join(pem.bytes() for pem in issued.cert_chain_pems)
            certificate = _write(folder / f"{side}.pem", chain)
            key = _write(folder / f"{side}.key", issued.private_key_pem.bytes())
            sides.append(dataclasses.replace(shared, tls_cert=certificate, tls_key=key))
        yield JobSecrets(folder, *sides)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write(file: Path, content: bytes) -> str:
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as opened:
        opened.write(content)
    return str(file)
