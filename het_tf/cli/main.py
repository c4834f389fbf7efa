"""het-tf: the entry point. One module of this package per command.

Nothing here imports TensorFlow, so that the commands start at once; that a
supported one is installed is checked all the same, when het_tf is imported. Bad
input ends with one line that says what to do, and 2; what fails later with 1.
"""

from __future__ import annotations

from typing import Annotated

import typer

from het_tf.cli import administer, checkpoint, launch, shard, status, top

app = typer.Typer(
    name="het-tf",
    help="Train embedding tables that are larger than your machine, from plain Keras.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from het_tf.version import VERSION

        typer.echo(f"het-tf {VERSION}")
        raise typer.Exit()


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


app.command("launch", context_settings={"allow_interspersed_args": False, "ignore_unknown_options": True})(
    launch.launch
)
app.command("shard")(shard.shard)
app.command("status")(status.status)
app.command("top")(top.top)
app.command("drop")(administer.drop)
app.command("stop")(administer.stop)
app.add_typer(checkpoint.app, name="checkpoint")


if __name__ == "__main__":
    app()
