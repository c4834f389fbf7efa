"""All of a job ends together, whatever ends first.

Workers here block for ever by themselves, so that a process that ends was ended.
"""

import re
import signal

import pytest

BLOCK = "report()\nwhile True: signal.pause()\n"
STUBBORN = (
    "for n in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP): signal.signal(n, signal.SIG_IGN)\n"
    "from het_tf.launch import follow_launcher\nfollow_launcher()\n" + BLOCK
)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_the_launcher_ends_the_job(start_job, number, workers):
    job = start_job(BLOCK, workers=workers)
    assert len(job.shards) == 2 and len(job.workers) == workers
    job.launcher.send_signal(number)
    assert job.wait() == 128 + number
    assert job.survivors(patience=0) == []
    assert f"got {number.name}: ending the workers" in job.output()


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("body", [BLOCK, STUBBORN])
def test_a_killed_launcher_leaves_nobody(start_job, workers, body):
    job = start_job(body, workers=workers)
    job.launcher.kill()
    assert job.survivors() == []


def test_a_worker_that_is_killed_ends_the_job(start_job):
    job = start_job(BLOCK)
    job.kill(job.workers[1])
    assert job.wait() != 0
    assert job.survivors(patience=0) == []


def test_horovodrun_that_is_killed_ends_the_job(start_job):
    job = start_job(BLOCK)
    (horovodrun,) = job.horovodrun
    job.kill(horovodrun)
    assert job.wait() == 128 + signal.SIGKILL
    assert job.survivors(patience=0) == []


def kill_parent(job, rank):
    """horovodrun knows each worker only by way of a process beside it, the worker's parent."""
    with open(f"/proc/{job.workers[rank]}/status") as status:
        parent = int(re.search(r"PPid:\s(\d+)", status.read())[1])
    assert parent not in (*job.horovodrun, job.launcher.pid)
    job.kill(parent)


def test_a_worker_that_lost_its_parent_ends_the_job(start_job):
    job = start_job(STUBBORN)
    kill_parent(job, 0)
    assert job.wait() != 0
    assert job.survivors(patience=0) == []


def test_a_worker_that_follows_nobody_and_lost_its_parent_ends_with_the_job(start_job):
    job = start_job(BLOCK)
    kill_parent(job, 0)
    job.launcher.terminate()
    assert job.wait() == 128 + signal.SIGTERM
    assert job.survivors(patience=0) == []


def test_what_a_worker_leaves_behind_is_ended(start_job):
    # A child that has left its session and its parent.
    body = "child = subprocess.Popen(['sleep', '1000'], start_new_session=True)\n" + BLOCK
    job = start_job(body, workers=1)
    assert len(job.processes) == 2 + 1 + 1
    job.kill(job.workers[0])
    assert job.wait() == 128 + signal.SIGKILL
    assert job.survivors(patience=0) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_a_shard_that_is_killed_is_named_and_ends_the_job(start_job, workers):
    job = start_job(BLOCK, workers=workers, options=("--grace", "0"))
    victim = job.shards[1]
    job.kill(victim)
    assert job.wait() == 1
    assert job.survivors(patience=0) == []
    said = job.output()
    address = re.search(r"shard 1 of 2: (\S+)", said)[1]
    assert f"shard 1 ({address}) has died (ended by SIGKILL)" in said
    assert "the workers have not ended 0 s after the shard" in said


def test_a_shard_that_ends_by_itself_is_no_good_end_either(start_job):
    job = start_job(BLOCK, workers=1, options=("--grace", "0"))
    job.kill(job.shards[0], signal.SIGTERM)
    assert job.wait() == 1
    assert "has died (exit code 0)" in job.output()
    assert job.survivors(patience=0) == []


def test_workers_get_time_to_say_what_they_lack(start_job):
    # They end when they see that the shard has gone, with a clean exit code; the
    # job has failed all the same.
    body = (
        "import select, socket\n"
        "host, port = os.environ['HET_TF_SHARDS'].rsplit(':', 1)\n"
        "shard = socket.create_connection((host, int(port)))\n"
        "report()\n"
        "try:\n    while shard.recv(4096): pass\n"
        "except ConnectionResetError: pass\n"  # it died before it had accepted
        "print('my shard has gone', flush=True)\n"
    )
    job = start_job(body, shards=1, options=("--grace", "600"))
    job.kill(job.shards[0])
    assert job.wait() == 1
    said = job.output()
    assert said.count("my shard has gone") == 2 and "have not ended" not in said
    assert job.survivors(patience=0) == []
