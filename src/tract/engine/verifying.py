"""Checking what is stored against the hashes that name it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from tract.engine.threads import Threads
from tract.exceptions import StoreCorruptError
from tract.history.canonical import stored_json
from tract.history.hashing import commit_hash, content_hash
from tract.models.commit import VerifyFault, VerifyReport
from tract.storage.repositories import CommitRow, Misplaced, StoredCommit

__all__ = ["Verifier"]


class Verifier:
    """Collects the faults of one tract's commits, given newest first in batches.

    *recount* gives the tokens that a sound commit should have, or None where nobody can tell.
    """

    def __init__(
        self,
        threads: Threads,
        heads: Iterable[str],
        recount: Callable[[StoredCommit], int | None],
    ) -> None:
        self._threads = threads
        self._recount = recount
        self.checked: int = 0
        self.faults: list[VerifyFault] = []
        self._heads = set(heads)
        self._parents: dict[str, CommitRow] = {}
        self._targets: dict[str, CommitRow] = {}

    async def check(self, batch: Sequence[StoredCommit]) -> None:
        """Check the commits of *batch* by themselves and against the ones before, on a thread."""
        await self._threads.run(self._check, batch)

    def _check(self, batch: Sequence[StoredCommit]) -> None:
        for stored in batch:
            record = stored.record
            self.checked += 1
            self._heads.discard(record.commit_hash)
            for problem in (*self._own_faults(stored), *self._faults_of_place(record)):
                self._fault(record.commit_hash, problem)
            for parent in (record.parent_hash, record.merge_parent):
                if parent is not None:
                    self._parents.setdefault(parent, record)
            if record.edit_target is not None:
                self._targets.setdefault(record.edit_target, record)

    def misplaced(self, found: Iterable[Misplaced]) -> None:
        """Note what is not filed where the history says."""
        for name, branch in found:
            problem = "it is filed in another place than the commits around it"
            if branch is not None:
                problem = f"the row of the branch {branch!r}, which names it, does not fit it"
            self._fault(name, problem)

    def report(self) -> VerifyReport:
        """Return the report, with the faults that only the whole history tells."""
        for missing, child in self._parents.items():
            self._fault(child.commit_hash, f"its parent {missing} is not in the store")
        for missing, user in self._targets.items():
            self._fault(user.commit_hash, f"its target {missing} is not an entry of its history")
        for head in sorted(self._heads):
            self._fault(head, "a branch points to it, and it is not in the store")
        return VerifyReport(checked=self.checked, faults=tuple(self.faults))

    def _fault(self, commit_hash: str, problem: str) -> None:
        self.faults.append(VerifyFault(commit_hash=commit_hash, problem=problem))

    def _faults_of_place(self, record: CommitRow) -> Iterator[str]:
        child = self._parents.pop(record.commit_hash, None)
        if child is not None and child.created_at <= record.created_at:
            yield f"its time is not before that of {child.commit_hash}, which follows it"
        user = self._targets.pop(record.commit_hash, None)
        if user is not None and record.operation != "append":
            yield f"{user.commit_hash} changes it, but it is no entry"

    def _own_faults(self, stored: StoredCommit) -> Iterator[str]:
        if stored.unreadable:
            yield f"its {', '.join(stored.unreadable)} cannot be read"
            return  # it has no hash to compare
        yield from _faults_of_hashes(stored)
        yield from _faults_of_json(stored.record)
        if stored.data is None or content_hash(stored.data) != stored.record.content_hash:
            return  # told already, and not to be counted
        tokens = self._recount(stored)
        if tokens is not None and tokens != stored.record.token_count:
            yield f"its token_count is {stored.record.token_count}, and its content has {tokens}"


def _faults_of_hashes(stored: StoredCommit) -> Iterator[str]:
    record, data = stored.record, stored.data
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
        merge_parent=record.merge_parent,
    )
    if expected != record.commit_hash:
        yield "its parents, content, type, operation, time or target do not have its hash"


def _faults_of_json(record: CommitRow) -> Iterator[str]:
    """Tell what is in no hash, but would keep the commit from being read."""
    for name, text in (
        ("metadata", record.metadata_json),
        ("generation_config", record.generation_config_json),
    ):
        try:
            readable = text is None or isinstance(stored_json(text, name), dict)
        except StoreCorruptError:
            readable = False
        if not readable:
            yield f"its {name} cannot be read"
