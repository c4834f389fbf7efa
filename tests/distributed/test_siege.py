"""A shard besieged for a moment; tools/check/siege.py does it with 1,000 connections and for longer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SIEGE = Path(__file__).resolve().parents[2] / "tools/check/siege.py"


@pytest.mark.parametrize("kind", [[], ["--plain"]], ids=["mutual TLS", "tokens alone"])
def test_training_goes_on_and_memory_is_bounded(kind):
    command = [sys.executable, str(SIEGE), "--connections", "100", "--seconds", "2", *kind]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
