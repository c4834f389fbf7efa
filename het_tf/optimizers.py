"""`DistributedOptimizer`: any Keras optimizer, for dense variables and tables.

It becomes a subclass of the wrapped optimizer's class whose `apply`
1. broadcasts the variables of rank 0, once, with what the models of its tables do not train;
2. averages the dense gradients over the workers (Horovod AllReduce);
3. lets Keras clip, over dense and embedding gradients alike;
4. hands the embedding gradients to their tables in `update_step`, with the
   learning rate that Keras gives, divided by the number of workers;
5. at staleness 0, lets no worker go on before all updates are in the shards.

With gradient accumulation 2 to 5 happen once for n steps. Under loss scaling
they happen when the gradients of all workers are finite (loss_scaling.py).
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from het_tf import alike, anchors, loss_scaling, runtime
from het_tf.accumulation import Accumulator, merged
from het_tf.clipping import clip
from het_tf.components import optimizer_component
from het_tf.table import Table, update_many


def DistributedOptimizer(optimizer: Any) -> keras.optimizers.Optimizer:  # noqa: N802 (named as Horovod names it)
    """Makes a Keras optimizer train het_tf tables, and all workers one model.

    The first step begins with rank 0's variables: those that are trained, the
    optimizer's, and the weights without training of models that look up in the
    tables that are trained.

    Args:
      optimizer: a Keras optimizer that has not been used yet, or its name. For
        dense variables any will do. Tables are trained by their own optimizer,
        or by the shards' counterpart of this one: SGD, with momentum and
        Nesterov's, Adagrad, het_tf.RowwiseAdagrad, Adam and AdamW (lazily, on
        the rows that a step touches), Ftrl, with their weight decay. Clipping
        counts the gradients of tables as Keras counts those of its own
        Embedding, and is exact over all workers. A LossScaleOptimizer may be
        given, or be put around what is returned, as `compile` does under
        mixed_float16: workers then skip the same steps.

    Returns:
      The optimizer itself, extended: an instance of a subclass of its class.

    Raises:
      ValueError: it cannot be distributed; says why. A table without a
        counterpart raises at the first step, and so do clipping of accumulated
        gradients of tables by several workers, and workers whose models differ
        (ClusterError).
    """
    made = keras.optimizers.get(optimizer)
    if isinstance(made, _Distributed):
        return made
    name = type(made).__name__
    if isinstance(made, keras.optimizers.LossScaleOptimizer):
        if made.built and not isinstance(made, loss_scaling.Agreeing):
            raise ValueError(f"{name} has been used already: give DistributedOptimizer a new one")
        DistributedOptimizer(made.inner_optimizer)
        loss_scaling.agree(made)
        return made
    if made.loss_scale_factor:
        raise ValueError(_fixed_scale(made.loss_scale_factor))
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
        self.number = 0  # among the optimizers that have started, the same on all workers
        # Inside a branch that all workers take alike.
        self.agreed = False
        self.tables: set[Table] = set()  # ready to be trained
        self.embedding_gradients: list[tf.IndexedSlices] = []
        # What `update_step` was given for tables; goes out as one exchange.
        self.rows: list[tuple[Table, tf.IndexedSlices, tf.Tensor]] = []
        self.updates: list[tf.Operation] = []
        self.accumulators: dict[Table, Accumulator] = {}
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
        # A LossScaleOptimizer, made by the user or by `compile`, sets it on the
        # optimizer that it is put around: the one moment to know of it.
        if name == "loss_scale_factor":
            around = sys._getframe(1).f_locals.get("self")
            if value is not None or not isinstance(around, keras.optimizers.LossScaleOptimizer):
                raise ValueError(_fixed_scale(value))
            loss_scaling.agree(around)
        super().__setattr__(name, value)

    @contextlib.contextmanager
    def in_a_branch_of_all(self) -> Iterator[None]:
        """For a caller of `apply` whose condition is the same on all workers, and that has made them meet."""
        if runtime.size() > 1 and not self._step.agreed:
            alike.refuse_branches()
        before, self._step.agreed = self._step.agreed, True
        try:
            with runtime.branch_of_all(self._step.number):
                yield
        finally:
            self._step.agreed = before

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
        self.start(variables)
        if runtime.size() > 1 and not self._step.agreed:
            alike.refuse_branches()
        with anchors.known():
            super().apply(grads, variables)

    def start(self, variables: Sequence[Any], also: Sequence[Any] = ()) -> None:
        """What comes before a first step with these variables; `also`: more that rank 0 tells."""
        tables = [anchors.table_of(variable) for variable in variables]
        with tf.init_scope():  # now, though a tf.function may be being traced
            if not self._step.started:
                if not self.built:
                    self.build(variables)
                self._broadcast([*also, *anchors.others_of_models(variables)])
                self._step.number = runtime.current().optimizers
                runtime.current().optimizers += 1
                self._step.started = True
            for table in tables:
                if table is not None and table not in self._step.tables:
                    self._prepare(table)
                    self._step.tables.add(table)

    def _backend_apply_gradients(self, grads: list[Any], variables: list[Any]) -> None:
        tables = [anchors.table_of(variable) for variable in variables]
        if not self.gradient_accumulation_steps or all(table is None for table in tables):
            # Without tables gradient accumulation is Keras's own.
            grads, before = self._reduce(list(grads), tables)
            super()._backend_apply_gradients(grads, variables)
            self._finish(tables, before)
            return
        # Every worker counts alike. Nothing in the branches begins before the
        # lookups of this step are done.
        with tf.control_dependencies(_values_of(grads, tables)):
            is_last = tf.equal((self._iterations.value + 1) % self.gradient_accumulation_steps, 0)
        with self.in_a_branch_of_all():
            keras.ops.cond(
                is_last,
                lambda: self._step_with_accumulated(grads, variables, tables),
                lambda: self._accumulate(grads, variables, tables),
            )

    def _reduce(self, grads: list[Any], tables: list[Table | None]) -> tuple[list[Any], list[Any]]:
        """The gradients of a step, dense ones averaged over the workers; and what its updates have to wait for."""
        before: list[Any] = []
        if runtime.size() > 1:
            # A table may feed no dense gradient: the workers meet only after all
            # of their lookups, which the gradients of tables wait for.
            with tf.control_dependencies(_values_of(grads, tables)):
                if all(g is None or t is not None for g, t in zip(grads, tables, strict=True)):
                    # Without dense gradients nothing else keeps the workers in step.
                    before = [self._step.meet(self._iterations, "het_tf.gradients")]
                else:
                    grads = _average(grads, tables)
                    before = [g for g, t in zip(grads, tables, strict=True) if t is None and g is not None]
        self._step.embedding_gradients = [g for g, t in zip(grads, tables, strict=True) if t is not None]
        self._step.rows = []
        return grads, before

    def _accumulate(self, grads: list[Any], variables: list[Any], tables: list[Table | None]) -> None:
        for gradient, variable, table in zip(grads, variables, tables, strict=True):
            if table is not None:
                self._accumulator(table).keep(gradient)
            else:
                kept = self._accumulated_gradients[self._get_variable_index(variable)]
                kept.assign(gradient + kept)

    def _step_with_accumulated(self, grads: list[Any], variables: list[Any], tables: list[Table | None]) -> None:
        steps = self.gradient_accumulation_steps
        means: list[Any] = []
        for gradient, variable, table in zip(grads, variables, tables, strict=True):
            if table is None:
                means.append((gradient + self._accumulated_gradients[self._get_variable_index(variable)]) / steps)
                continue
            total = self._accumulator(table).plus(gradient)
            # Keras's accumulators are dense: a limit is one for the sum of an id's occurrences.
            total = merged(total) if self._clips() else total
            means.append(tf.IndexedSlices(total.values / steps, total.indices))
        means, before = self._reduce(means, tables)
        means = self._clip_gradients(means)
        self._apply_weight_decay(variables)
        self._backend_update_step(means, variables, self.learning_rate)
        self._backend_reset_gradient_accumulators()
        for accumulator in self._step.accumulators.values():
            accumulator.clear()
        self._finish(tables, before)

    def _accumulator(self, table: Table) -> Accumulator:
        if table not in self._step.accumulators:
            self._step.accumulators[table] = Accumulator(table)
        return self._step.accumulators[table]

    def _clips(self) -> bool:
        return bool(self.clipnorm or self.global_clipnorm or self.clipvalue)

    def _broadcast(self, also: Sequence[Any]) -> None:
        """Once, before the first step: one model for all, the variables that later steps train included, and `also`."""
        hvd = runtime.current().horovod
        if hvd is None:
            return
        everything = [*self._trainable_variables, *self.variables, *also]
        alike.check(everything)
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
        if self.gradient_accumulation_steps and self._clips() and runtime.size() > 1:
            raise ValueError(
                f"gradient_accumulation_steps={self.gradient_accumulation_steps} with clipping cannot be exact for "
                f"table {table.name!r} and {runtime.size()} workers: no worker has the sum of a row's gradients; leave "
                "one of the two out, or clip at the shards with Embedding(..., row_clipnorm=...)"
            )
        if table.own_optimizer is None:
            table.set_optimizer(optimizer_component(self, decays=self._use_weight_decay(table.anchor)))
        _ = table.handle

    def _finish(self, tables: Sequence[Table | None], before: list[Any]) -> None:
        """The tables' part of a step."""
        # At staleness 0 nobody's update may be seen by another worker's lookup of
        # this step; the others do not wait for the AllReduce.
        self._step.update_rows(before)
        in_lock_step = [table for table in tables if table is not None and table.in_lock_step]
        if runtime.size() == 1 or not in_lock_step:
            return
        with tf.control_dependencies(self._step.updates):
            all_are_done = self._step.meet(self._iterations, "het_tf.step")
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
            table.own_optimizer.iterations.assign(self._iterations)
            learning_rate = table.own_optimizer.learning_rate
        self._step.rows.append((table, gradient, keras.ops.convert_to_tensor(learning_rate)))

    def finalize_variable_values(self, var_list: Any) -> None:
        """Called by `fit` at its end: every worker's last updates go to the shards."""
        super().finalize_variable_values(var_list)
        runtime.flush(wait_for_all=True)


