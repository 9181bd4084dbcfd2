"""What was measured, and how it stands."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import Any

from benchmarks.model import OURS, SUBJECTS, Bar, Line, Row

__all__ = ["ENOUGH", "Figure", "Report", "RowResult", "Verdict"]

ENOUGH = 5
"""Repetitions that a judgement needs at least."""


@dataclass(frozen=True, slots=True)
class Figure:
    """The samples of one subject."""

    samples: tuple[float, ...]

    @property
    def middle(self) -> float:
        """Their median."""
        return median(self.samples)

    @property
    def low(self) -> float:
        """The smallest."""
        return min(self.samples)

    @property
    def high(self) -> float:
        """The largest."""
        return max(self.samples)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A bar, our figure or ratio for it, and whether it holds; None where that is not judged."""

    text: str
    value: float | None
    holds: bool | None


@dataclass(slots=True)
class RowResult:
    """One row's samples by subject, one of each repetition; `missing` says why there is none."""

    line: Line
    row: Row
    samples: dict[str, list[float]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def figure(self, subject: str) -> Figure | None:
        """Return a subject's figure, if it has one."""
        samples = self.samples.get(subject)
        return Figure(tuple(samples)) if samples else None

    def ratio(self, subject: str) -> float | None:
        """Return the median of our ratios to a subject's figure, each within one repetition."""
        ours, theirs = self.samples.get(OURS), self.samples.get(subject)
        if not ours or not theirs or subject == OURS:
            return None
        return median(mine / other for mine, other in zip(ours, theirs, strict=True))

    def verdicts(self, *, judged: bool) -> list[Verdict]:
        """Return how the row stands at each of its bars."""
        return [self._verdict(bar, judged=judged) for bar in self.row.bars]

    def _verdict(self, bar: Bar, *, judged: bool) -> Verdict:
        ours = self.figure(OURS)
        if bar.against is not None:
            value = self.ratio(bar.against)
        else:
            value = None if ours is None else ours.middle
        holds = bar.holds(value) if judged and value is not None else None
        return Verdict(bar.text(self.row.unit), value, holds)

    def plain(self, *, judged: bool) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {
            "key": self.row.key,
            "title": self.row.title,
            "unit": self.row.unit,
            "note": self.line.note,
            "subjects": {name: self._plain_subject(name) for name in SUBJECTS},
            "bars": [
                {"text": item.text, "value": item.value, "holds": item.holds}
                for item in self.verdicts(judged=judged)
            ],
        }

    def _plain_subject(self, name: str) -> dict[str, Any] | None:
        figure = self.figure(name)
        if figure is None:
            return {"missing": self.missing[name]} if name in self.missing else None
        return {
            "median": figure.middle,
            "low": figure.low,
            "high": figure.high,
            "samples": list(figure.samples),
            "ours_by_this": self.ratio(name),
        }


@dataclass(frozen=True, slots=True)
class Report:
    """One run of the benchmark."""

    machine: dict[str, str]
    mode: str
    repetitions: int
    rows: list[RowResult]
    notes: tuple[str, ...] = ()

    @property
    def subjects(self) -> list[str]:
        """Those that the lines are about, ours first."""
        named = {name for row in self.rows for name in row.line.measures}
        return [OURS, *(name for name in SUBJECTS if name in named and name != OURS)]

    @property
    def judged(self) -> bool:
        """Whether sizes and repetitions are those that the bars are meant for."""
        return self.mode == "full" and self.repetitions >= ENOUGH

    def plain(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {
            "machine": self.machine,
            "mode": self.mode,
            "repetitions": self.repetitions,
            "rows": [row.plain(judged=self.judged) for row in self.rows],
        }
