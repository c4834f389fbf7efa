"""Loads an op library that was built with CUDA=1 and checks that its kernels are registered for a GPU.

usage: cuda_library.py LIBRARY

No kernel runs: no GPU is needed, nor a TensorFlow with CUDA.
"""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf
from tensorflow.python.framework.kernels import get_registered_kernels_for_op

OPS = (
    "HetStore",
    "HetEmbeddingTable",
    "HetEmbeddingLookup",
    "HetEmbeddingPrefetch",
    "HetEmbeddingUpdate",
    "HetEmbeddingFlush",
    "HetEmbeddingAssign",
    "HetEmbeddingStats",
    "HetCheckClocks",
    "HetStoreTraffic",
)


def without_gpu_kernel() -> list[str]:
    """Ops of the loaded library that TensorFlow could not place on a GPU."""
    return [op for op in OPS if "GPU" not in {k.device_type for k in get_registered_kernels_for_op(op).kernel}]


def main() -> None:
    (library,) = sys.argv[1:]
    tf.load_op_library(library)
    missing = without_gpu_kernel()
    if missing:
        sys.exit(f"{library}: no GPU kernel of {', '.join(missing)}")
    print(f"{library}: compiled, linked and loaded, GPU kernels of {len(OPS)} ops registered; none of them was run")


if __name__ == "__main__":
    main()
