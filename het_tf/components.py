"""Keras initializers and optimizers as the shards know them: a name with parameters."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import keras

from het_tf.rowwise_adagrad import RowwiseAdagrad


@dataclass(frozen=True)
class Component:
    """An initializer or optimizer of a shard (kernels/base/component_spec.h)."""

    name: str
    parameters: tuple[tuple[str, float], ...] = ()

    def attributes(self, prefix: str) -> dict[str, Any]:
        """As attributes of the table op."""
        return {
            prefix: self.name,
            f"{prefix}_names": [name for name, _ in self.parameters],
            f"{prefix}_values": [value for _, value in self.parameters],
        }

    def with_option(self, name: str, value: float | None) -> Component:
        """With one parameter more, unless its value is None or 0."""
        return replace(self, parameters=(*self.parameters, (name, float(value)))) if value else self


NO_OPTIMIZER = Component("none")


def initializer_component(initializer: Any) -> tuple[Component, int]:
    """An initializer of the shard, and its seed.

    The seed is the one given to the Keras initializer; without one it is 0, the
    same on every worker. Rows are computed from (seed, table name, id).

    Raises:
      ValueError: the shard has no such initializer; lists those it has.
    """
    made = keras.initializers.get(initializer)
    config = made.get_config() if hasattr(made, "get_config") else {}
    seed = config.get("seed")
    if seed is None:
        seed = 0
    elif not isinstance(seed, int):
        raise ValueError(f"the seed of {initializer!r} is {seed!r}, expected an integer: every worker has to have it")
    kind = type(made)
    if kind is keras.initializers.RandomUniform:
        return Component("uniform", (("minval", config["minval"]), ("maxval", config["maxval"]))), seed
    if kind in (keras.initializers.RandomNormal, keras.initializers.TruncatedNormal):
        name = "normal" if kind is keras.initializers.RandomNormal else "truncated_normal"
        return Component(name, (("mean", config["mean"]), ("stddev", config["stddev"]))), seed
    if kind is keras.initializers.Zeros:
        return Component("zeros"), 0
    if kind is keras.initializers.Ones:
        return Component("constant", (("value", 1.0),)), 0
    if kind is keras.initializers.Constant:
        return Component("constant", (("value", float(config["value"])),)), 0
    raise ValueError(
        f"embedding rows cannot be initialized by {initializer!r}: every row is computed by itself from "
        "(seed, table, id); expected RandomUniform, RandomNormal, TruncatedNormal, Zeros, Ones or Constant"
    )


def optimizer_component(optimizer: keras.optimizers.Optimizer, *, decays: bool = True) -> Component:
    """The shard's counterpart of a Keras optimizer, its weight decay included unless `decays` is False.

    Raises:
      ValueError: there is none; lists those there are.
    """
    # The class that the user named, below DistributedOptimizer's hook. Subclasses
    # of Keras's may step in other ways.
    kind = getattr(type(optimizer), "wrapped_class", type(optimizer))
    config = optimizer.get_config()
    name, parameters = _COUNTERPARTS.get(kind, ("", ()))
    given = kind.__name__
    if config.get("amsgrad"):
        name, given = "", f"{given}(amsgrad=True)"
    if not name:
        raise ValueError(
            f"embedding rows cannot be trained by {given}: the shards have SGD (with momentum and nesterov), Adagrad, "
            "het_tf.RowwiseAdagrad, Adam and AdamW (on the rows that a step touches; without amsgrad) and Ftrl; the "
            "dense variables may keep it when the table gets its own optimizer, "
            "Embedding(..., optimizer=keras.optimizers.Adagrad(0.05))"
        )
    if name == "momentum" and config["momentum"] == 0:
        name, parameters = "sgd", ()
    component = Component(name, tuple((parameter, float(config[parameter])) for parameter in parameters))
    return component.with_option("weight_decay", config["weight_decay"] if decays else None)


# kernels/optimizer has the formulas. The parameters' names are Keras's.
_COUNTERPARTS: dict[type, tuple[str, tuple[str, ...]]] = {
    keras.optimizers.SGD: ("momentum", ("momentum", "nesterov")),
    keras.optimizers.Adagrad: ("adagrad", ("initial_accumulator_value", "epsilon")),
    RowwiseAdagrad: ("rowwise_adagrad", ("initial_accumulator_value", "epsilon")),
    keras.optimizers.Adam: ("lazy_adam", ("beta_1", "beta_2", "epsilon")),
    keras.optimizers.AdamW: ("lazy_adam", ("beta_1", "beta_2", "epsilon")),
    keras.optimizers.Ftrl: (
        "ftrl",
        (
            "learning_rate_power",
            "initial_accumulator_value",
            "l1_regularization_strength",
            "l2_regularization_strength",
            "l2_shrinkage_regularization_strength",
            "beta",
        ),
    ),
}
