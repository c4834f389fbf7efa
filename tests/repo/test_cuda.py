"""The CUDA sources compile where nvcc exists; the default build knows nothing of CUDA.

Nothing here runs a kernel. `make cuda-compile` builds the whole library; this
compiles each kernel for one architecture, in seconds.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from sources import ROOT

KERNELS = sorted((ROOT / "kernels/gpu").glob("*.cu.cc"))


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120)


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="there is no nvcc: the CUDA kernels are not compiled")
@pytest.mark.parametrize("kernel", KERNELS, ids=lambda path: path.stem)
def test_a_kernel_compiles(kernel: Path, tmp_path: Path):
    target = f"{tmp_path}/cuda/{kernel.relative_to(ROOT).with_suffix('.o')}"
    made = make("-s", target, f"BUILD={tmp_path}", "CUDA_ARCH=sm_80")
    assert made.returncode == 0, made.stderr
    symbols = subprocess.run(["nm", "-C", target], check=True, capture_output=True, text=True, timeout=60).stdout
    assert len(re.findall(r" T het::Launch\(", symbols)) == 1
    assert "cudaLaunchKernel" in symbols


def test_there_is_a_kernel_for_each_launch():
    declared = re.findall(r"Status Launch\(const (\w+)&", (ROOT / "kernels/gpu/launch.h").read_text())
    defined = [name for path in KERNELS for name in re.findall(r"Status Launch\(const (\w+)&", path.read_text())]
    assert sorted(declared) == sorted(defined) and len(declared) == 3


def test_without_nvcc_the_build_says_what_is_missing(tmp_path):
    made = make("-s", "nvcc", "NVCC=no-such-nvcc", f"BUILD={tmp_path}")
    assert made.returncode != 0
    assert "'no-such-nvcc' is not there" in made.stderr


def test_cuda_is_one_or_zero(tmp_path):
    made = make("-n", "help", "CUDA=yes", f"BUILD={tmp_path}")
    assert made.returncode != 0 and "CUDA is 'yes', expected 1" in made.stderr


def test_the_default_build_has_no_part_of_cuda(tmp_path):
    plan = make("-n", "het_tf/_native/het_tf_ops.so", "-W", "kernels/ops/update_kernel.cc").stdout.replace("\\\n", " ")
    linked = [line for line in plan.splitlines() if " -shared " in line]
    assert len(linked) == 1, plan
    assert not re.search(r"cuda|_gpu\.o|\.cu\.o", linked[0])
