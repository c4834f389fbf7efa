"""Draws the plots of docs/performance.md from the lines that report.py has saved.

python -m benchmarks.report --full --save docs/performance.jsonl
python -m benchmarks.plots docs/performance.jsonl docs/plots
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import matplotlib

matplotlib.use("svg")
import typer
from matplotlib import pyplot as plt

from benchmarks.report import lines_of

Lines = list[dict[str, Any]]


def hit_path(lines: Lines, axis: Any) -> None:
    """A group of bars for each workload, a bar for each contender."""
    groups: dict[str, dict[str, float]] = {}
    for line in lines:
        if line["metric"].startswith("two callers"):
            continue
        contender, workload = line["metric"].split(": lookup + SGD update, ")
        groups.setdefault(workload, {})[contender.partition(" (")[0]] = line["value"]
    contenders = list(dict.fromkeys(name for group in groups.values() for name in group))
    width = 0.8 / len(contenders)
    for place, name in enumerate(contenders):
        at = [group + place * width for group in range(len(groups))]
        axis.bar(at, [values.get(name, 0.0) for values in groups.values()], width, label=name)
    axis.set_xticks([group + 0.4 - width / 2 for group in range(len(groups))], list(groups), fontsize=8)
    axis.set(title="Lookup and SGD update, all rows cached", ylabel="million ids/s")
    axis.legend(fontsize=8)


def exchange(lines: Lines, axis: Any) -> None:
    """The share of gRPC's raw buffers, by the size of the exchange."""
    curves: dict[str, dict[int, float]] = {}
    for line in lines:
        found = re.match(r"het_tf: (.*), (D=\d+), (\d+) KiB of values, (\d+) under way", line["metric"])
        if found is None:
            continue
        way, dimension, size, depth = found.groups()
        curves.setdefault(f"{way}, {dimension}, {depth} under way", {})[int(size)] = line["ratio"]
    for name, curve in curves.items():
        axis.plot(list(curve), list(curve.values()), marker="o", label=name)
    axis.axhline(0.6, color="grey", linestyle=":", linewidth=1)
    axis.set_xscale("log", base=2)
    axis.set(title="Exchange, against gRPC's raw buffers", xlabel="KiB of values", ylabel="ratio", ylim=(0, 1))
    axis.legend(fontsize=8)


def wire_bytes(lines: Lines, axis: Any) -> None:
    """The share of the payload without a cache, by workload and format."""
    groups: dict[str, dict[str, float]] = {}
    for line in lines:
        kind, wire, dimension = line["metric"].split(", ")
        if kind == "payload":
            workload = line["data"].partition(";")[0]
            groups.setdefault(f"{workload}, {dimension}", {})[wire] = line["ratio"]
    formats = list(dict.fromkeys(wire for group in groups.values() for wire in group))
    for place, wire in enumerate(formats):
        at = [group + 0.27 * place for group in range(len(groups))]
        axis.barh(at, [values.get(wire, 0.0) for values in groups.values()], 0.25, label=wire)
    axis.set_yticks([group + 0.27 for group in range(len(groups))], list(groups), fontsize=7)
    axis.set(title="Payload per step, against no cache", xlabel="ratio")
    axis.legend(fontsize=8)


PLOTS = {"hit_path": hit_path, "exchange": exchange, "wire_bytes": wire_bytes}


def main(
    figures: Annotated[Path, typer.Argument(exists=True, help="JSON lines of report.py.")],
    folder: Annotated[Path, typer.Argument(help="Where the SVG files go.")],
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lines = [line for line in lines_of(figures.read_text()) if "unavailable" not in line]
    for name, draw in PLOTS.items():
        own = [line for line in lines if line["benchmark"] == name]
        if not own:
            raise typer.BadParameter(f"{figures} has no line of {name}: run `python -m benchmarks.report` with it")
        plot, axis = plt.subplots(figsize=(9, 4.5), layout="constrained")
        draw(own, axis)
        # No date, so that the same figures give the same file.
        plot.savefig(folder / f"{name}.svg", metadata={"Date": None})
        plt.close(plot)


if __name__ == "__main__":
    typer.run(main)
