"""Sampled neighbours: what is drawn, the same for a seed, every worker its share."""

import numpy as np
import pytest

from models.data import neighbours
from models.data.graph import Graph, both_ways

NODES = 60
FANOUTS = (3, 2)


def graph(**changes) -> Graph:
    """A ring whose nodes know two others each, but for the last ten, which know nobody; 40 are trained."""
    ring = np.arange(NODES - 10)
    pointers, found = both_ways(ring, (ring + 1) % len(ring), NODES)
    form = {
        "name": "ring",
        "real": False,
        "pointers": pointers,
        "neighbours": found,
        "ids": np.stack([np.arange(NODES), NODES + np.arange(NODES) % 7], axis=1),
        "vocabulary_size": NODES + 7,
        "labels": np.arange(NODES) % 4,
        "classes": 4,
        "train": np.arange(20, NODES),
        "validation": np.arange(0),
        "test": np.arange(20),
    }
    return Graph(**{**form, **changes})


def batches(dataset):
    return list(dataset.as_numpy_iterator())


def nodes_of(dataset):
    """The nodes of every batch, without their neighbours: (batches, batch)."""
    return np.array([inputs["ids"][:, 0, 0] for inputs, _ in batches(dataset)])


def test_elements_have_the_promised_shapes_and_types():
    assert neighbours.visited(FANOUTS) == 1 + 3 + 6
    with_features = graph(features=np.arange(NODES * 5, dtype=np.float32).reshape(NODES, 5))
    dataset = neighbours.training(with_features, 8, FANOUTS, steps=7)
    assert dataset.cardinality() == 7
    inputs, labels = dataset.element_spec
    assert inputs["ids"].shape[1:] == (10, 2) and inputs["features"].shape[1:] == (10, 5)
    assert (inputs["ids"].dtype, inputs["features"].dtype, labels.dtype) == ("int64", "float32", "int64")
    for inputs, labels in batches(dataset):
        np.testing.assert_array_equal(labels, inputs["ids"][:, 0, 0] % 4)
        np.testing.assert_array_equal(inputs["ids"][..., 1], NODES + inputs["ids"][..., 0] % 7)
        np.testing.assert_array_equal(inputs["features"][..., 0], inputs["ids"][..., 0] * 5)
    assert set(neighbours.training(graph(), 8, FANOUTS, 1).element_spec[0]) == {"ids"}


def test_only_neighbours_are_drawn_and_lonely_nodes_stand_in_for_theirs():
    for inputs, _ in batches(neighbours.training(graph(), 40, FANOUTS, steps=5)):
        visited = inputs["ids"][..., 0]
        first, second = visited[:, 1:4], visited[:, 4:].reshape(-1, 3, 2)
        for own, drawn in ((visited[:, :1], first), (first[..., None], second)):
            lonely = own >= NODES - 10
            apart = (drawn - own) % (NODES - 10)
            assert np.where(lonely, drawn == own, (apart == 1) | (apart == NODES - 11)).all()


def test_all_neighbours_are_drawn_alike_often():
    star = both_ways(np.zeros(9, int), np.arange(1, 10), NODES)
    hub = graph(pointers=star[0], neighbours=star[1], train=np.array([0]), test=np.array([1]))
    drawn = np.concatenate([inputs["ids"][0, 1:, 0] for inputs, _ in batches(neighbours.training(hub, 1, (900,), 10))])
    counts = np.bincount(drawn, minlength=10)
    # Binomial with deviation 30.
    assert counts[0] == 0 and (np.abs(counts[1:] - 1000) < 150).all()


def test_batches_are_set_by_the_seed():
    def drawn(seed):
        return np.concatenate(
            [inputs["ids"] for inputs, _ in batches(neighbours.training(graph(), 8, FANOUTS, 12, seed=seed))]
        )

    np.testing.assert_array_equal(drawn(5), drawn(5))
    assert (drawn(5) != drawn(6)).any()
    # Of one node other neighbours in other steps.
    mine = drawn(5)[drawn(5)[:, 0, 0] == 25]
    assert len(mine) >= 2 and (mine[0] != mine[1]).any()


def test_workers_share_the_batches_of_one():
    one = nodes_of(neighbours.training(graph(), 12, FANOUTS, 7, seed=3))
    parts = [neighbours.training(graph(), 6, FANOUTS, 7, seed=3, rank=rank, size=2) for rank in range(2)]
    np.testing.assert_array_equal(one[:, 0::2], nodes_of(parts[0]))
    np.testing.assert_array_equal(one[:, 1::2], nodes_of(parts[1]))
    # Three groups of twelve in an epoch of forty; every epoch in another order.
    for epoch in (one[:3], one[3:6]):
        assert len(np.unique(epoch)) == 36
    assert (one[:3] != one[3:6]).any()


def test_hops_steps_and_workers_draw_their_own():
    # Everyone knows everyone alike: the same random numbers would draw the same nodes.
    pointers, found = np.arange(NODES + 1) * NODES, np.tile(np.arange(NODES), NODES)
    alike = graph(pointers=pointers, neighbours=found)
    drawn = [
        inputs["ids"][0, 1:, 0]
        for rank in range(2)
        for inputs, _ in batches(neighbours.training(alike, 1, (50, 1), 2, rank=rank, size=2))
    ]
    drawn = [part for both in drawn for part in np.split(both, 2)]
    for number, one in enumerate(drawn):
        for other in drawn[:number]:
            assert (one == other).mean() < 0.2


def test_evaluation_takes_all_nodes_in_their_order():
    dataset = neighbours.evaluation(graph(), graph().test, 8, FANOUTS)
    elements = batches(dataset)
    assert [len(labels) for _, labels in elements] == [8, 8, 4]
    np.testing.assert_array_equal(np.concatenate([inputs["ids"][:, 0, 0] for inputs, _ in elements]), np.arange(20))
    again = batches(neighbours.evaluation(graph(), graph().test, 8, FANOUTS))
    for (one, _), (other, _) in zip(elements, again, strict=True):
        np.testing.assert_array_equal(one["ids"], other["ids"])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"batch": 0}, "batch is 0; expected at least 1"),
        ({"fanouts": ()}, r"fanouts are \[\]; expected a number"),
        ({"fanouts": (3, 0)}, r"fanouts are \[3, 0\]"),
        ({"steps": 0}, "steps is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"rank": 2, "size": 2}, "rank is 2 of 2 workers; expected less"),
        ({"batch": 21, "size": 2}, "ring has 40 training nodes; a batch of 21 on 2 workers needs 42"),
        ({"graph": graph(labels=np.empty((NODES, 0), np.float32), classes=0)}, "the nodes of ring have no labels"),
    ],
)
def test_what_cannot_be_sampled_is_refused(changes, reason):
    with pytest.raises(ValueError, match=reason):
        neighbours.training(**{"graph": graph(), "batch": 8, "fanouts": FANOUTS, "steps": 3, **changes})
