"""How a command ends when it cannot do what was asked: one line on stderr."""

from __future__ import annotations

from typing import NoReturn

import typer


def fail(error: object, *, code: int) -> NoReturn:
    """Prints the error and ends: code 2 for bad input, 1 for what went wrong."""
    typer.echo(f"het-tf: error: {error}", err=True)
    raise typer.Exit(code)
