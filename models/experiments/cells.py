"""What the reproduction runs: every cell is one experiment with all its settings.

The paper has 8 workers and one server, batches of 128, dimension 128, a cache of a
tenth of the table and SGD. The small plan keeps all of that but the number of
workers (4, and 2 of the larger graphs), the sizes of the graphs and of Criteo's
table, and the lengths of runs.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from models.experiments.run import Setup
from models.experiments.spec import ASYNCHRONOUS, Data, Model, Spec, System

CTR = (Model.wdl, Model.deepfm, Model.dcn)
GRAPHS = ("amazon", "reddit", "ogbn-mag")
# Gbit/s; the last one is for communication to have the share of a step that it has in the paper, where
# every worker has a GPU, and not an eighth of two processors.
NETWORKS = ("free", "10", "1", "0.25")
REDDIT_NETWORKS = ("free", "10", "1", "0.5")
STALENESS = (0.0, 10.0, 100.0, 10_000.0, math.inf)
# Systems without a cache that are compared over everything; others have a staleness beside.
BASELINES = [(System.tf_ps, 0.0), (System.parallax, 0.0), (System.het_hybrid, 0.0)]


@dataclass(frozen=True)
class Workload:
    """A model and its data.

    Attributes:
      graph: generated like this data set; empty for Criteo's rows.
      factor: size of the graph, of the published.
      vocabulary: rows that Criteo's ids are hashed to.
    """

    model: Model
    graph: str = ""
    factor: float = 1.0
    vocabulary: int = 1_000_000

    @property
    def name(self) -> str:
        return self.graph or self.model.value


@dataclass(frozen=True)
class Cell:
    """One experiment; `part` is what the report has it for."""

    part: str
    workload: Workload
    system: System
    setup: Setup
    staleness: float = 100.0
    share: float = 0.1
    policy: str = "lfu"
    dimension: int = 128
    batch: int = 128
    learning_rate: float = 0.1
    held_out: int = 100
    seed: int = 0

    def spec(self, data: Data) -> Spec:
        return Spec(
            self.system,
            self.workload.model,
            data,
            self.batch,
            self.dimension,
            self.learning_rate,
            self.seed,
            self.staleness,
            self.share,
            self.policy,
        )

    def settings(self) -> dict[str, Any]:
        """All of them, as JSON has them: cells with the same settings are the same."""
        made = dataclasses.asdict(self)
        made["setup"]["networks"] = list(self.setup.networks)
        del made["setup"]["patience"]
        # JSON has no infinity.
        made["staleness"] = f"{self.staleness:g}" if self.system is System.het_cache else None
        return made

    @property
    def name(self) -> str:
        cached = f" s={self.staleness:g}" if self.system is System.het_cache else ""
        return (
            f"{self.part}: {self.workload.name}, {self.system.value}{cached}, D={self.dimension}, "
            f"{self.setup.workers} workers, seed {self.seed}"
        )


def _cached(*staleness: float) -> list[tuple[System, float]]:
    return [(System.het_cache, s) for s in staleness]


def _systems() -> list[tuple[System, float]]:
    """All of them, with the staleness of those that have one."""
    return [*((system, 0.0) for system in System if system is not System.het_cache), *_cached(10.0, 100.0)]


def _rate(model: Model, system: System) -> float:
    """Of SGD: of the paper's (0.1, 0.01, 0.001) the largest with which the model does not diverge."""
    if model is Model.graphsage:
        # With none of them a node's rows, of whose gradients a step has few and small ones, leave their first values
        # in a run of this length.
        return 1.0
    # An asynchronous system's eight workers all step at the full rate.
    if model is Model.dcn:
        return 0.001 if system in ASYNCHRONOUS else 0.01
    return 0.01 if model is Model.deepfm and system is System.het_ps else 0.1


def _of(part: str, workload: Workload, systems: list[tuple[System, float]], setup: Setup, **more: Any) -> list[Cell]:
    return [
        Cell(part, workload, system, setup, staleness=s, **{"learning_rate": _rate(workload.model, system)} | more)
        for system, s in systems
    ]


