"""What every benchmark prints: JSON lines, one for each figure."""

from __future__ import annotations

import functools
import json
import os
import platform
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@functools.cache
def commit() -> str:
    """The checkout's, with a mark where it has been changed."""
    result = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return result.stdout.strip() or "unknown"


@functools.cache
def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def machine() -> str:
    """The processor, and how many."""
    return f"{_processor()}, {os.cpu_count()} processors"


def figure(
    benchmark: str, metric: str, value: float, unit: str, *, data: str, reference: str, ratio: float | None
) -> None:
    """Prints one figure.

    Args:
      reference: what `ratio` compares with: `value` divided by the reference's.
      data: what it ran on; generated data is called generated.
    """
    print(
        json.dumps(
            {
                "benchmark": benchmark,
                "metric": metric,
                "value": round(value, 4),
                "unit": unit,
                "reference": reference,
                "ratio": round(ratio, 3) if ratio is not None else None,
                "data": data,
                "machine": machine(),
                "commit": commit(),
            }
        ),
        flush=True,
    )


def unavailable(benchmark: str, contender: str, reason: str) -> None:
    """Says that a contender is missing, and why: its figures are left out, the rest goes on."""
    print(json.dumps({"benchmark": benchmark, "unavailable": contender, "reason": reason}), flush=True)
