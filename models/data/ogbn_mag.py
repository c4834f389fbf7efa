"""ogbn-mag from the CSV files that the Open Graph Benchmark publishes.

Papers that cite each other; the class is the venue. The folder (`mag` in OGB's
archive) has

  raw/num-node-dict.csv.gz                            a header of node types, then their counts
  raw/relations/paper___cites___paper/edge.csv.gz     two columns, no header, as below
  raw/relations/paper___has_topic___field_of_study/edge.csv.gz
  raw/relations/author___writes___paper/edge.csv.gz
  raw/node-label/paper/node-label.csv.gz              one column
  split/time/paper/{train,valid,test}.csv.gz          one column of paper numbers

1,939,743 nodes, 21.1 M edges, 349 venues (Hu et al., "Open Graph Benchmark",
2020). HET classifies the 736,389 papers, citations taken in both directions, by
21 fields: the paper's id, up to 10 topics and up to 10 authors, absent ones as
an id of their own. That makes the 1.93 M embeddings of its table of data sets.
"""

from __future__ import annotations

import os

import numpy as np

from models.data import graph_files
from models.data.graph import Graph, bags, both_ways

COUNTS = "raw/num-node-dict.csv.gz"
CITES = "raw/relations/paper___cites___paper/edge.csv.gz"
TOPICS = "raw/relations/paper___has_topic___field_of_study/edge.csv.gz"
AUTHORS = "raw/relations/author___writes___paper/edge.csv.gz"
LABELS = "raw/node-label/paper/node-label.csv.gz"
PARTS = tuple(f"split/time/paper/{part}.csv.gz" for part in ("train", "valid", "test"))
BAG = 10


def load(path: str | os.PathLike[str]) -> Graph:
    """Loads the papers.

    Raises:
      FileNotFoundError: a file is not there.
      ValueError: a file is not of the form above.
    """
    folder = graph_files.folder_of(path, (COUNTS, CITES, TOPICS, AUTHORS, LABELS, *PARTS))
    header = graph_files.header_of(folder / COUNTS)
    kinds = ("paper", "field_of_study", "author")
    if not set(kinds) <= set(header):
        raise ValueError(f"{folder / COUNTS} counts {header}; expected {', '.join(kinds)} among them")
    counted = dict(zip(header, graph_files.csv(folder / COUNTS, len(header), header=1)[0].tolist(), strict=True))
    papers, topics, authors = (counted[kind] for kind in kinds)

    def pairs(name: str, first: int, second: int) -> tuple[np.ndarray, np.ndarray]:
        both = graph_files.csv(folder / name, 2)
        if (both < 0).any() or (both >= (first, second)).any():
            raise ValueError(
                f"{folder / name} goes up to {both.max(axis=0).tolist()}; expected less than {[first, second]}, as "
                f"{COUNTS} counts"
            )
        return both[:, 0], both[:, 1]

    labels = graph_files.csv(folder / LABELS, 1)[:, 0]
    pointers, neighbours = both_ways(*pairs(CITES, papers, papers), papers)
    topic_of, topic = pairs(TOPICS, papers, topics)
    author, author_of = pairs(AUTHORS, authors, papers)
    first_author = papers + topics + 1
    train, validation, test = (graph_files.csv(folder / part, 1)[:, 0] for part in PARTS)
    return Graph(
        name="ogbn-mag",
        real=True,
        pointers=pointers,
        neighbours=neighbours,
        ids=np.concatenate(
            [
                np.arange(papers)[:, None],
                bags(topic_of, topic + papers, papers, BAG, none=papers + topics),
                bags(author_of, author + first_author, papers, BAG, none=first_author + authors),
            ],
            axis=1,
        ),
        vocabulary_size=first_author + authors + 1,
        labels=labels,
        classes=int(labels.max()) + 1,
        train=train,
        validation=validation,
        test=test,
    )
