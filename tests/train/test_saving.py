"""Saving and loading, by every way that Keras and TensorFlow have: refused, and the model goes on."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import het_tf as het
from pairs import BATCH, DIMENSION, FIELDS, IDS, all_rows, batches, model_of, pair

MESSAGE = r"rows (of table 'kept' )?are in the shards and would be missing.*callbacks\.Checkpoint.*layer\.rows\(ids\)"


def features_model():
    feature = het.FeatureConfig("ids", het.TableConfig("kept", IDS, DIMENSION))
    ids = keras.Input((FIELDS,), dtype="int64")
    rows = het.layers.DistributedEmbedding([feature])([ids])[0]
    return keras.Model(ids, keras.layers.Dense(1)(keras.layers.Flatten()(rows)))


@pytest.fixture
def model(request):
    model = getattr(request, "param", model_of_one)()
    model.compile(het.DistributedOptimizer(keras.optimizers.SGD(0.1)), "mse")
    model.fit(*batches(2), batch_size=BATCH, verbose=0)
    return model


def rows_of(model):
    layer = next(one for one in model.layers if isinstance(one, het.layers.Embedding | het.layers.DistributedEmbedding))
    return all_rows(layer if isinstance(layer, het.layers.Embedding) else layer.embeddings["kept"])


def model_of_one():
    return model_of(het.layers.Embedding(IDS, DIMENSION, table="kept"))


both_layers = pytest.mark.parametrize("model", [model_of_one, features_model], indirect=True)


def fit_with(callback):
    return lambda model, path: model.fit(*batches(1), batch_size=BATCH, verbose=0, callbacks=[callback(path)])


@both_layers
@pytest.mark.parametrize(
    "save",
    [
        lambda model, path: model.save(f"{path}.keras"),
        lambda model, path: model.save(f"{path}.h5"),
        lambda model, path: model.save_weights(f"{path}.weights.h5"),
        lambda model, path: model.export(path),
        lambda model, path: tf.saved_model.save(model, path),
        lambda model, path: tf.train.Checkpoint(model=model).save(path),
        lambda model, path: tf.train.Checkpoint(model=model).write(path),
        fit_with(lambda path: keras.callbacks.ModelCheckpoint(f"{path}.keras")),
        fit_with(lambda path: keras.callbacks.ModelCheckpoint(f"{path}.weights.h5", save_weights_only=True)),
        fit_with(lambda path: keras.callbacks.BackupAndRestore(path)),
        fit_with(lambda path: keras.callbacks.EarlyStopping("loss", restore_best_weights=True)),
        lambda model, path: model.get_weights(),
    ],
)
def test_saving_is_refused_and_training_goes_on(model, tmp_path, save):
    with pytest.raises(NotImplementedError, match=MESSAGE):
        save(model, str(tmp_path / "model"))
    before = rows_of(model)
    model.fit(*batches(1), batch_size=BATCH, verbose=0)
    assert np.abs(rows_of(model) - before).max() > 0


@both_layers
def test_loading_is_refused(model, tmp_path):
    theirs, *_ = pair(table="other")
    theirs.save_weights(tmp_path / "keras.weights.h5")
    before = rows_of(model)
    with pytest.raises((NotImplementedError, ValueError), match=MESSAGE):
        model.load_weights(tmp_path / "keras.weights.h5")
    checkpoint = tf.train.Checkpoint(model=theirs).save(str(tmp_path / "keras"))
    with pytest.raises(NotImplementedError, match=MESSAGE):
        tf.train.Checkpoint(model=model).restore(checkpoint)
    np.testing.assert_array_equal(rows_of(model), before)


def test_what_holds_no_rows_works(model):
    weights = model.layers[-1].get_weights()
    model.fit(*batches(2), batch_size=BATCH, verbose=0, callbacks=[keras.callbacks.EarlyStopping("loss")])
    model.layers[-1].set_weights(weights)
    model.summary(print_fn=lambda line: None)
    again = keras.models.model_from_json(model.to_json(), custom_objects={"Embedding": het.layers.Embedding})
    assert type(again.layers[1]) is het.layers.Embedding
    np.testing.assert_array_equal(rows_of(again), rows_of(model))
