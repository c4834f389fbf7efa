"""Checkpoints of models in training: saved, restored, resumed inside ``fit``, and refused where they do not belong."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import het_tf as het
from het_tf import checkpoint
from het_tf.checkpoint import CheckpointError, DamagedFile, OtherModel
from pairs import BATCH, DIMENSION, FIELDS, IDS, all_rows, batches, model_of

SGD = keras.optimizers.SGD
STEPS, EPOCHS = 8, 3
OPTIMIZERS = {
    "sgd": lambda: SGD(0.1),
    "momentum": lambda: SGD(0.1, momentum=0.9, nesterov=True),
    "adagrad": lambda: keras.optimizers.Adagrad(0.1),
    "rowwise_adagrad": lambda: het.RowwiseAdagrad(0.1),
    "adam": lambda: keras.optimizers.Adam(0.01),
    "ftrl": lambda: keras.optimizers.Ftrl(0.1),
    "scheduled": lambda: SGD(keras.optimizers.schedules.ExponentialDecay(0.5, 3, 0.8)),
}


def make(trainer: Any = None, *, table: str = "kept", **options: Any) -> tuple[keras.Model, het.layers.Embedding]:
    layer = het.layers.Embedding(IDS, DIMENSION, table=table, **options)
    model = model_of(layer)
    model.compile(het.DistributedOptimizer(trainer if trainer is not None else SGD(0.1)), "mse")
    return model, layer


def train(model: keras.Model, steps: int, first: int = 0) -> list[float]:
    """The loss of each of the batches number `first` and on."""
    ids, target = batches(STEPS * EPOCHS)
    parts = [slice(i * BATCH, (i + 1) * BATCH) for i in range(first, first + steps)]
    return [float(model.train_on_batch(ids[part], target[part])) for part in parts]


def state(model: keras.Model, layer: Any) -> list[np.ndarray]:
    het.flush()
    variables = [*model.variables, *model.optimizer.variables]
    return [all_rows(layer), *(np.array(v.value) for v in variables if 0 not in v.shape)]


def assert_same(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for mine, its in zip(found, expected, strict=True):
        assert mine.dtype == its.dtype and mine.tobytes() == its.tobytes()


def dataset(steps: int = STEPS) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices(batches(steps)).batch(BATCH)


# --- save and restore ---


@pytest.mark.parametrize("shards", [(0, 0), (2, 3), (2, 1)])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_goes_on_after_a_restart_as_without_it(begin, name, shards):
    begin(shards[0])
    model, layer = make(OPTIMIZERS[name]())
    train(model, 5)
    het.checkpoint.save(model)
    at_the_cut = state(model, layer)
    losses = train(model, 6, first=5)
    expected = state(model, layer)
    begin(shards[1])
    model, layer = make(OPTIMIZERS[name]())
    manifest = het.checkpoint.restore(model)
    assert (manifest.name, manifest.step, manifest.tables) == ("step-000000000005", 5, ("kept",))
    assert_same(state(model, layer), at_the_cut)
    assert train(model, 6, first=5) == losses
    assert_same(state(model, layer), expected)


@pytest.mark.parametrize("shards", [0, 2])
def test_a_job_goes_back_to_its_checkpoint(begin, shards):
    begin(shards)
    model, layer = make(cache=het.CacheConfig(rows=10, staleness=5, fresh_evaluation=False))
    train(model, 5)
    het.checkpoint.save(model)
    expected = state(model, layer)
    train(model, 5)
    het.checkpoint.restore(model)
    assert_same(state(model, layer), expected)
    # By the cache, too: it has forgotten what it knew.
    ids = tf.range(IDS, dtype=tf.int64)
    np.testing.assert_array_equal(layer(ids, training=False), expected[0])


def test_what_no_worker_has_pushed_yet_is_in(begin):
    begin(2)
    model, layer = make(cache=het.CacheConfig(rows=IDS, staleness=1000))
    train(model, 5)
    het.checkpoint.save(model)
    rows = {int(i): row for one in _rows("step-000000000005") for i, row in zip(one.ids, one.values, strict=True)}
    for number, row in enumerate(all_rows(layer)):
        if number in rows:
            np.testing.assert_array_equal(rows[number], row)
    assert len(rows) > IDS // 2


def _rows(name: str) -> list[checkpoint.contents.Rows]:
    where = Path(het.runtime.current().settings.checkpoint_dir)
    return list(checkpoint.contents.rows_of(where, name, "kept"))


@pytest.mark.parametrize("shards", [0, 2])
def test_increments_restore_what_full_ones_would(begin, shards, tmp_path):
    begin(shards)
    model, layer = make(OPTIMIZERS["adam"]())
    base, expected = None, {}
    for i in range(8):
        train(model, 1, first=i)
        if i == 5:  # a row that changes while its clock does not
            layer.assign([1, 2], np.ones((2, DIMENSION)))
        base = het.checkpoint.save(model, name=f"c{i}", base=base).name
        expected[base] = state(model, layer)
    manifests = checkpoint.list(tmp_path / "checkpoints")
    assert [one.base for one in manifests] == [None, *(f"c{i}" for i in range(7))]
    assert all(one.bytes < manifests[0].bytes * 1.5 for one in manifests)
    merged = checkpoint.merge(tmp_path / "checkpoints", "c7").name
    for name, its in [*expected.items(), (merged, expected["c7"])]:
        begin(3 if shards else 0)
        model, layer = make(OPTIMIZERS["adam"]())
        het.checkpoint.restore(model, name=name)
        assert_same(state(model, layer), its)


def test_an_increment_on_another_checkpoint_than_the_last_is_refused(begin):
    begin()
    model, _ = make()
    train(model, 1)
    het.checkpoint.save(model, name="one")
    het.checkpoint.save(model, name="two")
    with pytest.raises(tf.errors.FailedPreconditionError):
        het.checkpoint.save(model, name="three", base="one")


def test_weights_of_any_dtype_keep_their_bits(begin):
    def make_rounded() -> tuple[keras.Model, het.layers.Embedding]:
        keras.config.set_dtype_policy("bfloat16")
        layer = het.layers.Embedding(IDS, DIMENSION, table="kept")
        ids = keras.Input((FIELDS,), dtype="int64")
        x = keras.layers.Dropout(0.5, seed=3)(keras.layers.Flatten()(layer(ids)))
        model = keras.Model(ids, keras.layers.Dense(1)(keras.layers.BatchNormalization()(x)))
        model.compile(het.DistributedOptimizer(SGD(0.1, momentum=0.9)), "mse")
        return model, layer

    begin()
    model, _ = make_rounded()
    train(model, 3)
    assert "bfloat16" in {variable.dtype for variable in model.variables}
    het.checkpoint.save(model)
    expected = train(model, 4, first=3)
    begin()
    model, _ = make_rounded()
    het.checkpoint.restore(model)
    assert train(model, 4, first=3) == expected


def test_loss_scaling_goes_on_with_its_scale(begin):
    def make_scaled() -> tuple[keras.Model, het.layers.Embedding]:
        keras.config.set_dtype_policy("mixed_float16")
        return make()

    begin()
    model, layer = make_scaled()
    train(model, 3)
    het.checkpoint.save(model)
    expected = state(model, layer)
    begin()
    model, layer = make_scaled()
    het.checkpoint.restore(model)
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert_same(state(model, layer), expected)


def test_a_table_with_an_optimizer_of_its_own(begin):
    def make_own() -> tuple[keras.Model, het.layers.Embedding]:
        return make(keras.optimizers.Lion(0.01), optimizer=keras.optimizers.Adagrad(0.3))

    begin()
    model, layer = make_own()
    train(model, 3)
    layer.table.own_optimizer.learning_rate = 0.02
    het.checkpoint.save(model)
    expected = train(model, 4, first=3)
    begin()
    model, layer = make_own()
    het.checkpoint.restore(model)
    assert train(model, 4, first=3) == expected


def test_a_model_that_is_not_compiled_gets_rows_and_weights(begin):
    begin()
    model, _ = make(OPTIMIZERS["adam"]())
    train(model, 3)
    het.checkpoint.save(model)
    expected = model.predict(batches(1)[0], verbose=0)
    begin()
    reader = model_of(het.layers.Embedding(IDS, DIMENSION, table="kept"))
    het.checkpoint.restore(reader)
    np.testing.assert_array_equal(reader.predict(batches(1)[0], verbose=0), expected)


# --- what is refused ---


def test_another_model_is_refused_and_nothing_changes(begin):
    begin()
    model, _ = make()
    train(model, 2)
    het.checkpoint.save(model)
    begin()
    wide, layer = make()
    before = state(wide, layer)
    for other, words in (
        (make(table="other")[0], "has no table 'other'.*it has: kept"),
        (make(SGD(0.1, momentum=0.9))[0], "variable 2 of the optimizer is nothing in the checkpoint.*momentum"),
    ):
        with pytest.raises(OtherModel, match=words):
            het.checkpoint.restore(other)
    ids = keras.Input((FIELDS,), dtype="int64")
    x = keras.layers.Dense(2)(keras.layers.Flatten()(layer(ids)))
    other = keras.Model(ids, x)
    with pytest.raises(OtherModel, match=r"float32 of shape \(12, 1\) \(dense.*float32 of shape \(12, 2\) \(dense"):
        het.checkpoint.restore(other)
    assert_same(state(wide, layer), before)


def test_a_table_of_another_form_is_refused(begin):
    begin()
    model, _ = make(OPTIMIZERS["sgd"]())
    train(model, 2)
    het.checkpoint.save(model)
    begin()
    model, _ = make(OPTIMIZERS["sgd"](), embeddings_initializer="zeros")
    with pytest.raises(tf.errors.FailedPreconditionError, match="kept"):
        het.checkpoint.restore(model)


def test_a_model_without_weights(begin):
    begin()
    model = keras.Sequential([het.layers.Embedding(IDS, DIMENSION, table="kept"), keras.layers.Dense(1)])
    with pytest.raises(CheckpointError, match="has no weights yet: call it on a batch"):
        het.checkpoint.save(model)


def test_without_a_directory():
    model, _ = make()
    for call in (het.checkpoint.save, het.checkpoint.restore):
        with pytest.raises(CheckpointError, match="HET_TF_CHECKPOINT_DIR"):
            call(model)


def test_a_directory_without_a_checkpoint(begin):
    begin()
    model, _ = make()
    with pytest.raises(CheckpointError, match="there is no checkpoint in"):
        het.checkpoint.restore(model)
    with pytest.raises(CheckpointError, match="there is no checkpoint 'a' in .*there are: none"):
        het.checkpoint.restore(model, name="a")


def test_a_name_that_is_taken(begin):
    begin()
    model, _ = make()
    het.checkpoint.save(model, name="a")
    with pytest.raises(CheckpointError, match="is there already"):
        het.checkpoint.save(model, name="a")


@pytest.mark.parametrize("directory", [None, "another"])
def test_shards_with_no_directory_or_another_one(start_shards, tmp_path, directory):
    het.init(start_shards(1, tmp_path / directory if directory else None), checkpoint_dir=tmp_path / "checkpoints")
    model, _ = make()
    train(model, 1)
    with pytest.raises(tf.errors.FailedPreconditionError, match="checkpoint"):
        het.checkpoint.save(model)
    assert checkpoint.list(tmp_path / "checkpoints") == []


@pytest.mark.parametrize("file", ["dense.npz", "shard-0-of-1.het", "manifest.json"])
def test_a_damaged_checkpoint_is_passed_over_unless_it_is_asked_for(begin, tmp_path, file):
    begin()
    model, layer = make()
    train(model, 1)
    het.checkpoint.save(model, name="old")
    expected = state(model, layer)
    train(model, 1)
    het.checkpoint.save(model, name="new")
    before = state(model, layer)
    path = tmp_path / "checkpoints" / "new" / file
    data = bytearray(path.read_bytes())
    data[len(data) // 2 :] = b"\0" * (len(data) - len(data) // 2)
    path.write_bytes(data)
    with pytest.raises((DamagedFile, tf.errors.DataLossError), match=f"(?s){file}.*(older|earlier)"):
        het.checkpoint.restore(model, name="new")
    assert_same(state(model, layer), before)
    with contextlib.nullcontext() if file == "manifest.json" else pytest.warns(UserWarning, match=f"(?s)'new'.*{file}"):
        assert het.checkpoint.restore(model).name == "old"
    assert_same(state(model, layer), expected)


# --- pretrained rows ---


def test_rows_are_imported(begin):
    begin(2)
    layer = het.layers.Embedding(None, DIMENSION, table="kept")
    ids, rows = np.arange(-50, 50), np.random.default_rng(0).normal(size=(100, DIMENSION)).astype(np.float32)
    assert het.checkpoint.import_rows(layer, ids, rows, batch=7) == 100
    np.testing.assert_array_equal(layer.rows(ids), rows)


@pytest.mark.parametrize(
    ("ids", "rows", "error", "words"),
    [
        ([1.5], np.zeros((1, DIMENSION)), TypeError, "ids have dtype float64"),
        ([1, 2], np.zeros((1, DIMENSION)), ValueError, r"got \(2,\) and \(1, 4\)"),
        ([1], np.zeros((1, 3)), ValueError, r"rows of shape \(n, 4\)"),
        ([1, 2, 1], np.zeros((3, DIMENSION)), ValueError, "id 1 is there more than once"),
        ([1, 7], np.array([[0.0] * 4, [0, np.nan, 0, 0]]), ValueError, "row of id 7 has NaN"),
        ([IDS], np.zeros((1, DIMENSION)), tf.errors.InvalidArgumentError, f"id {IDS}"),
    ],
)
def test_rows_that_cannot_be_imported(ids, rows, error, words):
    with pytest.raises(error, match=words):
        het.checkpoint.import_rows(het.layers.Embedding(IDS, DIMENSION, table="kept"), ids, rows)


def test_rows_go_into_a_table():
    with pytest.raises(TypeError, match="expected an Embedding"):
        het.checkpoint.import_rows(keras.layers.Dense(1), [1], [[1.0]])


def test_an_error_of_the_shards_travels_to_all_workers():
    from het_tf.checkpoint.agreement import _portable

    error = _portable(tf.errors.FailedPreconditionError(None, None, "no base"))
    assert type(error) is tf.errors.FailedPreconditionError and "no base" in str(error)
