"""het-tf shard: becomes one parameter-server shard."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from het_tf.cli.failure import fail
from het_tf.cli.options import takes
from het_tf.cluster import CHECKPOINT_DIR_VARIABLE
from het_tf.security import Security
from het_tf.serving import Serving
from het_tf.shard_process import ShardError, server_binary, server_options


@takes(Serving, "serving")
@takes(Security, "security")
def shard(
    listen: Annotated[
        str,
        typer.Option(
            help="host:port (port 0: any free one) or unix:/path. Beyond loopback it needs --tls-cert and --tls-key, "
            "or --insecure."
        ),
    ] = "127.0.0.1:4700",
    shard_index: Annotated[int | None, typer.Option(min=0, help="This is shard I ...")] = None,
    shard_count: Annotated[int | None, typer.Option(min=1, help="... of N; else the first worker decides.")] = None,
    max_message_bytes: Annotated[int | None, typer.Option(min=1, help="Largest message; default 1 GiB.")] = None,
    checkpoint_dir: Annotated[
        Path | None,
        typer.Option(
            envvar=CHECKPOINT_DIR_VARIABLE, file_okay=False, help="Where it writes and reads checkpoints; else nowhere."
        ),
    ] = None,
    push_log: Annotated[
        Path | None,
        typer.Option(
            file_okay=False,
            help="Where it logs every update before it answers; killed and started again with the same options it "
            "comes back as it was. One folder per shard and job, on the checkpoints' file system.",
        ),
    ] = None,
    push_log_sync: Annotated[
        bool, typer.Option("--push-log-sync", help="Answer when the log is on the disk: the power may fail, too.")
    ] = False,
    *,
    security: Security,
    serving: Serving,
) -> None:
    """Serve rows until SIGTERM, SIGINT or `het-tf stop`."""
    if (shard_index is None) != (shard_count is None):
        fail("--shard-index and --shard-count belong together: give both or neither", code=2)
    if push_log_sync and push_log is None:
        fail("--push-log-sync is about a log: give --push-log, the folder where it is kept, too", code=2)
    try:
        binary = server_binary()
    except ShardError as error:
        fail(error, code=1)
    command = [str(binary), "--listen", listen]
    if shard_index is not None:
        command += ["--shard-index", str(shard_index), "--shard-count", str(shard_count)]
    options = server_options(max_message_bytes, checkpoint_dir, push_log, push_log_sync, security, serving)
    os.execv(binary, command + options)
