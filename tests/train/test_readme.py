"""The README's examples do what they say."""

import re
from pathlib import Path

import numpy as np
import tensorflow as tf

from het_tf import checkpoint, runtime

README = Path(__file__).resolve().parents[2] / "README.md"


def test_the_example_trains_and_is_saved(monkeypatch, tmp_path):
    monkeypatch.setenv("HET_TF_CHECKPOINT_DIR", str(tmp_path))
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    example, resumed = [text for text in blocks if ".fit(" in text]
    random = np.random.default_rng(0)
    ids = {name: random.integers(-(2**62), 2**62, 32) for name in ("user", "item")}
    dataset = tf.data.Dataset.from_tensor_slices((ids, random.integers(0, 2, (32, 1)))).batch(8)
    names = {"dataset": dataset}
    exec(example, names)
    updates = {name: table.stats()["updates"] for name, table in runtime.current().tables.items()}
    assert updates == {"user": 8, "item": 8}
    assert len(names["model"].history.history["hit_rate"]) == 2
    exec(resumed, names)
    assert [(one.step, one.tables) for one in checkpoint.list(tmp_path)] == [(4, ("item", "user"))]
