"""Certificates and tokens of tests: a CA whose files lie in a folder."""

from __future__ import annotations

import datetime
import secrets
from pathlib import Path

import trustme

LONG_AGO = datetime.datetime(2020, 1, 1)
NAMES = ("localhost", "127.0.0.1", "::1")


class Authority:
    """A CA with its files in `folder`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.path = folder / "ca.pem"
        self._ca = trustme.CA()
        self._ca.cert_pem.write_to_path(self.path)

    def issue(self, name: str, *names: str, expired: bool = False) -> dict[str, Path]:
        """tls_cert and tls_key of a new certificate, for loopback unless there are names; replaces one of that name."""
        ends = LONG_AGO + datetime.timedelta(days=1) if expired else None
        issued = self._ca.issue_cert(*(names or NAMES), not_before=LONG_AGO, not_after=ends)
        files = {"tls_cert": self.folder / f"{name}.pem", "tls_key": self.folder / f"{name}.key"}
        contents = (issued.cert_chain_pems[0].bytes(), issued.private_key_pem.bytes())
        for file, content in zip(files.values(), contents, strict=True):
            # Whole or not at all, as whoever replaces certificates does it.
            made = file.with_suffix(".new")
            made.touch(mode=0o600)
            made.write_bytes(content)
            made.replace(file)
        return files

    def both(self, name: str, *names: str, expired: bool = False) -> dict[str, Path]:
        """The same with tls_ca."""
        return {"tls_ca": self.path, **self.issue(name, *names, expired=expired)}


def token_file(folder: Path, name: str, token: str | None = None) -> Path:
    """A file with a new token, or with this one, for nobody else to read."""
    file = folder / name
    file.touch(mode=0o600)
    file.write_text(secrets.token_urlsafe(32) if token is None else token)
    return file
