"""Checking stored commits and contents against their hashes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set

from pydantic import ValidationError

from tract.engine.compile.compiler import DefaultContextCompiler
from tract.engine.threads import Threads
from tract.exceptions import StoreCorruptError, TractError, shown
from tract.history.canonical import stored_json
from tract.history.hashing import commit_hash, content_hash
from tract.history.media import attachments_in
from tract.models.commit import VerifyFault, VerifyReport
from tract.models.erasure import ErasedCommit, ErasedContent
from tract.models.operations import rule_of
from tract.storage.repositories import (
    AttachmentRepository,
    CommitRow,
    Misplaced,
    StoredCommit,
    VerifyRepository,
)

__all__ = ["Verifier", "own_faults"]


_WITH_ATTACHMENTS = frozenset({"compaction", "message", "native", "state", "tool_io"})


class Verifier:
    """Hashes and counts the commits of a store's tracts again."""

    def __init__(
        self,
        checks: VerifyRepository,
        attachments: AttachmentRepository,
        compiler: DefaultContextCompiler,
        threads: Threads,
    ) -> None:
        self._checks = checks
        self._attachments = attachments
        self._compiler = compiler
        self._threads = threads

    async def verify(self, tract_id: str) -> VerifyReport:
        """Return every fault of a tract; see `AsyncTract.verify`.

        It takes many reads. What is erased or pruned between two of them looks like damage, but
        does not in the next look, as real damage does.
        """
        report = await self._look(tract_id)
        if not report.faults:
            return report
        again, known = await self._look(tract_id), {*report.faults}
        faults = tuple(each for each in again.faults if each in known)
        return again.model_copy(update={"faults": faults})

    async def _look(self, tract_id: str) -> VerifyReport:
        heads = await self._checks.heads(tract_id)
        findings = _Findings(tract_id, heads, self._compiler)
        async for batch in self._checks.stored(tract_id, heads):
            await self._threads.run(findings.check, batch)
        contents = [*{content for content, _ in findings.users.values()}]
        findings.recorded(await self._attachments.uses(contents))
        for sha256 in findings.attachments:  # one by one: together they may not fit into memory
            found = await self._attachments.load(tract_id, [sha256])
            await self._threads.run(findings.attached, sha256, found.get(sha256))
        findings.misplaced(await self._checks.misplaced(tract_id))
        return findings.report()


class _Findings:
    """The faults of one tract's commits, which are read newest first in batches."""

    def __init__(
        self, tract_id: str, heads: Iterable[str], compiler: DefaultContextCompiler
    ) -> None:
        self._tract_id = tract_id
        self._compiler = compiler
        self.checked: int = 0
        self.faults: list[VerifyFault] = []
        self.erased: list[ErasedCommit] = []
        self._heads = set(heads)
        self._parents: dict[str, CommitRow] = {}
        self._targets: dict[str, CommitRow] = {}
        self.users: dict[str, tuple[str, tuple[str, ...]]] = {}
        """The content's hash and the attachments of each commit that refers to some."""

    def check(self, batch: Sequence[StoredCommit]) -> None:
        """Check the commits of *batch* by themselves and against the earlier batches."""
        for stored in batch:
            record = stored.record
            named = _attachments_of(stored)
            if named:
                self.users[record.commit_hash] = record.content_hash, named
            self.checked += 1
            self._heads.discard(record.commit_hash)
            if stored.erased_as is not None:
                self._note_erased(stored)
            for problem in (*self._own_faults(stored), *self._faults_of_place(record)):
                self._fault(record.commit_hash, problem)
            for parent in (record.parent_hash, record.merge_parent):
                if parent is not None:
                    self._parents.setdefault(parent, record)
            if record.edit_target is not None:
                self._targets.setdefault(record.edit_target, record)

    @property
    def attachments(self) -> list[str]:
        """All attachments that commits refer to."""
        return [*dict.fromkeys(each for _, named in self.users.values() for each in named)]

    def attached(self, sha256: str, data: bytes | None) -> None:
        """Check the bytes of an attachment, which are None if the tract does not have them."""
        if data is not None and hashlib.sha256(data).hexdigest() == sha256:
            return
        problem = "is not in the store" if data is None else "does not have that hash"
        for commit, (_, named) in self.users.items():
            if sha256 in named:
                self._fault(commit, f"its attachment {sha256} {problem}")

    def recorded(self, uses: Mapping[str, Set[str]]) -> None:
        """Check that each use of an attachment is recorded, so that it is not taken for unused."""
        for commit, (content, named) in self.users.items():
            for sha256 in named:
                if sha256 not in uses.get(content, ()):
                    self._fault(commit, f"that it uses the attachment {sha256} is not recorded")

    def misplaced(self, found: Iterable[Misplaced]) -> None:
        """Add commits that are not filed where the history says."""
        for name, branch, key, is_lost in found:
            problem = "it is filed in another place than the commits around it"
            if is_lost:
                problem = "no branch or tag reaches it, nor did one before"
            elif key is not None:
                problem = f"what the key {shown(key)} names is not the last commit made under it"
            elif branch is not None:
                problem = f"the row of the branch {branch!r}, which names it, does not fit it"
            self._fault(name, problem)

    def report(self) -> VerifyReport:
        """Return the report, including the faults that only the whole history shows."""
        for missing, child in self._parents.items():
            self._fault(child.commit_hash, f"its parent {missing} is not in the store")
        for missing, user in self._targets.items():
            self._fault(user.commit_hash, f"its target {missing} is not an entry of its history")
        for head in sorted(self._heads):
            self._fault(head, "a branch points to it, and it is not in the store")
        return VerifyReport(
            checked=self.checked, faults=tuple(self.faults), erased=tuple(self.erased)
        )

    def _note_erased(self, stored: StoredCommit) -> None:
        content = _marker(stored)
        if content is None:
            return  # reported already
        self.erased.append(
            ErasedCommit(
                commit_hash=stored.record.commit_hash,
                erased_at=content.erased_at,
                reason=content.reason,
            )
        )

    def _fault(self, commit_hash: str, problem: str) -> None:
        self.faults.append(VerifyFault(commit_hash=commit_hash, problem=problem))

    def _faults_of_place(self, record: CommitRow) -> Iterator[str]:
        child = self._parents.pop(record.commit_hash, None)
        if child is not None and child.created_at <= record.created_at:
            yield f"its time is not before that of {child.commit_hash}, which follows it"
        user = self._targets.pop(record.commit_hash, None)
        if user is not None and not rule_of(record.operation).is_entry:
            yield f"{user.commit_hash} changes it, but it is not an entry"

    def _own_faults(self, stored: StoredCommit) -> Iterator[str]:
        yield from own_faults(stored, self._tract_id)
        if stored.unreadable or stored.erased_as is not None:
            return
        if stored.data is None or content_hash(stored.data) != stored.record.content_hash:
            return  # reported already; its tokens cannot be counted
        tokens = _recount(stored, self._compiler)
        if tokens is not None and tokens != stored.record.token_count:
            yield f"its token_count is {stored.record.token_count}, and its content has {tokens}"


