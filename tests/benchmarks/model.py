"""The words of the benchmark: lines, what they measure, and where they must stand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from benchmarks.stock import Stock
from benchmarks.workload import Sizes

__all__ = [
    "LIMIT",
    "OURS",
    "POSTGRES_SAVER",
    "SLOW",
    "SQLALCHEMY_SESSION",
    "SQLITE_SAVER",
    "SQLITE_SESSION",
    "SUBJECTS",
    "Bar",
    "Line",
    "Measure",
    "NotThereError",
    "Row",
    "Sample",
    "Workspace",
]

LIMIT = "limit"
OURS = "AsyncTract"
SQLITE_SESSION = "SQLiteSession"
SQLALCHEMY_SESSION = "SQLAlchemySession"
SQLITE_SAVER = "AsyncSqliteSaver"
POSTGRES_SAVER = "AsyncPostgresSaver"
SUBJECTS = (LIMIT, OURS, SQLITE_SESSION, SQLALCHEMY_SESSION, SQLITE_SAVER, POSTGRES_SAVER)
"""In the order in which each repetition measures them, and in which they are shown."""
SLOW = frozenset({SQLALCHEMY_SESSION, SQLITE_SAVER, POSTGRES_SAVER})
"""Those that write less where a note says so: each commit waits long, or holds the whole history."""


class NotThereError(Exception):
    """What a line measures does not exist in the installed version."""


class Workspace(NamedTuple):
    """What one measurement gets."""

    folder: Path
    """Empty, the measurement's own, deleted afterwards."""
    sizes: Sizes
    stock: Stock


Sample = Mapping[str, float]
"""The figures of one measurement, by the keys of the line's rows."""

Measure = Callable[[Workspace], Sample]


@dataclass(frozen=True, slots=True)
class Bar:
    """Where our figure must stand: against another subject's, or by itself."""

    bound: float
    against: str | None = None
    at_least: bool = False

    def holds(self, value: float) -> bool:
        """Tell whether our figure, or its ratio to the other's, is within the bound."""
        return value >= self.bound if self.at_least else value <= self.bound

    def text(self, unit: str) -> str:
        """Return the bar as the table shows it."""
        sign = "≥" if self.at_least else "≤"
        if self.against is None:
            return f"{sign} {self.bound:g} {unit}".rstrip()
        return f"{sign} {self.bound:g} x {self.against}"


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of a line."""

    key: str
    title: str
    unit: str
    bars: tuple[Bar, ...] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """Figures that one measurement gives, for each subject that can do the work."""

    name: str
    rows: tuple[Row, ...]
    measures: Mapping[str, Measure]
    note: str = ""
