"""Cluster: who this process is and where the shards are.

Read once from the environment; a value without behaviour. These variables count:

- ``TF_CONFIG``, in the form that ``tf.distribute`` reads and that schedulers
  write: ``{"cluster": {"ps": [...], "chief": [...], "worker": [...]},
  "task": {"type": "worker", "index": 0}}``;
- ``HET_TF_SHARDS``, a comma-separated list of addresses in shard order, which
  ``het-tf launch`` sets; it wins over the ``ps`` of TF_CONFIG;
- ``HET_TF_CHECKPOINT_DIR``, where checkpoints are; ``het-tf launch`` sets it too.

Without shards, rows live in a shard inside the process.
"""

from __future__ import annotations

import ipaddress
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CHECKPOINT_DIR_VARIABLE = "HET_TF_CHECKPOINT_DIR"
# What a shard that is killed loses: all since the last checkpoint, nothing, or
# nothing even if its machine fails with it.
DURABILITIES = ("checkpoint", "log", "log-sync")
TASK_TYPES = ("chief", "worker", "ps", "evaluator")
# Ids are dealt out to shards in this many virtual partitions.
MAX_SHARDS = 4096
# How long the tasks of a job wait for each other, which a scheduler may start
# minutes apart.
COMING_SECONDS = 300.0


class ClusterError(ValueError):
    """The environment describes no usable cluster."""


@dataclass(frozen=True)
class Cluster:
    """One process's place in a job.

    Attributes:
      shards: addresses in shard order; empty: a shard inside this process.
      workers: addresses in rank order, the chief first; empty when they do not
        come from TF_CONFIG.
      task_type: ``chief``, ``worker``, ``ps`` or ``evaluator``.
      task_index: place within the tasks of that type.
      chiefs: how many of `workers` are chiefs (0 or 1).
    """

    shards: tuple[str, ...] = ()
    workers: tuple[str, ...] = ()
    task_type: str = "worker"
    task_index: int = 0
    chiefs: int = 0

    @property
    def is_shard(self) -> bool:
        return self.task_type == "ps"

    @property
    def is_evaluator(self) -> bool:
        return self.task_type == "evaluator"

    @property
    def trains(self) -> bool:
        return not (self.is_shard or self.is_evaluator)

    @property
    def size(self) -> int:
        """Number of workers, the chief included; 1 for a task that does not train."""
        return max(len(self.workers), 1) if self.trains else 1

    @property
    def rank(self) -> int:
        """Place among the workers: the chief is 0; 0 for a task that does not train."""
        if not self.trains or self.task_type == "chief":
            return 0
        return self.task_index + self.chiefs


def absolute_checkpoint_dir(
    given: str | os.PathLike[str] | None, environ: Mapping[str, str] = os.environ
) -> str | None:
    """The directory given, or that of the environment, as an absolute path; None without both."""
    chosen = given if given is not None else environ.get(CHECKPOINT_DIR_VARIABLE) or None
    return None if chosen is None else os.path.abspath(os.fspath(chosen))


