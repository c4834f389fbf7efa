"""The report of a reproduction: Markdown tables with the paper's numbers beside those measured, and plots."""

from __future__ import annotations

import itertools
import re
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path

from models.experiments import paper, plots
from models.experiments.lines import Line, Lines, by_workload, made_on, part, system_of

# Nearer to nothing two medians of steps cannot be told apart, on processors that many processes share.
RESOLUTION_SECONDS, RESOLUTION_SHARE = 0.001, 0.02  # the share is of a step without a limit

_HEAD = """# Reproduction of HET's experiments

Written by `make reproduce`, with {versions}; sections name the machine, the commit and TCP's
congestion control (where none is named, it was the machine's). {data}

All workers and servers share this machine's processors, each on an emulated host with a link of its own (network
namespaces, token buckets with a buffer of at least 1 MiB; a server has one link like everybody). Steps on all networks
of a cell are made by one job in turns. *Communication* is the median step on a network minus the median step on links
without a limit, which is the compute floor: time that waiting for the network adds, not time that the processors spend
on it. The second table of a workload has the same by mean steps, with what few long steps add that the median leaves
out: those of asynchronous systems, whose processors compute for one worker while another one waits, and of a cache of
small staleness. Communication below {resolution:g} ms, or {share:.0%} of a step, cannot be told from noise; ratios to
it are lower bounds. *Bytes* are the links' counters, per worker and step, headers and Horovod's AllReduce of the dense
gradients included. *Processor* time is that of all processes together, per worker's step. A synchronous step of N
workers is one step of SGD with their mean gradient; N workers of an asynchronous system take N steps at the full
learning rate in the same time, hence their scores after as many steps. Systems have one rate, but for asynchronous
ones that diverge with it.

Systems, all with the same model, first rows, batches and SGD:

- **tf_ps**: ParameterServerStrategy, asynchronous; tables partitioned over the servers; batches made distinct in the
  workers' input pipelines, which are ahead of their steps; four steps per scheduled function. Per step and worker: one
  read and one update of every dense variable and of each table.
- **parallax**: embedding tables on TensorFlow's servers, dense gradients by Horovod, synchronous; distinct rows once
  each way. Per step and worker: two runs of a session (ids there and rows back; ids and gradients there), one
  AllReduce and one barrier.
- **het_ps**: everything in het_tf's shards, asynchronous, no cache: two exchanges per step and server, which carry all
  dense variables both ways too.
- **het_ar**: tables replicated, everything by Horovod: one AllReduce of dense gradients, AllGather of ids and of rows.
- **het_hybrid**: rows in het_tf's shards without a cache, synchronous (two exchanges per step and server), dense
  gradients by AllReduce.
- **het_cache s**: the same with a cache of a tenth of the table, LFU, staleness s; the coming batch's exchange is under
  way while a step computes, as README recommends.
"""


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines) + "\n"


def resolution(line: Line) -> float:
    """Seconds: nearer to nothing the communication of this line cannot be told from noise."""
    return max(RESOLUTION_SECONDS, RESOLUTION_SHARE * line["networks"].get("free", {}).get("median_step_seconds", 0.0))


def ratio(seconds: float | None, reference: float | None, least: float) -> str:
    """Of communication times; a lower bound where the reference is below `least`, too short to be measured."""
    if seconds is None or reference is None:
        return ""
    if reference < least:
        return f"> {seconds / least:.1f}" if seconds > least else "1"
    return f"{seconds / reference:.1f}"


def cache_100(own: Lines) -> Line | None:
    """What all others are compared with, once it has been run."""
    return next((line for line in own if system_of(line) == "het_cache 100"), None)


def communication(line: Line, network: str, step: str) -> float | None:
    """`step` is median_step_seconds or mean_step_seconds; None where there is no network without a limit beside."""
    free, limited = (line["networks"].get(name, {}).get(step) for name in ("free", network))
    return None if free is None or limited is None else max(0.0, limited - free)


def against(line: Line, best: Line | None, network: str, step: str) -> list[str]:
    """Communication, and as a multiple of that of `best`."""
    mine = communication(line, network, step)
    multiple = ratio(mine, communication(best, network, step), resolution(best)) if best else ""
    return [milliseconds(mine), multiple]


def milliseconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{1e3 * seconds:.1f}"


