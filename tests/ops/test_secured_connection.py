"""Joining shards with certificates and tokens, and what a worker is told that may not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import het_tf as het
from certificates import Authority, token_file
from het_tf import ops
from het_tf.security import Security
from het_tf.shard_process import ShardProcess
from raw_tables import rows_of


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


def opened_with(opened: Any, address: str, security: Security, **options: Any) -> tf.Tensor:
    return opened.store([address], connect_timeout_ms=2000, **security.op_attributes(), **options)


@pytest.mark.parametrize("mutual", [True, False])
def test_a_worker_trains_over_tls_with_a_token(opened, authority, tmp_path, mutual):
    token = {"token_file": token_file(tmp_path, "token")}
    mine = authority.both("worker") if mutual else {"tls_ca": authority.path}
    theirs = authority.both("shard") if mutual else authority.issue("shard")
    with ShardProcess(security=Security(**theirs, **token)) as shard:
        store = opened_with(opened, shard.address, Security(**mine, **token))
        assert rows_of(opened.table(store), [1, 2]).tolist() == [[0.5] * 3] * 2
        opened.close()


def test_init_takes_the_files_and_shows_no_secret(authority, tmp_path):
    token = token_file(tmp_path, "token")
    with ShardProcess(security=Security(**authority.both("shard"), token_file=token)) as shard:
        het.init([shard.address], **authority.both("worker"), token_file=token)
        assert het.layers.Embedding(None, 2, "ones")(np.array([7])).numpy().tolist() == [[1.0, 1.0]]
        with pytest.raises(RuntimeError, match="asked for") as raised:
            het.init([shard.address], token_file=token)
        assert str(authority.path) in str(raised.value) and token.read_text() not in str(raised.value)
        het.shutdown()


def test_tls_over_a_socket(opened, authority, tmp_path):
    with ShardProcess(f"unix:{tmp_path}/s", security=Security(**authority.issue("shard"))) as shard:
        store = opened_with(opened, shard.address, Security(tls_ca=authority.path))
        assert rows_of(opened.table(store), [1]).tolist() == [[0.5] * 3]
        opened.close()


def test_a_token_is_asked_for(opened, tmp_path):
    right, wrong = (Security(token_file=token_file(tmp_path, name)) for name in ("right", "wrong"))
    with ShardProcess(security=right) as shard:
        with pytest.raises(tf.errors.UnauthenticatedError, match="wants its job's token, and the call has none"):
            opened_with(opened, shard.address, Security())
        with pytest.raises(tf.errors.UnauthenticatedError, match="the call's token is not one of this shard's"):
            opened_with(opened, shard.address, wrong)
        assert rows_of(opened.table(opened_with(opened, shard.address, right)), [1]).tolist() == [[0.5] * 3]
        opened.close()


@pytest.mark.parametrize("case", ["another CA", "another name", "no certificate", "a certificate of another CA"])
def test_a_handshake_that_fails_says_what_each_side_needs(opened, authority, tmp_path, case):
    other = Authority(tmp_path / "other")
    mine = {
        "another CA": {"tls_ca": other.path},
        "another name": authority.both("worker"),
        "no certificate": {"tls_ca": authority.path},
        "a certificate of another CA": {"tls_ca": authority.path, **other.issue("worker")},
    }[case]
    theirs = authority.both("shard", "shard.example") if case == "another name" else authority.both("shard")
    with ShardProcess(security=Security(**theirs)) as shard:
        todo = {
            "no certificate": r"give tls_cert and tls_key \(HET_TF_TLS_CERT",
            "a certificate of another CA": "is .*worker.pem one, and not expired",
        }.get(case, "with a certificate for this name by the CA in tls_ca")
        words = rf"(?s)no TLS connection with {shard.address}.*{todo}"
        with pytest.raises(tf.errors.FailedPreconditionError, match=words):
            opened_with(opened, shard.address, Security(**mine))


def test_tls_to_a_shard_without(opened, authority, start_shards):
    (address,) = start_shards(1)
    with pytest.raises(tf.errors.FailedPreconditionError, match="the shard has to speak TLS, with a certificate for"):
        opened_with(opened, address, Security(tls_ca=authority.path))


def test_no_tls_to_a_shard_with(opened, authority):
    with (
        ShardProcess(security=Security(**authority.issue("shard"))) as shard,
        pytest.raises(tf.errors.UnavailableError, match=r"does it speak TLS \(then give tls_ca\)"),
    ):
        opened_with(opened, shard.address, Security())


def test_a_token_does_not_leave_this_machine_without_tls(opened, tmp_path):
    security = Security(token_file=token_file(tmp_path, "token"))
    for address in ("10.77.77.77:1", "127.evil.example:1"):
        with pytest.raises(tf.errors.FailedPreconditionError, match="others on the network could read it: give tls_ca"):
            opened_with(opened, address, security)


def test_a_certificate_without_a_ca_is_refused(opened, authority):
    with pytest.raises(tf.errors.InvalidArgumentError, match="needs the CA of the shards' certificates, too"):
        opened_with(opened, "127.0.0.1:1", Security(**authority.issue("worker")))


def test_an_expired_certificate_is_refused_before_anything_is_sent(opened, authority):
    with pytest.raises(tf.errors.FailedPreconditionError, match="old.pem has expired: renew it"):
        opened_with(opened, "127.0.0.1:1", Security(tls_ca=authority.path, **authority.issue("old", expired=True)))


@pytest.mark.parametrize("administers", [True, False])
def test_checkpoints_take_the_admins_token(opened, tmp_path, administers):
    worker = Security(token_file=token_file(tmp_path, "worker"))
    both = Security(token_file=worker.token_file, admin_token_file=token_file(tmp_path, "admin"))
    directory = tmp_path / "saved"
    directory.mkdir()
    with ShardProcess(checkpoint_dir=directory, security=both) as shard:
        store = opened_with(opened, shard.address, both if administers else worker)
        with pytest.raises(tf.errors.OpError) as raised:
            # The directory has no such mark: who gets that far was let in.
            ops.store_snapshot(store, str(directory), "no mark", "one", "", 1, begin=True)
        assert isinstance(raised.value, tf.errors.PermissionDeniedError) is not administers
        opened.close()
