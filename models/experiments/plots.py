"""The plots of a reproduction's report, as SVG files."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot as plt

from models.experiments.lines import Lines, system_of, workload_of

MISSES = re.compile(r"misses per distinct id, (?P<stream>[^,]+), (?P<policy>\w+), cache (?P<share>\d+)%")


def _curves(axis: Any, curves: dict[str, list[tuple[float, float]]]) -> None:
    for name, points in sorted(curves.items()):
        axis.plot(*zip(*sorted(points), strict=True), marker="o", label=name)
    axis.legend(fontsize=8)


def systems(lines: Lines, axis: Any) -> None:
    """Communication at 1 Gbit/s, a group of bars for each workload."""
    groups: dict[str, dict[str, float]] = {}
    for line in lines:
        if "1" in line["networks"]:
            seconds = line["networks"]["1"]["communication_seconds"] or 0.0
            groups.setdefault(workload_of(line), {})[system_of(line)] = 1e3 * seconds
    names = list(dict.fromkeys(name for group in groups.values() for name in group))
    width = 0.8 / max(1, len(names))
    for place, name in enumerate(names):
        at = [group + place * width for group in range(len(groups))]
        axis.bar(at, [values.get(name, 0.0) for values in groups.values()], width, label=name)
    axis.set_xticks([group + 0.4 - width / 2 for group in range(len(groups))], list(groups))
    axis.set(title="Communication at 1 Gbit/s", ylabel="ms per step; less than one is not shown", yscale="log")
    axis.set_ylim(bottom=1)
    axis.legend(fontsize=8)


def convergence(lines: Lines, axis: Any) -> None:
    curves = {
        f"{workload_of(line)}, {system_of(line)}": [(seconds, score) for _, seconds, score in line["curve"]]
        for line in lines
    }
    _curves(axis, curves)
    axis.set(title="Convergence at 1 Gbit/s", xlabel="seconds", ylabel="AUC or accuracy, held out")


def staleness(lines: Lines, axis: Any) -> None:
    order = sorted({float(line["staleness"]) for line in lines})
    curves: dict[str, list[tuple[float, float]]] = {}
    for line in lines:
        points = curves.setdefault(f"{workload_of(line)}, seed {line['seed']}", [])
        points.append((order.index(float(line["staleness"])), line["score"]))
    _curves(axis, curves)
    axis.set_xticks(range(len(order)), [f"{one:g}" for one in order])
    axis.set(title="Staleness", xlabel="s", ylabel="AUC or accuracy, held out")


def _over(of: str) -> Callable[[Lines, Any], None]:
    def draw(lines: Lines, axis: Any) -> None:
        curves: dict[str, list[tuple[float, float]]] = {}
        for line in lines:
            one = line["networks"].get("1")
            if one is not None:
                rate = line["workers"] * line["batch"] / one["mean_step_seconds"]
                curves.setdefault(system_of(line), []).append((line[of], rate))
        _curves(axis, curves)
        axis.set_xscale("log", base=2)
        axis.set(title=f"Examples per second at 1 Gbit/s over {of}", xlabel=of, ylabel="examples/s", ylim=(0, None))

    return draw


def misses(lines: Lines, axis: Any) -> None:
    curves: dict[str, list[tuple[float, float]]] = {}
    for figure in (figure for line in lines for figure in line["lines"] if "metric" in figure):
        found = MISSES.match(figure["metric"])
        if found is not None:
            points = curves.setdefault(f"{found['stream']}, {found['policy']}", [])
            points.append((float(found["share"]), figure["value"]))
    _curves(axis, curves)
    axis.set(title="Misses", xlabel="cache, % of the table", ylabel="% of a step's distinct ids", ylim=(0, None))


# What is drawn from the lines of which part.
PLOTS = {
    "systems": ("systems", systems),
    "convergence": ("convergence", convergence),
    "staleness": ("staleness", staleness),
    "dimension": ("dimension", _over("dimension")),
    "workers": ("workers", _over("workers")),
    "misses": ("curves", misses),
}


def draw(lines: Lines, folder: Path) -> dict[str, str]:
    """Draws what there are lines for; file names by plot."""
    drawn = {}
    plt.rcParams["svg.hashsalt"] = "het_tf"  # the same lines give the same file
    for name, (part, paint) in PLOTS.items():
        own = [line for line in lines if line["settings"]["part"] == part]
        if not own:
            continue
        plot, axis = plt.subplots(figsize=(9, 4.5), layout="constrained")
        paint(own, axis)
        drawn[name] = f"{name}.svg"
        plot.savefig(folder / drawn[name], metadata={"Date": None})
        plt.close(plot)
    return drawn
