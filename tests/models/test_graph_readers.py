"""Readers of published graphs, each on a small file of the same form; what is malformed is named."""

import json
import os

import numpy as np
import pytest
from scipy import sparse

from models.data import dgl_reddit, graphsaint, ogbn_mag, small_graphs
from published_graphs import (
    EDGES,
    LABELS,
    NODES,
    neighbours,
    write_dgl_reddit,
    write_graphsaint,
    write_mag,
    write_musae,
)

NEIGHBOURS = [[1, 3], [0, 2], [1], [0], [5], [4], [], [], [], [10], [9], []]


def test_reddit_as_dgl_publishes_it(tmp_path, monkeypatch):
    write_dgl_reddit(tmp_path)
    monkeypatch.setenv("HET_TF_DATA", str(tmp_path))
    for graph in (dgl_reddit.load(tmp_path), dgl_reddit.load()):
        assert (graph.source, graph.real) == ("real graph reddit", True)
        assert (graph.nodes, graph.edges, graph.fields, graph.classes) == (NODES, len(EDGES), 1, 3)
        assert neighbours(graph) == NEIGHBOURS
        np.testing.assert_array_equal(graph.ids[:, 0], np.arange(NODES))
        np.testing.assert_array_equal(graph.labels, LABELS)
        assert [part.tolist() for part in (graph.train, graph.validation, graph.test)] == [
            list(range(8)),
            [8, 9],
            [10, 11],
        ]
        assert graph.features.shape == (NODES, 0)
    features = dgl_reddit.load(tmp_path, features=True).features
    np.testing.assert_array_equal(features, np.arange(NODES * 2.0).reshape(NODES, 2))
    assert features.dtype == np.float32


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"label": None}, r"reddit_data.npz has .* and lacks \['label'\]"),
        ({"label": LABELS[:-1]}, rf"label is int64 \(11,\), node_types \(12,\); expected integers \({NODES},\)"),
        ({"label": LABELS * 0.5}, "label is float64"),
        ({"node_types": np.arange(NODES)}, r"node_types are .*; expected 1 \(train\)"),
    ],
)
def test_malformed_reddit_is_refused(tmp_path, changes, reason):
    with pytest.raises(ValueError, match=reason):
        dgl_reddit.load(write_dgl_reddit(tmp_path, **changes))


def test_what_is_no_matrix_and_what_is_absent_is_refused(tmp_path, monkeypatch):
    write_dgl_reddit(tmp_path)
    sparse.save_npz(tmp_path / "reddit_graph.npz", sparse.coo_matrix((3, 4)))
    with pytest.raises(ValueError, match=r"a matrix of shape \(3, 4\); expected a square one"):
        dgl_reddit.load(tmp_path)
    (tmp_path / "reddit_graph.npz").write_text("<html>")
    with pytest.raises(ValueError, match="not a matrix of scipy.sparse.save_npz .*; download it again"):
        dgl_reddit.load(tmp_path)
    (tmp_path / "reddit_data.npz").write_text("<html>")
    with pytest.raises(ValueError, match="reddit_data.npz is not an .npz file"):
        dgl_reddit.load(tmp_path)
    (tmp_path / "reddit_graph.npz").unlink()
    with pytest.raises(FileNotFoundError, match="lacks reddit_graph.npz; expected a folder with reddit_data.npz"):
        dgl_reddit.load(tmp_path)
    monkeypatch.delenv("HET_TF_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match="HET_TF_DATA is not set; give the folder"):
        dgl_reddit.load()


@pytest.mark.parametrize("many", [False, True])
def test_graphsaints_form_with_one_class_or_many(tmp_path, many):
    folder = tmp_path / "amazon"
    folder.mkdir()
    graph = graphsaint.load(write_graphsaint(folder, many=many))
    assert graph.source == "real graph amazon"
    assert neighbours(graph) == NEIGHBOURS
    assert graph.multi_label is many
    if many:
        assert (graph.classes, graph.labels.dtype) == (2, np.float32)
        np.testing.assert_array_equal(graph.labels, np.stack([LABELS == 0, np.ones(NODES)], axis=1))
    else:
        assert (graph.classes, graph.labels.dtype) == (3, np.int64)
        np.testing.assert_array_equal(graph.labels, LABELS)
    assert (graph.validation.tolist(), graph.test.tolist()) == ([8, 9], [10, 11])
    assert graph.features.shape == (NODES, 0)
    assert graphsaint.load(folder, features=True).features.shape == (NODES, 2)
    of_training = graphsaint.load(folder, adjacency=graphsaint.Adjacency.train)
    assert neighbours(of_training) == [*NEIGHBOURS[:9], [], [], []]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"classes": {"0": 1}}, "has no class of node '1'; expected one for each of 12"),
        ({"classes": {str(n): [0] * (1 + n % 2) for n in range(NODES)}}, "some nodes have lists of other lengths"),
        ({"classes": {str(n): "shoes" for n in range(NODES)}}, "holds 'shoes'; expected a class, or a list"),
        ({"classes": [1, 2]}, "class_map.json holds a list; expected an object"),
        ({"classes": {str(n): [2, 0] for n in range(NODES)}}, "expected 0 or 1 for each of 2 classes"),
        ({"roles": {"tr": [0]}}, r"role.json has \['tr'\]; expected tr, va and te"),
        ({"roles": {"tr": [0, 1], "va": [1], "te": [2]}}, "a node is twice in train, validation and test"),
        ({"roles": {"tr": [0, 12], "va": [1], "te": [2]}}, "go from 0 to 12; expected 0 to 11"),
    ],
)
def test_malformed_graphsaint_folders_are_refused(tmp_path, changes, reason):
    with pytest.raises(ValueError, match=reason):
        graphsaint.load(write_graphsaint(tmp_path, many=False, **changes))


