"""What the contract of storage runs against: the repositories of any engine, and nothing else.

Engines are listed in `support.engines`, which alone knows how to open each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol

from support.drafts import MAIN, draft
from tract import CommitStep
from tract.history.graph import line
from tract.storage.repositories import (
    ArrivalRepository,
    AttachmentRepository,
    Basis,
    BlobRepository,
    BranchName,
    CommitDraft,
    CommitRepository,
    CommitRow,
    ComparisonRepository,
    CopyRepository,
    CopyTargetRepository,
    ErasureRepository,
    HistoryRepository,
    KeyRepository,
    LeaseRepository,
    PruneRepository,
    QueryRepository,
    RefRepository,
    Relation,
    SearchRepository,
    SpoolRepository,
    StoredCommit,
    StoreRepository,
    TagRepository,
    TractRepository,
    TransactionRepository,
    UsageRepository,
    VerifyRepository,
)

__all__ = [
    "MALFORMED",
    "NONE_KNOWN",
    "UNKNOWN",
    "Damage",
    "EngineUnderTest",
    "Repositories",
    "basis_of",
    "everything",
    "hashes",
    "merge_of",
    "names",
    "say",
    "steps_to",
    "stored",
]

UNKNOWN = "0" * 64
NONE_KNOWN: frozenset[str] = frozenset()
MALFORMED = ["", "zz", "0" * 63, "0" * 65, "\u0660" * 64, "0 " * 32, "\ud800" * 64]


class Damage(Protocol):
    """Damage done to a database behind the repositories' backs, as by a failing disk."""

    async def lose_blob(self, content_hash: str) -> None:
        """Remove a content."""

    async def lose_commit(self, commit_hash: str) -> None:
        """Remove a commit."""

    async def misplace(self, branch: BranchName, other: BranchName) -> None:
        """Give a branch's row the segment of another branch."""

    async def misfile(self, commit_hash: str, other: str) -> None:
        """Give a commit's row the segment of another commit."""


class Repositories(NamedTuple):
    commits: CommitRepository
    keys: KeyRepository
    blobs: BlobRepository
    usages: UsageRepository
    histories: HistoryRepository
    comparisons: ComparisonRepository
    checks: VerifyRepository
    refs: RefRepository
    tags: TagRepository
    arrivals: ArrivalRepository
    spools: SpoolRepository
    leases: LeaseRepository
    attachments: AttachmentRepository
    copies: CopyRepository
    copy_targets: CopyTargetRepository
    erasures: ErasureRepository
    prunes: PruneRepository
    tracts: TractRepository
    queries: QueryRepository
    stores: StoreRepository
    searches: SearchRepository
    transactions: TransactionRepository
    damage: Damage


class EngineUnderTest(Protocol):
    """A kind of database for which the contract holds."""

    @property
    def name(self) -> str:
        """The id of this engine in the names of tests."""

    @property
    def place(self) -> str:
        """The fixture that returns a new place for a database: `db_path` or `postgres_url`."""

    @property
    def is_shared(self) -> bool:
        """Whether opening the same place again opens the same database, even while it is open."""

    def opened(
        self, place: str, clock: Callable[[], int], *, read_only: bool = False
    ) -> AbstractAsyncContextManager[Repositories]:
        """Open a database, and close it at the end; *read_only* needs a shared engine.

        Databases differ by their *place*. *clock* returns microseconds, and may be called at any
        time and from any thread.
        """


def hashes(records: Iterable[CommitRow]) -> list[str]:
    return [record.commit_hash for record in records]


def names(steps: Sequence[CommitStep] | None) -> list[str] | None:
    return None if steps is None else [step.commit_hash for step in steps]


async def say(store: Repositories, branch: BranchName, *texts: str) -> list[str]:
    return hashes(await store.commits.write(branch, [draft(text) for text in texts]))


def merge_of(theirs: str, text: str = "merge") -> CommitDraft:
    """Return the draft of a MERGE that brings in the head *theirs*."""
    return draft(text, operation="merge")._replace(merge_parent=theirs)


def basis_of(relation: Relation, *touched: str, squash: bool = False) -> Basis:
    """Return the basis of a merge of two branches."""
    assert relation.theirs is not None
    new = frozenset(line(relation.parents.items(), relation.theirs, base=relation.ours))
    changed = {relation.changes[each][1] for each in new & relation.changes.keys()}
    return Basis(relation.ours, relation.theirs, new, changed.union(touched), squash)


async def steps_to(
    store: Repositories, head: str, *known: str
) -> tuple[set[str | None], list[str]]:
    """Return the bases and the steps that `history` yields."""
    bases: set[str | None] = set()
    found: list[str] = []
    async for base, steps in store.histories.history(MAIN.tract_id, head, set(known), 0):
        bases.add(base)
        found += [step.commit_hash for step in steps]
    return bases, found


async def stored(store: Repositories, tract_id: str, *heads: str) -> list[StoredCommit]:
    """Return the commits that `stored` yields, batches joined."""
    return [item async for batch in store.checks.stored(tract_id, heads) for item in batch]


async def everything(store: Repositories) -> list[object]:
    """Return all that the repositories return of a database."""
    found: list[object] = [await store.tracts.ids(), await store.spools.spooled()]
    for tract_id in (MAIN.tract_id, "rival"):
        heads = await store.checks.heads(tract_id)
        found += [heads, await store.refs.branches(tract_id), await store.tags.tags(tract_id)]
        found += [await store.refs.moves(tract_id), await store.histories.origins(tract_id)]
        found.append(await store.queries.query(BranchName(tract_id, "main"), []))
        found.append(await stored(store, tract_id, *heads))
    return found