def _average(grads: list[Any], tables: list[Table | None]) -> list[Any]:
    """Dense gradients averaged over the workers; those of tables stay as they are."""
    places = [i for i, (g, t) in enumerate(zip(grads, tables, strict=True)) if g is not None and t is None]
    dense = [tf.convert_to_tensor(grads[i]) for i in places]
    reduced = runtime.all_reduce_average(dense, "het_tf.gradients")
    for i, gradient in zip(places, reduced, strict=True):
        grads[i] = gradient
    return grads


def _values_of(grads: Sequence[Any], tables: Sequence[Table | None]) -> list[tf.Tensor]:
    """Of the gradients of tables."""
    return [g.values for g, t in zip(grads, tables, strict=True) if t is not None and g is not None]


def _fixed_scale(value: Any) -> str:
    return (
        f"DistributedOptimizer does not support loss_scale_factor={value!r}: put the optimizer into a "
        "keras.optimizers.LossScaleOptimizer, as compile does under mixed_float16"
    )


def _check_gradients(grads: Sequence[Any], tables: Sequence[Table | None]) -> None:
    for gradient, table in zip(grads, tables, strict=True):
        if table is not None and gradient is not None and not isinstance(gradient, tf.IndexedSlices):
            raise TypeError(
                f"the gradient of table {table.name!r} is {gradient!r}, expected tf.IndexedSlices as the tape gives "
                "it: it must not be made dense on the way to the optimizer"
            )
