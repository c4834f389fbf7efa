"""het_tf: embedding tables far larger than a machine, inside Keras's own ``fit``.

Tables live in parameter-server shards, every worker keeps a cache of the hot
rows with bounded staleness, and Horovod averages the dense variables (HET,
VLDB 2022). See the README for the first five minutes.
"""

import importlib
from typing import TYPE_CHECKING, Any

from het_tf.config import CacheConfig, FeatureConfig, TableConfig
from het_tf.version import VERSION as __version__
from het_tf.version import check_tensorflow

if TYPE_CHECKING:
    from het_tf import callbacks, checkpoint, data, layers
    from het_tf.optimizers import DistributedOptimizer
    from het_tf.rowwise_adagrad import RowwiseAdagrad
    from het_tf.runtime import barrier, flush, init, rank, shards, shutdown, size

check_tensorflow()

__all__ = [
    "CacheConfig",
    "DistributedOptimizer",
    "FeatureConfig",
    "RowwiseAdagrad",
    "TableConfig",
    "__version__",
    "barrier",
    "callbacks",
    "checkpoint",
    "data",
    "flush",
    "init",
    "layers",
    "rank",
    "shards",
    "shutdown",
    "size",
]

# Loaded at first use: what needs no TensorFlow does not wait for it.
_MODULES = ("callbacks", "checkpoint", "data", "layers")
_HOME = {
    "DistributedOptimizer": "optimizers",
    "RowwiseAdagrad": "rowwise_adagrad",
    "barrier": "runtime",
    "flush": "runtime",
    "init": "runtime",
    "rank": "runtime",
    "shards": "runtime",
    "shutdown": "runtime",
    "size": "runtime",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"het_tf.{name}")
    if name in _HOME:
        return getattr(importlib.import_module(f"het_tf.{_HOME[name]}"), name)
    raise AttributeError(f"module 'het_tf' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
