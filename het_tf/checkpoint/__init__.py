"""Checkpoints: rows with their optimizer state and dense variables, of one moment (docs/checkpoints.md).

`save` and `restore` are for loops of your own; `het.callbacks.Checkpoint` does
both inside ``fit``. What only reads and writes files needs no TensorFlow, and
loads none.
"""

import importlib
from typing import TYPE_CHECKING, Any

from het_tf.checkpoint.contents import inspect, merge
from het_tf.checkpoint.directory import Manifest, prune, verify
from het_tf.checkpoint.directory import manifests as list
from het_tf.checkpoint.exporting import export
from het_tf.checkpoint.files import CheckpointError, DamagedFile, OtherModel

if TYPE_CHECKING:
    from het_tf.checkpoint.restoring import restore
    from het_tf.checkpoint.rows import import_rows
    from het_tf.checkpoint.saving import Saving, save

__all__ = [
    "CheckpointError",
    "DamagedFile",
    "Manifest",
    "OtherModel",
    "Saving",
    "export",
    "import_rows",
    "inspect",
    "list",
    "merge",
    "prune",
    "restore",
    "save",
    "verify",
]

_HOME = {"Saving": "saving", "import_rows": "rows", "restore": "restoring", "save": "saving"}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"het_tf.checkpoint.{_HOME[name]}"), name)
    raise AttributeError(f"module 'het_tf.checkpoint' has no attribute {name!r}")
