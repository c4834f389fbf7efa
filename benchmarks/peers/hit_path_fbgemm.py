"""FBGEMM's table-batched embedding on the CPU, with the SGD step fused into the backward pass.

python -m benchmarks.peers.hit_path_fbgemm IDS BATCHES SIZE DIMENSION VOCABULARY THREADS
"""

import sys
from collections.abc import Callable
from typing import Any

import fbgemm_gpu
import numpy as np
import torch
from fbgemm_gpu.split_embedding_configs import EmbOptimType
from fbgemm_gpu.split_table_batched_embeddings_ops_common import EmbeddingLocation, PoolingMode
from fbgemm_gpu.split_table_batched_embeddings_ops_training import (
    ComputeDevice,
    SplitTableBatchedEmbeddingBagsCodegen,
)

from benchmarks.peers.serve import serve


def main() -> None:
    file, *numbers = sys.argv[1:]
    batches, size, dimension, vocabulary, threads = map(int, numbers)
    torch.set_num_threads(threads)
    ids = [torch.from_numpy(part) for part in np.fromfile(file, np.int64).reshape(batches, size)]
    gradient = torch.full((size, dimension), 1e-3)
    offsets = torch.arange(size + 1, dtype=torch.int64)

    def path(pooling: PoolingMode) -> Callable[[int], Any]:
        layer = SplitTableBatchedEmbeddingBagsCodegen(
            [(vocabulary, dimension, EmbeddingLocation.HOST, ComputeDevice.CPU)],
            optimizer=EmbOptimType.EXACT_SGD,
            learning_rate=0.01,
            pooling_mode=pooling,
        )
        layer.init_embedding_weights_uniform(-0.05, 0.05)
        # One table without pooling: all ids are one bag of the sequence; with it each id is a bag.
        bags = offsets if pooling is not PoolingMode.NONE else torch.tensor([0, size])

        def step(number: int) -> None:
            layer(ids[number % batches], bags).backward(gradient)

        return step

    paths = {}
    for name, pooling in (("sequence", PoolingMode.NONE), ("bags of one id", PoolingMode.SUM)):
        try:
            step = path(pooling)
            step(0)
        except (RuntimeError, NotImplementedError, AssertionError) as error:
            print(f"{name}: {error}", file=sys.stderr)
        else:
            paths[name] = step
    serve(paths, warm_up=5, version=f"fbgemm_gpu {fbgemm_gpu.__version__}, torch {torch.__version__}")


if __name__ == "__main__":
    main()
