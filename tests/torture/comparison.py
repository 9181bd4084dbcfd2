"""Any history of calls, against a naive model of the store."""

from __future__ import annotations

import asyncio
import traceback
from dataclasses import dataclass
from random import Random

from support.stateful.machine import compare
from torture.model import Fault, Report

__all__ = ["FAULTS"]


@dataclass(frozen=True, slots=True)
class Sizes:
    """How often hypothesis begins anew, and how many databases it then makes up."""

    runs: int
    examples: int
    steps: int


async def run(report: Report, sizes: Sizes, rng: Random) -> None:
    """Compare histories; the machine has an event loop of its own, so it runs on a thread."""
    for number in range(sizes.runs):
        seed = rng.randrange(2**32)
        try:
            tally = await asyncio.to_thread(
                compare, sizes.examples, steps=sizes.steps, number=seed, shrinking=True
            )
        except Exception:
            report.check(False, f"seed {seed}: {traceback.format_exc()}")
        else:
            report.faults += tally.databases
            report.acknowledged += tally.commits
        report.tell(f"{number + 1} of {sizes.runs}")


FAULTS = (
    Fault(
        "model",
        "histories compared with a naive model, in every field of every result",
        run,
        Sizes(runs=12, examples=100, steps=50),
        Sizes(runs=2, examples=10, steps=20),
    ),
)
