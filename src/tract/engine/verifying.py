"""Checking what is stored against the hashes that name it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from tract.engine.hashing import commit_hash, content_hash
from tract.engine.threads import Threads
from tract.models.commit import VerifyFault, VerifyReport
from tract.storage.repositories import CommitRecord, StoredCommit

__all__ = ["Verifier"]


class Verifier:
    """Collects the faults of one tract's commits, given newest first in batches."""

    def __init__(self, threads: Threads, heads: Iterable[str]) -> None:
        self._threads = threads
        self.checked: int = 0
        self.faults: list[VerifyFault] = []
        self._heads = set(heads)
        self._parents: dict[str, CommitRecord] = {}
        self._targets: dict[str, CommitRecord] = {}

    async def check(self, batch: Sequence[StoredCommit]) -> None:
        """Check the commits of *batch* by themselves and against the ones before, on a thread."""
        await self._threads.run(self._check, batch)

    def _check(self, batch: Sequence[StoredCommit]) -> None:
        for stored in batch:
            record = stored.record
            self.checked += 1
            self._heads.discard(record.commit_hash)
            self.faults.extend(
                VerifyFault(commit_hash=record.commit_hash, problem=problem)
                for problem in (*_own_faults(stored), *self._faults_of_place(record))
            )
            if record.parent_hash is not None:
                self._parents.setdefault(record.parent_hash, record)
            if record.edit_target is not None:
                self._targets.setdefault(record.edit_target, record)

    def report(self) -> VerifyReport:
        """Return the report, with the faults that only the whole history tells."""
        for missing, child in self._parents.items():
            self._fault(child, f"its parent {missing} is not in the store")
        for missing, user in self._targets.items():
            self._fault(user, f"its target {missing} is not an entry of its history")
        self.faults.extend(
            VerifyFault(
                commit_hash=head, problem="a branch points to it, and it is not in the store"
            )
            for head in sorted(self._heads)
        )
        return VerifyReport(checked=self.checked, faults=tuple(self.faults))

    def _fault(self, record: CommitRecord, problem: str) -> None:
        self.faults.append(VerifyFault(commit_hash=record.commit_hash, problem=problem))

    def _faults_of_place(self, record: CommitRecord) -> Iterator[str]:
        child = self._parents.pop(record.commit_hash, None)
        if child is not None and child.created_at <= record.created_at:
            yield f"its time is not before that of {child.commit_hash}, which follows it"
        user = self._targets.pop(record.commit_hash, None)
        if user is not None and record.operation != "append":
            yield f"{user.commit_hash} changes it, but it is no entry"


def _own_faults(stored: StoredCommit) -> Iterator[str]:
    record, data = stored
    if data is None:
        yield f"its content {record.content_hash} is not in the store"
    elif content_hash(data) != record.content_hash:
        yield f"its content does not have the hash {record.content_hash}"
    expected = commit_hash(
        parent=record.parent_hash,
        content_hash=record.content_hash,
        content_type=record.content_type,
        operation=record.operation,
        timestamp=record.created_at,
        target=record.edit_target,
    )
    if expected != record.commit_hash:
        yield "its parent, content, type, operation, time or target does not have its hash"
