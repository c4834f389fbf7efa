"""Shards that are killed again and again lose nothing; nor does a checkpoint (tools/check/chaos*.py, a few kills)."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from processes import ROOT, clean_environment

PATIENCE_SECONDS = 240


def chaos(program: str, *options: str) -> Any:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "check" / program), *options],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode == 0, done.stderr[-5000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(("workers", "durability"), [(1, "log"), (2, "log"), (1, "log-sync")])
def test_training_goes_on_as_if_nobody_had_been_killed(workers, durability):
    found = chaos("chaos.py", "--kills", "6", "--workers", str(workers), "--durability", durability)
    assert found["kills"] == 6 and found["equal"] == ("every bit" if workers == 1 else "every count")


def test_whatever_is_killed_there_is_a_checkpoint_that_is_right():
    found = chaos("chaos_checkpoints.py", "--kills", "12", "--seed", "3")
    assert found["kills"] == 12 and found["last_step"] > found["first_step"]
    # The moments were those of a checkpoint.
    assert found["with_an_interrupted_checkpoint"] > 0
