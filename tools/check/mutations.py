"""Shows that the tests of the consistency rules can fail.

Every mutant (mutants.py) is applied to a copy of the sources in a temporary
folder and built there; the tests it names must fail, and pass without it.

    python tools/check/mutations.py            # all, a few minutes
    python tools/check/mutations.py --only staleness
"""

import os
import pathlib
import shutil
import subprocess
import tempfile
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from mutants import MUTANTS, Mutant

PROJECT = pathlib.Path(__file__).resolve().parents[2]
TEST_SECONDS = 120
BUILD_SECONDS = 1200


def build(folder: pathlib.Path, binaries: list[str], jobs: int) -> None:
    """Builds test binaries in the copy; raises RuntimeError with the compiler's words."""
    targets = [f"build/release/kernels/{binary}" for binary in binaries]
    # PYTHON: nothing of TensorFlow is wanted here. -O1 builds faster.
    command = ["make", f"-j{jobs}", "PYTHON=false", "OPTIMIZE=-O1", *targets]
    # A make around this one shall not hand its variables down.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}\n{done.stderr}")


def passes(folder: pathlib.Path, binary: str, tests: str) -> bool:
    """Runs the selected tests. A hang counts as a failure, no test at all as an error."""
    command = [f"build/release/kernels/{binary}", f"--gtest_filter={tests}"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=TEST_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return False
    if "Running 0 tests" in done.stdout:
        raise RuntimeError(f"{binary} has no test {tests}")
    return done.returncode == 0


def survivors(folder: pathlib.Path, mutant: Mutant, jobs: int) -> list[str]:
    """Applies the mutant, and returns the tests that do not notice."""
    path = folder / "kernels" / mutant.file
    source = path.read_text()
    if source.count(mutant.old) != 1:
        raise RuntimeError(
            f"mutant {mutant.name}: expected its text once in kernels/{mutant.file}, "
            f"found it {source.count(mutant.old)} times; change tools/check/mutants.py"
        )
    path.write_text(source.replace(mutant.old, mutant.new))
    try:
        build(folder, sorted({binary for binary, _ in mutant.killers}), jobs)
        return [f"{binary} {tests}" for binary, tests in mutant.killers if passes(folder, binary, tests)]
    finally:
        path.write_text(source)


def main(
    only: Annotated[str, typer.Option(help="Run the mutants whose name contains this.")] = "",
    jobs: Annotated[int, typer.Option(help="Compilers at once.")] = 2,
) -> None:
    """Runs the mutants; ends with an error when one survives."""
    console = Console()
    chosen = [mutant for mutant in MUTANTS if only in mutant.name]
    if not chosen:
        raise typer.BadParameter(f"no mutant's name contains '{only}'", param_hint="--only")
    table = Table(show_lines=True)
    for column in ("mutant", "rule", "tests that must fail", "result"):
        table.add_column(column, overflow="fold")
    failed = False
    with tempfile.TemporaryDirectory(prefix="het_tf_mutations_") as name:
        folder = pathlib.Path(name)
        for part in ("kernels", "protos", "tools"):
            shutil.copytree(PROJECT / part, folder / part)
        shutil.copy(PROJECT / "Makefile", folder)
        console.print("building without mutants")
        killers = sorted({killer for mutant in chosen for killer in mutant.killers})
        build(folder, sorted({binary for binary, _ in killers}), jobs)
        for binary, tests in killers:
            if not passes(folder, binary, tests):
                raise RuntimeError(f"{binary} {tests} fails without any mutant")
        for mutant in chosen:
            console.print(f"mutant {mutant.name}")
            alive = survivors(folder, mutant, jobs)
            failed |= bool(alive)
            tests = "\n".join(f"{binary} {tests}" for binary, tests in mutant.killers)
            result = "[red]not noticed by " + ", ".join(alive) if alive else "[green]killed"
            table.add_row(mutant.name, mutant.rule, tests, result)
    console.print(table)
    if failed:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
