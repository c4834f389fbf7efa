"""Remote procedure calls of a step, counted in traces of real processes."""

from __future__ import annotations

import pytest

from models.experiments import data, rpcs
from models.experiments.spec import Model, Spec, System


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    sizes = {"batch": 16, "batches": 60, "held_out": 1, "seed": 0}
    return data.criteo_rows(tmp_path_factory.mktemp("rows"), None, vocabulary=1000, **sizes)


@pytest.mark.parametrize(("system", "calls"), [(System.het_hybrid, 2.0), (System.het_ar, 0.0), (System.tf_ps, 16.0)])
def test_calls_of_a_step(made, system, calls):
    spec = Spec(system, Model.wdl, made.data, 16, 4, 0.1, 0, 0.0, 0.1, "lfu")
    assert rpcs.calls_of_step(spec, warm_up=10, steps=20, patience_seconds=200.0) == pytest.approx(calls, abs=0.5)


class Process:
    def __init__(self) -> None:
        self.text = b""

    def log(self, begin: int = 0) -> bytes:
        return self.text[begin:]


class Running:
    def __init__(self) -> None:
        trainer, server = Process(), Process()
        self.trainers, self.everyone = (trainer,), (trainer, server)


def test_a_call_is_counted_once_and_a_servers_stream_is_none():
    running = Running()
    trainer, server = running.everyone
    logs = rpcs._Logs(running)
    trainer.text = b"ops[0]: SEND_INITIAL_METADATA(nil)\nops[1]: SEND_MESSAGE ptr=0x1\nops[2]: SEND_CLOSE_FROM_CLIENT\n"
    trainer.text += b"ops[0]: SEND_MESSAGE ptr=0x2\nops[2]: SEND_CLOSE_FR"
    server.text = b"ops[0]: SEND_MESSAGE ptr=0x3\n"
    assert logs.calls() == 2
    assert logs.calls() == 0
    trainer.text += b"OM_CLIENT\n"
    server.text += b"ops[2]: SEND_CLOSE_FROM_CLIENT\n"  # of a server that asks another one
    assert logs.calls() == 2
