"""What a shard tells its operator: metrics, log lines, health, its API."""

from __future__ import annotations

import json
import re
import urllib.request
from pathlib import Path

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families

from het_tf.administration import ShardClient, message
from het_tf.serving import Serving
from het_tf.shard_process import ShardProcess
from wire import table_id

DASHBOARD = Path(__file__).resolve().parents[2] / "docs/grafana.json"
HEALTH = "/grpc.health.v1.Health/Check"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"


def lines(log: Path) -> list[dict]:
    return [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]


@pytest.fixture
def shard(tmp_path):
    serving = Serving(metrics_listen="127.0.0.1:0", log_format="json")
    with ShardProcess(serving=serving, log=tmp_path / "log") as running:
        yield running


@pytest.fixture
def metrics(shard, tmp_path):
    address = ""
    while not address:  # the line comes after the one that says where it listens
        address = next((line["metrics"] for line in lines(tmp_path / "log") if line["event"] == "listening"), "")

    def scrape() -> dict:
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as page:
            return {family.name: family for family in text_string_to_metric_families(page.read().decode())}

    return scrape


def train(shard: ShardProcess) -> None:
    """Three rows, two exchanges, one of them with a copy that is behind."""
    with ShardClient(shard.address) as client:
        table = message("CreateTableRequest")(name="t", dimension=2)
        table.initializer.name = "zeros"
        table.optimizer.name = "sgd"
        client.call("CreateTable", table)
        request = message("ExchangeRequest")(worker=1, shard=client.stats().incarnation, sequence=1)
        part = request.tables.add(table=table_id("t"))
        part.push_id_deltas.extend([1, 1, 1])
        part.push_clocks.extend([5, 5, 5])
        part.push_learning_rates.append(0.5)
        part.push_gradients = b"\0" * 24
        client.call("Exchange", request)
        request = message("ExchangeRequest")(worker=1, shard=client.stats().incarnation, sequence=2)
        part = request.tables.add(table=table_id("t"), staleness=10)
        part.validate_id_deltas.append(1)
        part.validate_clocks.append(2)
        client.call("Exchange", request)


def test_the_metrics_say_what_was_exchanged(shard, metrics):
    train(shard)
    families = metrics()

    def value(name: str, **labels: str) -> float:
        named = [sample for family in families.values() for sample in family.samples if sample.name == name]
        samples = [sample for sample in named if labels.items() <= sample.labels.items()]
        assert len(samples) == 1, (name, labels, samples)
        return samples[0].value

    assert value("het_tf_exchanges_total") == 2
    assert value("het_tf_calls_total", method="Exchange", code="OK") == 2
    assert value("het_tf_call_seconds_count", method="Exchange") == 2
    assert value("het_tf_rows", table="t") == 3
    assert value("het_tf_bytes_total", direction="received", kind="gradients") == 28
    assert value("het_tf_workers") == 1
    assert value("het_tf_staleness_count", table="t") == 1
    assert value("het_tf_staleness_sum", table="t") == 3
    assert value("het_tf_staleness_bucket", table="t", le="3") == 1
    assert value("het_tf_staleness_bucket", table="t", le="1") == 0


def test_the_dashboard_shows_metrics_that_there_are(shard, metrics):
    train(shard)
    dashboard = json.loads(DASHBOARD.read_text())
    shown = {
        name
        for panel in dashboard["panels"]
        for target in panel["targets"]
        for name in re.findall(r"het_tf_\w+", target["expr"])
    }
    there = {sample.name for family in metrics().values() for sample in family.samples}
    # A counter of refusals has a series when there has been one.
    assert shown - there == {"het_tf_refused_total"}
    assert len(shown) > 8


def test_health_checks_need_no_token_and_say_that_it_serves(shard):
    with grpc.insecure_channel(shard.address) as channel:
        for service in (b"", b"het.v1.EmbeddingShard"):
            request = b"\x0a" + bytes((len(service),)) + service if service else b""
            assert channel.unary_unary(HEALTH)(request, timeout=10) == b"\x08\x01"  # status: SERVING


@pytest.mark.parametrize("asked", [True, False])
def test_reflection_is_there_when_it_is_asked_for(asked):
    with (
        ShardProcess(serving=Serving(reflection=asked)) as shard,
        grpc.insecure_channel(shard.address) as channel,
    ):
        answers = channel.stream_stream(REFLECTION)(iter([b"\x3a\x00"]), timeout=10)  # list_services
        if asked:
            assert b"het.v1.EmbeddingShard" in next(answers)
        else:
            with pytest.raises(grpc.RpcError) as raised:
                next(answers)
            assert raised.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_an_administrators_calls_stand_in_the_log(shard, tmp_path):
    train(shard)
    with ShardClient(shard.address) as client:
        client.drop_table("t", client.hello().incarnation)
        with pytest.raises(grpc.RpcError):
            client.drop_table('no "table"\n', client.hello().incarnation)
        client.stop(client.hello().incarnation)
    assert shard.process.wait(30) == 0
    shard.stop()
    audit = [line for line in lines(tmp_path / "log") if line["event"] == "audit"]
    said = [(line["call"], line["outcome"].split(":")[0], line["source"]) for line in audit]
    here = "127.0.0.1"
    assert said == [("DropTable", "OK", here), ("DropTable", "NOT_FOUND", here), ("Stop", "OK", here)]