def split_address(address: str) -> tuple[str, int]:
    """``host:port`` to its parts; the brackets of an IPv6 host stay."""
    host, _, port = address.rpartition(":")
    valid = host and port.isdecimal() and port.isascii() and 1 <= int(port) <= 65535
    if not valid or "/" in address or any(c.isspace() for c in address):
        raise ClusterError(f"{address!r} is not an address: expected host:port with a port from 1 to 65535")
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise ClusterError(f"{address!r} is not an address: write an IPv6 host in brackets, as in [::1]:4700")
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Whether a host, as `split_address` gives it, is this machine's own interface. Of names, localhost alone."""
    try:
        return ipaddress.ip_address(host.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return host == "localhost"


def is_local(address: str) -> bool:
    """Whether what travels to the shard of this address stays inside this machine."""
    return address.startswith("unix:") or is_loopback(split_address(address)[0])


def from_environment(environ: Mapping[str, str] = os.environ) -> Cluster:
    """The cluster that HET_TF_SHARDS and TF_CONFIG describe.

    Raises:
      ClusterError: says what was given, what is expected and what to do.
    """
    cluster = _from_tf_config(environ.get("TF_CONFIG", ""))
    listed = environ.get("HET_TF_SHARDS", "")
    if listed.strip():
        shards = tuple(part.strip() for part in listed.split(","))
        _check_shards(shards, f"HET_TF_SHARDS={listed!r}")
        if cluster.is_shard and shards != cluster.shards:
            raise ClusterError(
                f"this task is ps {cluster.task_index} of TF_CONFIG, whose shards are {list(cluster.shards)}, but "
                f"HET_TF_SHARDS={listed!r} lists others: unset one of the two"
            )
        cluster = Cluster(shards, cluster.workers, cluster.task_type, cluster.task_index, cluster.chiefs)
    if not cluster.shards and cluster.size > 1:
        raise ClusterError(
            f"TF_CONFIG has {cluster.size} workers and no ps task: each would train rows of its own in a shard inside "
            "its process; add at least one ps task (or set HET_TF_SHARDS)"
        )
    if not cluster.shards and cluster.is_evaluator:
        raise ClusterError(
            "this task is an evaluator and TF_CONFIG has no ps task: there is no shard to read rows from; add at least "
            "one ps task (or set HET_TF_SHARDS)"
        )
    return cluster


def _from_tf_config(text: str) -> Cluster:
    if not text.strip():
        return Cluster()
    try:
        config = json.loads(text)
    except json.JSONDecodeError as error:
        raise ClusterError(f"TF_CONFIG is not JSON ({error}); it is {text!r}") from None
    if not isinstance(config, dict):
        raise ClusterError(f"TF_CONFIG has to be a JSON object with 'cluster' and 'task'; it is {text!r}")
    jobs = config.get("cluster")
    if not jobs and not config.get("task"):
        return Cluster()  # as tf.distribute: no cluster is one process
    if not isinstance(jobs, dict) or not jobs:
        raise ClusterError(f"'cluster' of TF_CONFIG has to map task types to lists of addresses; it is {jobs!r}")
    addresses = {job: _addresses(job, given) for job, given in jobs.items()}
    _check_distinct([a for listed in addresses.values() for a in listed], "TF_CONFIG")
    chiefs = addresses.get("chief", ())
    if len(chiefs) > 1:
        raise ClusterError(f"TF_CONFIG has {len(chiefs)} chiefs {list(chiefs)}; expected at most one")
    shards = addresses.get("ps", ())
    if shards:
        _check_shards(shards, "'ps' of TF_CONFIG")
    task_type, index = _task(config.get("task"), addresses)
    return Cluster(shards, chiefs + addresses.get("worker", ()), task_type, index, len(chiefs))


def _addresses(job: str, given: Any) -> tuple[str, ...]:
    _check_task_type(job, "'cluster' of TF_CONFIG names")
    if not isinstance(given, list) or not all(isinstance(a, str) for a in given):
        raise ClusterError(f"{job!r} of TF_CONFIG has to be a list of addresses such as 'host:port'; it is {given!r}")
    for address in given:
        if not (job == "ps" and address.startswith("unix:")):
            try:
                split_address(address)
            except ClusterError as error:
                raise ClusterError(f"{job!r} of TF_CONFIG: {error}") from None
    return tuple(given)


def _task(task: Any, addresses: Mapping[str, tuple[str, ...]]) -> tuple[str, int]:
    if not isinstance(task, dict) or "type" not in task or "index" not in task:
        raise ClusterError(
            f"'task' of TF_CONFIG has to say which task this process is, as in {{'type': 'worker', 'index': 0}}; "
            f"it is {task!r}"
        )
    task_type, index = task["type"], task["index"]
    _check_task_type(task_type, "'task' of TF_CONFIG has type")
    if isinstance(index, str) and index.isdecimal():
        index = int(index)
    if not isinstance(index, int) or isinstance(index, bool) or index < 0:
        raise ClusterError(f"'task' of TF_CONFIG has index {index!r}; expected a number from 0")
    count = len(addresses.get(task_type, ()))
    # Schedulers leave evaluators out of the cluster: nobody has to reach them.
    if index >= count and not (task_type == "evaluator" and count == 0):
        raise ClusterError(
            f"'task' of TF_CONFIG is {task_type} {index}, but its cluster has {count} of type {task_type!r}: "
            f"{list(addresses.get(task_type, ()))}"
        )
    return task_type, index


def _check_task_type(task_type: Any, where: str) -> None:
    if task_type not in TASK_TYPES:
        raise ClusterError(f"{where} {task_type!r}, which is no task type; the known ones are {', '.join(TASK_TYPES)}")


def _check_shards(shards: tuple[str, ...], where: str) -> None:
    for address in shards:
        try:
            if not address.startswith("unix:"):
                split_address(address)
            elif address == "unix:":
                raise ClusterError("'unix:' lacks the path of the socket, as in unix:/run/shard.0")
        except ClusterError as error:
            raise ClusterError(f"{where}: {error}") from None
    _check_distinct(shards, where)
    if len(shards) > MAX_SHARDS:
        raise ClusterError(f"{where} has {len(shards)} shards; at most {MAX_SHARDS} are possible")


def _check_distinct(addresses: Any, where: str) -> None:
    seen: set[str] = set()
    for address in addresses:
        if address in seen:
            raise ClusterError(f"{where} gives the address {address!r} twice; every task needs its own")
        seen.add(address)
