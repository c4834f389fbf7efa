"""het-tf launch --tls: what shards and workers get, and what is left afterwards; certificates of one's own."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from certificates import Authority, token_file
from cluster_jobs import Job
from het_tf import launch as launcher
from het_tf.named_options import variable
from processes import clean_environment

PATIENCE_SECONDS = 60
# Asks the job's shards as a command would, with the environment alone.
ASK = (
    "import os\n"
    "from het_tf.administration import ShardClient\n"
    "from het_tf.security import Security\n"
    "security = Security.from_environment()\n"
    "print(sorted(security.files))\n"
    "for address in os.environ['HET_TF_SHARDS'].split(','):\n"
    "    with ShardClient(address) as shard:\n"
    "        print(shard.hello().package_version)\n"
)


def run(tmp_path, body, *options, **more):
    script = tmp_path / "script.py"
    script.write_text(body)
    return subprocess.run(
        [sys.executable, "-m", "het_tf.cli.main", "launch", *options, str(script)],
        env=clean_environment(**more),
        check=False,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )


def folder_of(said: str) -> Path:
    found = re.search(r"certificates and tokens, until it ends; to see it: \(\. (\S+)/env; het-tf status\)", said)
    assert found, said
    return Path(found[1])


def test_workers_are_let_in_and_the_folder_goes(tmp_path):
    result = run(tmp_path, ASK, "--tls", "--shards", "2")
    assert result.returncode == 0, result.stderr
    files, *versions = result.stdout.splitlines()
    assert files == "['admin_token_file', 'tls_ca', 'tls_cert', 'tls_key', 'token_file']" and len(versions) == 2
    assert not folder_of(result.stderr).exists()


def test_who_has_nothing_is_not_let_in(tmp_path):
    body = (
        "import os\n"
        "from het_tf.administration import ShardClient, ShardUnreachable\n"
        "from het_tf.security import Security\n"
        "try:\n"
        "    with ShardClient(os.environ['HET_TF_SHARDS'], security=Security()) as shard:\n"
        "        shard.hello()\n"
        "except ShardUnreachable as error:\n"
        "    print(error)\n"
    )
    result = run(tmp_path, body, "--tls")
    assert "if it takes TLS alone, give --tls-ca" in result.stdout, result.stderr


def test_tokens_are_on_no_command_line_and_in_no_environment(tmp_path):
    body = (
        "import os, pathlib, psutil\n"
        "tokens = [pathlib.Path(os.environ[name]).read_text() for name in ('HET_TF_TOKEN_FILE', "
        "'HET_TF_ADMIN_TOKEN_FILE')]\n"
        "assert len(set(tokens)) == 2 and all(len(token) > 40 for token in tokens)\n"
        "job = psutil.Process(int(os.environ['HET_TF_LAUNCHER'].split(':')[0]))\n"
        "said = [repr((p.cmdline(), p.environ())) for p in (job, *job.children(recursive=True))]\n"
        "print(len(said) >= 3, any(token in words for token in tokens for words in said))\n"
    )
    assert run(tmp_path, body, "--tls").stdout == "True False\n"


def test_the_environment_file_shows_the_job(tmp_path, start_job):
    """A shell that sources it may look at the shards, and stop them."""
    job = start_job("report()\nsignal.pause()\n", options=("--tls",))
    folder = folder_of(job.output())
    assert folder.stat().st_mode & 0o777 == 0o700
    program = f"{sys.executable} -m het_tf.cli.main"
    shown = subprocess.run(
        ["sh", "-c", f". {folder}/env; {program} status --interval 0 --json"],
        env=clean_environment(),
        check=False,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert shown.returncode == 0 and shown.stdout.count('"address"') == 2, shown.stderr
    job.launcher.terminate()
    assert job.wait() == 128 + signal.SIGTERM and job.survivors() == []
    assert not folder.exists()


def test_every_start_of_a_job_has_secrets_of_its_own(tmp_path):
    said = run(tmp_path, "raise SystemExit(1)", "--tls", "--checkpoint-dir", str(tmp_path / "c"), "--restarts", "1")
    folders = re.findall(r"\(\. (\S+)/env;", said.stderr)
    assert len(set(folders)) == 2 and not any(Path(folder).exists() for folder in folders)


def own_files(tmp_path: Path) -> dict[str, str]:
    """One certificate for all, and tokens, as variables."""
    files = Authority(tmp_path / "ca").both("all") | {
        "token_file": token_file(tmp_path, "token"),
        "admin_token_file": token_file(tmp_path, "admin-token"),
    }
    return {variable(name): str(path) for name, path in files.items()}


@pytest.mark.parametrize("by", ["environment", "options"])
def test_files_of_ones_own_are_for_shards_and_workers(tmp_path, by):
    environ = own_files(tmp_path)
    options = []
    if by == "options":
        flags = {"--" + name.removeprefix("HET_TF_").lower().replace("_", "-"): path for name, path in environ.items()}
        options = [word for pair in flags.items() for word in pair]
    result = run(tmp_path, ASK, *options, **(environ if by == "environment" else {}))
    assert result.returncode == 0 and len(result.stdout.splitlines()) == 2, result.stderr
    assert "'tls_cert'" in result.stdout and "'admin_token_file'" in result.stdout
    refused = run(
        tmp_path,
        "from het_tf.security import Security\n"
        "from het_tf.administration import ShardClient\n"
        "import os\n"
        "ShardClient(os.environ['HET_TF_SHARDS'], security=Security()).hello()\n",
        *options,
        **(environ if by == "environment" else {}),
    )
    assert refused.returncode == 1 and "if it takes TLS alone" in refused.stderr


def test_a_token_alone_is_enough_on_this_machine(tmp_path):
    environ = {"HET_TF_TOKEN_FILE": str(token_file(tmp_path, "token"))}
    result = run(tmp_path, ASK, **environ)
    assert result.returncode == 0 and result.stdout.startswith("['token_file']\n"), result.stderr


@pytest.mark.parametrize(
    ("options", "kept", "words"),
    [
        (("--tls", "--shards", "0"), (), "there are 0 shards; leave it out"),
        (("--tls",), ("HET_TF_TOKEN_FILE",), "--tls makes certificates and tokens for the job, and there are others"),
        ((), ("HET_TF_TLS_CERT", "HET_TF_TLS_KEY"), "workers have to know the CA of the shards' certificate"),
        ((), ("HET_TF_TLS_CA",), "the shards need a certificate of that CA, for 127.0.0.1"),
        ((), ("HET_TF_TLS_KEY",), "give both or neither"),
        (("--token-file", "absent"), (), "which cannot be read"),
    ],
)
def test_what_does_not_fit_together_is_refused_and_nothing_runs(tmp_path, options, kept, words):
    environ = {name: path for name, path in own_files(tmp_path).items() if name in kept}
    result = run(tmp_path, "print('ran')", *options, **environ)
    assert result.returncode == 2 and words in result.stderr and "ran" not in result.stdout


def test_launching_from_python(tmp_path, monkeypatch):
    script = tmp_path / "script.py"
    script.write_text(ASK)
    monkeypatch.setenv("PYTHONPATH", clean_environment()["PYTHONPATH"])
    assert launcher.launch(script, tls=True) == 0


def test_a_shard_with_a_log_comes_back_with_the_same_secrets(tmp_path, start_job):
    job: Job = start_job(
        "report()\nsignal.pause()\n",
        workers=1,
        shards=1,
        options=("--tls", "--checkpoint-dir", str(tmp_path / "saved"), "--durability", "log"),
    )
    (shard,) = job.shards
    job.kill(shard)
    ask = f". {folder_of(job.output())}/env; {sys.executable} -m het_tf.cli.main top --iterations 1 --interval 0"
    # The launcher starts it again; until then it does not answer.
    for _ in range(PATIENCE_SECONDS):
        shown = subprocess.run(
            ["sh", "-c", ask], env=clean_environment(), capture_output=True, text=True, timeout=PATIENCE_SECONDS
        )
        if "no answer" not in shown.stdout:
            break
    assert "came back from its log" in job.output() and "127.0.0.1" in shown.stdout, shown.stderr
    job.launcher.terminate()  # one that is killed leaves the folder
    job.wait()