def kilobytes(line: Line, network: str) -> str:
    one = line["networks"][network]
    return "" if one["bytes_sent"] is None else f"{(one['bytes_sent'] + one['bytes_received']) / 1e3:.0f}"


def _rates(own: Lines) -> str:
    """That of most systems, and those of the others by name."""
    rates = [line["learning_rate"] for line in own]
    usual = statistics.mode(rates)
    others = [f"{system_of(line)} {rate:g}" for line, rate in zip(own, rates, strict=True) if rate != usual]
    return f"SGD {usual:g}" + (f" ({', '.join(others)})" if others else "")


def _systems(lines: Lines) -> str:
    text = "## All systems\n\n"
    for workload, own in by_workload(part(lines, "systems")).items():
        first, best = own[0], cache_100(own)
        networks = list(dict.fromkeys(name for line in own for name in line["networks"]))
        limited = [name for name in networks if name not in ("free", "loopback")]
        columns = {name: [f"comm. at {name} Gbit/s, ms", f"x cache 100 ({name})"] for name in limited}
        text += (
            f"### {workload}\n\n{first['data']}; {first['embeddings']:,} rows, D={first['dimension']}, batch "
            f"{first['batch']}, {first['workers']} workers and a server, {_rates(own)}. "
            f"{made_on(own)}\n\n"
        )
        header = ["system", f"step, {networks[0]}, ms"]
        for name in limited:
            header += columns[name]
            if workload in paper.COMMUNICATION_RATIOS.get(name, {}):
                header.append(f"paper ({name})")
        header += ["bytes, kB", "processor, ms", "epoch, s, at " + networks[-1], first["metric"]]
        rows, by_means = [], []
        for line in own:
            row = [system_of(line), milliseconds(line["networks"][networks[0]]["median_step_seconds"])]
            by_means.append([system_of(line)])
            for name in limited:
                row += against(line, best, name, "median_step_seconds")
                by_means[-1] += against(line, best, name, "mean_step_seconds")
                if workload in paper.COMMUNICATION_RATIOS.get(name, {}):
                    published = paper.COMMUNICATION_RATIOS[name][workload].get(system_of(line))
                    row.append("1" if published is None else f"{published:g}")
            last = line["networks"].get(networks[-1])
            row += [
                kilobytes(line, networks[0]),
                milliseconds(line["networks"][networks[0]]["cpu_seconds"]),
                f"{last['seconds_per_epoch']:,.0f}" if last else "",
                f"{line['score']:.4f}",
            ]
            rows.append(row)
        text += table(header, rows)
        if limited:
            text += table(["system, by mean steps", *itertools.chain(*columns.values())], by_means)
    return text


def _epochs(lines: Lines) -> str:
    rows = []
    for workload, own in by_workload(part(lines, "systems")).items():
        best = cache_100(own)
        reference = best["networks"] if best else {}
        for line in own:
            for name, one in line["networks"].items():
                if name in ("free", "loopback") or name not in reference:
                    continue
                share = one["communication_seconds"] / one["median_step_seconds"] if one["communication_seconds"] else 0
                published = paper.EPOCH_RATIOS.get(workload, {}).get(system_of(line)) if name == "1" else None
                rows.append(
                    [
                        workload,
                        name,
                        system_of(line),
                        f"{share:.0%}",
                        f"{one['mean_step_seconds'] / reference[name]['mean_step_seconds']:.2f}",
                        "" if published is None else f"{published:g}",
                    ]
                )
    return (
        "## Epochs\n\nTime of an epoch as a multiple of het_cache 100's on the same network, beside the paper's ratio "
        "of the time to converge at 1 Gbit/s, where each worker has a GPU. The workers here share the processors, so "
        "that computing is a larger part of a step; ratios can be compared where communication has the share of the "
        "baselines' steps that it has in the paper, 58 to 86 %.\n\n"
        + table(["workload", "Gbit/s", "system", "communication's share of a step", "x het_cache 100", "paper"], rows)
    )


