"""Anchors: how gradients find their way from the loss to a table.

An anchor is a trainable variable of shape (0, dimension). `lookup` makes the
rows a function of it whose gradient is IndexedSlices over the ids; `table_of`
tells an optimizer which table a variable stands for. Thread-safe.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

from het_tf.components import optimizer_component
from het_tf.table import Table
from het_tf.table import lookup_many as look_up

# What saves a model whose rows are in the shards.
REMEDY = (
    "het.callbacks.Checkpoint() in fit, or het.checkpoint.save(model), saves rows, dense weights and optimizer "
    "together; or take the weights of the dense layers by themselves, and rows through layer.rows(ids)"
)
_TABLE = "_het_tf_table"
_this_thread = threading.local()


def register(anchor: keras.Variable, table: Table) -> None:
    """`anchor` stands for `table` from now on."""
    # An optimizer that knows nothing of anchors would scatter into the empty
    # variable, or trip over the gradient of more rows than there are: that shall
    # say what is wrong. Keras's optimizers ask a variable, before they make
    # slots for it or step, whether its gradient is its value.
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError(
            f"the rows of table {table.name!r} are in the shards, which this optimizer does not know: compile with "
            "het_tf.DistributedOptimizer(optimizer)"
        )

    def overwrite_with_gradient(_: keras.Variable) -> bool:
        if not getattr(_this_thread, "knows_anchors", False):
            refuse()
        return False

    # get_weights, EarlyStopping(restore_best_weights=True), HDF5 files,
    # tf.train.Checkpoint of an optimizer.
    def refuse_values(*args: Any, **kwargs: Any) -> None:
        raise NotImplementedError(
            f"the rows of table {table.name!r} are in the shards and would be missing among the model's weights, "
            f"which therefore cannot be copied, saved or restored as a whole: {REMEDY}"
        )

    def mark() -> None:
        variable = anchor.value
        setattr(variable, _TABLE, table)
        variable.scatter_sub = variable.scatter_add = variable.scatter_update = refuse

    # Where Keras traces a model to find out its weights, variables get a value later.
    def initialize(variable: keras.Variable) -> None:
        kind._deferred_initialize(variable)
        mark()

    kind = type(anchor)
    members: dict[str, Any] = {"overwrite_with_gradient": property(overwrite_with_gradient)}
    refused = ("numpy", "__array__", "_serialize_to_tensors", "_restore_from_tensors")
    members |= dict.fromkeys(refused, refuse_values) | {"_deferred_initialize": initialize}
    anchor.__class__ = type(kind.__name__, (kind,), members)
    if anchor._value is not None:
        mark()


@contextlib.contextmanager
def known() -> Iterator[None]:
    """While an optimizer that knows anchors is at work, on this thread."""
    before = getattr(_this_thread, "knows_anchors", False)
    _this_thread.knows_anchors = True
    try:
        yield
    finally:
        _this_thread.knows_anchors = before


def table_of(variable: Any) -> Table | None:
    """The table that a variable (Keras's or TensorFlow's) is the anchor of; None for any other."""
    if isinstance(variable, keras.Variable):
        variable = variable.value
    return getattr(variable, _TABLE, None)


def is_used_by(table: Table, layer: keras.layers.Layer) -> None:
    """Called by a layer in training: the table belongs to the model whose call this is part of."""
    outermost = layer._get_call_context().entry_layer
    if outermost is layer:  # by itself; where it was called by `call`, Keras began a context just now
        layer._maybe_reset_call_context()
    else:
        table.model = weakref.ref(outermost)


def others_of_models(variables: Sequence[Any]) -> list[keras.Variable]:
    """The weights that the models of these anchors and variables have and do not train."""
    tables = [table for table in map(table_of, variables) if table is not None]
    models = dict.fromkeys(table.model() for table in tables if table.model is not None)
    known = {id(variable) for variable in variables}
    weights = [weight for model in models if model is not None for weight in model.non_trainable_weights]
    return [weight for weight in {id(one): one for one in weights}.values() if id(weight) not in known]


def use_optimizer(table: Table, optimizer: keras.optimizers.Optimizer | None) -> None:
    """The table gets an optimizer of its own; with None it keeps what it has.

    Raises:
      ValueError: another layer gave it another one.
    """
    if optimizer is None:
        return
    if table.own_optimizer is not None:
        # Keras counts names up: those of two alike differ.
        present, asked = ({**o.get_config(), "name": None} for o in (table.own_optimizer, optimizer))
        if present != asked:
            raise ValueError(
                f"table {table.name!r} has the optimizer {present} by another layer, this one gives {asked}: layers "
                "that share a table configure it alike"
            )
        return
    table.own_optimizer = optimizer
    table.set_optimizer(optimizer_component(optimizer))


def lookup(table: Table, ids: tf.Tensor, training: bool) -> tf.Tensor:
    """float32 rows of shape ids.shape + [dimension], differentiable with respect to the table's anchor."""
    return lookup_many([table], [ids], training)[0]


def lookup_many(tables: Sequence[Table], ids: Sequence[tf.Tensor], training: bool) -> list[tf.Tensor]:
    """For every tensor of ids the rows of the table at its place, as `lookup` gives them; tables may come again."""
    distinct = list(dict.fromkeys(tables))
    places = [[i for i, table in enumerate(tables) if table is one] for one in distinct]

    @tf.custom_gradient
    def read(*_: tf.Tensor) -> Any:
        rows = look_up(tables, ids, training=training)

        def gradient(*upstream: tf.Tensor) -> list[tf.IndexedSlices]:
            # A gradient is there when its rows have been read, even one that does
            # not depend on them: what waits for gradients waits for all lookups.
            with tf.control_dependencies(rows):
                slices = []
                for table, its in zip(distinct, places, strict=True):
                    values = [tf.reshape(upstream[i], [-1, table.spec.dimension]) for i in its]
                    indices = [tf.cast(tf.reshape(ids[i], [-1]), tf.int64) for i in its]
                    slices.append(tf.IndexedSlices(_concatenated(values), _concatenated(indices)))
            return slices

        return rows, gradient

    return read(*(_value(table) for table in distinct))


def _value(table: Table) -> tf.Tensor:
    assert table.anchor is not None
    return tf.convert_to_tensor(table.anchor.value)


def _concatenated(tensors: list[tf.Tensor]) -> tf.Tensor:
    return tensors[0] if len(tensors) == 1 else tf.concat(tensors, axis=0)
