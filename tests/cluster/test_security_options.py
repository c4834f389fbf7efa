"""Certificates, tokens and limits as options: checked when made, the same by argument and by environment."""

from __future__ import annotations

import dataclasses
import os
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from certificates import Authority, token_file
from het_tf import job_secrets, named_options
from het_tf.administration import ShardClient
from het_tf.cli.main import app
from het_tf.cluster import is_local
from het_tf.named_options import OptionError
from het_tf.security import Security, SecurityError
from het_tf.serving import Serving
from het_tf.shard_process import server_binary


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


def test_paths_are_absolute_wherever_the_process_goes(authority, monkeypatch):
    monkeypatch.chdir(authority.folder)
    assert Security(tls_ca="ca.pem").tls_ca == str(authority.path)


def test_what_prints_it_prints_no_secret(tmp_path):
    file = token_file(tmp_path, "token")
    security = Security(token_file=file)
    assert str(file) in repr(security) and file.read_text() not in repr(security)


@pytest.mark.parametrize(("given", "missing"), [("tls_cert", "tls_key"), ("tls_key", "tls_cert")])
def test_half_a_pair_is_refused(authority, given, missing):
    half = {given: authority.issue("shard")[given]}
    with pytest.raises(SecurityError, match=rf"^{given} \(--.*there is no {missing} \(--.*give both or neither"):
        Security(**half)


@pytest.mark.parametrize("name", ["tls_ca", "tls_cert", "tls_key", "token_file", "admin_token_file"])
def test_a_file_that_is_not_there_is_named(tmp_path, name):
    absent = tmp_path / "absent"
    words = rf"{name} \(--.*HET_TF_{name.upper()}\) is '{absent}', which cannot be read: No such file"
    with pytest.raises(SecurityError, match=words):
        Security(**{name: absent})


def test_a_ca_without_a_certificate_is_refused(tmp_path):
    (tmp_path / "ca").write_text("hello")
    with pytest.raises(SecurityError, match="tls_ca .*which has no certificate in PEM"):
        Security(tls_ca=tmp_path / "ca")


def test_a_key_of_another_certificate_is_refused(authority):
    one, other = authority.issue("one"), authority.issue("other")
    with pytest.raises(SecurityError, match="a certificate and its unencrypted key, both in PEM .*(?i:mismatch)"):
        Security(tls_cert=one["tls_cert"], tls_key=other["tls_key"])


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("", "0 bytes"),
        ("x" * 15, "15 bytes"),
        ("x" * 513, "513 bytes"),
        ("x" * 16 + " ", "17 bytes"),
        ("x" * 16 + "ä", "18 bytes"),
        ("x" * 15 + "\r\n", "15 bytes"),
        ("x" * 16 + "\n" + "x" * 16, "2 lines"),
    ],
)
def test_what_is_no_token_is_refused_and_not_shown(tmp_path, content, what):
    file = token_file(tmp_path, "token", content)
    with pytest.raises(SecurityError, match=f"token_file .*which has {what}: expected one line of 16 to 512") as raised:
        Security(token_file=file)
    assert not content or content.strip() not in str(raised.value)


@pytest.mark.parametrize("content", ["x" * 16, "x" * 512, "x" * 16 + "\n", "x" * 16 + "\r\n", "!~" * 8])
def test_a_token_may_end_its_line(tmp_path, content):
    security = Security(token_file=token_file(tmp_path, "token", content))
    assert security.token_for("127.0.0.1:1") == content.strip()


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o602])
def test_a_token_of_every_user_is_refused_with_the_remedy(tmp_path, mode):
    file = token_file(tmp_path, "token")
    file.chmod(mode)
    with pytest.raises(SecurityError, match=rf"its mode is {mode:04o}\): chmod 600 {file}"):
        Security(admin_token_file=file)


def test_a_group_may_read_a_token(tmp_path):
    # As Kubernetes hands secrets to who is not root.
    file = token_file(tmp_path, "token")
    file.chmod(0o440)
    assert Security(token_file=file).token_for("unix:/s") == file.read_text()


def test_workers_and_admin_have_tokens_of_their_own(tmp_path):
    one = token_file(tmp_path, "one")
    other = token_file(tmp_path, "other", one.read_text() + "\n")
    with pytest.raises(SecurityError, match="hold the same token: make two"):
        Security(token_file=one, admin_token_file=other)


def test_the_admins_token_is_sent_where_there_are_both(tmp_path):
    worker, admin = token_file(tmp_path, "worker"), token_file(tmp_path, "admin")
    assert Security().token_for("10.0.0.7:1") is None
    assert Security(token_file=worker).token_for("unix:/s") == worker.read_text()
    assert Security(token_file=worker, admin_token_file=admin).token_for("[::1]:1") == admin.read_text()


@pytest.mark.parametrize("address", ["10.0.0.7:4700", "shard.example:4700", "127.evil.example:4700", "[fd00::7]:4700"])
def test_a_token_is_not_sent_beyond_this_machine_without_tls(tmp_path, authority, address):
    security = Security(token_file=token_file(tmp_path, "token"))
    with pytest.raises(SecurityError, match="without TLS the token would travel to .* for all to read"):
        ShardClient(address, security=security)
    with_tls = Security(token_file=security.token_file, tls_ca=authority.path)
    assert with_tls.token_for(address) == Path(security.token_file).read_text()


