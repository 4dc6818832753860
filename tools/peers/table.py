# SPDX-License-Identifier: MPL-2.0
"""Medians with spread, as one table or as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from rows import LEGEND, Facts, Row


@dataclass
class Run:
    """What one run of a side gave."""

    value: float  # the row's measure
    cpu_us_per_message: float  # all processes together
    lost: int
    doubled: int
    report: dict[str, Any]


@dataclass
class Result:
    row: Row
    outstanding: int
    pairs: list[tuple[Run, Run]] = field(default_factory=list)  # ours, and the peer's after it
    problem: str | None = None

    def to_json(self) -> dict[str, Any]:
        x: dict[str, Any] = {
            "row": self.row.name,
            "scenario": self.row.scenario,
            "peer": self.row.peer_name,
            "outstanding": self.outstanding,
            "measure": self.row.measure,
            "note": self.row.note,
            "problem": self.problem,
        }
        for name, facts, runs in self.sides():
            x[name] = {
                "runs": [run.report for run in runs],
                self.row.measure: spread([run.value for run in runs]),
                "cpu_us_per_message": spread([run.cpu_us_per_message for run in runs]),
                "facts": asdict(facts),
            }
        x["ratio"] = spread(self.ratios())
        x["cpu_ratio"] = spread(self.cpu_ratios())
        return x

    def ratios(self) -> list[float]:
        return [ours.value / theirs.value for ours, theirs in self.pairs]

    def cpu_ratios(self) -> list[float]:
        return [x.cpu_us_per_message / y.cpu_us_per_message for x, y in self.pairs]

    def sides(self) -> list[tuple[str, Facts, list[Run]]]:
        return [
            ("ours", self.row.ours, [x[0] for x in self.pairs]),
            ("theirs", self.row.theirs, [x[1] for x in self.pairs]),
        ]


def spread(values: list[float]) -> dict[str, float] | None:
    if not values:
        return None
    return {"median": median(values), "min": min(values), "max": max(values)}


def shown(values: list[float], digits: int) -> str:
    x = spread(values)
    if not x:
        return "-"
    return f"{x['median']:,.{digits}f} ({x['min']:,.{digits}f} .. {x['max']:,.{digits}f})"


HEAD = [
    "ROW", "WHO", "OUT", "MEASURE", "MEDIAN (MIN .. MAX)", "CPU US/MESSAGE", "LOST", "TWICE",
    "TLS", "SIGNED", "AUTHORISED", "SYNCED", "CROSSES",
]  # fmt: skip


def lines_of(x: Result) -> list[list[str]]:
    """A line for each side, and one for what they are to each other."""
    is_rate = x.row.measure == "rate"
    lines = []
    for (_, facts, runs), who in zip(x.sides(), ("rvi", x.row.peer_name)):
        lines.append(
            [x.row.name if who == "rvi" else "", who, str(x.outstanding)]
            + ["messages/s" if is_rate else "p50 us", shown([run.value for run in runs], 0)]
            + [shown([run.cpu_us_per_message for run in runs], 1)]
            + [str(sum(run.lost for run in runs)), str(sum(run.doubled for run in runs))]
            + [facts.tls, facts.signed, facts.authorised, facts.synced, facts.crosses]
        )
    lines.append(
        ["", "rvi / it", "", "more is better" if is_rate else "less is better"]
        + [shown(x.ratios(), 2), shown(x.cpu_ratios(), 2), *[""] * 7]
    )
    return lines


def to_text(results: list[Result]) -> str:
    table = [HEAD] + [line for x in results if x.pairs for line in lines_of(x)]
    widths = [max(len(line[i]) for line in table) for i in range(len(HEAD))]
    text = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in table]
    text.append("")
    for x in results:
        if x.pairs:
            text.append(f"{x.row.name}: {x.row.note}")
        if x.problem:
            missing = f"only {len(x.pairs)} rounds" if x.pairs else "NOT MEASURED"
            text.append(f"{x.row.name}: {missing}: {x.problem}")
    return "\n".join([*text, "", LEGEND])
