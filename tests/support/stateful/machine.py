"""The machine with all its rules, and how it is run."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, run_state_machine_as_test

from support.model import Setup
from support.stateful.base import on_loop
from support.stateful.mistakes import Mistakes
from support.stateful.opened import SETUPS, TRACTS, Place
from support.stateful.reads import Reads
from support.stateful.together import Together
from support.stateful.writes import Writes

_UNMINDED = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]


class StoreMachine(Writes, Together, Reads, Mistakes):
    """A database, the stores that are open on it, and every call on them against the model."""

    @initialize(setup=SETUPS, data=st.data())
    @on_loop
    async def begin(self, setup: Setup, data: st.DataObject) -> None:
        """Create the database with two branches in it."""
        await self.open(setup)
        for branch in data.draw(st.permutations(["main", "main", "main", "other", "other"])):
            await self.commit_one(data, Place(self.stores[0], self.tracts[TRACTS[0]], branch))


@dataclass
class Tally:
    """How much was compared: databases, and the commits in them at the end."""

    databases: int = 0
    commits: int = 0

    def add(self, commits: int) -> None:
        """Count a database."""
        self.databases += 1
        self.commits += commits


def compare(
    examples: int, *, steps: int = 30, number: int | None = None, shrinking: bool = False
) -> Tally:
    """Run *examples* machines of up to *steps* rules; raise on the first disagreement.

    Args:
        examples: how many databases.
        steps: about how many calls on each.
        number: a seed that repeats the same choices; None as hypothesis's profile says.
        shrinking: look for a short history that fails, which may take minutes.
    """
    tally = Tally()

    class CountedMachine(StoreMachine):
        def teardown(self) -> None:
            super().teardown()
            tally.add(sum(len(tract.commits) for tract in self.tracts.values()))

    if number is not None:
        seed(number)(CountedMachine)
    phases = (Phase.generate, *([Phase.shrink] if shrinking else []))
    run_state_machine_as_test(
        CountedMachine,
        settings=settings(
            settings() if number is None else settings(derandomize=False),
            max_examples=examples,
            stateful_step_count=steps,
            phases=phases,
            database=None,
            deadline=None,
            report_multiple_bugs=False,
            suppress_health_check=_UNMINDED,
        ),
    )
    return tally
