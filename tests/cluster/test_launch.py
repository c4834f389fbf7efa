"""het-tf launch: what the script gets, and what the job's exit code says."""

import os
import signal
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from het_tf import launch as launcher
from het_tf import shard_process
from het_tf.cli.main import app
from processes import clean_environment

PATIENCE_SECONDS = 60


def run(tmp_path, body, *options, arguments=(), **more):
    script = tmp_path / "script.py"
    script.write_text(body)
    return subprocess.run(
        [sys.executable, "-m", "het_tf.cli.main", "launch", *options, str(script), *arguments],
        env=clean_environment(**more),
        check=False,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("", 0),
        ("raise SystemExit(7)", 7),
        ("raise ValueError('bad')", 1),
        ("import os\nos.kill(os.getpid(), 9)", 128 + signal.SIGKILL),
    ],
)
def test_one_worker_gives_its_own_exit_code(tmp_path, body, code):
    assert run(tmp_path, body).returncode == code


def test_the_script_gets_its_arguments_and_the_shards(tmp_path):
    body = "import os, sys\nprint(sys.argv[1:], os.environ['HET_TF_SHARDS'].count(','), os.environ.get('HOROVOD_SIZE'))"
    arguments = ["--epochs", "3", "-n", "9", "--", "a b", "--help"]
    result = run(tmp_path, body, "--shards", "3", arguments=arguments)
    assert result.stdout == f"{arguments} 2 None\n", result.stderr


def test_without_shards_one_worker_has_none_configured(tmp_path):
    result = run(tmp_path, "import os\nprint(os.environ.get('HET_TF_SHARDS'))", "--shards", "0")
    assert (result.returncode, result.stdout) == (0, "None\n")


def test_two_workers_by_horovodrun_end_well(tmp_path):
    body = "import os\nprint('rank', os.environ['HOROVOD_RANK'], 'of', os.environ['HOROVOD_SIZE'])"
    logs = tmp_path / "logs"
    result = run(tmp_path, body, "--workers", "2", "--shards", "2", "--log-dir", str(logs))
    assert result.returncode == 0, result.stderr
    assert "rank 0 of 2" in result.stdout and "rank 1 of 2" in result.stdout
    assert (logs / "workers" / "rank.1" / "stdout").read_text().endswith("rank 1 of 2\n")
    for index in (0, 1):
        said = (logs / f"shard.{index}.log").read_text()
        assert "listening on 127.0.0.1:" in said and said.endswith("het-tf-shard stopped\n")


def test_one_failing_worker_of_two_fails_the_job(tmp_path):
    # The other one would never end by itself.
    body = "import os, signal\nraise SystemExit(3) if os.environ['HOROVOD_RANK'] == '1' else signal.pause()"
    assert run(tmp_path, body, "--workers", "2").returncode != 0


@pytest.mark.parametrize(
    ("options", "more", "said"),
    [
        (("--workers", "0"), {}, "got 0 workers; expected at least 1"),
        (("--workers", "2", "--shards", "0"), {}, "got 0 shards for 2 workers"),
        (("--shards", "-1"), {}, "got -1 shards"),
        ((), {"TF_CONFIG": "{}"}, "TF_CONFIG is set"),
        (("--durability", "raid"), {}, "durability is 'raid'; expected one of checkpoint, log, log-sync"),
        (("--durability", "log"), {}, "needs a folder for checkpoints and logs: give --checkpoint-dir"),
        (("--restarts", "2"), {}, "2 restarts needs a folder"),
        ((), {"HET_TF_SHARDS": "a:1"}, "HET_TF_SHARDS is set ('a:1')"),
    ],
)
def test_what_cannot_be_started_is_refused_and_nothing_runs(tmp_path, options, more, said):
    result = run(tmp_path, "print('ran')", *options, **more)
    assert result.returncode == 2 and said in result.stderr and "ran" not in result.stdout


def test_a_job_that_fails_is_started_again_as_often_as_asked(tmp_path):
    lives = tmp_path / "lives"
    body = (
        f"with open({str(lives)!r}, 'a') as file:\n    file.write('x')\n"
        f"raise SystemExit(len(open({str(lives)!r}).read()) < 3)"
    )
    options = ("--checkpoint-dir", str(tmp_path / "checkpoints"))
    assert run(tmp_path, body, *options, "--restarts", "1").returncode == 1
    assert lives.read_text() == "xx"
    assert run(tmp_path, body, *options, "--restarts", "5").returncode == 0
    assert lives.read_text() == "xxx"


def test_a_shard_with_a_log_is_started_again_where_it_was(tmp_path):
    body = (
        "import os, psutil\n"
        "from het_tf.administration import ShardClient, ShardUnreachable, message\n"
        "address = os.environ['HET_TF_SHARDS']\n"
        "def incarnation():\n"
        "    while True:\n"
        "        try:\n"
        "            with ShardClient(address) as shard:\n"
        "                return shard.call('Hello', message('HelloRequest')()).incarnation\n"
        "        except ShardUnreachable:\n"
        "            pass\n"
        "before = incarnation()\n"
        "with ShardClient(address) as shard:\n"
        "    spec = message('CreateTableRequest')(name='t', dimension=1)\n"
        "    spec.initializer.name, spec.optimizer.name = 'zeros', 'sgd'\n"
        "    shard.call('CreateTable', spec)\n"
        "for process in psutil.process_iter():\n"
        "    if process.name() == 'het-tf-shard' and address in [f'127.0.0.1:{c.laddr.port}' for c in "
        "process.net_connections()]:\n"
        "        process.kill()\n"
        "        process.wait()\n"
        "print(incarnation() == before)\n"
        "with ShardClient(address) as shard:\n"
        "    print([table.name for table in shard.call('Stats', message('StatsRequest')()).tables])\n"
    )
    checkpoints = tmp_path / "checkpoints"
    result = run(tmp_path, body, "--checkpoint-dir", str(checkpoints), "--durability", "log")
    assert result.stdout == "True\n['t']\n", result.stderr
    assert "it came back from its log" in result.stderr
    # The job has ended well: nobody will ask for its logs.
    assert not [path for path in (checkpoints / ".push-logs").iterdir() if path.is_dir()]


