"""Fixtures: Keras starts every test from the same state."""

from __future__ import annotations

from collections.abc import Iterator

import keras
import pytest

SEED = 1234


@pytest.fixture(autouse=True)
def fresh_keras(fresh_runtime: None) -> Iterator[None]:
    """Layer names, seeds and the dtype policy."""
    keras.backend.clear_session(free_memory=False)
    keras.utils.set_random_seed(SEED)
    yield
    keras.config.set_dtype_policy("float32")
