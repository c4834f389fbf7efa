"""The README's example does what it says."""

import re
from pathlib import Path

import numpy as np
import tensorflow as tf

from het_tf import runtime

README = Path(__file__).resolve().parents[2] / "README.md"


def test_the_example_trains():
    (example,) = [text for text in re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL) if ".fit(" in text]
    random = np.random.default_rng(0)
    ids = {name: random.integers(-(2**62), 2**62, 32) for name in ("user", "item")}
    dataset = tf.data.Dataset.from_tensor_slices((ids, random.integers(0, 2, (32, 1)))).batch(8)
    names = {"dataset": dataset}
    exec(example, names)
    updates = {name: table.stats()["updates"] for name, table in runtime.current().tables.items()}
    assert updates == {"user": 8, "item": 8}
    assert len(names["model"].history.history["hit_rate"]) == 2
