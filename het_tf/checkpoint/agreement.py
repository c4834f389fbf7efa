"""What the chief worker does for all: the others wait for it, and get its result or its error."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any, TypeVar

from het_tf import runtime

Result = TypeVar("Result")


def is_chief() -> bool:
    return runtime.rank() == 0


def by_chief(work: Callable[[], Result], name: str) -> Result:
    """The result of `work`, which rank 0 alone does; every worker calls this, with the same name.

    Raises:
      Whatever `work` raises, on every worker.
    """
    hvd = runtime.current().horovod
    if hvd is None:
        return work()
    outcome: tuple[str, Any] = ("", None)
    failure: BaseException | None = None
    if is_chief():
        try:
            outcome = ("done", work())
        except Exception as error:
            failure = error
            outcome = ("failed", _portable(error))
    how, result = hvd.broadcast_object(outcome, 0, name=f"het_tf.{name}")
    if how == "failed":
        raise failure if failure is not None else result
    return result


def by_all(work: Callable[[], Result], name: str) -> Result:
    """The result of `work`, which every worker does for itself; nobody goes on where one has failed.

    Raises:
      Whatever `work` raises here, or else on the first worker where it does.
    """
    hvd = runtime.current().horovod
    if hvd is None:
        return work()
    failure: Exception | None = None
    result: Any = None
    try:
        result = work()
    except Exception as error:
        failure = error
    everywhere = hvd.allgather_object(_portable(failure) if failure else None, name=f"het_tf.{name}")
    failures = [one for one in (failure, *everywhere) if one is not None]
    if failures:
        raise failures[0]
    return result


def _portable(error: Exception) -> Exception:
    """The error, or its text where it cannot be sent."""
    try:
        return pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"on another worker: {type(error).__name__}: {error}")
