"""Horovod's rendezvous from TF_CONFIG alone, without horovodrun.

Horovod's Gloo controller wants to be told its rank by environment variables
and to find its peers through a small HTTP key-value store, both of which
horovodrun provides. Here rank 0 serves the store at its own address of
TF_CONFIG (nothing else listens there), in a daemon thread that lives as long
as the process, and every rank computes the variables from the list of workers.

All ranks meet in the store before Horovod starts, because Horovod itself gives
up after 30 seconds while a scheduler may start workers minutes apart, and
because ranks with different lists of workers would hang.
"""

from __future__ import annotations

import http.client
import os
import socket
import threading
import time
from collections.abc import MutableMapping
from typing import Any

import psutil

from het_tf import horovod_installation
from het_tf.cluster import COMING_SECONDS, Cluster, ClusterError, is_loopback, split_address
from het_tf.horovod_installation import LAUNCHER_SIZES

_SCOPE = "het_tf"
_POLL_SECONDS = 0.1


class RendezvousError(RuntimeError):
    """The workers of TF_CONFIG could not find each other."""


def configure(
    cluster: Cluster, environ: MutableMapping[str, str] = os.environ, *, deadline_seconds: float = COMING_SECONDS
) -> None:
    """Prepares the environment for ``hvd.init()``; to be called before it.

    Does nothing for one worker, for a task that does not train, and for a
    process that a launcher (horovodrun, mpirun) has prepared already. Blocks
    until all workers have come.

    Raises:
      ClusterError: the launcher's number of ranks is not TF_CONFIG's number of
        workers, or the address of rank 0 cannot serve.
      RendezvousError: Horovod for TensorFlow is not installed; a worker has not come within
        `deadline_seconds` (named with its address); the port of rank 0 is in
        use; another job answers there.
    """
    if cluster.size == 1:
        return
    for name in LAUNCHER_SIZES:
        if name in environ:
            if environ[name] != str(cluster.size):
                raise ClusterError(
                    f"TF_CONFIG has {cluster.size} workers {list(cluster.workers)}, but the launcher of this process "
                    f"started {environ[name]} ({name}): let TF_CONFIG or the launcher describe the job, not both"
                )
            return
    lacking = horovod_installation.missing()
    if lacking is not None:
        raise RendezvousError(
            f"TF_CONFIG has {cluster.size} workers, which needs Horovod, and {lacking}: {horovod_installation.REMEDY}"
        )
    host, port = split_address(cluster.workers[0])
    if host.startswith("["):
        raise ClusterError(
            f"rank 0 of TF_CONFIG is {cluster.workers[0]}: Horovod's rendezvous speaks IPv4 alone; give an IPv4 "
            "address or a name"
        )
    if cluster.rank == 0:
        _serve(cluster, host, port)
    _Meeting(cluster, host, port, deadline_seconds).hold()
    # What the user has set (an interface, a timeout) stays.
    for name, value in environment_of(cluster).items():
        environ.setdefault(name, value)


def environment_of(cluster: Cluster) -> dict[str, str]:
    """What Horovod reads: ranks are grouped by equal hosts in `cluster.workers`."""
    host, port = split_address(cluster.workers[0])
    own = slots(cluster)[cluster.rank]
    variables = {
        "HOROVOD_HOSTNAME": own.hostname,
        "HOROVOD_RANK": own.rank,
        "HOROVOD_SIZE": own.size,
        "HOROVOD_LOCAL_RANK": own.local_rank,
        "HOROVOD_LOCAL_SIZE": own.local_size,
        "HOROVOD_CROSS_RANK": own.cross_rank,
        "HOROVOD_CROSS_SIZE": own.cross_size,
        "HOROVOD_CONTROLLER": "gloo",
        "HOROVOD_CPU_OPERATIONS": "gloo",
        "HOROVOD_GLOO_RENDEZVOUS_ADDR": host,
        "HOROVOD_GLOO_RENDEZVOUS_PORT": port,
    }
    interface = _interface(cluster)
    if interface is not None:
        variables["HOROVOD_GLOO_IFACE"] = interface
    return {name: str(value) for name, value in variables.items()}


