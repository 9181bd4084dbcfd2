"""The outcome of a run: one table, for the terminal and for a page of the documentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torture.model import Fault, Report

__all__ = ["Outcome", "markdown", "summary"]

_COUNTS = ("faults", "acknowledged", "lost", "unusable", "failed")
_HEADER = (
    "fault",
    "faults injected",
    "commits acknowledged",
    "commits lost",
    "stores unusable",
    "checks failed",
    "seconds",
)


@dataclass(slots=True)
class Outcome:
    """One run: where, with which seed, and every fault's report."""

    machine: dict[str, str]
    mode: str
    seed: int
    reports: list[tuple[Fault[Any], Report]]

    @property
    def sound(self) -> bool:
        """Whether nothing was lost, nothing is unusable, and every check held."""
        return bool(self.reports) and all(report.sound for _, report in self.reports)

    def plain(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {
            "machine": self.machine,
            "mode": self.mode,
            "seed": self.seed,
            "sound": self.sound,
            "faults": [_plain(fault, report) for fault, report in self.reports],
            "total": {name: self.total(name) for name in (*_COUNTS, "seconds")},
        }

    def total(self, name: str) -> Any:
        """Return the sum of one of the reports' figures."""
        return sum(getattr(report, name) for _, report in self.reports)


def summary(outcome: Outcome) -> str:
    """Return the table and what was found, as lines of text."""
    found = [
        f"{fault.name}: {finding}"
        for fault, report in outcome.reports
        for finding in report.findings
    ]
    verdict = "nothing lost, nothing unusable" if outcome.sound else "NOT SOUND, see above"
    return "\n".join([*found, "", *_table(outcome), "", f"seed {outcome.seed}: {verdict}", ""])


def markdown(outcome: Outcome) -> str:
    """Return the table as a page of the documentation has it."""
    machine = outcome.machine
    about = [
        f"{machine['processor']}, {machine['cores']} cores, {machine['system']}",
        f"{machine['date']}, {outcome.mode} form, seed {outcome.seed}",
        f"{machine['python']}, SQLite {machine['sqlite']}",
    ]
    return "\n".join([*(f"- {item}" for item in about), "", *_table(outcome), ""])


def _plain(fault: Fault[Any], report: Report) -> dict[str, Any]:
    return {"name": fault.name, "title": fault.title, **report.plain()}


def _table(outcome: Outcome) -> list[str]:
    rows = [
        [f"{fault.name}: {fault.title}", *_cells([getattr(report, n) for n in _COUNTS], report)]
        for fault, report in outcome.reports
    ]
    totals = [outcome.total(name) for name in _COUNTS]
    rows.append(["in total", *_cells(totals, outcome.total("seconds"))])
    widths = [max(map(len, column)) for column in zip(_HEADER, *rows, strict=True)]
    rules = ["-" * widths[0], *(f"{'-' * (width - 1)}:" for width in widths[1:])]
    return [_line(cells, widths) for cells in (_HEADER, rules, *rows)]


def _cells(counts: Sequence[int], seconds: Report | float) -> list[str]:
    took = seconds.seconds if isinstance(seconds, Report) else seconds
    return [*(f"{count:,}" for count in counts), f"{took:,.1f}"]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *rest = zip(cells, widths, strict=True)
    padded = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]
    return f"| {' | '.join(padded)} |"
