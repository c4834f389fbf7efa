"""Fixtures: tables by the ops themselves; a function run eagerly and traced."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import tensorflow as tf

from raw_tables import Opener


@pytest.fixture
def opened(start_shards: Callable[[int], list[str]]) -> Iterator[Opener]:
    # What is open is closed before the shards stop: a shard waits some seconds for idle connections.
    opener = Opener()
    yield opener
    opener.close()


@pytest.fixture(params=["eager", "function"])
def run(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Calls a function eagerly, or as a tf.function of all its tensors."""
    if request.param == "eager":
        return lambda function, *tensors: function(*tensors)

    def traced(function: Callable[..., Any], *tensors: tf.Tensor) -> Any:
        return tf.function(function, autograph=False)(*tensors)

    return traced