def slots(cluster: Cluster) -> list[Any]:
    """Horovod's host allocation plan: a `SlotInfo` for each rank."""
    from horovod.runner.common.util.hosts import SlotInfo

    hosts = [split_address(address)[0] for address in cluster.workers]
    local = [hosts[:rank].count(host) for rank, host in enumerate(hosts)]
    plan = []
    for rank, host in enumerate(hosts):
        # One rank of every host that has as many: in order of the hosts.
        across = [r for r in range(len(hosts)) if local[r] == local[rank]]
        plan.append(SlotInfo(host, rank, local[rank], across.index(rank), len(hosts), hosts.count(host), len(across)))
    return plan


def _interface(cluster: Cluster) -> str | None:
    """The network interface that has this worker's address; None: Gloo finds one."""
    hosts = [split_address(address)[0] for address in cluster.workers]
    if all(is_loopback(host) for host in hosts):
        wanted = "127.0.0.1"
    else:
        try:
            wanted = socket.gethostbyname(hosts[cluster.rank])
        except OSError:
            return None
    for name, addresses in psutil.net_if_addrs().items():
        if any(a.family == socket.AF_INET and a.address == wanted for a in addresses):
            return name
    return None


def _job(cluster: Cluster) -> bytes:
    return ",".join(cluster.workers).encode()


def _serve(cluster: Cluster, host: str, port: int) -> None:
    from horovod.runner.http.http_server import RendezvousHandler, RendezvousHTTPServer

    listen = host if is_loopback(host) else ""
    try:
        server = RendezvousHTTPServer((listen, port), RendezvousHandler, 0)
    except OSError as error:
        raise RendezvousError(
            f"rank 0 cannot listen on {cluster.workers[0]}, its address of TF_CONFIG, for Horovod's rendezvous "
            f"({error.strerror}): free the port or give the task another"
        ) from error
    server.daemon_threads = True
    server.init(slots(cluster))
    server.cache[_SCOPE] = {"job": _job(cluster)}
    threading.Thread(target=server.serve_forever, daemon=True, name="het_tf.rendezvous").start()


class _Meeting:
    """Waits in the store of rank 0 until every rank has come.

    Polls, since the store has no way to wait; a connection for each request, as
    Horovod's own client does it.
    """

    def __init__(self, cluster: Cluster, host: str, port: int, deadline_seconds: float) -> None:
        self._cluster = cluster
        self._host, self._port = host, port
        self._seconds = deadline_seconds
        self._deadline = time.monotonic() + deadline_seconds

    def hold(self) -> None:
        job = self._wait_for("job", f"rank 0 ({self._cluster.workers[0]}) does not answer")
        if job != _job(self._cluster):
            raise RendezvousError(
                f"rank 0 at {self._cluster.workers[0]} belongs to another job: its workers are "
                f"{job.decode(errors='replace')!r}, here TF_CONFIG has {_job(self._cluster).decode()!r}; give every "
                "task the same cluster"
            )
        try:
            self._come()
        except (OSError, http.client.HTTPException) as error:
            raise RendezvousError(
                f"rank 0 ({self._cluster.workers[0]}) has gone while the workers met ({error}): look at its log"
            ) from error
        for rank, address in enumerate(self._cluster.workers):
            self._wait_for(f"rank.{rank}", f"rank {rank} ({address}) has not come")

    def _come(self) -> None:
        own = f"rank.{self._cluster.rank}"
        if self._request("GET", own)[0] == 200:
            raise RendezvousError(
                f"rank {self._cluster.rank} of the job at {self._cluster.workers[0]} has come before: either two tasks "
                "have the same type and index, or this worker was restarted alone; the workers of a job have to be "
                "restarted together"
            )
        self._request("PUT", own, str(os.getpid()).encode())

    def _wait_for(self, key: str, complaint: str) -> bytes:
        while True:
            try:
                status, value = self._request("GET", key)
                if status == 200:
                    return value
                reason = f"rank 0 serves, {key} is missing" if status == 404 else f"HTTP status {status}"
            except (OSError, http.client.HTTPException) as error:
                reason = str(error) or type(error).__name__
            if time.monotonic() >= self._deadline:
                raise RendezvousError(
                    f"{complaint} after {self._seconds:g} s ({reason}); this is rank {self._cluster.rank} of "
                    f"{self._cluster.size} by TF_CONFIG: look at that worker's log, and whether it can be reached"
                )
            time.sleep(_POLL_SECONDS)

    def _request(self, method: str, key: str, body: bytes | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=10)
        try:
            connection.request(method, f"/{_SCOPE}/{key}", body)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()
