"""het-tf launch: a script on N workers and M shards of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from het_tf import launch as launcher
from het_tf.cli.failure import fail
from het_tf.cli.options import takes
from het_tf.cluster import CHECKPOINT_DIR_VARIABLE
from het_tf.named_options import OptionError
from het_tf.security import Security
from het_tf.shard_process import ShardError


@takes(Security, "security", leave_out=("insecure",))
def launch(
    script: Annotated[Path, typer.Argument(help="The training script.", dir_okay=False)],
    arguments: Annotated[
        list[str] | None, typer.Argument(help="Passed on to the script, options included.", show_default=False)
    ] = None,
    workers: Annotated[int, typer.Option("--workers", "-n", help="Processes that train.")] = 1,
    shards: Annotated[
        int, typer.Option("--shards", "-m", help="Processes that hold rows; 0 with one worker: inside it.")
    ] = 1,
    log_dir: Annotated[
        Path | None, typer.Option(help="Folder that keeps the shards' and the workers' output.", file_okay=False)
    ] = None,
    grace: Annotated[
        float, typer.Option(min=0, help="Seconds that the workers get to notice that a shard has died.")
    ] = 60.0,
    max_message_bytes: Annotated[
        int | None, typer.Option(min=1, help="Largest message of the shards; default 1 GiB.")
    ] = None,
    checkpoint_dir: Annotated[
        Path | None,
        typer.Option(
            envvar=CHECKPOINT_DIR_VARIABLE, file_okay=False, help="Where workers and shards keep checkpoints."
        ),
    ] = None,
    durability: Annotated[
        str,
        typer.Option(
            help="What a shard that is killed loses: what came after the last 'checkpoint', and the job ends; with a "
            "'log' of updates nothing: it is started again and training goes on; 'log-sync' outlives the machine."
        ),
    ] = "checkpoint",
    restarts: Annotated[
        int, typer.Option(min=0, help="How often to start the job again, from its last checkpoint, when it fails.")
    ] = 0,
    tls: Annotated[
        bool, typer.Option("--tls", help="Mutual TLS and tokens, of a CA that is made for this job and forgotten.")
    ] = False,
    *,
    security: Security,
) -> None:
    """Run SCRIPT on local workers and shards; all of them end together.

    The exit code is 0 when every worker ended well.
    """
    try:
        code = launcher.launch(
            script,
            arguments or (),
            workers=workers,
            shards=shards,
            log_dir=log_dir,
            grace_seconds=grace,
            max_message_bytes=max_message_bytes,
            checkpoint_dir=checkpoint_dir,
            durability=durability,
            restarts=restarts,
            tls=tls,
            security=security,
        )
    except (launcher.LaunchError, OptionError) as error:
        fail(error, code=2)
    except ShardError as error:
        fail(error, code=1)
    raise typer.Exit(code)
