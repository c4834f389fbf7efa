"""het-tf shard: becomes one parameter-server shard."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from het_tf.cli.failure import fail
from het_tf.shard_process import ShardError, server_binary


def shard(
    listen: Annotated[
        str, typer.Option(help="host:port (port 0: any free one) or unix:/path; traffic is not encrypted.")
    ] = "127.0.0.1:4700",
    shard_index: Annotated[int | None, typer.Option(min=0, help="This is shard I ...")] = None,
    shard_count: Annotated[int | None, typer.Option(min=1, help="... of N; else the first worker decides.")] = None,
    max_message_bytes: Annotated[int | None, typer.Option(min=1, help="Largest message; default 1 GiB.")] = None,
) -> None:
    """Serve rows until SIGTERM or SIGINT."""
    if (shard_index is None) != (shard_count is None):
        fail("--shard-index and --shard-count belong together: give both or neither", code=2)
    try:
        binary = server_binary()
    except ShardError as error:
        fail(error, code=1)
    command = [str(binary), "--listen", listen]
    if shard_index is not None:
        command += ["--shard-index", str(shard_index), "--shard-count", str(shard_count)]
    if max_message_bytes is not None:
        command += ["--max-message-bytes", str(max_message_bytes)]
    os.execv(binary, command)