def test_who_connects_with_a_certificate_has_to_know_the_ca(authority):
    with pytest.raises(SecurityError, match=r"there is no tls_ca .*know the CA that has signed the shards'"):
        ShardClient("127.0.0.1:1", security=Security(**authority.issue("worker")))


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("unix:/run/s", True),
        ("localhost:1", True),
        ("127.0.0.1:1", True),
        ("127.9.9.9:1", True),
        ("[::1]:1", True),
        ("0.0.0.0:1", False),
        ("[::]:1", False),
        ("10.0.0.7:1", False),
        ("127.0.0.1.example:1", False),
        ("localhost.example:1", False),
    ],
)
def test_which_addresses_stay_inside_this_machine(address, local):
    assert is_local(address) is local


def test_the_environment_says_what_is_not_given(authority, tmp_path):
    files = authority.both("worker") | {"token_file": token_file(tmp_path, "token")}
    environ = {named_options.variable(name): str(path) for name, path in files.items()} | {"HET_TF_INSECURE": "1"}
    assert Security.from_environment(environ) == Security(**files, insecure=True)
    other = Authority(tmp_path / "other").path
    assert Security.from_environment(environ, tls_ca=other, insecure=False) == Security(**files | {"tls_ca": other})
    assert Security.from_environment(dict.fromkeys(environ, "")) == Security()


@pytest.mark.parametrize("options", [Security(insecure=True), Serving(max_ids=7, metrics_listen="127.0.0.1:0")])
def test_variables_say_the_same_as_the_options(options):
    assert named_options.from_environment(type(options), named_options.variables(options)) == options


@pytest.mark.parametrize(
    ("variable", "text", "words"),
    [
        ("HET_TF_INSECURE", "yes", "HET_TF_INSECURE is 'yes', expected 1 for yes or 0 for no"),
        ("HET_TF_MAX_IDS", "many", "HET_TF_MAX_IDS is 'many', expected a whole number"),
        ("HET_TF_MAX_MEMORY", "-1", "HET_TF_MAX_MEMORY is '-1', expected a whole number"),
    ],
)
def test_a_variable_that_says_nothing_is_refused(variable, text, words):
    kind = Security if variable == "HET_TF_INSECURE" else Serving
    with pytest.raises(OptionError, match=words):
        named_options.from_environment(kind, {variable: text})
    result = CliRunner().invoke(app, ["shard"], env={variable: text})
    assert result.exit_code == 2 and words in result.stderr


def test_the_command_line_of_a_shard(authority, tmp_path):
    files = authority.both("shard") | {"admin_token_file": token_file(tmp_path, "admin")}
    flags = [word for name, path in files.items() for word in (named_options.flag(name), str(path))]
    assert named_options.command_line(Security(**files)) == flags
    assert named_options.command_line(Security(insecure=True)) == ["--insecure"]
    serving = Serving(max_ids=7, metrics_insecure=True, log_format="json")
    assert named_options.command_line(serving) == ["--max-ids", "7", "--metrics-insecure", "--log-format", "json"]
    assert named_options.command_line(Serving()) == []


def test_the_server_knows_every_option():
    shown = subprocess.run([str(server_binary()), "--help"], capture_output=True, text=True, check=True).stdout
    fields = [*dataclasses.fields(Security), *dataclasses.fields(Serving)]
    assert [field.name for field in fields if f"{named_options.flag(field.name)} " not in shown] == []


def test_a_shard_is_given_what_command_line_and_environment_say(authority, tmp_path, monkeypatch):
    files = authority.both("shard")
    environ = {"HET_TF_TLS_CERT": str(files["tls_cert"]), "HET_TF_TLS_KEY": str(files["tls_key"])}
    executed = []
    monkeypatch.setattr(os, "execv", lambda _, command: executed.extend(command))
    arguments = ["shard", "--tls-ca", str(authority.path), "--max-tables", "3", "--insecure"]
    result = CliRunner().invoke(app, arguments, env=environ | {"HET_TF_LOG_LEVEL": "debug"})
    assert result.exit_code == 0, result.output
    given = ["--tls-ca", authority.path, "--tls-cert", files["tls_cert"], "--tls-key", files["tls_key"], "--insecure"]
    assert executed[3:] == [*map(str, given), "--max-tables", "3", "--log-level", "debug"]


def test_the_secrets_of_a_job_are_its_own_and_go_with_it():
    with job_secrets.made_for_a_job() as one, job_secrets.made_for_a_job() as other:
        assert one.folder.stat().st_mode & 0o777 == 0o700
        one.write_environment(["127.0.0.1:1", "127.0.0.1:2"])
        assert {file.stat().st_mode & 0o777 for file in one.folder.iterdir()} == {0o600}
        assert (one.shards.tls_ca, one.shards.token_file) == (one.workers.tls_ca, one.workers.token_file)
        assert one.shards.tls_cert != one.workers.tls_cert
        tokens = [Path(f).read_text() for s in (one, other) for f in (s.workers.token_file, s.workers.admin_token_file)]
        assert len(set(tokens)) == 4
    assert not one.folder.exists()


def test_a_job_that_fails_leaves_no_secrets():
    with pytest.raises(ZeroDivisionError), job_secrets.made_for_a_job() as made:
        raise ZeroDivisionError
    assert not made.folder.exists()
