"""Options with one name everywhere: a field of a dataclass, a flag and a variable of the environment.

The field ``tls_ca`` is ``--tls-ca`` on a command line and HET_TF_TLS_CA in the
environment; `option` gives it the sentence that ``--help`` prints.
"""

from __future__ import annotations

import dataclasses
import os
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

Kind = TypeVar("Kind")


class OptionError(ValueError):
    """An option that cannot be what was given."""


def option(sentence: str, default: Any = None) -> Any:
    """A field of such a dataclass."""
    return dataclasses.field(default=default, metadata={"help": sentence})


def flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def variable(name: str) -> str:
    return "HET_TF_" + name.upper()


def spelled(name: str) -> str:
    """The option as a message names it."""
    return f"{name} ({flag(name)}, {variable(name)})"


def type_of(kind: type, name: str) -> type:
    """What the option's value is, None aside: str, int or bool."""
    hint = typing.get_type_hints(kind)[name]
    (found,) = (each for each in typing.get_args(hint) or (hint,) if each is not type(None))
    return found


def from_environment(kind: type[Kind], environ: Mapping[str, str] | None = None, **given: Any) -> Kind:
    """Options of this kind: those given that are not None, and for the others their variables.

    Raises:
      OptionError: a variable is not what its option takes.
    """
    environ = os.environ if environ is None else environ
    fields = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    values = {name: _parse(name, type_of(kind, name), environ.get(variable(name), "")) for name in fields}
    return kind(**{name: value for name, value in (values | _present(given)).items() if value is not None})


def command_line(options: Any) -> list[str]:
    """The flags that say the same."""
    said = []
    for name, value in _present(_values(options)).items():
        if value is not False:
            said += [flag(name)] if value is True else [flag(name), str(value)]
    return said


def variables(options: Any) -> dict[str, str]:
    """The environment that says the same."""
    present = _present(_values(options))
    return {variable(name): str(int(v)) if isinstance(v, bool) else str(v) for name, v in present.items()}


def _values(options: Any) -> dict[str, Any]:
    return {field.name: getattr(options, field.name) for field in dataclasses.fields(options)}


def _present(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _parse(name: str, kind: type, text: str) -> Any:
    if not text:
        return None
    if kind is bool:
        if text not in ("0", "1"):
            raise OptionError(f"{variable(name)} is {text!r}, expected 1 for yes or 0 for no")
        return text == "1"
    if kind is int:
        if not (text.isdecimal() and text.isascii()):
            raise OptionError(f"{variable(name)} is {text!r}, expected a whole number")
        return int(text)
    return text
