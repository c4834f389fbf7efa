"""Fixtures: Keras starts every test from the same state."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import pytest

import het_tf as het
from pairs import wait_for_writers

SEED = 1234


@pytest.fixture(autouse=True)
def fresh_keras(fresh_runtime: None) -> Iterator[None]:
    """Layer names, seeds and the dtype policy."""
    keras.backend.clear_session(free_memory=False)
    keras.utils.set_random_seed(SEED)
    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture
def begin(start_shards, tmp_path) -> Callable[..., Path]:
    """Begins a job anew, as after a restart: other shards (0: one inside), the same directory of checkpoints."""

    def start(shards: int = 0) -> Path:
        wait_for_writers()
        het.shutdown()
        keras.backend.clear_session(free_memory=False)
        directory = tmp_path / "checkpoints"
        het.init(start_shards(shards, directory), checkpoint_dir=directory)
        return directory

    return start