def small() -> list[Cell]:
    """Wide & Deep and one graph on all systems, the other four with the cache and without; every curve, reduced."""
    wdl, reddit = Workload(Model.wdl), Workload(Model.graphsage, "reddit", 0.3)
    pair = [(System.het_hybrid, 0.0), *_cached(100.0)]
    cells = _of("systems", wdl, _systems(), Setup(4, 1, NETWORKS, 110, 45, rounds=3))
    cells += _of("systems", reddit, _systems(), Setup(4, 1, NETWORKS[:3], 110, 45, rounds=3))
    for model in CTR[1:]:
        cells += _of("systems", Workload(model), pair, Setup(4, 1, ("free", "1"), 110, 45, rounds=3))
    for graph, factor in (("amazon", 0.1), ("ogbn-mag", 0.3)):
        workload = Workload(Model.graphsage, graph, factor)
        # Their steps are long: two workers keep the plan short.
        cells += _of("systems", workload, pair, Setup(2, 1, ("free", "1"), 110, 16, rounds=2), held_out=20)
    few = [*BASELINES, *_cached(100.0)]
    cells += _of("convergence", wdl, few, Setup(4, 1, ("1",), 1, 480, rounds=8, curve=True))
    cells += _of("staleness", wdl, _cached(*STALENESS), Setup(4, 1, ("loopback",), 1, 400), dimension=16)
    for dimension in (128, 512):
        few_rows = Workload(Model.wdl, vocabulary=100_000)
        setup = Setup(2, 1, ("free", "1"), 110, 40, rounds=2)
        cells += _of("dimension", few_rows, pair, setup, dimension=dimension, held_out=20)
    for workers in (1, 2):
        cells += _of("workers", wdl, pair, Setup(workers, 1, ("free", "1"), 110, 30, rounds=2), held_out=20)
    return cells


def _sweep(part: str, workload: Workload, workers: int, steps: int, **more: Any) -> list[Cell]:
    # Only a cache has copies to use up before it is in its steady state.
    return [
        cell
        for systems, warm_up in ((BASELINES, 20), (_cached(100.0), 110))
        for cell in _of(part, workload, systems, Setup(workers, 1, ("free", "1"), warm_up, steps), held_out=20, **more)
    ]


def full() -> list[Cell]:
    """All workloads on all systems in the paper's topology, and the whole curves.

    Graphs are at 0.3 of their size: replicated to eight workers, which have the rows twice while they start, Amazon's
    table would not fit into 24 GB.
    """
    wdl = Workload(Model.wdl)
    amazon, reddit, ogbn_mag = (Workload(Model.graphsage, graph, 0.3) for graph in GRAPHS)
    cells = []
    # With a cache Wide & Deep's steps at 1 Gbit/s are so little longer than without a limit that 50 do not show it.
    cells += _of("systems", wdl, _systems(), Setup(8, 1, NETWORKS, 110, 300, rounds=30))
    for workload in map(Workload, CTR[1:]):
        cells += _of("systems", workload, _systems(), Setup(8, 1, NETWORKS, 110, 50))
    for workload, networks in ((amazon, NETWORKS), (reddit, REDDIT_NETWORKS), (ogbn_mag, NETWORKS)):
        cells += _of("systems", workload, _systems(), Setup(8, 1, networks, 110, 20))
    for workload, steps, asynchronous_rate in ((wdl, 2000, 0.1), (reddit, 1000, 0.3)):
        setup = Setup(8, 1, ("1",), 1, steps, rounds=20, curve=True)
        # On Reddit's graph the best of 1, with which eight asynchronous workers learn nothing, 0.3 and 0.1.
        cells += _of("convergence", workload, BASELINES[:1], setup, learning_rate=asynchronous_rate)
        cells += _of("convergence", workload, [*BASELINES[1:], *_cached(10.0, 100.0)], setup)
    for workload in map(Workload, CTR):
        # A push waits for a part of the training that is the smaller, the more steps there are; four workers make more.
        # After 4000 Deep & Cross's AUC still rises.
        setup = Setup(4, 1, ("loopback",), 1, 8000 if workload.model is Model.dcn else 4000, rounds=1)
        # DeepFM has no bias: with 0.1 what a hundred steps of four workers add to the rows of frequent ids is more than
        # the mean prediction was off, and it swings.
        rate = 0.03 if workload.model is Model.deepfm else _rate(workload.model, System.het_cache)
        for seed in range(3):
            # The pair that the paper's claim is about has all seeds.
            values = STALENESS if seed == 0 else (0.0, 100.0)
            cells += _of("staleness", workload, _cached(*values), setup, dimension=16, seed=seed, learning_rate=rate)
    # Two workers and small graphs, but with thousands of nodes to score. At a higher rate all is learnt in fewer uses
    # of a row, of which the other worker sees nothing before a hundred.
    for graph, factor, steps, rate in (
        ("amazon", 0.02, 3000, 1.0),
        ("reddit", 0.1, 2000, 0.5),
        ("ogbn-mag", 0.1, 6000, 0.5),
    ):
        workload, setup = Workload(Model.graphsage, graph, factor), Setup(2, 1, ("loopback",), 1, steps, rounds=1)
        for seed in range(3):
            more = {"dimension": 16, "seed": seed, "learning_rate": rate}
            cells += _of("staleness", workload, _cached(0.0, 100.0), setup, **more)
    for dimension in (128, 512, 2048, 4096):
        cells += _sweep("dimension", Workload(Model.wdl, vocabulary=100_000), 4, 25, dimension=dimension)
    for workers in (1, 2, 4, 8, 16):
        cells += _sweep("workers", wdl, workers, 40)
    return cells