def target(lines: Lines) -> float | None:
    """The score that the hybrid has after four fifths of its curve."""
    curve = next((line["curve"] for line in lines if line["system"] == "het_hybrid"), None)
    return max(score for _, _, score in curve[: max(1, len(curve) * 4 // 5)]) if curve else None


def _data(line: Line) -> str:
    """Of a workload with any seed."""
    return re.sub(r", seed \d+$", "", line["data"])


def _convergence(lines: Lines) -> str:
    text = ""
    for workload, own in by_workload(part(lines, "convergence")).items():
        wanted = target(own)
        if wanted is None:
            continue
        rows = []
        for line in own:
            reached = next(((steps, seconds) for steps, seconds, score in line["curve"] if score >= wanted), None)
            rows.append(
                [
                    system_of(line),
                    f"{reached[0]:,}" if reached else "not reached",
                    f"{reached[1]:.1f}" if reached else "",
                    f"{line['curve'][-1][1]:.1f}",
                    f"{line['score']:.4f}",
                ]
            )
        first = own[0]
        text += (
            f"## Convergence: {workload}\n\n{_data(first)}; {first['workers']} workers, "
            f"{', '.join(first['networks'])} Gbit/s. Target: {first['metric']} {wanted:.4f}, which het_hybrid has "
            f"after four fifths of its steps. {made_on(own)}\n\n"
        )
        text += table(["system", "steps to target", "seconds to target", "seconds in all", first["metric"]], rows)
    return text


def _spread(differences: Sequence[float]) -> str:
    """Their mean, and of several the least and the most."""
    if not differences:
        return ""
    mean = f"{sum(differences) / len(differences):+.4f}"
    return mean if len(differences) == 1 else f"{mean} ({min(differences):+.4f} to {max(differences):+.4f})"


def _staleness(lines: Lines) -> str:
    text = ""
    for workload, own in by_workload(part(lines, "staleness")).items():
        at_zero = {line["seed"]: line["score"] for line in own if float(line["staleness"]) == 0}
        rows = []
        for staleness in sorted({float(line["staleness"]) for line in own}):
            found = [line for line in own if float(line["staleness"]) == staleness]
            scores = [line["score"] for line in found]
            apart = [line["score"] - at_zero[line["seed"]] for line in found if line["seed"] in at_zero]
            published = paper.AUC.get(workload, {})
            rows.append(
                [
                    f"{staleness:g}",
                    str(len(found)),
                    f"{sum(scores) / len(scores):.4f}",
                    _spread(apart),
                    f"{sum(line['hit_rate'] for line in found) / len(found):.1%}",
                    f"{published[staleness] - published[0]:+.4f}" if staleness in published else "",
                ]
            )
        first = own[0]
        text += (
            f"## Staleness: {workload}\n\n{_data(first)}; {first['workers']} workers, D={first['dimension']}, "
            f"{first['settings']['setup']['steps']} steps of each, SGD {first['learning_rate']:g}. {made_on(own)}\n\n"
        )
        header = ["s", "seeds", first["metric"], "less s = 0, paired by seed", "hit rate", "paper, less s = 0"]
        text += table(header, rows)
    return text


def _sweep(lines: Lines, name: str, title: str, of: str) -> str:
    """Hybrid, cache and others over one setting."""
    rows = []
    chosen = [line for line in part(lines, name) if "1" in line["networks"]]
    for line in sorted(chosen, key=lambda line: (line[of], system_of(line))):
        one, free = line["networks"]["1"], line["networks"]["free"]
        rows.append(
            [
                str(line[of]),
                system_of(line),
                milliseconds(free["median_step_seconds"]),
                milliseconds(one["communication_seconds"]),
                f"{line['workers'] * line['batch'] / one['mean_step_seconds']:,.0f}",
                kilobytes(line, "1"),
                milliseconds(one["cpu_seconds"]),
            ]
        )
    if not rows:
        return ""
    header = [of, "system", "step, free, ms", "comm. at 1 Gbit/s, ms", "examples/s", "bytes, kB", "processor, ms"]
    first = chosen[0]
    return f"## {title}\n\n{first['data']}, {first['embeddings']:,} rows. {made_on(chosen)}\n\n" + table(header, rows)


def _figures(lines: Lines, name: str) -> list[Line]:
    """What a counting program has printed."""
    return [figure for line in part(lines, name) for figure in line["lines"] if "metric" in figure]


def _bytes(lines: Lines) -> str:
    """A row for each setting, a column for each pair of formats."""
    rows: dict[str, dict[str, str]] = {}
    for figure in _figures(lines, "curves"):
        kind, _, rest = figure["metric"].partition(", ")
        pair, _, setting = rest.partition(", ")
        if kind == "payload":
            rows.setdefault(setting, {})[pair] = f"{1 - figure['ratio']:.1%}"
    if not rows:
        return ""
    pairs = list(dict.fromkeys(pair for row in rows.values() for pair in row))
    cells = [[setting, *(row.get(pair, "") for pair in pairs)] for setting, row in rows.items()]
    return (
        "## Bytes per step, counted\n\nPayload that a cache saves, in one format against the hybrid without a cache in "
        "another: real caches, shards and codec, 8 workers, generated Criteo rows (`python -m benchmarks.curves`). "
        "Wanted of the first setting in the long form: 76 % in float32, 88 % with 16 bits, 77 % with 16 bits on both "
        "sides. The reduced plan has the quick form, in which caches have not settled and less is saved. "
        f"{made_on(_figures(lines, 'curves'))}\n\n" + table(["setting", *pairs], cells)
    )


def _misses(lines: Lines) -> str:
    """A row for each stream and policy, a column for each size of the cache."""
    rows: dict[tuple[str, ...], dict[int, str]] = {}
    for figure in _figures(lines, "curves"):
        found = plots.MISSES.match(figure["metric"])
        if found is not None:
            published = re.search(r"HET's figure: (\d+) %", figure["reference"])
            beside = f" ({published[1]})" if published else ""
            data = "real" if figure["data"].startswith("real") else "generated"
            row = rows.setdefault((found["stream"], data, found["policy"]), {})
            row[int(found["share"])] = f"{figure['value']:.1f}{beside}"
    if not rows:
        return ""
    shares = sorted({share for row in rows.values() for share in row})
    return (
        "## Misses, counted\n\nDistinct ids of a step that are not in the cache, in %, by the size of the cache; in "
        "parentheses the paper's. Criteo's shares are of the ids that the run touches. "
        f"{made_on(_figures(lines, 'curves'))}\n\n"
        + table(
            ["stream", "data", "policy", *(f"{share} %" for share in shares)],
            ([*names, *(row.get(share, "") for share in shares)] for names, row in rows.items()),
        )
    )


def _calls(lines: Lines) -> str:
    rows = [[figure["metric"], f"{figure['value']:.2f}"] for figure in _figures(lines, "rpcs")]
    if not rows:
        return ""
    return (
        "## Remote procedure calls, counted\n\nOf a worker's step of Wide & Deep, of all processes together, in gRPC's "
        "own traces (`python -m models.experiments.rpcs`). Horovod's collectives are none. "
        f"{made_on(_figures(lines, 'rpcs'))}\n\n" + table(["system", "calls per step"], rows)
    )


def _scale(lines: Lines) -> str:
    figures = _figures(lines, "scale")
    if not figures:
        return ""
    rows = [
        [
            figure["metric"],
            f"{figure['value']:,.4g} {figure['unit']}",
            "" if figure["ratio"] is None else f"{figure['ratio']:.3f}",
            figure["reference"],
        ]
        for figure in figures
    ]
    title = "## Up to 64 workers, and 10^12 parameters, counted"
    return f"{title}\n\n{made_on(figures)}\n\n" + table(["what", "value", "ratio", "reference"], rows)


def write(lines: Lines, folder: Path) -> Path:
    """Writes report.md and its plots; returns the former."""
    measured = [line for line in lines if "system" in line]
    versions = (", ".join(f"{name} {version}" for name, version in line["versions"].items()) for line in measured)
    real = {line["real"] for line in measured}
    text = _HEAD.format(
        versions="; ".join(dict.fromkeys(versions)),
        data="All models are trained on generated data." if real == {False} else "Every section names its data.",
        resolution=1e3 * RESOLUTION_SECONDS,
        share=RESOLUTION_SHARE,
    )
    sections = [
        ("systems", _systems(measured)),
        ("", _epochs(measured)),
        ("convergence", _convergence(measured)),
        ("staleness", _staleness(measured)),
        ("dimension", _sweep(measured, "dimension", "Dimension", "dimension")),
        ("workers", _sweep(measured, "workers", "Number of workers", "workers")),
        ("", _calls(lines)),
        ("", _bytes(lines)),
        ("misses", _misses(lines)),
        ("", _scale(lines)),
    ]
    drawn = plots.draw(lines, folder)
    for name, section in sections:
        if not section:
            continue
        text += "\n" + section
        if name in drawn:
            text += f"![{name}]({drawn[name]})\n"
    file = folder / "report.md"
    file.write_text(text)
    return file
