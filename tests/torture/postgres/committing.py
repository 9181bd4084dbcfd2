"""Tasks that commit while something is done to their server, and what must hold afterwards."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random

from torture.checks import COUNTER, check_chain, check_commits, check_tract
from torture.model import Report
from tract import AsyncTract, CommitInfo, CommitOperation, TractConfig, TractStore

__all__ = ["Committers", "committers"]

TASKS = 8
TRACTS = ("a", "b")
_PATIENCE = 60.0  # seconds that a call may wait for its server


@dataclass(slots=True)
class Committers:
    """Tasks on a few tracts of one store; the tracts of each round are new."""

    report: Report
    store: TractStore
    rng: Random
    rounds: int = 0
    told: dict[str, dict[str, str]] = field(default_factory=dict)
    """By tract, the commits that somebody was told of, by the mark in their metadata."""
    _stopping: bool = False

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """Have the tasks commit within the block, and then look at what they have made."""
        self.rounds += 1
        self.told, self._stopping = {f"{self.rounds} {name}": {} for name in TRACTS}, False
        async with asyncio.TaskGroup() as group:
            for task in range(TASKS):
                tract = self.store.tract([*self.told][task % len(TRACTS)])
                group.create_task(self._commit(tract, Random(f"{self.rng.random()} {task}"), task))
            try:
                yield
            finally:
                self._stopping = True
        self.report.faults += 1
        await self._examine()

    async def _commit(self, tract: AsyncTract, dice: Random, task: int) -> None:
        """Commit singly, in batches and as edits until told to stop; no call may fail."""
        made: list[CommitInfo] = []
        number = 0
        while not self._stopping:
            number += 1
            if dice.random() < 0.2:
                infos = await self._batch(tract, f"{task}.{number}")
            else:
                infos = [await self._single(tract, f"{task}.{number}", made, dice)]
            made += infos
            self.told[tract.tract_id].update(
                {str((info.metadata or {})["mark"]): info.commit_hash for info in infos}
            )

    async def _batch(self, tract: AsyncTract, mark: str) -> list[CommitInfo]:
        async with tract.batch() as batch:
            for part in range(3):
                text = f"{mark}.{part}"
                content = {"content_type": "dialogue", "role": "user", "text": text}
                batch.commit(content, metadata={"mark": text})
        return batch.commits

    async def _single(
        self, tract: AsyncTract, mark: str, made: list[CommitInfo], dice: Random
    ) -> CommitInfo:
        entries = [info for info in made if info.operation is CommitOperation.APPEND]
        if entries and dice.random() < 0.3:
            edit, target = CommitOperation.EDIT, dice.choice(entries).commit_hash
            return await tract.user(
                mark, operation=edit, edit_target=target, metadata={"mark": mark}
            )
        return await tract.user(mark, metadata={"mark": mark})

    async def _examine(self) -> None:
        """Check that what was told is there exactly once, on one line that verifies clean."""
        report = self.report
        for tract_id, told in self.told.items():
            tract = self.store.tract(tract_id)
            await check_commits(report, tract, told.values())
            log = await tract.log(None)
            check_chain(report, log)
            marks = [str((info.metadata or {}).get("mark")) for info in log]
            twice = [mark for mark, count in Counter(marks).items() if count > 1]
            report.check(not twice, f"made more than once in {tract_id}: {twice[:5]}")
            unknown = {*marks} - {*told}
            report.check(not unknown, f"of nobody's in {tract_id}: {[*unknown][:5]}")
            await check_tract(report, tract)


@asynccontextmanager
async def committers(report: Report, rng: Random, url: str) -> AsyncIterator[Committers]:
    """Open a store for committers, whose calls wait for as long as a server takes to restart."""
    config = TractConfig(busy_timeout=_PATIENCE)
    async with TractStore.open(url, tokenizer=COUNTER, config=config) as store:
        yield Committers(report, store, rng)
