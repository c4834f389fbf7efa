"""Installs the peers of the benchmarks, and says which there are.

python -m benchmarks.peers install [NAME...]
python -m benchmarks.peers list
"""

from __future__ import annotations

import json
from typing import Annotated

import typer

from benchmarks.peers import environments

app = typer.Typer(help=__doc__, no_args_is_help=True)


def _say(name: str, state: str, detail: str) -> None:
    print(json.dumps({"peer": name, "state": state, "detail": detail}), flush=True)


@app.command()
def install(names: Annotated[list[str] | None, typer.Argument(help="tfra, fbgemm; default: all.")] = None) -> None:
    """Makes the environments that are missing; a peer that cannot be installed is reported and the rest goes on."""
    for name in names or list(environments.PEERS):
        if name not in environments.PEERS:
            raise typer.BadParameter(f"unknown peer {name!r}; there are {', '.join(environments.PEERS)}")
        try:
            _say(name, "installed", str(environments.install(environments.PEERS[name])))
        except environments.PeerUnavailable as error:
            _say(name, "unavailable", str(error))


@app.command("list")
def list_() -> None:
    """Says which peers are installed."""
    for name, peer in environments.PEERS.items():
        try:
            _say(name, "installed", str(environments.python(peer)))
        except environments.PeerUnavailable as error:
            _say(name, "unavailable", str(error))


if __name__ == "__main__":
    app()
