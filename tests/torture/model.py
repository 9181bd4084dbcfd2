"""What a fault is: what is done to a store, how often, and what it must come through with.

A fault is a module with a `FAULTS` tuple, named in `torture.register`. Its `run` injects faults
and notes in the report it is given what it did and what it found; it goes on after a finding.
What it raises itself, or does not get done in time, counts as a finding, too.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from time import perf_counter
from typing import Any, Generic, TypeVar

from support.postgres.shared import Run as Servers

__all__ = ["Fault", "Place", "Report", "Run", "inject"]

S = TypeVar("S")
Place = Path | str
"""Where a store can be opened: a file, or the URL of a database."""
_OUTCOME = ("faults", "acknowledged", "lost", "unusable", "failed", "findings", "seconds")
_KEPT = 20  # findings whose text is kept; the rest are counted


def _silently(_: str) -> None:
    pass


@dataclass(slots=True)
class Report:
    """What one fault did to stores in *folder*, and what came of it."""

    folder: Path
    tell: Callable[[str], None] = _silently
    """Told, as often as the fault likes, how far it is."""
    warn: Callable[[str], None] = _silently
    """Told each finding at once: a store that hangs may keep the fault from ending."""
    faults: int = 0
    """Faults injected."""
    acknowledged: int = 0
    """Commits that a caller was told of as made, and that were looked for afterwards."""
    lost: int = 0
    """Of those, the ones that were gone or unreadable."""
    unusable: int = 0
    """Stores that did not verify clean, or took no further commit."""
    failed: int = 0
    """Checks that did not hold, these two kinds included."""
    findings: list[str] = field(default_factory=list)
    """What did not hold, in words; the first ones."""
    seconds: float = 0.0
    servers: Servers | None = None
    """Where to find a PostgreSQL server; a fault that needs one brings its own without."""
    url: str | None = None
    """Of the database in which the fault makes its stores; None where they are files."""

    def place(self, name: str) -> Place:
        """Return where a store by this name is: in a file of the folder, or a schema at `url`."""
        if self.url is None:
            return self.folder / f"{name}.db"
        return f"{self.url}{'&' if '?' in self.url else '?'}schema={name}"

    @property
    def sound(self) -> bool:
        """Whether everything held, and anything was tried at all."""
        return not self.failed and self.faults > 0

    def plain(self) -> dict[str, Any]:
        """Return what came of it as JSON values, by the names of the fields."""
        return {name: getattr(self, name) for name in _OUTCOME}

    def check(self, holds: bool, otherwise: str) -> bool:
        """Note a finding unless *holds*, and return that."""
        if not holds:
            self.failed += 1
            if len(self.findings) < _KEPT:
                self.findings.append(otherwise)
                self.warn(otherwise)
        return holds

    def check_kept(self, missing: int, otherwise: str) -> bool:
        """Note *missing* acknowledged commits as lost, if there are any."""
        self.lost += missing
        return self.check(not missing, f"{missing} acknowledged commits lost: {otherwise}")

    def check_usable(self, usable: bool, otherwise: str) -> bool:
        """Note a store as unusable unless it is *usable*."""
        self.unusable += not usable
        return self.check(usable, f"store unusable: {otherwise}")


Run = Callable[[Report, S, Random], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Fault(Generic[S]):
    """A kind of fault, with its sizes for the long form and for the short one."""

    name: str
    """As `--only` takes it; a dot separates variants (`kills.full`)."""
    title: str
    run: Run[S]
    full: S
    quick: S
    limit: float = 3600
    """Seconds after which it is held to hang."""


async def inject(fault: Fault[Any], report: Report, *, quick: bool, seed: int) -> Report:
    """Run *fault* into *report* and return that; the same *seed* makes the same choices."""
    start = perf_counter()
    try:
        async with asyncio.timeout(fault.limit):
            sizes = fault.quick if quick else fault.full
            await fault.run(report, sizes, Random(f"{seed} {fault.name}"))
    except Exception:
        report.check(False, traceback.format_exc())
    report.seconds = perf_counter() - start
    return report
