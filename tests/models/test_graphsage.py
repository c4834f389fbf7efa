"""GraphSAGE: its arithmetic and size, that it learns, and its trainer on two workers."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import het_tf as het
from models import train_graphsage
from models.data import neighbours
from models.data.synthetic_graph import PUBLISHED, generate
from models.graphsage import graphsage
from processes import ROOT, clean_environment
from published_graphs import write_mag, write_musae

PATIENCE_SECONDS = 180
FANOUTS = (3, 2)


def relu(x):
    return np.maximum(x, 0)


def test_it_computes_what_the_mean_aggregator_says():
    embedding = keras.layers.Embedding(50, 4)
    model = graphsage(embedding, fields=2, classes=3, fanouts=FANOUTS, hidden=(6, 5), features=1)
    random = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(random.normal(size=weight.shape))
    ids, features = random.integers(0, 50, (7, 10, 2)), random.normal(size=(7, 10, 1)).astype(np.float32)
    table = embedding.get_weights()[0]
    known = np.concatenate([table[ids].reshape(7, 10, 8), features], axis=2)
    one, two, last = (model.get_layer(f"sage_{number}").get_weights() for number in range(3))
    own, first, second = known[:, 0], known[:, 1:4], known[:, 4:].reshape(7, 3, 2, 9)
    own, first = (
        relu(np.concatenate([mine, theirs.mean(axis=-2)], axis=-1) @ one[0] + one[1])
        for mine, theirs in ((own, first), (first, second))
    )
    own = relu(np.concatenate([own, first.mean(axis=1)], axis=-1) @ two[0] + two[1])
    scores = own @ last[0] + last[1]
    expected = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    given = model({"ids": ids, "features": features})
    np.testing.assert_allclose(given, expected, rtol=1e-4, atol=1e-6)


def test_the_papers_model_has_two_layers_of_128_on_embeddings_of_128():
    law = PUBLISHED["ogbn-mag"]
    model = graphsage(het.layers.Embedding(law.vocabulary_size, 128), fields=law.fields, classes=law.classes)
    rows = 21 * 128
    assert model.count_params() == (2 * rows + 1) * 128 + (2 * 128 + 1) * 128 + (128 + 1) * 349
    assert model.output_shape == (None, 349)


def test_two_models_of_a_seed_are_equal_and_another_seeds_is_not():
    one, same, other = (
        graphsage(keras.layers.Embedding(9, 2), fields=1, classes=3, seed=seed).get_weights()[1:] for seed in (1, 1, 2)
    )
    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
    assert not np.array_equal(one[0], other[0])


def test_fanouts_and_layers_must_be_as_many():
    with pytest.raises(ValueError, match="there are 1 fanouts for 2 layers; expected one for each"):
        graphsage(keras.layers.Embedding(9, 2), fields=1, classes=3, fanouts=(5,))


@pytest.mark.parametrize(
    ("name", "factor", "steps", "least"),
    # Chance is 1 / 41, and for amazon 1 / 47.
    [("reddit", 0.002, 150, 0.2), ("amazon", 0.0005, 100, 0.5)],
)
def test_it_learns_the_planted_labels(name, factor, steps, least):
    keras.utils.set_random_seed(0)
    graph = generate(name, factor)
    start = keras.initializers.RandomNormal(stddev=0.1, seed=0)
    cache = het.CacheConfig(share=0.1, staleness=10)
    embedding = het.layers.Embedding(graph.vocabulary_size, 8, start, cache=cache, name=name)
    model = graphsage(embedding, fields=graph.fields, classes=graph.classes, fanouts=FANOUTS, hidden=(32, 32))
    optimizer = het.DistributedOptimizer(keras.optimizers.Adam(0.01))
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(neighbours.training(graph, 64, FANOUTS, steps), shuffle=False, verbose=0)
    test = neighbours.evaluation(graph, graph.test, 512, FANOUTS)
    assert model.evaluate(test, verbose=0, return_dict=True)["accuracy"] > least


def test_a_node_may_have_several_classes():
    graph = generate("amazon_graphsaint", 0.0005)
    embedding = keras.layers.Embedding(graph.vocabulary_size, 8)
    model = graphsage(embedding, fields=1, classes=107, fanouts=FANOUTS, hidden=(8, 8), multi_label=True)
    inputs, labels = next(neighbours.training(graph, 32, FANOUTS, 1).as_numpy_iterator())
    given = model(inputs).numpy()
    assert given.shape == labels.shape == (32, 107)
    assert not np.allclose(given.sum(axis=1), 1)
    model.compile("sgd", "binary_crossentropy", metrics=[keras.metrics.F1Score("micro", 0.5)])
    assert np.isfinite(model.train_on_batch(inputs, labels)).all()


def test_two_workers_and_two_shards_train_a_generated_graph(tmp_path):
    report = tmp_path / "report.json"
    launch = [sys.executable, "-m", "het_tf.cli.main", "launch", "--workers=2", "--shards=2"]
    script = [ROOT / "models" / "train_graphsage.py", "--graph=amazon", "--factor=0.0005", "--fanout=3", "--fanout=2"]
    options = ["--width=32", "--dimension=8", "--batch=32", "--steps=60", "--staleness=10", f"--report={report}"]
    done = subprocess.run(
        [*launch, *script, *options],
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode == 0, done.stdout
    result = json.loads(report.read_text())
    assert (result["workers"], result["shards"], result["steps"], result["fanouts"]) == (2, 2, 60, [3, 2])
    assert result["data"] == "generated graph like amazon, factor 0.0005, seed 0" and result["real"] is False
    assert (result["nodes"], result["fields"], result["classes"]) == (1225, 17, 47)
    assert result["accuracy"] > 0.2
    assert 0 < result["hit_rate"] < 1
    assert result["bytes_on_wire"] > 0


def test_a_log_without_classes_is_refused(tmp_path):
    np.savez(tmp_path / "gowalla_train.npz", user=[0, 0, 2, 2], item=[0, 1, 1, 1])
    with pytest.raises(SystemExit, match="train_graphsage: the nodes of gowalla_train have no labels"):
        train_graphsage.main(graph="gowalla_train", folder=tmp_path)


def test_real_graphs_are_read_from_a_folder_and_others_generated(tmp_path):
    write_musae(write_mag(tmp_path))
    assert train_graphsage.read("musae_facebook", tmp_path, 1.0, 0).source == "real graph musae_facebook"
    assert train_graphsage.read("ogbn-mag", tmp_path, 1.0, 0).source == "real graph ogbn-mag"
    assert not train_graphsage.read("ogbn-mag", None, 0.001, 0).real
    with pytest.raises(ValueError, match="there is no reader of a real graph 'amazon'; expected reddit, ogbn-mag"):
        train_graphsage.read("amazon", tmp_path, 1.0, 0)


@pytest.mark.skipif(not os.environ.get("HET_TF_DATA"), reason="HET_TF_DATA does not name a data folder")
def test_it_learns_a_real_graph():
    graph = train_graphsage.read("musae_facebook", Path(os.environ["HET_TF_DATA"]), 1.0, 0)
    keras.utils.set_random_seed(0)
    start = keras.initializers.RandomNormal(stddev=0.1, seed=0)
    embedding = het.layers.Embedding(graph.vocabulary_size, 8, start, cache=het.CacheConfig(share=0.1), name="pages")
    model = graphsage(embedding, fields=graph.fields, classes=graph.classes, fanouts=FANOUTS, hidden=(32, 32))
    optimizer = het.DistributedOptimizer(keras.optimizers.Adam(0.01))
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(neighbours.training(graph, 64, FANOUTS, 100), shuffle=False, verbose=0)
    test = neighbours.evaluation(graph, graph.test, 512, FANOUTS)
    # The largest of the four classes has 31 % of the pages.
    assert model.evaluate(test, verbose=0, return_dict=True)["accuracy"] > 0.6