def own_faults(stored: StoredCommit, tract_id: str) -> Iterator[str]:
    """Yield what is wrong with a commit of a tract by itself, but for its tokens."""
    if stored.unreadable:
        yield f"its {', '.join(stored.unreadable)} cannot be read"
        return  # it has no hash to compare
    if stored.record.tract_id != tract_id:
        yield f"its row says that it belongs to the tract {shown(stored.record.tract_id)}"
    yield from _faults_of_hashes(stored)
    yield from _faults_of_json(stored.record)
    if stored.erased_as is not None and _marker(stored) is None:
        yield "what stands for its content cannot be read"


def _marker(stored: StoredCommit) -> ErasedContent | None:
    """Return what stands for an erased content; None if that is something else."""
    try:
        return ErasedContent.model_validate_json(stored.data or b"")
    except ValidationError:
        return None


def _attachments_of(stored: StoredCommit) -> tuple[str, ...]:
    """Return what a commit refers to; nothing if its content is damaged, which is reported."""
    if stored.erased_as is not None or stored.record.content_type not in _WITH_ATTACHMENTS:
        return ()
    if stored.data is None:
        return ()
    try:
        return attachments_in(stored.record.content_type, stored_json(stored.data, ""))
    except (TractError, LookupError, TypeError, AttributeError):
        return ()


def _recount(stored: StoredCommit, compiler: DefaultContextCompiler) -> int | None:
    """Return the tokens of a commit whose content is sound; None if they cannot be counted here.

    They cannot if another counter or rendering was used, or the vocabulary is not available.
    """
    record = stored.record
    if not rule_of(record.operation).is_shown:
        return 0
    known = stored.token_source == compiler.source_of(record.content_type) != ""
    if not known or stored.data is None:
        return None
    try:
        fields = stored_json(stored.data, "")
        return compiler.count(compiler.messages(record.content_type, fields))
    except (TractError, LookupError, TypeError, AttributeError):
        return None


def _faults_of_hashes(stored: StoredCommit) -> Iterator[str]:
    record, data = stored.record, stored.data
    shown_hash = stored.erased_as or record.content_hash
    if data is None:
        yield f"its content {shown_hash} is not in the store"
    elif not data:
        yield f"its content {shown_hash} was erased, and the commit was not"
    elif content_hash(data) != shown_hash:
        yield f"its content does not have the hash {shown_hash}"
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
    """Yield faults that no hash shows, but that make the commit unreadable."""
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
