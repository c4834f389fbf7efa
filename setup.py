"""Builds the wheel: Python files, the op library and the shard server.

Everything that is declared stands in pyproject.toml; here is what has to be
run. The Makefile builds the native parts, against the TensorFlow of the
environment that builds: in an isolated build, the one that pyproject.toml names.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent


class BuildNative(build_py):
    """Makes the op library and the shard server, beside the Python files."""

    def run(self) -> None:
        if self.editable_mode:
            package = ROOT / "het_tf"
        else:
            package = Path(self.build_lib).resolve() / "het_tf"
            # Modules of an earlier build that are no more.
            shutil.rmtree(package, ignore_errors=True)
        # It names what is missing in a sentence of its own.
        if subprocess.run([ROOT / "tools/setup/debian_packages.sh", "--name-missing-for", "build"]).returncode:
            raise SystemExit("het_tf: the op library and the shard server cannot be built without these packages")
        # Objects with and without GPU kernels (CUDA=1 in the environment) are not mixed.
        objects = "build/wheel-ops-cuda" if os.environ.get("CUDA") == "1" else "build/wheel-ops"
        self._make(PYTHON=sys.executable, PACKAGE_DIR=package, OPS_BUILD=objects)
        # It names what it misses.
        bill: list[str | Path] = [sys.executable, ROOT / "tools/setup/bill_of_materials.py", package / "_native"]
        if subprocess.run(bill).returncode:
            raise SystemExit("het_tf: the list of what the wheel contains could not be written, see above")
        super().run()

    def _make(self, **variables: str | Path) -> None:
        # A make around this one shall not hand its variables and its jobs down.
        environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL")}
        command = ["make", "native", *(f"{name}={value}" for name, value in variables.items())]
        if subprocess.run(command, cwd=ROOT, env=environment).returncode:
            raise SystemExit("het_tf: `make native` could not build the op library and the shard server, see above")


class PlatformDistribution(Distribution):
    """The wheel's files are for a platform, although no extension module of Python is among them."""

    def has_ext_modules(self) -> bool:
        return True


class PlatformWheel(bdist_wheel):
    """The libraries are compiled for a platform, but for no version of Python."""

    def get_tag(self) -> tuple[str, str, str]:
        return ("py3", "none", super().get_tag()[2])


setup(distclass=PlatformDistribution, cmdclass={"build_py": BuildNative, "bdist_wheel": PlatformWheel})
