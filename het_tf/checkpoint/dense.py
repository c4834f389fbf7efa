"""What a checkpoint has besides rows: dense weights, random states, optimizer variables.

`take` copies them at a step boundary, `write` puts the copy into dense.npz,
`read` and `put` bring it back. Values keep their bits: what NumPy has no dtype
for (bfloat16) is stored as unsigned integers of its width.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from het_tf import anchors
from het_tf.checkpoint import directory as layout
from het_tf.checkpoint.files import CheckpointError, DamagedFile, OtherModel
from het_tf.table import Table

MODEL, OPTIMIZER = "model", "optimizer"


@dataclass(frozen=True)
class Place:
    """A variable of a model or an optimizer."""

    group: str  # MODEL, OPTIMIZER, or "optimizer of table NAME"
    path: str
    dtype: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.dtype} of shape {self.shape} ({self.path})"


@dataclass(frozen=True)
class Dense:
    """A copy of the variables: their places and, in the same order, their values."""

    places: tuple[Place, ...]
    values: tuple[np.ndarray, ...]

    def description(self) -> dict[str, Any]:
        """For the manifest."""
        fields = [[place.group, place.path, place.dtype, list(place.shape)] for place in self.places]
        return {"variables": fields}


def optimizer_of(model: keras.Model) -> keras.optimizers.Optimizer | None:
    return getattr(model, "optimizer", None)


def inner_optimizer(optimizer: Any) -> Any:
    """What a LossScaleOptimizer is around; any other as it is."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def tables_of(model: keras.Model) -> list[Table]:
    """The tables whose layers the model has, by name."""
    tables = [anchors.table_of(weight) for weight in model.weights]
    return sorted({table for table in tables if table is not None}, key=lambda table: table.name)


def prepare(model: keras.Model) -> None:
    """Makes the variables, and tells the shards the tables, that a first step would. Every worker calls this.

    Raises:
      CheckpointError: the model has no weights yet.
      ClusterError: the workers have different models.
    """
    if not model.built:
        raise CheckpointError(
            f"model {model.name!r} has no weights yet: call it on a batch, model(x), or model.build(shape), before a "
            "checkpoint is saved or restored (inside fit it has them)"
        )
    optimizer = optimizer_of(model)
    if optimizer is not None and not optimizer.built:
        with anchors.known():
            optimizer.build(model.trainable_variables)
    inner = inner_optimizer(optimizer)
    if optimizer is not None and hasattr(inner, "start"):  # it is a DistributedOptimizer
        # What a first step would find by the lookups before it.
        also = [*model.non_trainable_weights, *(optimizer.variables if inner is not optimizer else ())]
        inner.start(model.trainable_variables, also=also)


def variables(model: keras.Model) -> list[tuple[str, keras.Variable]]:
    """Each with its group; without anchors and what belongs to them, which have no numbers."""
    found = [(MODEL, variable) for variable in model.variables]
    optimizer = optimizer_of(model)
    if optimizer is not None:
        found += [(OPTIMIZER, variable) for variable in optimizer.variables]
    for table in tables_of(model):
        if table.own_optimizer is not None:
            found += [(f"{OPTIMIZER} of table {table.name}", one) for one in table.own_optimizer.variables]
    distinct = {id(variable): (group, variable) for group, variable in found}
    return [(group, variable) for group, variable in distinct.values() if 0 not in variable.shape]


def pending_batches(optimizer: Any) -> int:
    """How many batches have given gradients to a step that has not been taken (gradient accumulation); else 0."""
    inner = inner_optimizer(optimizer)
    steps = getattr(inner, "gradient_accumulation_steps", None)
    return int(inner._iterations.numpy()) % steps if steps else 0


def batches(optimizer: Any) -> int:
    """How many batches it has been given."""
    inner = inner_optimizer(optimizer)
    return int(inner._iterations.numpy()) if inner is not None else 0


def take(model: keras.Model) -> Dense:
    """A copy of all variables of a built model and its optimizer, as of the last step taken.

    Between two steps of accumulated gradients what has gathered is left out.
    """
    optimizer = optimizer_of(model)
    inner = inner_optimizer(optimizer)
    pending = pending_batches(optimizer)
    gathered = {id(one) for one in getattr(inner, "_accumulated_gradients", ())}
    places, values = [], []
    for group, variable in variables(model):
        value = np.array(keras.ops.convert_to_numpy(variable.value))
        if id(variable) in gathered:
            value = np.zeros_like(value)
        elif pending and variable is inner._iterations:
            value = value - np.asarray(pending, value.dtype)
        places.append(_place(group, variable))
        values.append(value)
    return Dense(tuple(places), tuple(values))


