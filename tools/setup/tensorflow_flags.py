"""Prints, as Makefile lines, how to compile and link against TensorFlow.

Reads the installed package's files without importing TensorFlow, so that it
takes no time: the include directory, the framework library and the C++ ABI are
where every TensorFlow 2 wheel has them.
"""

import importlib.metadata
import importlib.util
import pathlib
import sys

SUPPORTED = "2.21"


def main() -> None:
    spec = importlib.util.find_spec("tensorflow")
    if spec is None or spec.origin is None:
        sys.exit(
            f"het_tf is built against TensorFlow {SUPPORTED}, and there is none in this environment: "
            f"pip install 'tensorflow-cpu=={SUPPORTED}.*' (or 'tensorflow=={SUPPORTED}.*')"
        )
    version = None
    for package in ("tensorflow", "tensorflow-cpu"):
        try:
            version = importlib.metadata.version(package)
            break
        except importlib.metadata.PackageNotFoundError:
            continue
    if version is None or version.split(".")[:2] != SUPPORTED.split("."):
        sys.exit(
            f"het_tf is built against TensorFlow {SUPPORTED}, found {version}: "
            f"pip install 'tensorflow-cpu=={SUPPORTED}.*' (or 'tensorflow=={SUPPORTED}.*')"
        )
    root = pathlib.Path(spec.origin).parent
    print(f"TF_CFLAGS := -isystem {root / 'include'} -D_GLIBCXX_USE_CXX11_ABI=1")
    print(f"TF_LDFLAGS := -L{root} -l:libtensorflow_framework.so.2")


if __name__ == "__main__":
    main()
