"""What benchmarks/native/shard_table_main.cc finds out about one table at one shard."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

from benchmarks.figures import ROOT

DATA = "generated: ids spread over int64, drawn uniformly, 4096 per exchange"


def run(program: str, *arguments: object) -> dict[str, Any]:
    """What benchmarks/native/`program`_main prints, one JSON object.

    Raises:
      FileNotFoundError: it has not been built.
      CalledProcessError: it failed; its standard error says why.
    """
    path = ROOT / "build" / "release" / "benchmarks" / "native" / f"{program}_main"
    if not os.access(path, os.X_OK):
        raise FileNotFoundError(f"{path} is missing: run `make bench-binaries`")
    result = subprocess.run(
        [path, *(str(argument) for argument in arguments)], stdout=subprocess.PIPE, text=True, check=True
    )
    found: dict[str, Any] = json.loads(result.stdout)
    return found