def test_graphsaint_files_that_are_no_json_or_array_are_refused(tmp_path):
    write_graphsaint(tmp_path, many=False)
    (tmp_path / "feats.npy").write_text("<html>")
    with pytest.raises(ValueError, match="feats.npy is not an .npy file"):
        graphsaint.load(tmp_path, features=True)
    (tmp_path / "role.json").write_text(json.dumps({"tr": []})[:-1])
    with pytest.raises(ValueError, match="role.json is not JSON"):
        graphsaint.load(tmp_path)


def test_ogbn_mag_embeds_papers_topics_and_authors(tmp_path):
    graph = ogbn_mag.load(write_mag(tmp_path))
    assert (graph.source, graph.nodes, graph.fields, graph.classes) == ("real graph ogbn-mag", 6, 21, 3)
    # Both ways, once each, no paper its own neighbour.
    assert neighbours(graph) == [[1], [0, 2], [1], [5], [], [3]]
    # Papers 0..5, topics 6..9, no topic 10, authors 11..15, no author 16.
    assert graph.vocabulary_size == 17
    topics, authors = graph.ids[:, 1:11], graph.ids[:, 11:]
    assert [set(row) - {10} for row in topics.tolist()] == [{7, 9}, {8}, {6}, set(), {6}, {7}]
    assert [set(row) - {16} for row in authors.tolist()] == [{15}, {11}, set(), {13}, {12}, {14, 15}]
    np.testing.assert_array_equal(graph.labels, [2, 0, 1, 1, 0, 2])
    assert [part.tolist() for part in (graph.train, graph.validation, graph.test)] == [[0, 1, 2], [3], [5, 4]]


def test_of_many_topics_ten_are_embedded(tmp_path):
    name = "raw/relations/paper___has_topic___field_of_study/edge.csv.gz"
    counts = {"raw/num-node-dict.csv.gz": ["author,field_of_study,institution,paper", "5,30,2,6"]}
    many = {name: [f"0,{topic}" for topic in range(30)]}
    graph = ogbn_mag.load(write_mag(tmp_path, {**counts, **many}))
    assert graph.ids[0, 1:11].tolist() == list(range(6, 16))


