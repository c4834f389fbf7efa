"""het_tf beside another TensorFlow, beside none, and without its own libraries.

Each case is a process with a small fake `tensorflow` package first on its path.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from het_tf.version import VERSION
from sources import ROOT, write

REMEDY = "pip install 'tensorflow-cpu==2.21.*' (or 'tensorflow==2.21.*' with a GPU)"


def _import(code: str, *path: Path) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (*path, ROOT)))}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd="/", capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize(
    ("package", "version"), [("tensorflow", "2.20.0"), ("tensorflow_cpu", "2.22.1"), ("tensorflow", "2.2.1")]
)
def test_another_tensorflow_is_refused_in_one_sentence(tmp_path, package, version):
    information = f"{package}-{version}.dist-info"
    fake = write(
        tmp_path,
        {
            "tensorflow/__init__.py": "raise AssertionError('its library would be loaded')",
            f"{information}/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n",
            f"{information}/top_level.txt": "tensorflow\n",
            f"{information}/RECORD": "tensorflow/__init__.py,,\n",
        },
    )
    result = _import("import het_tf", fake)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == (
        f"ImportError: het_tf {VERSION} is built for TensorFlow 2.21, found {version}: {REMEDY}"
    )


def test_no_tensorflow_is_named_in_one_sentence():
    hide = "import sys; sys.modules['tensorflow'] = None\nimport importlib.util as u; find = u.find_spec\n"
    hide += "u.find_spec = lambda name, *rest: None if name == 'tensorflow' else find(name, *rest)\n"
    result = _import(hide + "import het_tf")
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == (
        f"ImportError: het_tf {VERSION} needs TensorFlow 2.21, and there is none here: {REMEDY}"
    )


def test_what_is_only_python_works_without_the_op_library(tmp_path):
    shutil.copytree(ROOT / "het_tf", tmp_path / "het_tf", ignore=shutil.ignore_patterns("_native", "__pycache__"))
    code = "import het_tf; print(het_tf.__file__, het_tf.CacheConfig(rows=10).rows)"
    result = _import(code, tmp_path)
    assert result.stdout.split() == [str(tmp_path / "het_tf/__init__.py"), "10"], result.stderr
    result = _import("import het_tf.ops as ops; ops.library()", tmp_path)
    assert result.returncode == 1
    library = tmp_path / "het_tf/_native/het_tf_ops.so"
    assert f"ImportError: the op library {library} is missing: run `make build`" in result.stderr.splitlines()[-1]
