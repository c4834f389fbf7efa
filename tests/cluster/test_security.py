"""Who may talk to a shard, and what the others are told: real shards, their certificates and tokens."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import psutil
import pytest

from certificates import Authority, token_file
from het_tf.administration import ShardClient, ShardUnreachable, describe, message, service
from het_tf.cluster import is_loopback
from het_tf.security import Security
from het_tf.shard_process import ShardError, ShardProcess, server_binary

PATIENCE_SECONDS = 60
ADMINISTRATIVE = {"Snapshot", "Restore", "DropTable", "Stop"}
NOBODY = 12345  # an incarnation that no shard has


class Secured:
    """A shard with mutual TLS and both tokens, and what others may have of it."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        self.authority = authority
        self.token, self.admin_token = token_file(folder, "token"), token_file(folder, "admin-token")
        tokens = {"token_file": self.token, "admin_token_file": self.admin_token}
        self.log = folder / "shard.log"
        self.certificate = authority.both("shard")
        self.process = ShardProcess(security=Security(**self.certificate, **tokens), log=self.log)
        self.address = self.process.address
        self.tls = authority.both("worker")
        self.worker = Security(**self.tls, token_file=self.token)
        self.admin = Security(**self.tls, **tokens)

    def refusals(self) -> dict[str, int]:
        with ShardClient(self.address, security=self.worker) as client:
            return {refused.reason: refused.count for refused in client.stats().refused}


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


@pytest.fixture
def secured(tmp_path: Path, authority: Authority) -> Iterator[Secured]:
    made = Secured(tmp_path, authority)
    with made.process:
        yield made


def told(address: str, security: Security, method: str = "Stats") -> str:
    """What the owner of a call that is refused reads."""
    request = message({one.name: one for one in service().methods}[method].input_type.name)()
    with pytest.raises((grpc.RpcError, ShardUnreachable)) as raised, ShardClient(address, security=security) as client:
        client.call(method, request)
    return describe(address, raised.value)


