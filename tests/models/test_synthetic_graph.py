"""Generated graphs: published counts, the law of degrees, planted labels; and what a Graph refuses."""

import dataclasses

import numpy as np
import pytest

from models.data import synthetic_graph
from models.data.graph import Graph, bags, both_ways, by_source, split
from models.data.synthetic_graph import HOMOPHILY, PUBLISHED, generate

ARRAYS = ("pointers", "neighbours", "ids", "labels", "train", "validation", "test")


def test_the_table_has_the_published_counts():
    # HET's table of data sets: embeddings, samples, fields.
    het = {"reddit": (232_965, 232_965, 1), "amazon": (2_790_000, 2_449_029, 17), "ogbn-mag": (1_931_005, 736_389, 21)}
    for name, counts in het.items():
        law = PUBLISHED[name]
        assert (law.vocabulary_size, law.nodes, law.fields) == counts, name
    for name, law in PUBLISHED.items():
        assert sum(law.parts) == law.nodes, name
    assert [PUBLISHED[name].classes for name in PUBLISHED] == [41, 47, 107, 349]


@pytest.mark.parametrize("name", PUBLISHED)
def test_counts_are_the_published_ones_times_the_factor(name):
    law, graph = PUBLISHED[name], generate(name, 0.005, seed=1)
    assert not graph.real and graph.source == f"generated graph like {name}, factor 0.005, seed 1"
    assert graph.nodes == pytest.approx(law.nodes * 0.005, abs=1)
    assert graph.edges == pytest.approx(law.edges * 0.005, abs=1)
    assert (graph.fields, graph.classes, graph.multi_label) == (law.fields, law.classes, law.multi_label)
    assert graph.vocabulary_size == pytest.approx(law.vocabulary_size * 0.005, abs=1 + law.classes * len(law.bags))
    parts = np.array([len(graph.train), len(graph.validation), len(graph.test)])
    np.testing.assert_allclose(parts / graph.nodes, np.array(law.parts) / law.nodes, atol=2 / graph.nodes)
    assert (graph.ids[:, 0] == np.arange(graph.nodes)).all()


# Hits of LFU at a cache of 3, 5, 10 and 15 % of the table (HET's figure of miss rates).
@pytest.mark.parametrize(
    ("name", "hits"), [("reddit", (0.29, 0.44, 0.72, 0.88)), ("ogbn-mag", (0.61, 0.73, 0.88, 0.97))]
)
def test_hot_nodes_take_about_the_published_shares_of_accesses(name, hits):
    graph = generate(name, 0.02)
    degrees = np.sort(np.bincount(graph.neighbours, minlength=graph.nodes))[::-1]
    shares = np.cumsum(degrees) / graph.edges
    hottest = [shares[round(part * graph.nodes) - 1] for part in (0.03, 0.05, 0.10, 0.15)]
    np.testing.assert_allclose(hottest, hits, atol=0.09)


def test_neighbours_and_fields_tell_the_class():
    graph = generate("ogbn-mag", 0.02)
    sources = np.repeat(np.arange(graph.nodes), np.diff(graph.pointers))
    same = graph.labels[sources] == graph.labels[graph.neighbours]
    assert same.mean() == pytest.approx(HOMOPHILY, abs=0.02)
    values = graph.ids[:, 1:11].ravel()
    classes = np.repeat(graph.labels, 10)
    counts = np.zeros((graph.vocabulary_size, graph.classes), int)
    np.add.at(counts, (values, classes), 1)
    assert counts.max(axis=1).sum() / len(values) > 0.2


def test_edges_go_both_ways():
    graph = generate("amazon", 0.001, seed=3)
    sources = np.repeat(np.arange(graph.nodes), np.diff(graph.pointers))
    forth = np.sort(sources * graph.nodes + graph.neighbours)
    back = np.sort(graph.neighbours.astype(np.int64) * graph.nodes + sources)
    np.testing.assert_array_equal(forth, back)


