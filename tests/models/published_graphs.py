"""Small graphs in the files of the published ones, for the tests of their readers."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

NODES = 12
# Both directions; node 11 has no neighbour.
EDGES = np.array([(0, 1), (1, 0), (1, 2), (2, 1), (0, 3), (3, 0), (5, 4), (4, 5), (10, 9), (9, 10)])
LABELS = np.arange(NODES) % 3
PARTS = {"tr": list(range(8)), "va": [8, 9], "te": [10, 11]}


def matrix(edges=EDGES, nodes: int = NODES):
    return sparse.coo_matrix((np.ones(len(edges)), np.transpose(edges)), shape=(nodes, nodes))


def neighbours(graph) -> list[list[int]]:
    return [sorted(part.tolist()) for part in np.split(graph.neighbours, graph.pointers[1:-1])]


def write_dgl_reddit(folder: Path, **changes: Any) -> Path:
    kind = np.repeat([1, 2, 3], [8, 2, 2])
    form = {"feature": np.arange(NODES * 2.0).reshape(NODES, 2), "label": LABELS, "node_types": kind}
    held = {name: array for name, array in {**form, **changes}.items() if array is not None}
    np.savez(folder / "reddit_data.npz", **held)
    sparse.save_npz(folder / "reddit_graph.npz", matrix())
    return folder


def write_graphsaint(folder: Path, *, many: bool, **changes: Any) -> Path:
    """With one class or `many` per node; `changes` are of classes and roles."""
    classes = {str(node): [int(node % 3 == 0), 1] if many else int(LABELS[node]) for node in range(NODES)}
    (folder / "class_map.json").write_text(json.dumps(changes.get("classes", classes)))
    (folder / "role.json").write_text(json.dumps(changes.get("roles", PARTS)))
    np.save(folder / "feats.npy", np.arange(NODES * 2.0).reshape(NODES, 2))
    sparse.save_npz(folder / "adj_full.npz", matrix().tocsr())
    sparse.save_npz(folder / "adj_train.npz", matrix(EDGES[:8]).tocsr())
    return folder


# Of papers, topics and authors; paper 3 has no topic, paper 2 no author.
MAG: dict[str, Any] = {
    "raw/num-node-dict.csv.gz": ["author,field_of_study,institution,paper", "5,4,2,6"],
    "raw/relations/paper___cites___paper/edge.csv.gz": ["0,1", "1,0", "2,1", "4,4", "3,5"],
    "raw/relations/paper___has_topic___field_of_study/edge.csv.gz": ["0,3", "0,1", "1,2", "2,0", "4,0", "5,1"],
    "raw/relations/author___writes___paper/edge.csv.gz": ["4,0", "0,1", "2,3", "1,4", "3,5", "4,5"],
    "raw/node-label/paper/node-label.csv.gz": ["2", "0", "1", "1", "0", "2"],
    "split/time/paper/train.csv.gz": ["0", "1", "2"],
    "split/time/paper/valid.csv.gz": ["3"],
    "split/time/paper/test.csv.gz": ["5", "4"],
}


def write_mag(folder: Path, changes: dict[str, Any] | None = None) -> Path:
    for name, lines in {**MAG, **(changes or {})}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        with gzip.open(folder / name, "wt") as out:
            out.write("".join(f"{line}\n" for line in lines))
    return folder


def write_musae(folder: Path, **changes: Any) -> Path:
    form = {
        "edges": np.array([(0, 1), (2, 0), (1, 0), (3, 3)], np.int32),
        "label": np.array([0, 1, 1, 0], np.int8),
        "feat_ptr": np.array([0, 2, 2, 5, 6], np.int32),
        "feat_ids": np.array([4, 7, 0, 1, 7, 3], np.int32),
    }
    np.savez(folder / "musae_facebook.npz", **{**form, **changes})
    return folder
