"""The wire is plain protobuf: a client without a line of ours trains a row."""

import grpc
import numpy as np
import pytest

from het_tf.administration import ShardClient, message
from wire import table_id

WORKER = 0x1234


def floats(rows):
    return np.frombuffer(rows, "<f4")


def bfloat16(values):
    """Where nothing has to be rounded: the upper halves of the float32 values."""
    return (np.asarray(values, "<f4").view("<u4") >> 16).astype("<u2").tobytes()


def from_bfloat16(data):
    return (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4")


def deltas(ids):
    """The differences of ids modulo 2^64, as int64."""
    steps = np.diff(np.array([0, *ids], "<i8").view("<u8")).view("<i8")
    return [int(step) for step in steps]


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
    """One exchange about the table; ids are given as they are."""
    for verb in ("push", "validate", "fetch"):
        if f"{verb}_ids" in table:
            table[f"{verb}_id_deltas"] = deltas(table.pop(f"{verb}_ids"))
    request = message("ExchangeRequest")(worker=WORKER, shard=shard.incarnation, sequence=sequence)
    request.tables.add(table=table_id("user"), **table)
    (reply,) = client.call("Exchange", request).tables
    return reply


@pytest.mark.parametrize("row", [7, 0, -1, 2**63 - 1, -(2**63), 2**24 + 1])
def test_push_pull_and_validate_by_protobuf_messages(client, shard, row):
    fresh = exchange(client, shard, 1, fetch_ids=[row])
    # Nobody has pushed to it: a flag, and whoever asked computes the row.
    assert (fresh.initial, fresh.rows, list(fresh.clocks)) == (b"\x01", b"", [])
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
    assert after.initial == b""
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


EXTREME = [-(2**63), -1, 0, 5, 5, 2**63 - 1]


def test_ids_of_any_order_and_range_are_rows_of_their_own(client, shard):
    ids = [*EXTREME, *reversed(EXTREME)]
    rows = np.repeat(np.arange(len(ids), dtype="<f4"), 2).tobytes()
    client.call("Assign", message("AssignRequest")(table=table_id("user"), ids=ids, rows=rows))
    last = {row: float(at) for at, row in enumerate(ids)}
    reply = exchange(client, shard, 1, fetch_ids=ids)
    assert floats(reply.rows)[::2].tolist() == [last[row] for row in ids]


def test_flags_tell_untouched_rows_from_others(client, shard):
    rows = np.arange(4, dtype="<f4").tobytes()
    client.call("Assign", message("AssignRequest")(table=table_id("user"), ids=[2, 9], rows=rows))
    reply = exchange(client, shard, 1, fetch_ids=list(range(10)))
    assert reply.initial == bytes([0b11111011, 0b01])
    assert reply.rows == rows
    assert len(reply.clocks) == 2


def test_big_clocks_travel_above_a_base(client, shard):
    ids = list(range(50))
    above = [row % 7 for row in ids]
    gradients = np.ones(100, "<f4").tobytes()
    exchange(
        client,
        shard,
        1,
        push_ids=ids,
        push_clocks=above,
        push_clock_base=10**12,
        push_learning_rates=[1.0],
        push_gradients=gradients,
    )
    reply = exchange(client, shard, 2, fetch_ids=ids)
    assert [reply.clock_base + clock for clock in reply.clocks] == [10**12 + clock for clock in above]
    assert reply.clock_base == 10**12
    # Behind by 6 at most: valid at staleness 6 against the base.
    valid = exchange(
        client, shard, 3, staleness=6, validate_ids=ids, validate_clocks=[0] * 50, validate_clock_base=10**12
    )
    assert valid.stale == b""


def test_sixteen_bits_and_int8_by_protobuf_messages(client, shard):
    gradients = np.array([[1.0, -2.0], [0.5, 0.25]], "<f4")
    push = {"push_ids": [1, 2], "push_clocks": [1, 1], "push_learning_rates": [1.0], "fetch_ids": [1, 2]}
    wanted = 0.5 - gradients
    reply = exchange(
        client,
        shard,
        1,
        gradient_format="BFLOAT16",
        push_gradients=bfloat16(gradients),
        row_format="BFLOAT16",
        **push,
    )
    assert from_bfloat16(reply.rows).reshape(2, 2).tolist() == wanted.tolist()
    reply = exchange(
        client,
        shard,
        2,
        gradient_format="FLOAT16",
        push_gradients=gradients.astype("<f2").tobytes(),
        row_format="FLOAT16",
        **push,
    )
    wanted -= gradients
    assert np.frombuffer(reply.rows, "<f2").reshape(2, 2).tolist() == wanted.tolist()
    scales = np.abs(gradients).max(axis=1) / 127
    reply = exchange(
        client,
        shard,
        3,
        gradient_format="INT8",
        push_gradients=np.rint(gradients / scales[:, None]).astype("i1").tobytes(),
        push_gradient_scales=scales.tolist(),
        row_format="INT8",
        **push,
    )
    wanted -= gradients
    rows = np.frombuffer(reply.rows, "i1").reshape(2, 2) * np.array(reply.row_scales)[:, None]
    # Half a step of the gradient's scale and half a step of the row's.
    steps = scales[:, None] + np.array(reply.row_scales)[:, None]
    assert (np.abs(rows - wanted) <= 0.51 * steps).all()


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        ({"table": 99, "fetch_id_deltas": [1]}, grpc.StatusCode.NOT_FOUND, "no table"),
        ({"push_id_deltas": [1], "push_clocks": [1], "push_learning_rates": [1]}, None, "gradient values, expected 2"),
        ({"validate_id_deltas": [1]}, None, "0 clocks"),
        ({"row_format": 9}, grpc.StatusCode.DATA_LOSS, "does not have"),
        (
            {"push_id_deltas": [1], "gradient_format": 3, "push_gradients": b"\1\2"},
            grpc.StatusCode.DATA_LOSS,
            "one scale per int8 row",
        ),
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
