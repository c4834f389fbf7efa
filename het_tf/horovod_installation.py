"""Whether Horovod is there for TensorFlow, without importing either; what to do if not."""

from __future__ import annotations

import importlib.machinery
import importlib.util

REMEDY = (
    "Horovod's release does not compile with this TensorFlow as it is; build a wheel that does with "
    'tools/setup/horovod_wheel.sh "$(command -v python)" in a checkout of het_tf and install it (README, "Install")'
)
# How launchers tell a process the number of workers.
LAUNCHER_SIZES = ("HOROVOD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE")


def missing() -> str | None:
    """What is not installed, in words; None: nothing."""
    spec = importlib.util.find_spec("horovod")
    if spec is None:
        return "Horovod is not installed"
    # Horovod installs without an extension that it could not compile.
    folders = [f"{folder}/tensorflow" for folder in spec.submodule_search_locations or ()]
    if importlib.machinery.PathFinder.find_spec("mpi_lib", folders) is None:
        return "Horovod is installed without its TensorFlow extension"
    return None
