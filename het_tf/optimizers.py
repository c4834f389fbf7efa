"""`DistributedOptimizer`: any Keras optimizer, for dense variables and tables.

It becomes a subclass of the wrapped optimizer's class whose `apply`
1. broadcasts the variables of rank 0, once;
2. averages the dense gradients over the workers (Horovod AllReduce);
3. lets Keras clip, over dense and embedding gradients alike;
4. hands the embedding gradients to their tables in `update_step`, with the
   learning rate that Keras gives, divided by the number of workers;
5. at staleness 0, lets no worker go on before all updates are in the shards.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from het_tf import anchors, runtime
from het_tf.clipping import clip
from het_tf.cluster import ClusterError
from het_tf.components import optimizer_component
from het_tf.table import Table, update_many


def DistributedOptimizer(optimizer: Any) -> keras.optimizers.Optimizer:  # noqa: N802 (named as Horovod names it)
    """Makes a Keras optimizer train het_tf tables, and all workers one model.

    Args:
      optimizer: a Keras optimizer that has not been used yet, or its name. For
        dense variables any will do. Tables are trained by their own optimizer,
        or by the shards' counterpart of this one: SGD, with momentum and
        Nesterov's, Adagrad, het_tf.RowwiseAdagrad, Adam and AdamW (lazily, on
        the rows that a step touches), Ftrl, with their weight decay. Clipping
        counts the gradients of tables as Keras counts those of its own
        Embedding, and is exact over all workers.

    Returns:
      The optimizer itself, extended: an instance of a subclass of its class.

    Raises:
      ValueError: it cannot be distributed; says why. A table without a
        counterpart raises at the first step, and so do workers whose models
        differ (ClusterError).
    """
    made = keras.optimizers.get(optimizer)
    if isinstance(made, _Distributed):
        return made
    name = type(made).__name__
    if isinstance(made, keras.optimizers.LossScaleOptimizer):
        raise ValueError(
            "DistributedOptimizer does not support LossScaleOptimizer (mixed_float16): workers could disagree about "
            "skipping a step; use mixed_bfloat16 or float32"
        )
    for option in ("gradient_accumulation_steps", "loss_scale_factor"):
        value = getattr(made, option, None)
        if value:
            raise ValueError(f"DistributedOptimizer does not support {option} ({name} has {value!r}): leave it out")
    if made.built:
        raise ValueError(f"{name} has been used already: give DistributedOptimizer a new one")
    kind = type(made)
    # The same name: a saved configuration is the plain optimizer's.
    made.__class__ = type(kind.__name__, (_Distributed, kind), {"__module__": kind.__module__, "wrapped_class": kind})
    made._step = _Step()
    return made


class _Step:
    """What the parts of one `apply` know of each other."""

    def __init__(self) -> None:
        self.started = False
        self.tables: set[Table] = set()  # ready to be trained
        self.embedding_gradients: list[tf.IndexedSlices] = []
        # What `update_step` was given for tables; goes out as one exchange.
        self.rows: list[tuple[Table, tf.IndexedSlices, tf.Tensor]] = []
        self.updates: list[tf.Operation] = []
        with tf.init_scope():
            self._meetings = tf.Variable(0.0, trainable=False)

    def update_rows(self, before: list[Any]) -> None:
        """Updates the tables; those at staleness 0 after `before`."""
        self.updates = []
        for in_lock_step in (False, True):
            rows = [row for row in self.rows if row[0].in_lock_step is in_lock_step]
            if not rows:
                continue
            with tf.control_dependencies(before if in_lock_step else []):
                update = update_many(*zip(*rows, strict=True))
            if update is not None and in_lock_step:
                self.updates.append(update)

    def meet(self, iterations: Any, name: str) -> Any:
        """Something to depend on that is there when every worker has come here.

        Horovod's ops count as free of side effects: TensorFlow would compute the
        sum of a constant once and for all, and leave out a sum that nobody
        uses. So a variable's value is summed, and the sum is stored.
        """
        together = runtime.all_reduce_sum(tf.cast(iterations.value, tf.float32), name)
        return self._meetings.assign(together, read_value=False)


if TYPE_CHECKING:  # whatever it is mixed into is one
    from keras.optimizers import Optimizer as _Optimizer
else:
    _Optimizer = object


class _Distributed(_Optimizer):
    """Mixed in before the wrapped optimizer's class; see the module."""

    _step: _Step

    def __setattr__(self, name: str, value: Any) -> None:
        # A LossScaleOptimizer sets it on the optimizer that it is put around.
        if name == "loss_scale_factor":
            raise ValueError(
                "DistributedOptimizer does not support loss scaling (a LossScaleOptimizer around it, as compile makes "
                f"one under mixed_float16, or loss_scale_factor={value!r}): workers could disagree about skipping a "
                "step; use mixed_bfloat16 or float32"
            )
        super().__setattr__(name, value)

    def build(self, variables: Sequence[Any]) -> None:
        with anchors.known():
            super().build(variables)

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None) -> None:
        if not grads:
            return
        if trainable_variables is None:
            variables = list(self._trainable_variables)
        else:
            variables = list(trainable_variables)
        tables = [anchors.table_of(variable) for variable in variables]
        _check_gradients(grads, tables)
        with tf.init_scope():  # now, though a tf.function may be being traced
            if not self._step.started:
                if not self.built:
                    self.build(variables)
                self._broadcast()
                self._step.started = True
            for table in tables:
                if table is not None and table not in self._step.tables:
                    self._prepare(table)
                    self._step.tables.add(table)

        grads, before = list(grads), []
        if runtime.size() > 1:
            _refuse_branches()
            # A table may feed no dense gradient: the workers meet only after all
            # of their lookups, which the gradients of tables wait for.
            read = [g.values for g, t in zip(grads, tables, strict=True) if t is not None and g is not None]
            with tf.control_dependencies(read):
                if all(g is None or t is not None for g, t in zip(grads, tables, strict=True)):
                    # Without dense gradients nothing else keeps the workers in step.
                    before = [self._step.meet(self.iterations, "het_tf.gradients")]
                else:
                    grads = _average(grads, tables)
                    before = [g for g, t in zip(grads, tables, strict=True) if t is None and g is not None]
        self._step.embedding_gradients = [g for g, t in zip(grads, tables, strict=True) if t is not None]
        self._step.rows = []
        with anchors.known():
            super().apply(grads, variables)
        # At staleness 0 nobody's update may be seen by another worker's lookup of
        # this step; the others do not wait for the AllReduce.
        self._step.update_rows(before)
        if runtime.size() > 1:
            self._finish([table for table in tables if table is not None and table.in_lock_step])

    def _broadcast(self) -> None:
        """Once, before the first step: one model for all, the variables that later steps train included."""
        hvd = runtime.current().horovod
        if hvd is None:
            return
        everything = [*self._trainable_variables, *self.variables]
        _check_alike(hvd, [(getattr(v, "path", v.name), _identity(v)) for v in everything])
        for place, variable in enumerate(everything):
            # By place, not by name: Keras counts its automatic names up, and
            # workers that made other layers before have others.
            if 0 not in variable.shape:
                variable.assign(hvd.broadcast(tf.convert_to_tensor(variable), 0, name=f"het_tf.variable.{place}"))

    def _prepare(self, table: Table) -> None:
        """Before a table's first step: its optimizer."""
        if self.use_ema:
            raise ValueError(
                f"use_ema=True does not average the rows of table {table.name!r}, and averaged dense variables do not "
                "belong to them: leave it out"
            )
        if table.own_optimizer is None:
            table.set_optimizer(optimizer_component(self, decays=self._use_weight_decay(table.anchor)))
        _ = table.handle

    def _finish(self, in_lock_step: list[Table]) -> None:
        if not in_lock_step:
            return
        with tf.control_dependencies(self._step.updates):
            all_are_done = self._step.meet(self.iterations, "het_tf.step")
        # Whatever uses the tables next comes after this.
        with tf.control_dependencies([all_are_done]):
            for table in in_lock_step:
                table.flush()

    def _clip_gradients(self, grads: list[Any]) -> list[Any]:
        ours = [any(g is e for e in self._step.embedding_gradients) for g in grads]
        if not any(ours):
            return super()._clip_gradients(grads)
        return clip(self, grads, ours)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        table = anchors.table_of(variable)
        if table is None:
            super().update_step(gradient, variable, learning_rate)
            return
        if table.own_optimizer is not None:
            table.own_optimizer.iterations.assign(self.iterations)
            learning_rate = table.own_optimizer.learning_rate
        self._step.rows.append((table, gradient, keras.ops.convert_to_tensor(learning_rate)))

    def finalize_variable_values(self, var_list: Any) -> None:
        """Called by `fit` at its end: every worker's last updates go to the shards."""
        super().finalize_variable_values(var_list)
        runtime.flush(wait_for_all=True)


