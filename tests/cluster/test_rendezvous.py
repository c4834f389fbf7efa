"""The workers of a TF_CONFIG find each other without any launcher."""

import json
import os
import socket
import subprocess
import sys
import threading

import pytest

from het_tf import horovod_installation
from het_tf.cluster import Cluster, ClusterError
from het_tf.horovod_rendezvous import RendezvousError, configure, environment_of, slots
from processes import clean_environment, free_ports

FAR = tuple(f"{host}:4700" for host in ("a", "b", "a", "c", "b", "a"))


def cluster(workers, rank=0):
    return Cluster(shards=("127.0.0.1:4700",), workers=tuple(workers), task_type="worker", task_index=rank)


def loopback(count):
    return tuple(f"127.0.0.1:{port}" for port in free_ports(count))


def test_ranks_are_grouped_by_equal_hosts():
    plan = slots(cluster(FAR))
    assert [slot.local_rank for slot in plan] == [0, 0, 1, 0, 1, 2]
    assert [slot.local_size for slot in plan] == [3, 2, 3, 1, 2, 3]
    assert [slot.cross_rank for slot in plan] == [0, 1, 0, 2, 1, 0]
    assert [slot.cross_size for slot in plan] == [3, 3, 2, 3, 2, 1]
    assert [slot.rank for slot in plan] == list(range(6))


def test_loopback_workers_stay_on_the_loopback_interface():
    workers = ("127.0.0.1:4701", "127.0.0.1:4702")
    variables = environment_of(cluster(workers, rank=1))
    assert variables["HOROVOD_GLOO_IFACE"] == "lo"
    assert variables["HOROVOD_GLOO_RENDEZVOUS_ADDR"] == "127.0.0.1"
    assert variables["HOROVOD_GLOO_RENDEZVOUS_PORT"] == "4701"
    assert (variables["HOROVOD_RANK"], variables["HOROVOD_LOCAL_RANK"], variables["HOROVOD_CROSS_RANK"]) == (
        "1",
        "1",
        "0",
    )


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (None, "not installed"),
        (["__init__.py", "tensorflow/__init__.py"], "without its TensorFlow extension"),
        (["__init__.py", "tensorflow/__init__.py", "tensorflow/mpi_lib.so"], None),
    ],
)
def test_a_horovod_without_its_tensorflow_extension_is_none(tmp_path, monkeypatch, files, said):
    for name in files or ():
        file = tmp_path / "horovod" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    for name in [name for name in sys.modules if name.split(".")[0] == "horovod"]:
        monkeypatch.delitem(sys.modules, name)
    found = horovod_installation.missing()
    assert found is None if said is None else said in found


@pytest.mark.parametrize("one", [cluster(["127.0.0.1:4701"]), Cluster(), Cluster(("s:1",), ("w:1", "v:1"), "ps")])
def test_nothing_is_done_for_one_worker_or_a_shard(one):
    environ = {}
    ours = dict(os.environ)
    configure(one, environ)
    assert environ == {}
    assert dict(os.environ) == ours


@pytest.mark.parametrize("name", ["HOROVOD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE"])
def test_what_a_launcher_prepared_stays_when_the_sizes_agree(name):
    environ = {name: "2", "HOROVOD_RANK": "1"}
    configure(cluster(["far:1", "further:1"]), environ)
    assert environ == {name: "2", "HOROVOD_RANK": "1"}
    with pytest.raises(ClusterError, match=rf"3 workers.*started 2 \({name}\)"):
        configure(cluster(["far:1", "further:1", "furthest:1"]), environ)


def test_without_horovod_the_way_to_build_it_is_named(monkeypatch):
    monkeypatch.setattr(horovod_installation, "missing", lambda: "Horovod is not installed")
    with pytest.raises(RendezvousError, match=r"Horovod is not installed: .*tools/setup/horovod_wheel\.sh"):
        configure(cluster(["127.0.0.1:4701", "127.0.0.1:4702"]), {})


def test_a_worker_that_does_not_come_is_named():
    workers = loopback(2)
    environ = {}
    with pytest.raises(RendezvousError, match=rf"rank 1 \({workers[1]}\) has not come after 0.2 s"):
        configure(cluster(workers), environ, deadline_seconds=0.2)
    assert environ == {}


def test_a_rank_0_that_does_not_answer_is_named():
    workers = loopback(2)
    with pytest.raises(RendezvousError, match=rf"rank 0 \({workers[0]}\) does not answer.*refused.*this is rank 1"):
        configure(cluster(workers, rank=1), {}, deadline_seconds=0.2)


def test_a_port_in_use_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(RendezvousError, match=f"cannot listen on {address}.*in use"):
            configure(cluster([address, "127.0.0.1:4702"]), {}, deadline_seconds=0.2)


def test_an_ipv6_rank_0_is_refused():
    with pytest.raises(ClusterError, match="speaks IPv4 alone"):
        configure(cluster(["[::1]:4701", "[::1]:4702"]), {})


def meet(*members):
    """Every member configures in a thread of its own; what each got: variables or error."""
    results = [None] * len(members)

    def join(place, member):
        environ = {}
        try:
            configure(member, environ, deadline_seconds=20)
            results[place] = environ
        except (RendezvousError, ClusterError) as error:
            results[place] = error

    threads = [threading.Thread(target=join, args=each) for each in enumerate(members)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


def test_all_ranks_meet_before_horovod_starts():
    workers = loopback(3)
    ours = dict(os.environ)
    results = meet(*(cluster(workers, rank) for rank in range(3)))
    assert dict(os.environ) == ours
    assert [found["HOROVOD_RANK"] for found in results] == ["0", "1", "2"]
    assert all(found["HOROVOD_SIZE"] == found["HOROVOD_LOCAL_SIZE"] == "3" for found in results)


def test_a_worker_that_comes_a_second_time_is_refused():
    workers = loopback(2)
    assert [type(found) for found in meet(cluster(workers), cluster(workers, 1))] == [dict, dict]
    with pytest.raises(RendezvousError, match="rank 1 .*has come before.*restarted together"):
        configure(cluster(workers, 1), {}, deadline_seconds=20)


def test_a_worker_of_another_list_is_refused():
    workers = loopback(3)
    assert [type(found) for found in meet(cluster(workers[:2]), cluster(workers[:2], 1))] == [dict, dict]
    with pytest.raises(RendezvousError, match="belongs to another job"):
        configure(cluster(workers, 2), {}, deadline_seconds=20)


ALLREDUCE = """
import het_tf.cluster, het_tf.horovod_rendezvous
cluster = het_tf.cluster.from_environment()
het_tf.horovod_rendezvous.configure(cluster)
import horovod.tensorflow as hvd
import tensorflow as tf
hvd.init()
assert (hvd.rank(), hvd.size()) == (cluster.rank, cluster.size)
print("sum", float(hvd.allreduce(tf.constant(float(10 ** hvd.rank())), op=hvd.Sum)))
"""


def test_two_processes_with_tf_config_alone_allreduce():
    workers = loopback(2)
    jobs = {"ps": ["127.0.0.1:4700"], "chief": [workers[0]], "worker": [workers[1]]}
    processes = []
    for kind in ("chief", "worker"):
        config = json.dumps({"cluster": jobs, "task": {"type": kind, "index": 0}})
        processes.append(
            subprocess.Popen(
                [sys.executable, "-c", ALLREDUCE],
                env=clean_environment(TF_CONFIG=config, TF_CPP_MIN_LOG_LEVEL="3"),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    try:
        outputs = [process.communicate(timeout=120)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert all("sum 11.0" in output for output in outputs), outputs
