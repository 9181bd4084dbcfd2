"""All faults, in the order in which they run. Who adds a module adds a line."""

from __future__ import annotations

from typing import Any

from torture import (
    cancellation,
    compactions,
    comparison,
    erasures,
    forks,
    fuzz,
    kills,
    long_life,
    many_processes,
    storage,
    tract_erasures,
    turns,
)
from torture.model import Fault
from torture.postgres import faults as postgres

__all__ = ["FAULTS"]

FAULTS: tuple[Fault[Any], ...] = (
    *kills.FAULTS,
    *turns.FAULTS,
    *erasures.FAULTS,
    *tract_erasures.FAULTS,
    *compactions.FAULTS,
    *many_processes.FAULTS,
    *cancellation.FAULTS,
    *storage.FAULTS,
    *forks.FAULTS,
    *long_life.FAULTS,
    *comparison.FAULTS,
    *fuzz.FAULTS,
    *postgres.FAULTS,
)
