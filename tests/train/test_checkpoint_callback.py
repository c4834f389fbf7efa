"""``het.callbacks.Checkpoint``: an interrupted ``fit`` that is called again ends as one that was not."""

from __future__ import annotations

import threading
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import het_tf as het
from het_tf import checkpoint, ops
from het_tf.checkpoint.position import Skipping
from pairs import BATCH, DIMENSION, FIELDS, IDS, all_rows, batches, wait_for_writers

SGD = keras.optimizers.SGD
STEPS, EPOCHS = 7, 3


class Interrupted(Exception):
    pass


class Until(keras.callbacks.Callback):
    """Ends a job behind so many batches, as a signal would."""

    def __init__(self, batches: int) -> None:
        super().__init__()
        self.left = batches

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.left -= self.model.steps_per_execution
        if self.left <= 0:
            raise Interrupted


class Patient(keras.callbacks.Callback):
    """Every checkpoint is written before the next batch: these steps are far shorter than a real one."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        wait_for_writers()


def make(optimizer: Any = None, *, steps_per_execution: int = 1, cache: Any = None) -> keras.Model:
    ids = keras.Input((FIELDS,), dtype="int64")
    rows = het.layers.Embedding(IDS, DIMENSION, table="kept", cache=cache)(ids)
    x = keras.layers.Dropout(0.25, seed=3)(keras.layers.Flatten()(rows))
    model = keras.Model(ids, keras.layers.Dense(1, kernel_initializer=keras.initializers.GlorotUniform(seed=5))(x))
    optimizer = optimizer if optimizer is not None else SGD(0.1, momentum=0.9)
    model.compile(het.DistributedOptimizer(optimizer), "mse", steps_per_execution=steps_per_execution)
    return model


def known() -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices(batches(STEPS)).batch(BATCH)


def unknown() -> tf.data.Dataset:
    return known().filter(lambda *_: True)


def endless() -> tf.data.Dataset:
    return known().repeat()


def fit(model: keras.Model, data: tf.data.Dataset, *callbacks: Any, **how: Any) -> keras.callbacks.History:
    how = {"epochs": EPOCHS, "verbose": 0, **how}
    return model.fit(data, callbacks=list(callbacks), **how)


def state(model: keras.Model) -> list[np.ndarray]:
    het.flush()
    variables = [*model.variables, *model.optimizer.variables]
    return [all_rows(model.layers[1]), *(np.array(v.value) for v in variables if 0 not in v.shape)]


def assert_same(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for mine, its in zip(found, expected, strict=True):
        np.testing.assert_array_equal(mine, its)


CASES = {
    "known": (known, {}, {}),
    "unknown": (unknown, {}, {}),
    "endless": (endless, {}, {"steps_per_epoch": 5}),
    "several_steps_at_once": (known, {"steps_per_execution": 3}, {}),
    "two_shards": (known, {}, {}),
    "cached": (known, {"cache": het.CacheConfig(rows=9, staleness=0)}, {}),
}


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
@pytest.mark.parametrize("batches_before", [2, 5, 8, 14, 15])
@pytest.mark.parametrize("case", CASES)
def test_an_interrupted_fit_goes_on_where_it_was(begin, case, batches_before):
    data, how_made, how = CASES[case]
    shards = 2 if case == "two_shards" else 0

    def run(until: int | None) -> tuple[keras.Model, list[float]]:
        model = make(**how_made)
        saving = het.callbacks.Checkpoint(every=2, full_every=3)
        ends = [Until(until)] if until is not None else []
        return model, fit(model, saving.resume(data()), saving, Patient(), *ends, **how).history["loss"]

    begin(shards)
    undisturbed, losses = run(None)
    expected = state(undisturbed)
    for path in begin(shards).iterdir():  # as if nothing had been
        if path.is_dir():
            checkpoint.directory.delete(path.parent, path.name)
    with pytest.raises(Interrupted):
        run(batches_before)
    begin(3 if shards else 0)
    model, found = run(None)
    assert_same(state(model), expected)
    # Of whole epochs; of the one that was interrupted Keras has the mean of its rest.
    assert found[-1] == losses[-1] or len(found) == 1


def test_rows_are_asked_for_ahead_in_a_resumed_epoch_as_well(begin):
    def run(*callbacks: Any) -> tuple[het.callbacks.Checkpoint, dict[str, Any]]:
        begin()
        model = make(cache=het.CacheConfig(rows=IDS, staleness=3))
        saving = het.callbacks.Checkpoint(every=2)
        data = het.data.prefetch(saving.resume(known()), model.layers[1], 2)
        try:
            fit(model, data, saving, Patient(), *callbacks)
        finally:
            stats = model.layers[1].table.stats()
        return saving, stats

    with pytest.raises(Interrupted):
        run(Until(11))
    saving, stats = run()
    assert (saving.restored.step, saving.restored.batch, saving.step) == (10, 3, 3 * STEPS)
    assert stats["updates"] == stats["prefetched"] == 11


def test_an_interruption_may_itself_be_interrupted(begin):
    begin()
    expected = make()
    fit(expected, known())
    expected_state = state(expected)
    for until in (4, 5, 3, 4, None):
        begin()
        saving = het.callbacks.Checkpoint(every=3)
        model = make()
        if until is None:
            fit(model, saving.resume(known()), saving)
        else:
            with pytest.raises(Interrupted):
                fit(model, saving.resume(known()), saving, Patient(), Until(until))
    assert_same(state(model), expected_state)
    assert saving.step == STEPS * EPOCHS


def test_what_it_tells(begin):
    directory = begin()
    saving = het.callbacks.Checkpoint(every=4)
    fit(make(), saving.resume(known()), saving, Patient(), epochs=1)
    assert (saving.restored, saving.initial_epoch, saving.step) == (None, 0, 7)
    (first, last) = checkpoint.list(directory)
    assert (first.step, first.epoch, first.batch, first.base) == (4, 0, 4, None)
    assert (last.step, last.epoch, last.batch, last.base) == (7, 1, 0, first.name)
    begin()
    again = het.callbacks.Checkpoint(every=4)
    fit(make(), again.resume(known()), again, epochs=1)  # nothing is left to train
    assert (again.restored, again.initial_epoch, again.step) == (last, 1, 7)
    assert len(checkpoint.list(directory)) == 2


def test_without_the_input_the_epoch_begins_anew_and_says_so(begin):
    begin()
    with pytest.raises(Interrupted):
        fit(make(), known(), het.callbacks.Checkpoint(every=2), Patient(), Until(11))
    begin()
    saving = het.callbacks.Checkpoint(every=2)
    with pytest.warns(UserWarning, match="3 batches of epoch 1 had been trained.*checkpoint.resume"):
        fit(make(), known(), saving)
    assert (saving.initial_epoch, saving.step) == (1, 10 + 2 * STEPS)


def test_without_resuming_old_checkpoints_are_just_older(begin):
    directory = begin()
    fit(make(), known(), het.callbacks.Checkpoint(every=7, keep=9), epochs=1)
    begin()
    fit(make(), known(), het.callbacks.Checkpoint(every=7, keep=9, resume=False), epochs=1)
    names = [one.name for one in checkpoint.list(directory)]
    assert names == ["step-000000000007", "step-000000000007-2"]
    begin()
    saving = het.callbacks.Checkpoint()
    fit(make(), known(), saving, epochs=1)
    assert saving.restored.name == "step-000000000007-2"


def test_full_ones_between_increments_and_only_the_last_are_kept(begin):
    directory = begin()
    fit(make(), known(), het.callbacks.Checkpoint(every=1, keep=2, full_every=4), Patient(), epochs=2)
    found = checkpoint.list(directory)
    assert [(one.step, one.base is None) for one in found] == [(13, True), (14, False)]
    assert {path.name for path in directory.iterdir()} == {*(one.name for one in found), "het_tf.mark"}
    begin()
    fit(make(), known(), het.callbacks.Checkpoint(every=1, keep=1, full_every=4), Patient(), epochs=3)
    # The last is an increment: its chain is there with it.
    assert [(one.step, one.base is None) for one in checkpoint.list(directory)] == [
        (19, True),
        (20, False),
        (21, False),
    ]


def test_accumulated_gradients_are_saved_at_steps_alone(begin):
    directory = begin()
    accumulating = lambda: SGD(0.1, momentum=0.9, gradient_accumulation_steps=3)  # noqa: E731
    expected = make(accumulating())
    fit(expected, known())
    expected_state = state(expected)
    begin()
    saving = het.callbacks.Checkpoint(every=2)
    with pytest.raises(Interrupted):
        fit(make(accumulating()), saving.resume(known()), saving, Patient(), Until(11))
    begin()
    assert [one.step for one in checkpoint.list(directory)] == [3, 6, 9]
    saving = het.callbacks.Checkpoint(every=2)
    fit(model := make(accumulating()), saving.resume(known()), saving)
    assert_same(state(model), expected_state)


def test_a_step_that_is_not_complete_is_not_in_the_last_one(begin):
    directory = begin()
    model = make(SGD(0.1, gradient_accumulation_steps=3))
    with pytest.warns(UserWarning, match="the last 1 batches"):
        fit(model, known(), het.callbacks.Checkpoint(), epochs=1)
    assert [one.step for one in checkpoint.list(directory)] == [7]
    begin()
    model = make(SGD(0.1, gradient_accumulation_steps=3))
    checkpoint.restore(model)
    assert (int(model.optimizer._iterations), int(model.optimizer.iterations)) == (6, 2)


@pytest.fixture
def slow_shards(monkeypatch):
    """The shards do not finish a checkpoint before this is set."""
    finish, ask = threading.Event(), ops.store_snapshot

    def ask_slowly(*arguments, begin):
        done, rows, size = ask(*arguments, begin=begin)
        return done and finish.is_set(), rows, size

    monkeypatch.setattr(ops, "store_snapshot", ask_slowly)
    return finish


def test_training_does_not_wait_and_one_that_is_due_meanwhile_is_left_out(begin, slow_shards):
    directory = begin()

    class Finish(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 5:
                assert checkpoint.list(directory) == []
                slow_shards.set()
                saving._saving._thread.join()

    saving = het.callbacks.Checkpoint(every=2, keep=9)
    with pytest.warns(UserWarning, match="'step-000000000002' is still being written at step 4.*every than 2"):
        fit(make(), known(), saving, Finish(), epochs=1)
    # At step 6 it is still being written, too; Finish comes behind.
    assert [one.step for one in checkpoint.list(directory)] == [2, 7]


def test_what_was_interrupted_is_deleted_when_something_newer_is_there(begin):
    directory = begin()
    left = directory / "step-000000000007"
    left.mkdir(parents=True)
    (left / "shard-0-of-1.het.tmp").write_bytes(b"half")
    fit(make(), known(), het.callbacks.Checkpoint(every=7), epochs=1)
    assert [one.name for one in checkpoint.list(directory)] == ["step-000000000007-2"]
    assert not left.exists()


class Failing:
    """The chief's disk is full for the checkpoints of these steps."""

    def __init__(self, monkeypatch, *steps):
        from het_tf.checkpoint import dense

        write = dense.write

        def maybe(path, copy):
            if int(path.parent.name.split("-")[1]) in steps:
                raise OSError(28, "No space left on device", str(path))
            return write(path, copy)

        monkeypatch.setattr(dense, "write", maybe)


