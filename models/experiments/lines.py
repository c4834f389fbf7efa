"""The lines of a reproduction's results: what reports and plots ask of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Line = dict[str, Any]
Lines = Sequence[Line]


def system_of(line: Line) -> str:
    return line["system"] + (f" {line['staleness']}" if line["staleness"] is not None else "")


def workload_of(line: Line) -> str:
    workload = line["settings"]["workload"]
    return workload["graph"] or workload["model"]


def part(lines: Lines, name: str) -> list[Line]:
    return [line for line in lines if line["settings"]["part"] == name]


def by_workload(lines: Lines) -> dict[str, list[Line]]:
    found: dict[str, list[Line]] = {}
    for line in lines:
        found.setdefault(workload_of(line), []).append(line)
    return found


def made_on(lines: Lines) -> str:
    """Machines, commits and TCP of lines or figures: of a plan that was run in pieces there may be several."""

    def one(line: Line) -> str:
        tcp = line.get("congestion_control")
        return f"{line['machine']}, commit {line['commit']}" + (f", TCP {tcp.capitalize()}" if tcp else "")

    return "; ".join(dict.fromkeys(map(one, lines))) + "."
