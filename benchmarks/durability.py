"""What it costs to lose nothing: a log of updates, a checkpoint under way, and coming back.

    python -m benchmarks.durability [--quick]

Exchanges: one shard in the process (benchmarks/native/durability_main.cc), 4096 ids
pushed and fetched each, D=64, without a log, with one in the page cache and with a
synced one, turn by turn; then a table of 2 GB with a checkpoint under way and
without, and the memory that takes. Training: Wide & Deep (26 fields, 13 dense
features, D=16, batch 512, a cache of a tenth of the vocabulary at staleness 100)
fitted by one worker with one shard in a process of its own; the contenders take
turns, one of them has `het.callbacks.Checkpoint`. Quoted are medians over the
turns; the disk is whatever the temporary folder is on.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import typer

from benchmarks import shard_table, wide_and_deep_fit
from benchmarks.figures import figure
from benchmarks.wide_and_deep_fit import BATCH
from het_tf.shard_process import ShardProcess

ROWS, DIMENSION, BIG_ROWS = 1_000_000, 64, 8_000_000
NONE, LOG, SYNCED, CHECKPOINT = "no log", "a log in the page cache", "a synced log", "a checkpoint now and then"


def cost(kind: str, name: str, seconds: float, reference: float, unit_work: float, unit: str, data: str) -> None:
    figure(
        "durability",
        f"{kind}, {name}",
        unit_work / seconds,
        unit,
        reference=f"{kind}, {NONE}" if name != NONE else "itself",
        ratio=reference / seconds,
        data=data,
    )


def exchanges(folder: Path, big_rows: int, rounds: int, seconds: float) -> None:
    found = shard_table.run("durability", folder, ROWS, DIMENSION, big_rows, rounds, seconds)
    ids = 2 * found["batch"]
    medians = {name: statistics.median(found[name]) for name in ("none", "log", "synced", "idle", "busy")}
    for name, words in (("none", NONE), ("log", LOG), ("synced", SYNCED)):
        cost(
            f"exchanges in the process, D={DIMENSION}",
            words,
            medians[name],
            medians["none"],
            ids / 1e6,
            "M ids/s",
            shard_table.DATA,
        )
    gigabytes = found["table_bytes"] / 1e9
    cost(
        f"exchanges in the process, a table of {gigabytes:.1f} GB",
        "a checkpoint under way",
        medians["busy"],
        medians["idle"],
        ids / 1e6,
        "M ids/s",
        shard_table.DATA,
    )
    takes = statistics.median(found["checkpoint"])
    table = f"a table of {gigabytes:.1f} GB"
    shard = f"a shard of {ROWS / 1e6:g} M rows, D={DIMENSION}, comes back from"
    for what, value, unit in (
        (f"a checkpoint meanwhile, {table}", found["checkpoint_bytes"] / 1e6 / takes, "MB/s"),
        (f"extra memory of the checkpoint, {table}", found["extra_bytes"] / 1e6, "MB"),
        (f"{shard} its log", found["recovery_from_log"], "s"),
        (f"{shard} a checkpoint and a log", found["recovery_from_checkpoint"], "s"),
    ):
        figure("durability", what, value, unit, data=shard_table.DATA, reference="", ratio=None)


def fit(address: str, table: str, steps: int, folder: Path | None, every: int) -> float:
    """Seconds per step of one fit, warmed up; with a folder it saves checkpoints there."""
    import het_tf as het

    het.init([address], checkpoint_dir=folder)
    callbacks = [] if folder is None else [het.callbacks.Checkpoint(every=every, resume=False)]
    seconds = wide_and_deep_fit.seconds_per_step(table, steps, callbacks)
    het.shutdown()
    return seconds


def training(folder: Path, steps: int, rounds: int, every: int) -> None:
    checkpoints = folder / "checkpoints"
    with ExitStack() as stack:
        options: dict[str, dict[str, Any]] = {
            NONE: {},
            LOG: {"push_log": folder / "log"},
            SYNCED: {"push_log": folder / "synced", "push_log_sync": True},
            CHECKPOINT: {"checkpoint_dir": checkpoints},
        }
        shards = {name: stack.enter_context(ShardProcess(**given)) for name, given in options.items()}
        seconds: dict[str, list[float]] = {name: [] for name in shards}
        for turn in range(rounds + 1):
            for name, shard in shards.items():
                took = fit(shard.address, f"t{turn}", steps, checkpoints if name == CHECKPOINT else None, every)
                if turn > 0:  # the first one loads and warms what all use
                    seconds[name].append(took)
        for name, taken in seconds.items():
            words = f"a checkpoint every {every} steps" if name == CHECKPOINT else name
            ratio = statistics.median(one / other for one, other in zip(seconds[NONE], taken, strict=True))
            median = statistics.median(taken)
            what, data = f"Wide & Deep, D={wide_and_deep_fit.DIMENSION}", wide_and_deep_fit.DATA
            cost(what, words, median, ratio * median, BATCH, "examples/s", data)


def main(
    quick: Annotated[bool, typer.Option(help="A small table, fewer turns.")] = False,
    every: Annotated[int, typer.Option(min=1, help="Steps between two checkpoints; 1: one after the other.")] = 500,
    json: Annotated[bool, typer.Option(help="Accepted for all benchmarks alike: the output is JSON lines.")] = True,
) -> None:
    with tempfile.TemporaryDirectory() as place:
        native, trained = Path(place) / "native", Path(place) / "training"
        native.mkdir()
        trained.mkdir()
        exchanges(native, BIG_ROWS // 10 if quick else BIG_ROWS, 3 if quick else 7, 0.2 if quick else 1.0)
        sys.stdout.flush()
        training(trained, 200 if quick else 1000, 2 if quick else 5, min(every, 100) if quick else every)


if __name__ == "__main__":
    typer.run(main)
