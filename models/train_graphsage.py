"""Trains GraphSAGE on a graph, real or generated, on any number of workers.

    het-tf launch --workers 2 --shards 2 models/train_graphsage.py --graph ogbn-mag --factor 0.1
    python models/train_graphsage.py --graph ogbn-mag --folder mag
    python models/train_graphsage.py --graph musae_git --folder data

Without a folder a graph is generated (musae_git and the like are real only; the
folder may also be named by HET_TF_DATA). Ends with accuracy on the test nodes,
micro-F1 where a node may have several classes. `--report FILE` writes one JSON
object, by worker 0.
"""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import keras
import typer

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that `models` is found from anywhere

import het_tf as het
from models.data import dgl_reddit, graphsaint, neighbours, ogbn_mag, small_graphs, synthetic_graph
from models.data.graph import Graph
from models.graphsage import graphsage
from models.worker_report import Progress, Stopwatch, of_all_workers

TEST_BATCH = 1024
READERS = {"reddit": dgl_reddit.load, "ogbn-mag": ogbn_mag.load, "amazon_graphsaint": graphsaint.load}


class Optimizer(StrEnum):
    adam = "adam"
    adagrad = "adagrad"
    sgd = "sgd"


OPTIMIZERS = {
    Optimizer.adam: keras.optimizers.Adam,
    Optimizer.adagrad: keras.optimizers.Adagrad,
    Optimizer.sgd: keras.optimizers.SGD,
}


def read(name: str, folder: Path | None, factor: float, seed: int) -> Graph:
    """The graph: real where a folder is given, else generated.

    Raises:
      FileNotFoundError, ValueError: there is no such graph, or not there.
    """
    if name in (*small_graphs.MUSAE, *small_graphs.LOGS):
        return small_graphs.load(name, folder, seed=seed)
    if folder is None:
        return synthetic_graph.generate(name, factor, seed)
    if name not in READERS:
        names = ", ".join((*READERS, *small_graphs.MUSAE))
        raise ValueError(f"there is no reader of a real graph {name!r}; expected {names}, or no folder: generated")
    return READERS[name](folder)


def main(
    graph: Annotated[
        str, typer.Option(help="reddit, amazon, amazon_graphsaint, ogbn-mag, musae_git or musae_facebook.")
    ] = "ogbn-mag",
    folder: Annotated[
        Path | None, typer.Option(help="Of the published files; without it a graph is generated.")
    ] = None,
    factor: Annotated[
        float, typer.Option(help="Of a generated graph: nodes, edges and values, of the published.")
    ] = 0.02,
    fanout: Annotated[list[int], typer.Option(min=1, help="Sampled neighbours, once for each layer.")] = [5, 5],  # noqa: B006
    width: Annotated[int, typer.Option(min=1, help="Of each layer.")] = 128,
    dimension: Annotated[int, typer.Option(min=1)] = 16,
    batch: Annotated[int, typer.Option(min=1, help="Training nodes per worker and step.")] = 128,
    steps: Annotated[int, typer.Option(min=2, help="Steps per worker.")] = 1000,
    learning_rate: Annotated[float, typer.Option()] = 0.01,
    staleness: Annotated[float, typer.Option(min=0, help="Of cached rows, in steps; inf for no bound.")] = 100,
    share: Annotated[float, typer.Option(min=0, max=1, help="Rows that a worker caches, of the table; 0: none.")] = 0.1,
    policy: Annotated[str, typer.Option(help="lru, lfu or light_lfu.")] = "lfu",
    optimizer: Annotated[Optimizer, typer.Option(help="HET has sgd.")] = Optimizer.adam,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    report: Annotated[Path | None, typer.Option(help="File for worker 0's report.")] = None,
) -> None:
    try:
        data = read(graph, folder, factor, seed)
        train = neighbours.training(data, batch, fanout, steps, seed=seed, rank=het.rank(), size=het.size())
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f"train_graphsage: {error}")
    keras.utils.set_random_seed(seed)
    if staleness != float("inf"):
        staleness = int(staleness)
    start = keras.initializers.RandomNormal(stddev=0.1, seed=seed)
    config = het.CacheConfig(share=share, policy=policy, staleness=staleness) if share else None
    embedding = het.layers.Embedding(data.vocabulary_size, dimension, start, cache=config, name="fields")
    model = graphsage(
        embedding,
        fields=data.fields,
        classes=data.classes,
        fanouts=fanout,
        hidden=[width] * len(fanout),
        features=data.features.shape[1],
        multi_label=data.multi_label,
        seed=seed,
    )
    if data.multi_label:
        loss, score = "binary_crossentropy", keras.metrics.F1Score("micro", threshold=0.5, name="micro_f1")
    else:
        loss, score = "sparse_categorical_crossentropy", keras.metrics.SparseCategoricalAccuracy(name="accuracy")
    model.compile(het.DistributedOptimizer(OPTIMIZERS[optimizer](learning_rate)), loss, metrics=[score])

    first = het.rank() == 0
    watch = Stopwatch()
    callbacks: list[keras.callbacks.Callback] = [het.callbacks.MetricAverage(), het.callbacks.CacheStats(), watch]
    if first:
        callbacks.append(Progress())
    model.fit(train, shuffle=False, verbose=int(first), callbacks=callbacks)

    measured = of_all_workers(watch, batch, [embedding])
    if first:
        test = neighbours.evaluation(data, data.test, TEST_BATCH, fanout, seed=seed)
        result = {
            **measured,
            score.name: round(model.evaluate(test, verbose=0, return_dict=True)[score.name], 6),
            "data": data.source,
            "real": data.real,
            "nodes": data.nodes,
            "edges": data.edges,
            "fields": data.fields,
            "embeddings": data.vocabulary_size,
            "classes": data.classes,
            "fanouts": fanout,
            "steps": steps,
            "batch": batch,
            "dimension": dimension,
            "staleness": str(staleness),
            "cache_share": share,
        }
        text = json.dumps(result)
        if report is not None:
            report.write_text(text + "\n")
        else:
            print(text)
    het.barrier()


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    app.command()(main)
    app()