def test_many_labels_are_the_class_and_for_every_second_node_the_next():
    graph = generate("amazon_graphsaint", 0.002)
    assert set(graph.labels.sum(axis=1)) == {1.0, 2.0}
    assert graph.labels.sum(axis=1).mean() == pytest.approx(1.5, abs=0.03)


def test_a_graph_is_set_by_its_seed(monkeypatch):
    monkeypatch.setattr(synthetic_graph, "_CHUNK", 1000)
    one, again, other = (generate("amazon", 0.0005, seed) for seed in (7, 7, 8))
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(one, name), getattr(again, name))
    assert any(not np.array_equal(getattr(one, name), getattr(other, name)) for name in ARRAYS)
    assert one.edges > 2 * 1000


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("cora",), "nothing is published here of 'cora'; expected one of reddit"),
        (("reddit", 0.0), "factor is 0.0; expected more than 0"),
        (("reddit", 1.5), "factor is 1.5"),
        (("reddit", 0.1, -1), "seed is -1"),
    ],
)
def test_what_cannot_be_generated_is_refused(arguments, reason):
    with pytest.raises(ValueError, match=reason):
        generate(*arguments)


def test_grouping_keeps_repeated_pairs_and_their_order():
    pointers, values = by_source(np.array([2, 0, 2, 2]), np.array([5, 9, 3, 5]), 4)
    assert (pointers.tolist(), values.tolist()) == ([0, 1, 1, 4, 4], [9, 5, 3, 5])
    assert bags(np.array([2, 0, 2, 2]), np.array([5, 9, 3, 5]), 4, 2, none=-1).tolist() == [
        [9, -1],
        [-1, -1],
        [5, 3],
        [-1, -1],
    ]
    pointers, neighbours = both_ways(np.array([0, 1, 1, 2]), np.array([1, 0, 1, 1]), 3)
    assert (pointers.tolist(), neighbours.tolist()) == ([0, 1, 3, 4], [1, 0, 2, 1])


def test_parts_are_disjoint_complete_and_set_by_the_seed():
    parts = split(105, 7)
    assert [len(part) for part in parts] == [85, 10, 10]
    assert sorted(np.concatenate(parts)) == list(range(105))
    assert all(np.array_equal(one, again) for one, again in zip(parts, split(105, 7), strict=True))
    assert not np.array_equal(parts[0], split(105, 8)[0])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"pointers": np.array([0, 2, 1, 4])}, "pointers do not rise from 0 to the 4 edges"),
        ({"neighbours": np.array([1, 0, 3, 1])}, "neighbours go from 0 to 3; expected 0 to 2"),
        ({"ids": np.array([[0], [1], [9]])}, "ids go from 0 to 9; expected 0 to 2"),
        ({"ids": np.array([[0], [1]])}, r"ids are of \(2,\) nodes; expected 3"),
        ({"labels": np.array([0, 1, 2])}, "labels go from 0 to 2; expected 0 to 1"),
        ({"labels": np.array([0.0, 1.0, 0.0])}, "labels are float64; expected integers"),
        ({"labels": np.ones((3, 3))}, r"shape \(3, 3\); expected 0 or 1 for each of 2 classes"),
        ({"test": np.array([0])}, "a node is twice"),
        ({"pointers": np.zeros(4, int), "neighbours": np.empty(0, int)}, "has no edges"),
        ({"features": np.ones((2, 5))}, r"features are of \(2,\) nodes"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(changes, reason):
    good = Graph(
        name="g",
        real=False,
        pointers=np.array([0, 1, 3, 4]),
        neighbours=np.array([1, 0, 2, 1]),
        ids=np.arange(3)[:, None],
        vocabulary_size=3,
        labels=np.array([0, 1, 1]),
        classes=2,
        train=np.array([0]),
        validation=np.array([1]),
        test=np.array([2]),
    )
    with pytest.raises(ValueError, match=f"^g.*{reason}"):
        dataclasses.replace(good, **changes)
