"""Runs the fuzz targets one after the other and prints what each has done.

usage: fuzz.py [--seconds N | --runs N] [TARGET...]

A target is a program that libFuzzer drives: build/fuzz/kernels/fuzz/NAME_fuzz, or
the module tests.fuzz.NAME_fuzz with atheris. It begins with the committed inputs and with
those that earlier runs have found, in build/fuzz/corpus/NAME. A finding ends its
target; the input is kept in build/fuzz/findings. Status 1 when there was one.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NATIVE = Path("kernels/fuzz")
PYTHON = Path("tests/fuzz")
BUILT = Path("build/fuzz")
FILES = NATIVE / "files.dict"
MEMORY = Path("/dev/shm")

# The same files, read by C++ and by Python.
SHARED = {"checkpoint_read": NATIVE / "corpus" / "checkpoint_file"}
LIMITS = ["-max_len=4096", "-rss_limit_mb=2048", "-timeout=10", "-print_final_stats=1", "-print_funcs=0"]
# Choosing inputs by how rare their features are costs a third of a short run.
SCHEDULE = ["-entropic=0"]
# Allocations cost the most: whose they were is left out, and a quarantine holds what a few inputs free.
SANITIZER = {"ASAN_OPTIONS": "malloc_context_size=1:quarantine_size_mb=1"}
_PROGRESS = re.compile(r"cov: (\d+) ft: (\d+) corp: (\d+)/(\w+)")
_EXECUTIONS = re.compile(r"stat::number_of_executed_units: (\d+)")
_FINDING = re.compile(r"Test unit written to (\S+)")


@dataclass(frozen=True)
class Target:
    name: str
    program: tuple[str, ...]
    seeds: Path
    dictionary: Path | None


def targets(root: Path = ROOT) -> list[Target]:
    """All that there are, the C++ ones first."""
    found = []
    for source in sorted((root / NATIVE).glob("*_fuzz.cc")):
        name = source.stem.removesuffix("_fuzz")
        dictionary = NATIVE / "wire.dict" if name.startswith("decode_") else FILES
        found.append(Target(name, (str(BUILT / NATIVE / source.stem),), NATIVE / "corpus" / name, dictionary))
    for source in sorted((root / PYTHON).glob("*_fuzz.py")):
        name = source.stem.removesuffix("_fuzz")
        program = (sys.executable, "-m", ".".join(PYTHON.parts) + "." + source.stem)
        seeds = SHARED.get(name, PYTHON / "corpus" / name)
        found.append(Target(name, program, seeds, FILES if name in SHARED else None))
    return found


@dataclass
class Outcome:
    executions: int = 0
    seconds: float = 0.0
    edges: int = 0
    features: int = 0
    inputs: int = 0
    size: str = "0b"
    # The input that ended it, or why there is none.
    finding: str | None = None


def read_log(text: str, status: int) -> Outcome:
    """What libFuzzer's log says; a run that ended badly has a finding."""
    outcome = Outcome()
    if progress := _PROGRESS.findall(text):
        edges, features, inputs, outcome.size = progress[-1]
        outcome.edges, outcome.features, outcome.inputs = int(edges), int(features), int(inputs)
    if executions := _EXECUTIONS.findall(text):
        outcome.executions = int(executions[-1])
    if finding := _FINDING.findall(text):
        outcome.finding = finding[-1]
    elif status != 0:
        outcome.finding = f"none was written, status {status}"
    return outcome


def run(target: Target, limit: str) -> Outcome:
    corpus, findings = BUILT / "corpus" / target.name, BUILT / "findings"
    log = BUILT / f"{target.name}.log"
    for folder in (corpus, findings):
        (ROOT / folder).mkdir(parents=True, exist_ok=True)
    command = [*target.program, str(corpus), str(target.seeds), *LIMITS, *SCHEDULE, limit]
    command.append(f"-artifact_prefix={findings}/{target.name}-")
    if target.dictionary:
        command.append(f"-dict={target.dictionary}")
    began = time.monotonic()
    # Targets write every input to a file.
    with (
        tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as temporary,
        open(ROOT / log, "w") as output,
    ):
        environment = {**SANITIZER, **os.environ, "TMPDIR": temporary}
        status = subprocess.run(
            ["nice", *command], cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT
        ).returncode
    outcome = read_log((ROOT / log).read_text(errors="replace"), status)
    outcome.seconds = time.monotonic() - began
    return outcome


def line(name: str, outcome: Outcome) -> str:
    rate = outcome.executions / outcome.seconds if outcome.seconds else 0.0
    return (
        f"{name:16} {outcome.executions:>10} executions {outcome.seconds:7.0f} s {rate:8.0f}/s"
        f"   {outcome.edges:>5} edges {outcome.features:>6} features"
        f"   {outcome.inputs:>5} inputs, {outcome.size}"
    )


def chosen(names: Sequence[str]) -> list[Target]:
    known = {target.name: target for target in targets()}
    unknown = [name for name in names if name not in known]
    if unknown:
        sys.exit(f"no fuzz target {', '.join(unknown)}; there are {', '.join(known)}")
    return [known[name] for name in names or known]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    limits = parser.add_mutually_exclusive_group()
    limits.add_argument("--seconds", type=int, default=60, help="for all targets together")
    limits.add_argument("--runs", type=int, help="executions of each target")
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    arguments = parser.parse_args()
    wanted = chosen(arguments.targets)
    share = max(1, arguments.seconds // len(wanted))
    limit = f"-runs={arguments.runs}" if arguments.runs else f"-max_total_time={share}"
    found = False
    for target in wanted:
        outcome = run(target, limit)
        print(line(target.name, outcome), flush=True)
        if outcome.finding:
            found = True
            print(f"FINDING of {target.name}: {outcome.finding} (log: {BUILT / (target.name + '.log')})")
            print(f"  again: {' '.join(target.program)} {outcome.finding}", flush=True)
    if found:
        sys.exit(1)


if __name__ == "__main__":
    main()