@pytest.mark.parametrize("by", ["option", "environment"])
def test_workers_and_shards_are_told_the_directory_of_checkpoints(tmp_path, by):
    body = (
        "import os, psutil\nprint(os.environ['HET_TF_CHECKPOINT_DIR'])\n"
        "shards = [p for p in psutil.process_iter() if p.name() == 'het-tf-shard' and p.ppid() == LAUNCHER]\n"
        "print([p.cmdline()[p.cmdline().index('--checkpoint-dir') + 1] for p in shards])\n"
    ).replace("LAUNCHER", "int(os.environ['HET_TF_LAUNCHER'].split(':')[0])")
    directory = str(tmp_path / "saved")
    if by == "option":
        said = run(tmp_path, body, "--checkpoint-dir", directory).stdout
    else:
        said = run(tmp_path, body, HET_TF_CHECKPOINT_DIR=directory).stdout
    assert said.splitlines() == [directory, str([directory])]
    assert (tmp_path / "saved").is_dir()


def test_shards_are_told_the_largest_message(tmp_path):
    body = (
        "import grpc, os\nfrom het_tf.administration import ShardClient, message\n"
        "with ShardClient(os.environ['HET_TF_SHARDS']) as shard:\n"
        "    try:\n"
        "        shard.call('Assign', message('AssignRequest')(table=1, ids=[1], rows=bytes(5000)))\n"
        "    except grpc.RpcError as error:\n        print(error.code().name)\n"
    )
    assert run(tmp_path, body, "--max-message-bytes", "1000").stdout == "RESOURCE_EXHAUSTED\n"
    assert run(tmp_path, body).stdout == "NOT_FOUND\n"


def test_a_missing_script_is_named(tmp_path):
    result = CliRunner().invoke(app, ["launch", str(tmp_path / "none.py")])
    assert result.exit_code == 2 and "there is no script" in result.stderr and "none.py" in result.stderr


def test_without_horovod_two_workers_are_refused(tmp_path, monkeypatch):
    script = tmp_path / "script.py"
    script.write_text("")
    monkeypatch.setattr(launcher.horovod_installation, "missing", lambda: "Horovod is not installed")
    with pytest.raises(launcher.LaunchError, match=r"Horovod is not installed: .*tools/setup/horovod_wheel\.sh"):
        launcher.launch(script, workers=2)


def test_a_shard_that_does_not_start_ends_the_job(tmp_path, monkeypatch):
    script, server = tmp_path / "script.py", tmp_path / "server"
    script.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    server.write_text("#!/bin/sh\necho no memory\nexit 4\n")
    server.chmod(0o755)
    monkeypatch.setattr(shard_process, "server_binary", lambda: server)
    monkeypatch.delenv("TF_CONFIG", raising=False)
    monkeypatch.delenv("HET_TF_SHARDS", raising=False)
    before = signal.getsignal(signal.SIGTERM)
    result = CliRunner().invoke(app, ["launch", str(script)])
    assert result.exit_code == 1 and "shard 0 could not be started" in result.stderr and "no memory" in result.stderr
    assert not (tmp_path / "ran").exists()
    assert signal.getsignal(signal.SIGTERM) == before


def test_following_does_nothing_without_a_launcher():
    launcher.follow_launcher({})


@pytest.mark.parametrize("mark", ["own, of another time", "of nobody"])
def test_a_worker_whose_launcher_is_gone_ends_at_once(mark):
    # The pid of a process that lives, but that started at another time: the
    # launcher's number has been given away.
    pid = "1" if mark == "own, of another time" else "4194304"
    body = "from het_tf.launch import follow_launcher\nfollow_launcher()\nprint('still here')"
    result = subprocess.run(
        [sys.executable, "-c", body],
        env=clean_environment(HET_TF_LAUNCHER=f"{pid}:1234567890"),
        check=False,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert (result.returncode, result.stdout) == (1, "")
    assert f"the launcher (process {pid}) has ended" in result.stderr


def test_a_worker_ends_when_nobody_reads_its_last_words():
    body = (
        "import signal\nfrom het_tf.launch import follow_launcher\nfollow_launcher()\n"
        "print('here', flush=True)\nwhile True: signal.pause()"
    )
    reader, writer = os.pipe()
    os.close(reader)
    with subprocess.Popen(["sleep", "1000"]) as job, os.fdopen(writer, "w") as nobody, subprocess.Popen(
        [sys.executable, "-c", body],
        env=clean_environment(HET_TF_LAUNCHER=launcher._mark(job.pid)),
        stdout=subprocess.PIPE,
        stderr=nobody,
    ) as worker:
        assert worker.stdout.readline() == b"here\n"
        job.kill()
        job.wait()
        try:
            assert worker.wait(PATIENCE_SECONDS) == 1
        finally:
            worker.kill()
