"""The wire is plain protobuf: a client without a line of ours trains a row."""

import grpc
import numpy as np
import pytest

from het_tf.administration import ShardClient, message

WORKER = 0x1234


def table_id(name):
    """Which number a table has on the wire: FNV-1a over its name, mixed (Mix13)."""
    mask = (1 << 64) - 1
    h = 0xCBF29CE484222325
    for byte in name.encode():
        h = (h ^ byte) * 0x100000001B3 & mask
    h = (h ^ h >> 30) * 0xBF58476D1CE4E5B9 & mask
    h = (h ^ h >> 27) * 0x94D049BB133111EB & mask
    return h ^ h >> 31


def floats(rows):
    return np.frombuffer(rows, "<f4")


@pytest.fixture
def client(shard):
    with ShardClient(shard.address) as client:
        client.call(
            "CreateTable",
            message("CreateTableRequest")(
                name="user",
                dimension=2,
                initializer={"name": "constant", "parameters": {"value": 0.5}},
                optimizer={"name": "sgd"},
            ),
        )
        yield client


def exchange(client, shard, sequence, **table):
    request = message("ExchangeRequest")(worker=WORKER, shard=shard.incarnation, sequence=sequence)
    request.tables.add(table=table_id("user"), **table)
    (reply,) = client.call("Exchange", request).tables
    return reply


@pytest.mark.parametrize("row", [7, 0, -1, 2**63 - 1, -(2**63), 2**24 + 1])
def test_push_pull_and_validate_by_protobuf_messages(client, shard, row):
    fresh = exchange(client, shard, 1, fetch_ids=[row])
    assert floats(fresh.rows).tolist() == [0.5, 0.5] and list(fresh.clocks) == [0]
    gradient = np.array([1.0, -2.0], "<f4").tobytes()
    after = exchange(
        client,
        shard,
        2,
        push_ids=[row],
        push_clocks=[3],
        push_learning_rates=[0.25],
        push_gradients=gradient,
        fetch_ids=[row],
    )
    assert floats(after.rows).tolist() == [0.25, 1.0] and list(after.clocks) == [3]
    # Behind by 3: usable with staleness 3, stale with 2, where the row comes along.
    valid = exchange(client, shard, 3, staleness=3, validate_ids=[row], validate_clocks=[0])
    assert (valid.rows, sum(valid.stale)) == (b"", 0)
    stale = exchange(client, shard, 4, staleness=2, validate_ids=[row], validate_clocks=[0])
    assert stale.stale == b"\x01" and floats(stale.rows).tolist() == [0.25, 1.0]


def test_a_repeated_push_is_not_applied_again(client, shard):
    push = {"push_ids": [1], "push_clocks": [1], "push_gradients": np.ones(2, "<f4").tobytes(), "fetch_ids": [1]}
    first = exchange(client, shard, 1, push_learning_rates=[0.5], **push)
    assert exchange(client, shard, 1, push_learning_rates=[0.5], **push) == first
    stats = client.stats()
    assert (stats.exchanges, stats.repeated_exchanges, stats.workers) == (1, 1, 1)


def test_assigned_rows_are_read(client, shard):
    rows = np.arange(4, dtype="<f4").tobytes()
    client.call("Assign", message("AssignRequest")(table=table_id("user"), ids=[4, 5], rows=rows))
    assert exchange(client, shard, 1, fetch_ids=[5, 4]).rows == rows[8:] + rows[:8]
    (table,) = client.stats().tables
    assert (table.name, table.dimension, table.optimizer, table.rows) == ("user", 2, "sgd()", 2)


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        ({"table": 99, "fetch_ids": [1]}, grpc.StatusCode.NOT_FOUND, "no table"),
        ({"push_ids": [1], "push_clocks": [1], "push_learning_rates": [1.0]}, None, "gradient values, expected 2"),
        ({"validate_ids": [1]}, None, "0 clocks"),
    ],
)
def test_a_bad_exchange_keeps_its_code_and_text(client, shard, change, code, said):
    request = message("ExchangeRequest")(worker=WORKER, shard=shard.incarnation, sequence=1)
    request.tables.add(**{"table": table_id("user")} | change)
    with pytest.raises(grpc.RpcError) as caught:
        client.call("Exchange", request)
    assert caught.value.code() == (code or grpc.StatusCode.INVALID_ARGUMENT)
    assert said in caught.value.details()
    assert client.stats().tables[0].rows == 0
