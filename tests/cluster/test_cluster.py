"""What TF_CONFIG and HET_TF_SHARDS mean, and how bad ones are refused."""

import json

import pytest

from het_tf.cluster import Cluster, ClusterError, from_environment, split_address


def environment(cluster=None, task=None, shards=None):
    environ = {}
    if cluster is not None or task is not None:
        config = {} if cluster is None else {"cluster": cluster}
        environ["TF_CONFIG"] = json.dumps(config if task is None else config | {"task": task})
    if shards is not None:
        environ["HET_TF_SHARDS"] = shards
    return environ


def task(task_type, index=0):
    return {"type": task_type, "index": index}


JOB = {"ps": ["p0:1", "p1:1"], "chief": ["c:1"], "worker": ["w0:1", "w1:1"]}
SHARDS, WORKERS = ("p0:1", "p1:1"), ("c:1", "w0:1", "w1:1")


@pytest.mark.parametrize("environ", [{}, {"TF_CONFIG": ""}, {"TF_CONFIG": "{}"}, {"TF_CONFIG": '{"cluster": {}}'}])
def test_without_configuration_the_shard_is_in_the_process(environ):
    cluster = from_environment(environ)
    assert cluster == Cluster(shards=(), workers=(), task_type="worker", task_index=0)
    assert (cluster.rank, cluster.size) == (0, 1)


@pytest.mark.parametrize(
    ("given", "rank"),
    [(task("chief"), 0), (task("worker", 0), 1), (task("worker", 1), 2)],
)
def test_the_chief_is_rank_0_and_workers_follow(given, rank):
    cluster = from_environment(environment(JOB, given))
    assert (cluster.shards, cluster.workers) == (SHARDS, WORKERS)
    assert (cluster.rank, cluster.size) == (rank, 3)
    assert not cluster.is_shard and not cluster.is_evaluator


def test_without_a_chief_worker_0_is_rank_0():
    cluster = from_environment(environment({"ps": ["p:1"], "worker": ["w0:1", "w1:1"]}, task("worker", 1)))
    assert (cluster.rank, cluster.size) == (1, 2)


def test_a_ps_task_is_a_shard():
    cluster = from_environment(environment(JOB, task("ps", 1)))
    assert cluster.is_shard and (cluster.rank, cluster.size) == (0, 1)


@pytest.mark.parametrize("listed", [{}, {"evaluator": ["e:1"]}])
def test_an_evaluator_reads_from_the_shards_alone(listed):
    cluster = from_environment(environment(JOB | listed, task("evaluator")))
    assert cluster.is_evaluator and not cluster.is_shard
    assert (cluster.rank, cluster.size, cluster.shards) == (0, 1, SHARDS)


def test_one_worker_without_ps_has_the_shard_inside():
    assert from_environment(environment({"worker": ["w:1"]}, task("worker"))).shards == ()


def test_the_list_of_the_launcher_wins():
    cluster = from_environment(environment(JOB, task("worker"), "a:1, b:2"))
    assert (cluster.shards, cluster.rank, cluster.size) == (("a:1", "b:2"), 1, 3)
    assert from_environment({"HET_TF_SHARDS": "unix:/run/s.0,unix:/run/s.1"}).shards == (
        "unix:/run/s.0",
        "unix:/run/s.1",
    )


def test_index_as_text_and_ipv6_are_read():
    assert from_environment(environment(JOB, task("worker", "1"))).task_index == 1
    assert split_address("[::1]:4700") == ("[::1]", 4700)