@pytest.mark.parametrize(
    ("name", "lines", "reason"),
    [
        ("raw/num-node-dict.csv.gz", ["author,paper", "5,6"], r"counts \['author', 'paper'\]; expected paper"),
        (
            "raw/relations/paper___cites___paper/edge.csv.gz",
            ["0,6"],
            r"goes up to \[0, 6\]; expected less than \[6, 6\]",
        ),
        ("raw/relations/paper___cites___paper/edge.csv.gz", ["0,1,2"], "has 3 columns; expected 2 of integers"),
        ("raw/node-label/paper/node-label.csv.gz", ["venue"], "venue.*; expected 1 columns of integers"),
        ("raw/node-label/paper/node-label.csv.gz", ["1", "0"], r"labels are of \(2,\) nodes; expected 6"),
        ("split/time/paper/test.csv.gz", ["0"], "a node is twice"),
    ],
)
def test_malformed_ogbn_mag_is_refused(tmp_path, name, lines, reason):
    with pytest.raises(ValueError, match=reason):
        ogbn_mag.load(write_mag(tmp_path, {name: lines}))


def test_an_incomplete_ogbn_mag_is_refused(tmp_path):
    write_mag(tmp_path)
    (tmp_path / "split/time/paper/valid.csv.gz").unlink()
    with pytest.raises(FileNotFoundError, match="lacks split/time/paper/valid.csv.gz"):
        ogbn_mag.load(tmp_path)


def test_a_social_network_with_words(tmp_path):
    graph = small_graphs.load("musae_facebook", write_musae(tmp_path))
    assert neighbours(graph) == [[1, 2], [0], [0], []]
    # Nodes 0..3, words 4..11, no word 12.
    assert graph.ids.tolist() == [[0, 8, 11, 12], [1, 12, 12, 12], [2, 4, 5, 11], [3, 7, 12, 12]]
    assert (graph.vocabulary_size, graph.classes, graph.real) == (13, 2, True)


def test_a_user_item_log(tmp_path):
    np.savez(tmp_path / "gowalla_train.npz", user=[0, 0, 2, 2], item=[0, 1, 1, 1])
    graph = small_graphs.load("gowalla_train", tmp_path)
    assert neighbours(graph) == [[3, 4], [], [4], [0], [0, 2]]
    assert (graph.classes, graph.labels.shape, graph.multi_label) == (0, (5, 0), True)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"edges": np.array([(0, 4)])}, "the nodes of edges are not all in 0 to 3"),
        ({"edges": np.array([0, 1])}, r"edges are \(2,\), feat_ptr \(5,\); expected \(m, 2\)"),
        ({"feat_ptr": np.array([0, 6])}, r"feat_ptr \(2,\); expected"),
        ({"label": np.array([0, -1, 0, 0])}, "labels go from -1 to 0"),
    ],
)
def test_malformed_networks_are_refused(tmp_path, changes, reason):
    with pytest.raises(ValueError, match=reason):
        small_graphs.load("musae_facebook", write_musae(tmp_path, **changes))


def test_unknown_small_graphs_are_refused(tmp_path):
    with pytest.raises(ValueError, match="there is no graph 'cora' here; expected one of musae_git"):
        small_graphs.load("cora", tmp_path)
    np.savez(tmp_path / "gowalla_train.npz", user=[0], item=[0, 1])
    with pytest.raises(ValueError, match=r"user is \(1,\), item \(2,\); expected as many"):
        small_graphs.load("gowalla_train", tmp_path)


@pytest.mark.skipif(not os.environ.get("HET_TF_DATA"), reason="HET_TF_DATA does not name a data folder")
@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("musae_git", (37_700, 2 * 289_003, 1, 2)),
        # Without the 179 pages that like themselves; 31 words at the most.
        ("musae_facebook", (22_470, 2 * (171_002 - 179), 32, 4)),
        ("amazon_book_kgat", (70_679 + 24_915, 2 * 846_434, 1, 0)),
        ("gowalla_train", (29_858 + 40_981, 2 * 810_128, 1, 0)),
    ],
)
def test_real_graphs_have_their_published_counts(name, counts):
    graph = small_graphs.load(name)
    assert (graph.nodes, graph.edges, graph.fields, graph.classes) == counts
    assert len(graph.train) + len(graph.validation) + len(graph.test) == graph.nodes
    assert graph.real
