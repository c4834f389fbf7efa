"""What all tests share: no job from the environment, a fresh runtime per test, real shards on request.

Nothing heavy is imported here: tests without TensorFlow stay quick.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from processes import JOB_VARIABLES

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def pytest_configure() -> None:
    # Behind nohup or in the background of a script signals are ignored, and
    # would be by the processes that tests start.
    for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)
    # A run that is ended ends what its tests have started.
    signal.signal(signal.SIGTERM, lambda *_: pytest.exit("ended by SIGTERM", returncode=128 + signal.SIGTERM))


@pytest.fixture(autouse=True)
def fresh_runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No job in the environment; a test's runtime and tables end with it."""
    for name in list(os.environ):
        if name.startswith(JOB_VARIABLES):
            monkeypatch.delenv(name)
    yield
    _shut_down()


def _shut_down() -> None:
    runtime = sys.modules.get("het_tf.runtime")
    if runtime is not None:
        # A test whose shards are gone has nothing to flush any more.
        with contextlib.suppress(Exception):
            runtime.shutdown()


@pytest.fixture
def start_shards() -> Iterator[Callable[..., list[str]]]:
    """Starts so many shard processes, which end with the test; returns their addresses."""
    from het_tf.shard_process import ShardProcess

    with contextlib.ExitStack() as running:

        def start(count: int, checkpoint_dir: Path | None = None) -> list[str]:
            places = [{"index": i, "count": count, "checkpoint_dir": checkpoint_dir} for i in range(count)]
            return [running.enter_context(ShardProcess(**place)).address for place in places]

        yield start
        _shut_down()


@pytest.fixture
def store_of(start_shards: Callable[..., list[str]]) -> Callable[[int], list[str]]:
    """Joins a job over an embedded shard (0) or so many real ones; may be called again, for the next one."""
    import het_tf

    def join(shards: int) -> list[str]:
        het_tf.shutdown()
        addresses = start_shards(shards)
        het_tf.init(addresses)
        return addresses

    return join