def test_one_that_fails_is_a_warning_and_the_next_is_full(begin, monkeypatch):
    directory = begin()
    Failing(monkeypatch, 4)
    with pytest.warns(UserWarning, match="'step-000000000004' could not be written: .*No space left"):
        fit(make(), known(), het.callbacks.Checkpoint(every=2, keep=9), Patient(), epochs=1)
    found = [(one.step, one.base is None) for one in checkpoint.list(directory)]
    assert found == [(2, True), (6, True), (7, False)]
    assert len(list(directory.iterdir())) == 4


def test_the_last_one_raises(begin, monkeypatch):
    begin()
    Failing(monkeypatch, 7)
    with pytest.raises(OSError, match="No space left"):
        fit(make(), known(), het.callbacks.Checkpoint(every=5), epochs=1)


def test_a_shard_that_knows_no_base_gets_a_full_one(begin, monkeypatch):
    directory = begin()
    model = make()
    other = []

    class Other(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 2:  # behind the callback's back
                saving._saving.wait()
                other.append(het.checkpoint.save(self.model, name="other").name)

    saving = het.callbacks.Checkpoint(every=2, keep=9)
    fit(model, known(), saving, Patient(), Other(), epochs=1)
    found = {one.name: one.base for one in checkpoint.list(directory)}
    assert found["step-000000000004-2"] is None and found["step-000000000006"] == "step-000000000004-2"


def test_a_job_without_a_directory_says_so():
    with pytest.raises(checkpoint.CheckpointError, match="HET_TF_CHECKPOINT_DIR"):
        fit(make(), known(), het.callbacks.Checkpoint())


@pytest.mark.parametrize("options", [{"every": 0}, {"keep": 0}, {"full_every": 0}, {"every": 1.5}])
def test_numbers_that_cannot_be(options):
    with pytest.raises((ValueError, TypeError), match=f"Checkpoint: {next(iter(options))} is"):
        het.callbacks.Checkpoint(**options)


def test_the_environment_names_the_directory(monkeypatch, tmp_path):
    monkeypatch.setenv("HET_TF_CHECKPOINT_DIR", str(tmp_path / "here"))
    fit(make(), known(), het.callbacks.Checkpoint(), epochs=1)
    assert len(checkpoint.list(tmp_path / "here")) == 1


@pytest.mark.parametrize("length", [0, 1, 5])
def test_a_dataset_leaves_elements_out_once(length):
    skipping = Skipping(tf.data.Dataset.range(5))
    read = lambda: [int(one) for one in skipping.dataset.prefetch(1)]  # noqa: E731
    assert read() == list(range(5))
    skipping.leave_out(length)
    assert read() == list(range(length, 5))
    assert read() == list(range(5))
