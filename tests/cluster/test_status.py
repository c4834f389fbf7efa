"""het-tf status against shards that live, and against one that does not."""

import json

import pytest
from typer.testing import CliRunner

from het_tf.administration import ShardClient, message
from het_tf.cli.main import app
from het_tf.cli.observation import report
from het_tf.version import VERSION
from processes import free_ports


def run(*arguments, env=None):
    empty = {"HET_TF_SHARDS": None, "TF_CONFIG": None}
    return CliRunner().invoke(app, arguments, env=empty | (env or {}))


@pytest.fixture
def filled(shard):
    with ShardClient(shard.address) as client:
        table = {"name": "user[bold]", "dimension": 4, "initializer": {"name": "zeros"}, "optimizer": {"name": "sgd"}}
        client.call("CreateTable", message("CreateTableRequest")(**table))
        yield shard, client


def test_json_has_what_the_shard_says(filled):
    shard, client = filled
    result = run("status", shard.address, "--json", "--interval", "0.01")
    assert result.exit_code == 0, result.output
    (found,) = json.loads(result.stdout)
    stats = client.stats()
    assert (found["address"], found["version"]) == (shard.address, VERSION)
    assert found["incarnation"] == f"{shard.incarnation:016x}"
    assert 0 < found["uptime_seconds"] <= stats.uptime_seconds
    assert (found["workers"], found["exchanges"], found["exchanges_per_second"]) == (0, 0, 0.0)
    (table,) = found["tables"]
    assert (table["name"], table["dimension"], table["optimizer"], table["rows"]) == ("user[bold]", 4, "sgd()", 0)
    assert set(found["sent_bytes"]) == {"ids", "clocks", "rows", "gradients", "framing"}


def test_tables_name_shard_and_table(filled):
    shard, _ = filled
    result = run("status", shard.address, "--interval", "0")
    assert result.exit_code == 0, result.output
    assert shard.address in result.stdout and "user[bold]" in result.stdout and "gradients" in result.stdout


@pytest.mark.parametrize("variable", ["HET_TF_SHARDS", "TF_CONFIG"])
def test_the_environment_names_the_shards(shard, variable):
    config = {"cluster": {"ps": [shard.address], "worker": ["w:1"]}, "task": {"type": "worker", "index": 0}}
    value = shard.address if variable == "HET_TF_SHARDS" else json.dumps(config)
    result = run("status", "--json", "--interval", "0", env={variable: value})
    assert [found["address"] for found in json.loads(result.stdout)] == [shard.address]


def test_a_shard_that_does_not_answer_is_named_and_the_others_are_shown(shard):
    nobody = f"127.0.0.1:{free_ports(1)[0]}"
    result = run("status", shard.address, nobody, "--json", "--interval", "0")
    assert result.exit_code == 1
    assert [found["address"] for found in json.loads(result.stdout)] == [shard.address]
    assert f"the shard at {nobody} does not answer" in result.stderr


def test_without_shards_it_says_how_to_name_them():
    result = run("status")
    assert result.exit_code == 2 and "give addresses, or set HET_TF_SHARDS or TF_CONFIG" in result.stderr


def test_a_malformed_environment_is_refused():
    result = run("status", env={"TF_CONFIG": "{"})
    assert result.exit_code == 2 and "TF_CONFIG is not JSON" in result.stderr


def test_the_rate_is_per_second_of_the_shards_clock():
    reply = message("StatsReply")
    before = reply(incarnation=1, uptime_seconds=10, exchanges=100)
    assert report("a:1", before, reply(incarnation=1, uptime_seconds=12, exchanges=150))["exchanges_per_second"] == 25
    # A restart in between: no rate, never a negative one.
    assert report("a:1", before, reply(incarnation=2, uptime_seconds=1, exchanges=5))["exchanges_per_second"] is None


def test_version():
    result = run("--version")
    assert (result.exit_code, result.stdout) == (0, f"het-tf {VERSION}\n")


@pytest.mark.parametrize("options", [("--shard-index", "0"), ("--shard-count", "2")])
def test_half_a_place_is_refused(options):
    result = run("shard", *options)
    assert result.exit_code == 2 and "belong together" in result.stderr