MALFORMED = {
    "not JSON": ({"TF_CONFIG": "{cluster"}, "not JSON"),
    "not an object": ({"TF_CONFIG": "[1]"}, "JSON object"),
    "cluster is a list": (environment(["w:1"], task("worker")), "map task types"),
    "cluster is missing": (environment(None, task("worker")), "map task types"),
    "unknown job": (environment({"master": ["m:1"]}, task("master")), "'master'.*chief, worker, ps, evaluator"),
    "unknown task": (environment(JOB, task("master")), "'master'.*chief, worker, ps, evaluator"),
    "task type is a list": (environment(JOB, task(["worker"])), "known ones"),
    "missing task": (environment(JOB), "which task this process is"),
    "task without index": (environment(JOB, {"type": "worker"}), "which task this process is"),
    "index out of range": (environment(JOB, task("worker", 2)), "worker 2.*has 2 of type"),
    "ps index out of range": (environment(JOB, task("ps", 2)), "ps 2.*has 2 of type"),
    "second chief": (environment(JOB, task("chief", 1)), "chief 1.*has 1 of type"),
    "negative index": (environment(JOB, task("worker", -1)), "index -1"),
    "fractional index": (environment(JOB, task("worker", 0.5)), "index 0.5"),
    "boolean index": (environment(JOB, task("worker", True)), "index True"),
    "index in words": (environment(JOB, task("worker", "one")), "index 'one'"),
    "sparse cluster": (environment({"worker": {"0": "w:1"}}, task("worker")), "list of addresses"),
    "addresses as text": (environment({"worker": "w:1"}, task("worker")), "list of addresses"),
    "no port": (environment({"worker": ["w"]}, task("worker")), "'w' is not an address"),
    "no host": (environment({"worker": [":1"]}, task("worker")), "':1' is not an address"),
    "port 0": (environment({"worker": ["w:0"]}, task("worker")), "1 to 65535"),
    "port too large": (environment({"worker": ["w:65536"]}, task("worker")), "1 to 65535"),
    "port in words": (environment({"worker": ["w:http"]}, task("worker")), "1 to 65535"),
    "a URL": (environment({"worker": ["grpc://w:1"]}, task("worker")), "not an address"),
    "bare IPv6": (environment({"worker": ["::1:80"]}, task("worker")), "brackets"),
    "a worker on a socket": (environment({"worker": ["unix:/w"]}, task("worker")), "not an address"),
    "the same worker twice": (environment({"worker": ["w:1", "w:1"], "ps": ["p:1"]}, task("worker")), "'w:1' twice"),
    "worker on a shard": (environment({"worker": ["w:1"], "ps": ["w:1"]}, task("worker")), "'w:1' twice"),
    "two chiefs": (environment(JOB | {"chief": ["c:1", "d:1"]}, task("chief")), "2 chiefs"),
    "workers without ps": (environment({"worker": ["w:1", "v:1"]}, task("worker")), "2 workers and no ps"),
    "chief and worker without ps": (environment({"chief": ["w:1"], "worker": ["v:1"]}, task("chief")), "no ps"),
    "evaluator without ps": (environment({"worker": ["w:1"]}, task("evaluator")), "evaluator.*no ps"),
    "empty place in the list": ({"HET_TF_SHARDS": "a:1,,b:1"}, "HET_TF_SHARDS.*'' is not an address"),
    "shard without port": ({"HET_TF_SHARDS": "a"}, "HET_TF_SHARDS.*'a' is not an address"),
    "socket without path": ({"HET_TF_SHARDS": "unix:"}, "path of the socket"),
    "the same shard twice": ({"HET_TF_SHARDS": "a:1,a:1"}, "'a:1' twice"),
    "too many shards": ({"HET_TF_SHARDS": ",".join(f"a:{i + 1}" for i in range(4097))}, "4097 shards; at most 4096"),
    "ps with another list": (environment(JOB, task("ps"), "a:1"), "unset one of the two"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_configuration_is_refused_by_name(name):
    environ, said = MALFORMED[name]
    with pytest.raises(ClusterError, match=f"(?s){said}"):
        from_environment(environ)


def test_as_many_shards_as_partitions_are_fine():
    assert len(from_environment({"HET_TF_SHARDS": ",".join(f"a:{i + 1}" for i in range(4096))}).shards) == 4096
