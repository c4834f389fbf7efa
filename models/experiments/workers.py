"""Workers that meet: Horovod between them, and the rows that every system begins with.

The addresses come from the experiment and not from the environment, so that workers
can be on emulated hosts that no launcher reaches.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

import het_tf as het
from het_tf import horovod_rendezvous
from het_tf.cluster import Cluster
from models.experiments.build import start
from models.experiments.spec import Spec

_CHUNK_BYTES = 64 << 20


def start_horovod(spec: Spec, rank: int) -> Any:
    """horovod.tensorflow between the workers; None with one."""
    if spec.workers == 1:
        return None
    horovod_rendezvous.configure(Cluster(workers=spec.meeting_addresses, task_index=rank))
    import horovod.tensorflow as hvd  # one worker does without

    hvd.init()
    return hvd


def first_rows(spec: Spec) -> dict[str, np.ndarray]:
    """Every table's rows before the first step, float32 (vocabulary, dimension): those that het_tf's tables begin with.

    REQUIRES: neither Horovod nor het_tf has been started in this process.
    """
    het.init(shards=[])
    made = {}
    for name, width in spec.tables.items():
        layer = het.layers.Embedding(spec.data.vocabulary, width, start(spec), name=name)
        rows = np.empty((spec.data.vocabulary, width), np.float32)
        chunk = max(1, _CHUNK_BYTES // (4 * width))
        for begin in range(0, len(rows), chunk):
            end = min(begin + chunk, len(rows))
            rows[begin:end] = layer.rows(np.arange(begin, end)).numpy()
        made[name] = rows
    het.shutdown()
    keras.backend.clear_session()
    return made
