"""What the Python fuzz targets have in common: atheris around a function of bytes.

A target is a module with `run(data)`, in which an assertion or any error that the
readers do not document is a finding. As a program (`python -m tests.fuzz.NAME_fuzz`,
with libFuzzer's options) atheris calls it; tests call it with the committed inputs.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def instrumented(name: str, *modules: str) -> contextlib.AbstractContextManager:
    """Around imports: of a program, the modules report what of them is executed."""
    if name != "__main__":
        return contextlib.nullcontext()
    import atheris

    return atheris.instrument_imports(include=list(modules))


def drive(run: Callable[[bytes], None], mutate: Callable[[bytes, int, int], bytes] | None = None) -> None:
    """Has atheris call `run`; mutate(data, largest size, seed) replaces its own way to change inputs."""
    import atheris

    atheris.Setup(sys.argv, run, **({"custom_mutator": mutate} if mutate else {}))
    atheris.Fuzz()


class MemoryFile:
    """A file that takes what it holds from each input, in TMPDIR, which tools/check/fuzz.py has in memory.

    It goes with the process, or with TMPDIR: atheris ends a process at once.
    """

    def __init__(self, suffix: str):
        self._file = tempfile.NamedTemporaryFile(prefix="het-fuzz-", suffix=suffix)  # noqa: SIM115
        self.path = self._file.name

    def hold(self, data: bytes) -> str:
        os.ftruncate(self._file.fileno(), 0)
        os.pwrite(self._file.fileno(), data, 0)
        return self.path
