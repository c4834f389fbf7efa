"""A worker that trains with checkpoints and tells how it ended: FOLDER/NAME.rank.N.json.

`python checkpointed.py DIRECTORY FOLDER NAME [UNTIL]`: at the end of batch UNTIL,
when the checkpoints so far are written, every worker is killed, once.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import het_tf as het

DIRECTORY, FOLDER, NAME, *REST = sys.argv[1:]
# In a ps task this is the shard, and goes no further.
het.init(checkpoint_dir=DIRECTORY)

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402

import small_model  # noqa: E402

EPOCHS, EVERY = 2, 3


class Losses(keras.callbacks.Callback):
    """Of every batch; the metric is a mean since the epoch began, so it starts anew."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[float] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.found.append(float(logs["loss"]))
        self.model.reset_metrics()


class Killed(keras.callbacks.Callback):
    def __init__(self, saving: het.callbacks.Checkpoint, until: int) -> None:
        super().__init__()
        self.saving = saving
        self.until = until

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        once = Path(FOLDER) / f"{NAME}.rank.{het.rank()}.killed"
        if self.saving.step == self.until and not once.exists():
            self.saving._saving.wait()
            once.touch()
            os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    model, layer = small_model.build("kept")
    model.compile(small_model.sgd(), "mse")
    batch = small_model.BATCH // het.size()
    data = tf.data.Dataset.from_tensor_slices(small_model.rows_of_this_worker()).batch(batch)
    saving, losses = het.callbacks.Checkpoint(every=EVERY, full_every=2), Losses()
    callbacks = [saving, losses, *(Killed(saving, int(until)) for until in REST)]
    model.fit(saving.resume(data), epochs=EPOCHS, callbacks=callbacks, verbose=0)
    report = {
        **small_model.state(model, layer),
        "losses": losses.found,
        "began": [saving.restored.step, saving.restored.shards] if saving.restored is not None else [0, 0],
        "iterations": int(model.optimizer.iterations),
        "step": saving.step,
    }
    (Path(FOLDER) / f"{NAME}.rank.{het.rank()}.json").write_text(json.dumps(report))


main()
