"""The repositories over any kind of database, and what tests ask of them again and again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import StaticPool

from support.drafts import (
    MAIN,
    OTHER_BRANCH,
    draft,
    ticking,
)
from tract import (
    TractConfig,
)
from tract.protocols import CommitStep
from tract.storage.database import Database, open_database, open_engine
from tract.storage.repositories import (
    BlobRepository,
    BranchName,
    CommitRepository,
    RefRepository,
    UsageRepository,
)


class Repositories(NamedTuple):
    commits: CommitRepository
    blobs: BlobRepository
    refs: RefRepository
    usages: UsageRepository


@asynccontextmanager
async def opened(kind: str, path: Path) -> AsyncIterator[Database]:
    if kind == "engine":
        engine = create_async_engine("sqlite+aiosqlite://", poolclass=StaticPool)
        database = await open_engine(engine, TractConfig(), ticking())
        yield database
        await database.aclose()
        await engine.dispose()
    else:
        target = str(path) if kind == "file" else ":memory:"
        database = await open_database(target, TractConfig(), ticking())
        yield database
        await database.aclose()


def none_known(_: str) -> bool:
    return False


async def say(store: Repositories, branch: BranchName, *texts: str) -> list[str]:
    records = await store.commits.write(branch, [draft(text) for text in texts])
    return [record.commit_hash for record in records]


async def fork(database: Database, source: str) -> None:
    """Point the other branch at a commit of the main one."""
    await database.write(lambda transaction: transaction.fork(MAIN, OTHER_BRANCH.branch, source))


async def steps_to(
    store: Repositories, head: str, *known: str
) -> tuple[set[str | None], list[str]]:
    """Return the bases and the steps that `history` gives."""
    bases: set[str | None] = set()
    hashes: list[str] = []
    async for base, steps in store.commits.history(MAIN.tract_id, head, set(known).__contains__):
        bases.add(base)
        hashes += [step.commit_hash for step in steps]
    return bases, hashes


def names(steps: Sequence[CommitStep] | None) -> list[str] | None:
    return None if steps is None else [step.commit_hash for step in steps]