NO_TOKEN = "wants its job's token, and the call has none.*token_file, or HET_TF_TOKEN_FILE"
WRONG_TOKEN = "token is not one of this shard's.*token_file, or HET_TF_TOKEN_FILE"
WRONG_ROLE = "dropping a table .* need the administrator's token.*HET_TF_ADMIN_TOKEN_FILE"
CASES: dict[str, tuple[Callable[[Secured, Path], Security], str, str]] = {
    "no token": (lambda s, _: Security(**s.tls), NO_TOKEN, "Stats"),
    "wrong token": (lambda s, at: Security(**s.tls, token_file=token_file(at, "w")), WRONG_TOKEN, "Stats"),
    "wrong role": (lambda s, _: s.worker, WRONG_ROLE, "DropTable"),
    "wrong CA": (
        lambda s, at: Security(**s.tls | {"tls_ca": Authority(at / "w").path}, token_file=s.token),
        "its certificate is not one that the CA in .*/w/ca.pem has signed",
        "Stats",
    ),
    "no client certificate": (
        lambda s, _: Security(tls_ca=s.authority.path, token_file=s.token),
        r"it wants yours; give --tls-cert \(HET_TF_TLS_CERT\) and --tls-key",
        "Stats",
    ),
    "a client certificate of another CA": (
        lambda s, at: Security(**s.tls | Authority(at / "w").issue("worker"), token_file=s.token),
        "its CA has not signed .*/w/worker.pem",
        "Stats",
    ),
    "an expired client certificate": (
        lambda s, _: Security(**s.tls | s.authority.issue("old", expired=True), token_file=s.token),
        "its CA has not signed .*/old.pem, or that is old",
        "Stats",
    ),
    "plaintext to a TLS port": (
        lambda s, _: Security(token_file=s.token),
        r"if it takes TLS alone, give --tls-ca \(HET_TF_TLS_CA\)",
        "Stats",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_who_may_not_is_told_what_to_do_and_the_shard_serves_on(secured, tmp_path, case):
    security, words, method = CASES[case]
    (tmp_path / "wrong").mkdir()
    assert re.search(words, told(secured.address, security(secured, tmp_path / "wrong"), method))
    with ShardClient(secured.address, security=secured.worker) as client:
        assert client.hello().incarnation == secured.process.incarnation
    # A handshake that failed is noticed when its connection has ended.
    wait_until(lambda: sum(secured.refusals().values()) >= 1, "a count of who was refused")


def test_refusals_by_token_are_counted_and_logged_without_the_token(secured, tmp_path):
    wrong = token_file(tmp_path, "wrong")
    for security, method in (
        (Security(**secured.tls), "Stats"),
        (Security(**secured.tls, token_file=wrong), "Stats"),
        (secured.worker, "DropTable"),
    ):
        told(secured.address, security, method)
    assert {"no token": 1, "wrong token": 1, "wrong role": 1}.items() <= secured.refusals().items()
    secured.process.stop()
    said = secured.log.read_text()
    for reason in ("no token", "wrong token", "wrong role"):
        assert re.search(rf'refused reason="{reason}" source="127.0.0.1"', said)
    for secret in (wrong, secured.token, secured.admin_token):
        assert secret.read_text() not in said


@pytest.mark.parametrize("who", ["nobody", "worker", "admin"])
def test_every_method_asks_for_the_role_it_needs(secured, who):
    """By the description of the service, so that no method of later is forgotten."""
    security = {"nobody": Security(**secured.tls), "worker": secured.worker, "admin": secured.admin}[who]
    methods = {method.name: method for method in service().methods}
    assert methods.keys() > ADMINISTRATIVE
    found = {}
    with ShardClient(secured.address, security=security) as client:
        for name, method in methods.items():
            kind = message(method.input_type.name)
            fields = {field.name for field in kind.DESCRIPTOR.fields}
            try:
                client.call(name, kind(shard=NOBODY) if "shard" in fields else kind())
                found[name] = None
            except ShardUnreachable:
                found[name] = grpc.StatusCode.UNAVAILABLE
            except grpc.RpcError as error:
                found[name] = error.code()
    if who == "nobody":
        assert set(found.values()) == {grpc.StatusCode.UNAUTHENTICATED}
    else:
        denied = ADMINISTRATIVE if who == "worker" else set()
        assert {name for name, code in found.items() if code == grpc.StatusCode.PERMISSION_DENIED} == denied
        assert grpc.StatusCode.UNAUTHENTICATED not in found.values()


@pytest.mark.parametrize("kind", ["workers' token alone", "admin's token alone"])
def test_one_token_is_enough_to_ask_everybody(tmp_path, kind):
    token = token_file(tmp_path, "token")
    alone = Security(token_file=token) if kind.startswith("workers") else Security(admin_token_file=token)
    with ShardProcess(f"unix:{tmp_path}/s", security=alone) as shard:
        assert re.search(NO_TOKEN, told(shard.address, Security()))
        if alone.admin_token_file is None:
            assert re.search("which the shard has to have, too", told(shard.address, alone, "DropTable"))
        else:
            with ShardClient(shard.address, security=alone) as client, pytest.raises(grpc.RpcError) as raised:
                client.drop_table("none", NOBODY)
            assert raised.value.code() != grpc.StatusCode.PERMISSION_DENIED


def test_tls_without_certificates_of_workers(authority):
    with ShardProcess(security=Security(**authority.issue("shard"))) as shard:
        with ShardClient(shard.address, security=Security(tls_ca=authority.path)) as client:
            assert client.hello().incarnation == shard.incarnation
        assert "if it takes TLS alone" in told(shard.address, Security())


def test_tls_over_a_socket(tmp_path, authority):
    security = Security(**authority.issue("shard"))
    with (
        ShardProcess(f"unix:{tmp_path}/s", security=security) as shard,
        ShardClient(shard.address, security=Security(tls_ca=authority.path)) as client,
    ):
        assert client.hello().incarnation == shard.incarnation


def test_tls_to_a_plaintext_port(shard, authority):
    words = told(shard.address, Security(tls_ca=authority.path))
    assert "it has no TLS; start it with --tls-cert and --tls-key, or leave --tls-ca out" in words
    with ShardClient(shard.address, security=Security()) as client:
        assert client.hello().incarnation == shard.incarnation


def test_a_certificate_for_other_names(authority):
    security = Security(**authority.issue("shard", "shard.example"))
    with ShardProcess(security=security) as shard:
        words = told(shard.address, Security(tls_ca=authority.path))
        assert "its certificate is for other names" in words


def test_a_bundle_of_cas_while_one_replaces_the_other(tmp_path, authority):
    other, gone = Authority(tmp_path / "other"), tmp_path / "gone.pem"
    gone.write_bytes(authority.issue("gone", expired=True)["tls_cert"].read_bytes())
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(b"".join(path.read_bytes() for path in (gone, authority.path, other.path)))
    with ShardProcess(security=Security(**authority.issue("shard") | {"tls_ca": bundle})) as shard:
        for ca in (authority, other):
            security = Security(**ca.issue("worker") | {"tls_ca": bundle})
            with ShardClient(shard.address, security=security) as client:
                assert client.hello().incarnation == shard.incarnation
        stranger = Authority(tmp_path / "stranger").issue("worker")
        assert "its CA has not signed" in told(shard.address, Security(**stranger | {"tls_ca": bundle}))


def test_a_chain_whose_owners_certificate_has_expired_is_not_started(authority):
    files = authority.issue("old", expired=True)
    with files["tls_cert"].open("ab") as chain:
        chain.write(authority.path.read_bytes())
    with pytest.raises(ShardError, match="old.pem has expired: renew it"):
        ShardProcess(security=Security(**files))


@pytest.mark.parametrize(
    ("listen", "options", "words"),
    [
        ("0.0.0.0:0", (), "0.0.0.0:0 is open to the network.*give --tls-cert and --tls-key.*or say --insecure"),
        ("[::]:0", (), r"\[::\]:0 is open to the network"),
        ("0.0.0.0:0", ("--insecure", "token"), "tokens on 0.0.0.0:0 without TLS could be read by others"),
        ("127.0.0.1:0", ("ca",), "needs a certificate of its own, too: give --tls-cert and --tls-key"),
        ("127.0.0.1:0", ("expired",), "old.pem has expired: renew it"),
    ],
)
def test_what_is_not_safe_is_not_started(tmp_path, authority, listen, options, words):
    known = {
        "--insecure": {"insecure": True},
        "token": {"token_file": token_file(tmp_path, "token")},
        "ca": {"tls_ca": authority.path},
        "expired": authority.issue("old", expired=True),
    }
    security = Security(**{name: value for option in options for name, value in known[option].items()})
    with pytest.raises(ShardError, match=f"(?s)could not be started.*{words}"):
        ShardProcess(listen, security=security)


def test_half_a_pair_is_refused_by_the_server_too(authority):
    command = [str(server_binary()), "--listen", "127.0.0.1:0", "--tls-key", str(authority.issue("shard")["tls_key"])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    assert done.returncode != 0 and "belong together, got the key alone" in done.stderr


def test_insecure_is_said_and_serves_the_network(tmp_path):
    log = tmp_path / "shard.log"
    with ShardProcess("0.0.0.0:0", security=Security(insecure=True), log=log) as shard:
        port = shard.address.rpartition(":")[2]
        with ShardClient(f"127.0.0.1:{port}", security=Security()) as client:
            assert client.hello().incarnation == shard.incarnation
        shard.stop()
    assert "open to the network, without encryption or authentication" in log.read_text()


def test_beyond_loopback_with_tls_is_served(authority):
    with ShardProcess("0.0.0.0:0", security=Security(**authority.both("shard"))) as shard:
        port = shard.address.rpartition(":")[2]
        with ShardClient(f"localhost:{port}", security=Security(**authority.both("worker"))) as client:
            assert client.hello().incarnation == shard.incarnation


def _address_beyond_loopback() -> str:
    for listed in psutil.net_if_addrs().values():
        for one in listed:
            if one.family == socket.AF_INET and not is_loopback(one.address):
                return one.address
    return pytest.skip("this host has no address but that of loopback")


def _raw_token(address: str, token: str) -> grpc.RpcError:
    """A call with a token over plaintext, which ShardClient does not make."""
    call = message("StatsRequest")().SerializeToString
    with grpc.insecure_channel(address) as channel, pytest.raises(grpc.RpcError) as raised:
        stats = channel.unary_unary("/het.v1.EmbeddingShard/Stats", request_serializer=lambda _: call())
        stats(None, timeout=PATIENCE_SECONDS, metadata=(("authorization", f"Bearer {token}"),))
    return raised.value


def test_a_token_that_has_come_over_plaintext_is_refused_by_the_shard():
    address = _address_beyond_loopback()
    with ShardProcess("0.0.0.0:0", security=Security(insecure=True)) as shard:
        port = shard.address.rpartition(":")[2]
        error = _raw_token(f"{address}:{port}", "x" * 32)
        assert error.code() == grpc.StatusCode.UNAUTHENTICATED
        assert "on which others can read it: replace the token, and use TLS" in error.details()
        with ShardClient(f"127.0.0.1:{port}", security=Security()) as client:
            assert [(one.reason, one.count) for one in client.stats().refused] == [("token over plaintext", 1)]


def serial_of(address: str, authority: Authority, files: dict[str, Path]) -> str:
    """Of the certificate that a new connection is shown."""
    host, _, port = address.rpartition(":")
    context = ssl.create_default_context(cafile=authority.path)
    context.load_cert_chain(files["tls_cert"], files["tls_key"])
    context.set_alpn_protocols(["h2"])
    with socket.create_connection((host, int(port))) as plain, context.wrap_socket(plain, server_hostname=host) as tls:
        return tls.getpeercert()["serialNumber"]


def connections_to(address: str) -> set[int]:
    """Ports of this process that are connected with the shard."""
    port = int(address.rpartition(":")[2])
    every = psutil.Process().net_connections()
    return {one.laddr.port for one in every if one.raddr and one.raddr.port == port and one.status == "ESTABLISHED"}


def _asks_whether_a_peer_is_alive(address: str, peer: int) -> bool:
    """Whether the shard's end of a silent connection has TCP's keepalive timer (kind 2 in /proc/net/tcp)."""
    ends = (int(address.rpartition(":")[2]), peer)
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, _, _, timer, *_ = line.split()
        if tuple(int(end.split(":")[1], 16) for end in (local, remote)) == ends:
            return timer.split(":")[0] == "02"
    return False


def test_a_peer_that_vanished_is_noticed(shard):
    host, _, port = shard.address.rpartition(":")
    with socket.create_connection((host, int(port))) as silent:
        peer = silent.getsockname()[1]
        wait_until(lambda: _asks_whether_a_peer_is_alive(shard.address, peer), "the keepalive timer")


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"{what} has not come"
        time.sleep(0.05)


def test_a_certificate_is_replaced_without_a_restart(secured):
    with ShardClient(secured.address, security=secured.worker) as old:
        old.hello()
        (connection,) = connections_to(secured.address)
        before = serial_of(secured.address, secured.authority, secured.tls)
        secured.authority.issue("shard")
        wait_until(lambda: serial_of(secured.address, secured.authority, secured.tls) != before, "the new certificate")
        # The connection of before goes on, and a new one may come.
        assert old.hello().incarnation == secured.process.incarnation
        assert connection in connections_to(secured.address)
        with ShardClient(secured.address, security=secured.worker) as new:
            assert new.hello().incarnation == secured.process.incarnation


def test_an_expired_certificate_is_not_believed_and_a_new_one_is(secured):
    secured.authority.issue("shard", expired=True)

    def answers() -> bool:
        with contextlib.suppress(ShardUnreachable), ShardClient(secured.address, security=secured.worker) as client:
            client.hello()
            return True
        return False

    wait_until(lambda: not answers(), "the expired certificate")
    words = told(secured.address, secured.worker)
    assert "certificate has expired" in words and "or is out of date" in words
    secured.authority.issue("shard")
    wait_until(answers, "the new certificate")