def _place(group: str, variable: keras.Variable) -> Place:
    return Place(group, variable.path, keras.backend.standardize_dtype(variable.dtype), tuple(variable.shape))


def write(path: Path, dense: Dense) -> dict[str, int]:
    """Writes dense.npz, on the disk when this returns; its entry in the manifest."""
    arrays = {f"{i:06d}": _storable(value) for i, value in enumerate(dense.values)}
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
        file.flush()
        os.fsync(file.fileno())
    entry = {"bytes": temporary.stat().st_size, "crc32": layout.crc32_of(temporary)}
    os.replace(temporary, path)
    return entry


def _storable(value: np.ndarray) -> np.ndarray:
    return value if value.dtype.isbuiltin == 1 else value.view(f"u{value.dtype.itemsize}")


def read(path: Path, description: dict[str, Any]) -> Dense:
    """What `write` wrote, with the description that the manifest has.

    Raises:
      DamagedFile: it does not fit the description.
    """
    try:
        listed = description["variables"]
        places = tuple(Place(group, name, dtype, tuple(shape)) for group, name, dtype, shape in listed)
        with np.load(path) as archive:
            stored = [archive[f"{i:06d}"] for i in range(len(places))]
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise DamagedFile(path, f"it cannot be read ({type(error).__name__}: {error})") from None
    values = []
    for place, value in zip(places, stored, strict=True):
        dtype = _numpy_dtype(place.dtype)
        if value.shape != place.shape or value.dtype.itemsize != dtype.itemsize:
            raise DamagedFile(path, f"it has {value.dtype} of shape {value.shape} for {place}")
        values.append(value if value.dtype == dtype else value.view(dtype))
    return Dense(places, tuple(values))


def _numpy_dtype(name: str) -> np.dtype:
    import ml_dtypes

    return np.dtype(getattr(ml_dtypes, name, None) or name)


def match(model: keras.Model, places: Sequence[Place], name: str) -> list[tuple[keras.Variable, int]]:
    """Every variable of the model with the number of its value in the checkpoint `name`.

    By path, where the paths of a group are the same in both; else by order,
    since Keras counts its automatic names up.

    Returns:
      Pairs of all variables but the optimizer's, if the model has no optimizer.

    Raises:
      OtherModel: they are not the same variables; names the first that differs.
    """
    if optimizer_of(model) is None:
        places = [place for place in places if place.group == MODEL]
    mine: dict[str, list[keras.Variable]] = {}
    for group, variable in variables(model):
        mine.setdefault(group, []).append(variable)
    theirs: dict[str, list[int]] = {}
    for number, place in enumerate(places):
        theirs.setdefault(place.group, []).append(number)
    pairs = []
    for group in dict.fromkeys([*mine, *theirs]):
        here, there = mine.get(group, []), theirs.get(group, [])
        by_path = {places[number].path: number for number in there}
        if len(by_path) == len(there) and {one.path for one in here} == set(by_path) and len(here) == len(there):
            there = [by_path[variable.path] for variable in here]
        for i in range(max(len(here), len(there))):
            found = str(_place(group, here[i])) if i < len(here) else "nothing"
            saved = str(places[there[i]]) if i < len(there) else "nothing"
            if "nothing" in (found, saved) or _form(_place(group, here[i])) != _form(places[there[i]]):
                raise OtherModel(
                    f"checkpoint {name!r} is of another model than {model.name!r}: variable {i} of the {group} is "
                    f"{saved} in the checkpoint and {found} here; make the model, and compile it, as it was when the "
                    "checkpoint was saved"
                )
            pairs.append((here[i], there[i]))
    return pairs


def _form(place: Place) -> tuple[str, tuple[int, ...]]:
    return place.dtype, place.shape


def is_random_state(model: keras.Model, variable: keras.Variable) -> bool:
    """Whether a variable of a model is the state of random numbers (dropout), which every worker has of its own."""
    return all(variable is not weight for weight in model.weights) and variable.path.endswith("seed_generator_state")
