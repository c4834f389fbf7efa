"""Versions: of this package, and of the TensorFlow it is built for.

Imports nothing heavy: the check reads package metadata, so that a wrong
TensorFlow is named before its library is loaded.
"""

import importlib.metadata
import importlib.util

VERSION = "0.1.0"

# The op library is compiled against one TensorFlow minor version.
TENSORFLOW = "2.21"

_REMEDY = f"pip install 'tensorflow-cpu=={TENSORFLOW}.*' (or 'tensorflow=={TENSORFLOW}.*' with a GPU)"


def installed_tensorflow() -> str | None:
    """The version of the TensorFlow in this environment, whichever package it is; None without one."""
    if importlib.util.find_spec("tensorflow") is None:
        return None
    for package in importlib.metadata.packages_distributions().get("tensorflow", ()):
        return importlib.metadata.version(package)
    return None


def check_tensorflow() -> None:
    """Raises ImportError, in one sentence, unless the TensorFlow here is the one het_tf is built for."""
    installed = installed_tensorflow()
    if installed is None:
        raise ImportError(f"het_tf {VERSION} needs TensorFlow {TENSORFLOW}, and there is none here: {_REMEDY}")
    if installed.split(".")[:2] != TENSORFLOW.split("."):
        raise ImportError(f"het_tf {VERSION} is built for TensorFlow {TENSORFLOW}, found {installed}: {_REMEDY}")
