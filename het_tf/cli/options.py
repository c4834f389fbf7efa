"""Options that several commands have: those of a dataclass of named options (het_tf/named_options.py)."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from het_tf import named_options
from het_tf.cli.failure import fail
from het_tf.named_options import OptionError


def takes(
    kind: type, name: str, *, leave_out: tuple[str, ...] = ()
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command the options of a dataclass, and the command an instance as its argument `name`.

    What is not on the command line is what the environment says, those left out
    included. An option that cannot be used ends the command with code 2.
    """
    names = [field.name for field in dataclasses.fields(kind) if field.name not in leave_out]

    def add(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def run(**arguments: Any) -> None:
            given = {one: arguments.pop(one) for one in names}
            try:
                arguments[name] = named_options.from_environment(kind, **given)
            except OptionError as error:
                fail(error, code=2)
            command(**arguments)

        signature = inspect.signature(command, eval_str=True)
        kept = [parameter for parameter in signature.parameters.values() if parameter.name != name]
        added = [_parameter(kind, field) for field in dataclasses.fields(kind) if field.name in names]
        # Typer reads both.
        run.__signature__ = signature.replace(parameters=[*kept, *added])  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in [*kept, *added]}
        return run

    return add


def _parameter(kind: type, field: dataclasses.Field[Any]) -> inspect.Parameter:
    words = f"{field.metadata['help'].removesuffix('.')}; default: {named_options.variable(field.name)}."
    shown = typer.Option(named_options.flag(field.name), help=words, show_default=False)
    value: Any = Annotated[named_options.type_of(kind, field.name) | None, shown]  # type: ignore[valid-type]
    return inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=value)
