"""What has to be alike on all workers, which otherwise would wait for each other for ever."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from het_tf import anchors, runtime
from het_tf.cluster import ClusterError


def check(variables: Sequence[Any]) -> None:
    """Workers that train different variables would hang, or train tables of their own without a word.

    Raises:
      ClusterError: on every worker alike; names the first difference.
    """
    mine = [(getattr(variable, "path", variable.name), _identity(variable)) for variable in variables]
    everyone = runtime.current().horovod.allgather_object(mine, name="het_tf.variables")
    for rank, theirs in enumerate(everyone):
        for place, pair in enumerate(itertools.zip_longest(everyone[0], theirs, fillvalue=("nothing", "nothing"))):
            (first_name, first), (name, other) = pair
            if first != other:
                raise ClusterError(
                    f"the workers train different models: variable {place} is {first} ({first_name}) on rank 0 and "
                    f"{other} ({name}) on rank {rank}; make the same model on every worker, and give embedding layers "
                    "names of their own, Embedding(..., table='user'): Keras's automatic ones count every layer that "
                    "a process has made"
                )


def refuse_branches() -> None:
    """Raises ValueError in a branch (tf.cond) of the function that is being traced."""
    graph = tf.compat.v1.get_default_graph() if not tf.executing_eagerly() else None
    # As far as the function whose body this is: around it Keras's own loop has
    # branches (steps_per_execution), in which all workers go the same way.
    while graph is not None and type(graph).__name__ != "FuncGraph":
        if type(graph).__name__ == "CondBranchFuncGraph":
            raise ValueError(
                "DistributedOptimizer.apply is called inside a conditional: workers that disagree about the "
                "condition would wait for each other for ever; call it unconditionally"
            )
        graph = getattr(graph, "outer_graph", None)


def _identity(variable: Any) -> str:
    """What a variable has to be on every worker, in words."""
    table = anchors.table_of(variable)
    if table is None:
        return f"{variable.dtype} of shape {tuple(variable.shape)}"
    kind = "synchronous table" if table.spec.synchronous else "table"
    return f"{kind} {table.name!r} of dimension {table.spec.dimension} at staleness {table.spec.staleness:g}"
