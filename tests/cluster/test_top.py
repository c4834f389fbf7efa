"""het-tf top, drop and stop against shards that live, and against one that does not."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from certificates import token_file
from het_tf.administration import ShardClient, ShardUnreachable, message
from het_tf.cli import top
from het_tf.cli.main import app
from het_tf.cli.observation import Watch, report
from het_tf.security import Security
from het_tf.shard_process import ShardProcess
from processes import free_ports

TABLE = {"name": "user", "dimension": 4, "initializer": {"name": "zeros"}, "optimizer": {"name": "sgd"}}


def run(*arguments, input=None):
    return CliRunner().invoke(app, arguments, input=input, env={"HET_TF_SHARDS": None, "TF_CONFIG": None})


def create(address, security=None, **more):
    with ShardClient(address, security=security or Security()) as client:
        client.call("CreateTable", message("CreateTableRequest")(**TABLE | more))


def tables_of(address):
    with ShardClient(address, security=Security()) as client:
        return [table.name for table in client.stats().tables]


def test_every_look_shows_every_shard(shard):
    with ShardProcess() as other:
        result = run("top", shard.address, other.address, "--iterations", "2", "--interval", "0")
    assert result.exit_code == 0, result.output
    for address in (shard.address, other.address):
        assert result.stdout.count(address) == 2
    assert all(column in result.stdout for column in ("exchanges/s", "received/s", "memory", "refused"))


def test_a_shard_that_does_not_answer_is_shown_and_asked_again(tmp_path):
    nobody = f"unix:{tmp_path}/s"
    with Watch([nobody], Security(), timeout_seconds=30) as shards:
        (seen,) = shards.look()
        assert seen.report is None and f"the shard at {nobody} does not answer" in seen.error
        with ShardProcess(nobody) as shard:
            (seen,) = shards.look()
            assert seen.report["incarnation"] == f"{shard.incarnation:016x}"
        (seen,) = shards.look()
        assert seen.report is None


def test_what_is_silent_stands_below_the_table(shard):
    nobody = f"127.0.0.1:{free_ports(1)[0]}"
    result = run("top", shard.address, nobody, "--iterations", "1", "--interval", "0")
    assert result.exit_code == 0
    assert "no answer" in result.stdout and "does not answer" in result.stdout


def test_an_interrupt_ends_it_well(shard, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(top, "time", SimpleNamespace(sleep=interrupt))
    assert run("top", shard.address).exit_code == 0


def test_rates_are_by_direction_and_of_the_shards_clock():
    reply = message("StatsReply")
    before = reply(incarnation=1, uptime_seconds=10, sent={"rows": 100}, received={"ids": 10, "framing": 5})
    after = reply(incarnation=1, uptime_seconds=12, sent={"rows": 400}, received={"ids": 20, "framing": 15})
    found = report("a:1", before, after)
    assert (found["sent_bytes_per_second"], found["received_bytes_per_second"]) == (150, 10)
    assert report("a:1", None, after)["sent_bytes_per_second"] is None


def test_memory_is_shown_beside_its_limit_and_refusals_by_reason(tmp_path):
    token = Security(token_file=token_file(tmp_path, "token"))
    with ShardProcess(f"unix:{tmp_path}/s", security=token) as shard:
        run("status", shard.address, "--interval", "0")
        result = run("top", shard.address, "--iterations", "1", "--interval", "0", "--token-file", token.token_file)
    assert result.exit_code == 0 and "no token" in result.stdout, result.output


@pytest.mark.parametrize(("options", "input"), [(("--yes",), None), ((), "y\n")])
def test_drop_forgets_a_table_on_every_shard(options, input):
    with ShardProcess() as one, ShardProcess() as other:
        for shard in (one, other):
            create(shard.address)
            create(shard.address, name="item")
        result = run("drop", "user", one.address, other.address, *options, input=input)
        assert result.exit_code == 0 and "dropped table 'user' with 0 rows on 2 of 2 shards" in result.output
        assert tables_of(one.address) == tables_of(other.address) == ["item"]


def test_drop_asks_first(shard):
    create(shard.address)
    result = run("drop", "user", shard.address, input="n\n")
    assert result.exit_code == 1 and "nothing was dropped" in result.stderr
    assert tables_of(shard.address) == ["user"]


def test_drop_names_the_tables_that_there_are(shard):
    create(shard.address)
    result = run("drop", "users", shard.address, "--yes")
    assert result.exit_code == 2 and "no shard has a table 'users'; their tables: user" in result.stderr


def test_nothing_is_dropped_when_a_shard_is_silent(shard):
    create(shard.address)
    result = run("drop", "user", shard.address, f"127.0.0.1:{free_ports(1)[0]}", "--yes")
    assert result.exit_code == 1 and "does not answer" in result.stderr
    assert tables_of(shard.address) == ["user"]


def test_stop_ends_the_shards_gracefully(tmp_path):
    log = tmp_path / "shard.log"
    shards = [ShardProcess(log=log if index == 0 else None) for index in range(2)]
    result = run("stop", *(shard.address for shard in shards))
    assert result.exit_code == 0, result.output
    assert [shard.process.wait(30) for shard in shards] == [0, 0]
    shards[0].stop()
    assert log.read_text().endswith("het-tf-shard stopped\n")
    with pytest.raises(ShardUnreachable), ShardClient(shards[0].address, security=Security()) as client:
        client.hello()


@pytest.mark.parametrize("command", [("drop", "user", "--yes"), ("stop",)])
def test_a_workers_token_does_not_administer(tmp_path, command):
    worker, admin = token_file(tmp_path, "worker"), token_file(tmp_path, "admin")
    both = Security(token_file=worker, admin_token_file=admin)
    with ShardProcess(f"unix:{tmp_path}/s", security=both) as shard:
        create(shard.address, both)
        result = run(*command, shard.address, "--token-file", str(worker))
        assert result.exit_code == 1 and "need the administrator's token" in result.stderr
        result = run(*command, shard.address, "--admin-token-file", str(admin))
        assert result.exit_code == 0, result.output


def test_a_shard_that_was_started_again_is_not_the_one_that_was_meant(shard):
    create(shard.address)
    with ShardClient(shard.address, security=Security()) as client:
        for order in (lambda: client.drop_table("user", 1), lambda: client.stop(1)):
            with pytest.raises(Exception, match="has been restarted, and the rows it held are gone"):
                order()
        assert client.hello().incarnation == shard.incarnation
    assert tables_of(shard.address) == ["user"]
