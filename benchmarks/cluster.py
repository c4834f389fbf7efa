"""Two workers and two shards on a network, against TensorFlow's parameter servers.

    python -m benchmarks.cluster [--quick]

Each worker looks 4096 x 26 Zipf-distributed ids up and applies one SGD gradient per
occurrence, D=16; het_tf at staleness 100 with a cache of a tenth of the rows. Once
over the loopback interface, once each with emulated hosts whose links have 10 and 1
Gbit/s (network.py: root; without, a notice and the loopback interface alone). The
reference is ParameterServerStrategy with two ps tasks (peers/cluster_tensorflow.py)
on the same hosts. Both jobs stay up and take turns: the one that waits uses neither
processor nor network.
"""

from __future__ import annotations

import contextlib
import json as json_
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from benchmarks import network
from benchmarks.figures import figure, unavailable
from benchmarks.peers.coprocess import Coprocess
from benchmarks.peers.environments import PeerUnavailable
from benchmarks.turns import medians, take_turns
from benchmarks.zipf import SKEW, VOCABULARY, ZipfIds
from het_tf.shard_process import server_command

WORKERS = 2
SHARDS = 2
SIZE = 4096 * 26
DIMENSION = 16
SHARE = 0.1
STALENESS = 100
COORDINATOR = WORKERS + SHARDS  # a host of its own
HOSTS = COORDINATOR + 1


def start_het(stack: contextlib.ExitStack, where: network.Network, ids: Path, warm: int) -> Callable[[int], float]:
    """A running job of het_tf; gives what runs N steps on every worker, seconds per step of the slower one."""
    ports = network.free_ports(SHARDS)
    addresses = [f"{where.address(WORKERS + shard)}:{ports[shard]}" for shard in range(SHARDS)]
    for shard, address in enumerate(addresses):
        place = ["--shard-index", str(shard), "--shard-count", str(SHARDS)]
        command = [*server_command(), "--insecure", "--listen", address, *place]
        # A worker waits until its shards are up.
        stack.enter_context(
            Coprocess(f"shard {shard}", where.command(WORKERS + shard, command), os.environ, ends_by_signal=True)
        )
    environ = {**os.environ, "HET_TF_SHARDS": ",".join(addresses)}
    numbers = (SIZE, DIMENSION, VOCABULARY, SHARE, STALENESS, warm)
    workers = []
    for rank in range(WORKERS):
        command = [sys.executable, "-m", "benchmarks.cluster_worker", str(ids), str(rank), *map(str, numbers)]
        workers.append(stack.enter_context(Coprocess(f"worker {rank}", where.command(rank, command), environ)))
    for worker in workers:
        worker.wait_until_ready()

    def run(count: int) -> float:
        for worker in workers:
            worker.begin(count)
        return max([worker.finish() for worker in workers])

    return run


def start_tensorflow(stack: contextlib.ExitStack, where: network.Network, ids: Path, warm: int) -> Coprocess:
    """A running job of ParameterServerStrategy: its coordinator."""
    ports = network.free_ports(HOSTS)
    address = [f"{where.address(host)}:{port}" for host, port in enumerate(ports)]
    cluster = {"worker": address[:WORKERS], "ps": address[WORKERS:COORDINATOR], "chief": [address[COORDINATOR]]}
    program = [sys.executable, "-m", "benchmarks.peers.cluster_tensorflow"]
    environ = {name: value for name, value in os.environ.items() if name != "TF_CONFIG"}
    servers = []
    for host, (task, index) in enumerate([("worker", 0), ("worker", 1), ("ps", 0), ("ps", 1)]):
        command = where.command(host, [*program, "server", json_.dumps(cluster), task, str(index)])
        servers.append(stack.enter_context(Coprocess(f"{task} {index}", command, environ)))
    for server in servers:
        server.wait_until_ready()
    numbers = (SIZE, DIMENSION, VOCABULARY, max(1, warm // 4))
    command = [*program, "coordinator", json_.dumps(cluster), str(ids), *map(str, numbers)]
    coordinator = Coprocess("coordinator", where.command(COORDINATOR, command), environ)
    stack.enter_context(coordinator)
    coordinator.wait_until_ready()
    return coordinator


def measure(where: network.Network, ids: Path, quick: bool) -> None:
    with contextlib.ExitStack() as stack:
        # Copies are used up after STALENESS of a worker's steps: the cache is in its steady state then.
        contenders = {"het_tf": start_het(stack, where, ids, 30 if quick else STALENESS + 20)}
        way = ""
        try:
            coordinator = start_tensorflow(stack, where, ids, 4 if quick else 8)
        except PeerUnavailable as error:
            unavailable("cluster", "ParameterServerStrategy", str(error))
        else:
            contenders["tf"] = coordinator.steps
            way = f" ({coordinator.ready['path']})"
        times = medians(take_turns(contenders, rounds=5, seconds=1 if quick else 5))
    job = f"{WORKERS} workers, {SHARDS} shards, {where.name}"
    for name, seconds in times.items():
        other = "tf" if name == "het_tf" else "het_tf"
        figure(
            "cluster",
            f"{name}{way if name == 'tf' else ''}: lookup + SGD update, {job}",
            WORKERS * SIZE / seconds / 1e6,
            "M ids/s",
            data=f"generated: Zipf({SKEW}) over {VOCABULARY} ids, {SIZE} per worker and step, D={DIMENSION}, "
            f"s={STALENESS}, cache of {SHARE:.0%}",
            reference="ParameterServerStrategy" if name == "het_tf" else "het_tf",
            ratio=times[other] / seconds if other in times else None,
        )


def main(
    quick: Annotated[bool, typer.Option(help="Fewer steps, without the 10 Gbit/s network.")] = False,
    networks: Annotated[str, typer.Option(help="Of these, separated by commas: loopback, 10, 1 (Gbit/s).")] = "",
    json: Annotated[bool, typer.Option(help="Accepted for all benchmarks alike: the output is JSON lines.")] = True,
) -> None:
    chosen = networks.split(",") if networks else ["loopback", "1"] if quick else ["loopback", "10", "1"]
    if unknown := set(chosen) - {"loopback", "10", "1"}:
        raise typer.BadParameter(f"unknown networks {sorted(unknown)}; there are loopback, 10 and 1")
    with tempfile.TemporaryDirectory() as folder:
        ids = Path(folder) / "ids.bin"
        zipf = ZipfIds()
        np.concatenate([zipf.batch(number, SIZE) for number in range(32 if quick else 128)]).tofile(ids)
        for name in chosen:
            if name == "loopback":
                measure(network.loopback(), ids, quick)
                continue
            try:
                with network.emulated(HOSTS, int(name)) as where:
                    measure(where, ids, quick)
            except network.NetworkError as error:
                unavailable("cluster", f"emulated hosts, {name} Gbit/s", f"{error}; there is the loopback alone")


if __name__ == "__main__":
    typer.run(main)