def _average(grads: list[Any], tables: list[Table | None]) -> list[Any]:
    """Dense gradients averaged over the workers; those of tables stay as they are."""
    hvd = runtime.current().horovod
    places = [i for i, (g, t) in enumerate(zip(grads, tables, strict=True)) if g is not None and t is None]
    dense = [tf.convert_to_tensor(grads[i]) for i in places]
    with runtime.names_for_all():
        reduced = hvd.grouped_allreduce(dense, op=hvd.Average, name="het_tf.gradients")
    for i, gradient in zip(places, reduced, strict=True):
        grads[i] = gradient
    return grads


def _check_gradients(grads: Sequence[Any], tables: Sequence[Table | None]) -> None:
    for gradient, table in zip(grads, tables, strict=True):
        if table is not None and gradient is not None and not isinstance(gradient, tf.IndexedSlices):
            raise TypeError(
                f"the gradient of table {table.name!r} is {gradient!r}, expected tf.IndexedSlices as the tape gives "
                "it: it must not be made dense on the way to the optimizer"
            )


def _identity(variable: Any) -> str:
    """What a variable has to be on every worker, in words."""
    table = anchors.table_of(variable)
    if table is None:
        return f"{variable.dtype} of shape {tuple(variable.shape)}"
    kind = "synchronous table" if table.spec.synchronous else "table"
    return f"{kind} {table.name!r} of dimension {table.spec.dimension} at staleness {table.spec.staleness:g}"


def _check_alike(hvd: Any, mine: list[tuple[str, str]]) -> None:
    """Workers that train different variables would hang, or train tables of their own without a word.

    Raises:
      ClusterError: on every worker alike; names the first difference.
    """
    everyone = hvd.allgather_object(mine, name="het_tf.variables")
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


def _refuse_branches() -> None:
    graph = tf.compat.v1.get_default_graph() if not tf.executing_eagerly() else None
    # As far as the function whose body this is: around it Keras's own loop has
    # branches (steps_per_execution), in which all workers go the same way.
    while graph is not None and type(graph).__name__ != "FuncGraph":
        if type(graph).__name__ == "CondBranchFuncGraph":
            raise ValueError(
                "DistributedOptimizer.apply is called inside a conditional (a LossScaleOptimizer around it does that): "
                "workers that disagree about the condition would wait for each other for ever; call it "
                "unconditionally"
            )
        graph = getattr(graph, "outer_graph", None)
