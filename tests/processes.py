"""What tests share that start processes of a job: a clean environment, free ports, emulated hosts."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from benchmarks import network

ROOT = Path(__file__).resolve().parents[1]
# Describe a job, by a launcher or by TF_CONFIG, and how its shards serve.
_PLACES = ("HET_TF_SHARDS", "HET_TF_LAUNCHER", "HET_TF_CHECKPOINT_DIR")
_SECRETS = ("HET_TF_TLS_", "HET_TF_TOKEN_FILE", "HET_TF_ADMIN_TOKEN_FILE", "HET_TF_INSECURE")
_OURS = (*_PLACES, *_SECRETS, "HET_TF_MAX_", "HET_TF_METRICS_", "HET_TF_REFLECTION", "HET_TF_LOG_")
JOB_VARIABLES = (*_OURS, "HOROVOD_", "OMPI_COMM_WORLD_", "PMI_", "TF_CONFIG")

needs_namespaces = pytest.mark.skipif(network.why_not() is not None, reason="needs root and network namespaces")


def clean_environment(**more: str) -> dict[str, str]:
    """This process's environment without what describes a job, and with the package on the path."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(JOB_VARIABLES)}
    return kept | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "2"} | more


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
