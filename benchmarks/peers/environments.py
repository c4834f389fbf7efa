"""Virtual environments of the peers, made once per machine in the project's cache folder.

An environment's folder is named after its requirements and Python's version, so that
a change of either makes a new one; `installed` in it says that it is complete.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


class PeerUnavailable(Exception):
    """A peer that could not be installed or started; the message says why."""


@dataclass(frozen=True)
class Peer:
    """One environment: what pip installs, step by step, and what must import afterwards."""

    name: str
    steps: tuple[tuple[str, ...], ...]
    imports: tuple[str, ...]
    variables: tuple[tuple[str, str], ...] = ()


TFRA = Peer(
    "tfra",
    (
        ("tensorflow-cpu==2.16.2", "tf-keras==2.16.0"),
        # Its metadata asks for the package `tensorflow`, which would come on top of tensorflow-cpu.
        ("--no-deps", "tensorflow-recommenders-addons==0.8.1"),
        ("typeguard<3",),
    ),
    ("tensorflow", "tensorflow_recommenders_addons.dynamic_embedding"),
    (("TF_USE_LEGACY_KERAS", "1"),),
)
FBGEMM = Peer(
    "fbgemm",
    (
        # Pip's own settings (PIP_FIND_LINKS, say) can point it to the wheel without CUDA, which is a tenth the size.
        ("torch==2.13.0", "numpy", "setuptools<81"),
        ("--no-deps", "fbgemm-gpu-cpu==1.8.0"),
    ),
    ("torch", "fbgemm_gpu"),
)
PEERS = {peer.name: peer for peer in (TFRA, FBGEMM)}


def folder(peer: Peer) -> Path:
    """Where the peer's environment is or would be."""
    cache = Path(os.environ.get("HET_TF_CACHE", Path.home() / ".cache" / "het_tf"))
    key = hashlib.sha256(repr((peer.steps, sys.version_info[:2])).encode()).hexdigest()[:12]
    return cache / "peers" / f"{peer.name}-{key}"


def python(peer: Peer) -> Path:
    """The interpreter of an installed peer.

    Raises:
      PeerUnavailable: it is not installed.
    """
    if not (folder(peer) / "installed").exists():
        raise PeerUnavailable(f"{peer.name} is not installed: run `python -m benchmarks.peers install`")
    return folder(peer) / "bin" / "python"


def environment(peer: Peer) -> dict[str, str]:
    """Environment variables for a process of the peer."""
    mine = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if name not in mine} | dict(peer.variables)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def install(peer: Peer) -> Path:
    """Makes the peer's environment unless it is there.

    Returns:
      Its interpreter.

    Raises:
      PeerUnavailable: pip or the import at the end failed; says where the log is.
    """
    target = folder(peer)
    log = target.with_suffix(".log")
    with _locked(target.with_suffix(".lock")):
        if not (target / "installed").exists():
            shutil.rmtree(target, ignore_errors=True)
            interpreter = str(target / "bin" / "python")
            pip = [interpreter, "-m", "pip", "install", "--disable-pip-version-check", "--progress-bar", "off"]
            commands = [[sys.executable, "-m", "venv", str(target)]]
            commands += [[*pip, *step] for step in peer.steps]
            commands += [[interpreter, "-c", f"import {', '.join(peer.imports)}"]]
            with log.open("w") as output:
                for command in commands:
                    output.write(f"$ {' '.join(command)}\n")
                    output.flush()
                    result = subprocess.run(
                        command, stdout=output, stderr=subprocess.STDOUT, env=environment(peer), check=False
                    )
                    if result.returncode != 0:
                        raise PeerUnavailable(f"{peer.name}: `{' '.join(command[-3:])}` failed, see {log}")
            (target / "installed").touch()
    return python(peer)
