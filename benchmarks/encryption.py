"""What mutual TLS and a token cost: raw exchanges, and a training step.

    python -m benchmarks.encryption [--quick]

Two shards, one with neither and one with both. Exchanges: one process asks both in
turn, on the loopback interface, by the client of `exchange` (D=128). Training: Wide
& Deep (benchmarks/wide_and_deep_fit.py) on an emulated host, the shards on another,
links of 1 Gbit/s (network.py: root; without it on the loopback interface, which it
says); one process fits with either shard, in turns. Quoted are medians of the
turns' ratios.
"""

from __future__ import annotations

import json as json_
import os
import statistics
import subprocess
import sys
from contextlib import ExitStack
from typing import Annotated, Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import typer

from benchmarks import exchange, network, wide_and_deep_fit
from benchmarks.figures import ROOT, figure, unavailable
from het_tf import named_options
from het_tf.job_secrets import JobSecrets, made_for_a_job
from het_tf.security import Security
from het_tf.shard_process import ShardProcess, server_command

GIGABITS, WORKER, SHARD, PORT = 1.0, 0, 1, 7090
PLAIN, SECURE = "without TLS", "mutual TLS and a token"
SIZES = (64 << 10, 1 << 20, 4 << 20)


def exchanges(secrets: JobSecrets, rounds: int, seconds: float, sizes: tuple[int, ...]) -> None:
    with ExitStack() as stack:
        with exchange.on_core(1):
            plain = stack.enter_context(ShardProcess())
            secure = stack.enter_context(ShardProcess(security=secrets.shards))
        echo = stack.enter_context(exchange.echo_server())
        for size in sizes:
            found: dict[str, dict[str, list[float]]] = {"pull": {}, "push": {}}
            # Short turns: either shard is asked `rounds` times.
            for _ in range(rounds):
                for name, shard, security in ((PLAIN, plain, None), (SECURE, secure, secrets.workers)):
                    for line in exchange.client((shard.address, echo), 128, size, 1, 1, seconds, security):
                        found[line["kind"]].setdefault(name, []).append(statistics.median(line["het_tf"]))
            for kind, taken in found.items():
                way = "rows pulled" if kind == "pull" else "gradients pushed"
                for name in (PLAIN, SECURE):
                    ratio = statistics.median(a / b for a, b in zip(taken[PLAIN], taken[name], strict=True))
                    figure(
                        "encryption",
                        f"{way}, D=128, {size >> 10} KiB of values, {name}",
                        size / statistics.median(taken[name]) / 1e6,
                        "MB/s",
                        reference=PLAIN,
                        ratio=ratio,
                        data="generated ids",
                    )


def measure(addresses: dict[str, str], files: dict[str, Any], steps: int, rounds: int) -> dict[str, list[float]]:
    """Seconds of a step in every turn, by the name of the address; `files` are for the secure one."""
    import het_tf as het

    seconds: dict[str, list[float]] = {name: [] for name in addresses}
    for turn in range(rounds + 1):
        for name, address in addresses.items():
            het.init([address], **(files if name == SECURE else {}))
            took = wide_and_deep_fit.seconds_per_step(f"t{turn}", steps)
            het.shutdown()
            if turn > 0:  # the first one loads and warms what all use
                seconds[name].append(took)
    return seconds


def training(steps: int, rounds: int) -> None:
    reason = network.why_not()
    if reason is not None:
        unavailable("encryption", "emulated hosts", reason)
    with ExitStack() as stack:
        where = network.loopback() if reason else stack.enter_context(network.emulated(2, GIGABITS))
        host = where.address(SHARD)
        secrets = stack.enter_context(made_for_a_job((host,)))
        addresses = {PLAIN: f"{host}:{PORT}", SECURE: f"{host}:{PORT + 1}"}
        for name, options in ((PLAIN, Security(insecure=True)), (SECURE, secrets.shards)):
            command = [*server_command(), "--listen", addresses[name]]
            command = where.command(SHARD, command + named_options.command_line(options))
            shard = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            stack.callback(shard.wait)
            stack.callback(shard.terminate)
        task = json_.dumps([addresses, {n: getattr(secrets.workers, n) for n in secrets.workers.files}, steps, rounds])
        command = where.command(WORKER, [sys.executable, "-m", "benchmarks.encryption", "--measure", task])
        said = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    seconds = json_.loads(said.splitlines()[-1])
    link = "the loopback interface" if reason else f"{GIGABITS:g} Gbit/s"
    for name, taken in seconds.items():
        figure(
            "encryption",
            f"Wide & Deep, D={wide_and_deep_fit.DIMENSION}, {link}, {name}",
            wide_and_deep_fit.BATCH / statistics.median(taken),
            "examples/s",
            reference=PLAIN,
            ratio=statistics.median(a / b for a, b in zip(seconds[PLAIN], taken, strict=True)),
            data=wide_and_deep_fit.DATA,
        )


def main(
    quick: Annotated[bool, typer.Option(help="Fewer turns.")] = False,
    json: Annotated[bool, typer.Option(help="Accepted for all benchmarks alike: the output is JSON lines.")] = True,
    task: Annotated[str, typer.Option("--measure", hidden=True)] = "",
) -> None:
    if task:
        print(json_.dumps(measure(*json_.loads(task))))
        return
    with made_for_a_job() as secrets:
        exchanges(secrets, 3 if quick else 7, 0.1 if quick else 0.3, SIZES[1:2] if quick else SIZES)
    sys.stdout.flush()
    training(100 if quick else 400, 2 if quick else 5)


if __name__ == "__main__":
    typer.run(main)
