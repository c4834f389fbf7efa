"""DeepFM and Deep & Cross: the paper's sizes, their arithmetic, that they learn, and the trainer's choice."""

import json

import keras
import numpy as np
import pytest

import het_tf as het
from models import train_ctr
from models.data import synthetic_criteo
from models.dcn import deep_and_cross
from models.deepfm import deep_fm
from models.wdl import wide_and_deep

BATCH, STEPS = 128, 200


def relu(x):
    return np.maximum(x, 0)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_the_papers_sizes_at_dimension_128():
    models = {
        "wdl": wide_and_deep(het.layers.Embedding(None, 128)),
        "deepfm": deep_fm(het.layers.Embedding(None, 128), het.layers.Embedding(None, 1)),
        "dcn": deep_and_cross(het.layers.Embedding(None, 128)),
    }
    # 137.98 K, 917.77 K and 1.01 M in the paper's table of models.
    assert {name: model.count_params() for name, model in models.items()} == {
        "wdl": 137_984,
        "deepfm": 917_773,
        "dcn": 1_010_011,
    }


@pytest.fixture
def inputs():
    random = np.random.default_rng(0)
    return {"ids": random.integers(0, 40, (6, 4)), "dense": random.normal(size=(6, 3)).astype(np.float32)}


def randomized(model):
    random = np.random.default_rng(1)
    for weight in model.weights:
        weight.assign(random.normal(size=weight.shape) / 4)
    return [model.get_layer(f"deep_{number}").kernel.numpy() for number in range(4)]


def test_deepfm_adds_weights_products_of_pairs_and_a_tower(inputs):
    embedding, weight = keras.layers.Embedding(40, 5), keras.layers.Embedding(40, 1)
    model = deep_fm(embedding, weight, fields=4, dense_features=3, hidden=(7, 6))
    one, two, out, dense = randomized(model)
    rows, weights = (layer.get_weights()[0][inputs["ids"]] for layer in (embedding, weight))
    pairs = sum((rows[:, i] * rows[:, j]).sum(axis=1) for i in range(4) for j in range(i))
    tower = relu(relu(rows.reshape(6, 20) @ one) @ two) @ out
    logit = weights.sum(axis=(1, 2)) + pairs + (inputs["dense"] @ dense + tower)[:, 0]
    np.testing.assert_allclose(model(inputs)[:, 0], sigmoid(logit), rtol=1e-4)


def test_deep_and_cross_crosses_all_features_with_themselves(inputs):
    embedding = keras.layers.Embedding(40, 5)
    model = deep_and_cross(embedding, fields=4, dense_features=3, hidden=(7, 6, 5), crosses=2)
    one, two, three, out = randomized(model)
    first = np.concatenate([embedding.get_weights()[0][inputs["ids"]].reshape(6, 20), inputs["dense"]], axis=1)
    x = first
    for number in range(2):
        layer = model.get_layer(f"cross_{number}")
        w, b = layer.w.numpy()[:, 0], layer.b.numpy()
        x = np.array([x0 * np.dot(xl, w) + b + xl for x0, xl in zip(first, x, strict=True)])
    tower = relu(relu(relu(first @ one) @ two) @ three)
    logit = np.concatenate([x, tower], axis=1) @ out
    np.testing.assert_allclose(model(inputs), sigmoid(logit), rtol=1e-4)


@pytest.mark.parametrize("model", ["deepfm", "dcn"])
def test_without_dense_features_the_embeddings_are_all_there_is(model):
    if model == "deepfm":
        made = deep_fm(
            keras.layers.Embedding(9, 4), keras.layers.Embedding(9, 1), fields=3, dense_features=0, hidden=(5,)
        )
        dense = 12 * 5 + 5
        assert made.count_params() == 9 * 4 + 9 + dense
    else:
        made = deep_and_cross(keras.layers.Embedding(9, 4), fields=3, dense_features=0, hidden=(5,), crosses=1)
        assert made.count_params() == 9 * 4 + 12 * 5 + 2 * 12 + 17
    assert made({"ids": np.zeros((2, 3), np.int64)}).shape == (2, 1)


def weights_of(model, seed):
    """The dense part of a new model."""
    het.shutdown()
    network, _ = train_ctr.build(model, 4, None, seed)
    return [weight.numpy() for weight in network.weights if 0 not in weight.shape]


@pytest.mark.parametrize("model", list(train_ctr.Model))
def test_two_models_of_a_seed_are_equal_and_another_seeds_is_not(model):
    one, same, other = (weights_of(model, seed) for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
    assert all(not np.array_equal(a, b) for a, b in zip(one, other, strict=True) if a.any())


@pytest.mark.parametrize("model", [train_ctr.Model.deepfm, train_ctr.Model.dcn])
def test_it_learns_from_generated_rows(model):
    network, _ = train_ctr.build(model, 8, het.CacheConfig(rows=20_000), seed=0)
    network.compile(het.DistributedOptimizer(keras.optimizers.Adagrad(0.05)), "binary_crossentropy")
    network.fit(synthetic_criteo.dataset(BATCH, STEPS), shuffle=False, verbose=0)
    network.compile(metrics=[keras.metrics.AUC(name="auc")], loss="binary_crossentropy")
    held_out = synthetic_criteo.dataset(BATCH, 40, first_step=STEPS)
    assert network.evaluate(held_out, verbose=0, return_dict=True)["auc"] > 0.6


def test_the_trainer_takes_the_model_that_is_asked_for(tmp_path):
    report = tmp_path / "report.json"
    train_ctr.main(model=train_ctr.Model.deepfm, dimension=4, steps=10, cache=2000, report=report)
    result = json.loads(report.read_text())
    assert (result["model"], result["workers"], result["steps"]) == ("deepfm", 1, 10)
    assert 0 <= result["auc"] <= 1
    # Both tables count: one of dimension 4 and one of dimension 1, with the same ids.
    assert result["bytes_without_cache"] % ((8 + 1 + 4 * 4) + (8 + 1 + 4 * 1)) == 0
