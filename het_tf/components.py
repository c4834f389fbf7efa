"""Keras initializers and optimizers as the shards know them: a name with parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras


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


def optimizer_component(optimizer: keras.optimizers.Optimizer) -> Component:
    """The shard's counterpart of a Keras optimizer.

    Raises:
      ValueError: there is none; lists those there are.
    """
    # The class that the user named, below DistributedOptimizer's hook. Subclasses
    # of Keras's may step in other ways.
    kind = getattr(type(optimizer), "wrapped_class", type(optimizer))
    config = optimizer.get_config()
    if kind is keras.optimizers.SGD:
        if config["momentum"] == 0:
            return Component("sgd")
        given = f"SGD(momentum={config['momentum']:g}, nesterov={config['nesterov']})"
    elif kind is keras.optimizers.Adagrad:
        initial, epsilon = config["initial_accumulator_value"], config["epsilon"]
        return Component("adagrad", (("initial_accumulator_value", initial), ("epsilon", epsilon)))
    else:
        given = kind.__name__
    raise ValueError(
        f"embedding rows cannot be trained by {given}: the shards have SGD (without momentum) and Adagrad; the dense "
        "variables may keep it when the table gets its own optimizer, "
        "Embedding(..., optimizer=keras.optimizers.Adagrad(0.05))"
    )
