"""Writes how to compile and link against TensorFlow, as the compiler's response files.

usage: tensorflow_flags.py FOLDER    (tensorflow.cflags and tensorflow.ldflags)

Reads the installed package's files without importing TensorFlow, so that it
takes no time: the include directory, the framework library and the C++ ABI are
where every TensorFlow 2 wheel has them. A file whose content is already right
keeps its time, so that nothing is compiled again.
"""

import importlib.metadata
import importlib.util
import sys
from pathlib import Path

SUPPORTED = "2.21"
REMEDY = f"pip install 'tensorflow-cpu=={SUPPORTED}.*' (or 'tensorflow=={SUPPORTED}.*')"


def installed() -> tuple[Path, str]:
    """Where TensorFlow is, and its version; ends with one sentence without the supported one."""
    spec = importlib.util.find_spec("tensorflow")
    if spec is None or spec.origin is None:
        sys.exit(f"het_tf is built against TensorFlow {SUPPORTED}, and there is none in this environment: {REMEDY}")
    version = "of no known version"
    for package in ("tensorflow", "tensorflow-cpu"):
        try:
            version = importlib.metadata.version(package)
            break
        except importlib.metadata.PackageNotFoundError:
            continue
    if version.split(".")[:2] != SUPPORTED.split("."):
        sys.exit(f"het_tf is built against TensorFlow {SUPPORTED}, found {version}: {REMEDY}")
    return Path(spec.origin).parent, version


def flags(root: Path, version: str) -> dict[str, str]:
    """The response files by name. The version is there so that another patch release compiles anew."""
    return {
        "tensorflow.cflags": f'-isystem "{root}/include"\n-D_GLIBCXX_USE_CXX11_ABI=1\n-DHET_TF_TENSORFLOW={version}\n',
        "tensorflow.ldflags": f'-L"{root}"\n-l:libtensorflow_framework.so.2\n',
    }


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in flags(*installed()).items():
        path = folder / name
        if not path.exists() or path.read_text() != content:
            path.write_text(content)


if __name__ == "__main__":
    main()
