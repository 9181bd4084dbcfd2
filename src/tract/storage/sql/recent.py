"""The newest commits of this process, so that what was just written need not be read."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from tract.protocols import CommitStep
from tract.storage.repositories import CommitDraft, CommitRow

__all__ = ["RecentCommits"]

_MAX_BYTES = 1_000_000
_MAX_BYTES_EACH = 16_000
_OVERHEAD = 1_000  # bytes of the objects that hold a commit, without its content
_MOST = _MAX_BYTES // _OVERHEAD


class _Commit(NamedTuple):
    record: CommitRow
    draft: CommitDraft


class RecentCommits:
    """Some of the commits that this process wrote, by tract and hash.

    They are stored and immutable, so it does not matter which of them are kept. Lookups come from
    the connections' threads.
    """

    def __init__(self) -> None:
        self._commits: OrderedDict[tuple[str, str], _Commit] = OrderedDict()
        self._nbytes = 0

    def add(self, records: Sequence[CommitRow], drafts: Sequence[CommitDraft]) -> None:
        """Add what was written, evicting the oldest commits to make room."""
        for record, draft in zip(records[-_MOST:], drafts[-_MOST:], strict=True):
            nbytes = _bytes_of(draft)
            if nbytes <= _MAX_BYTES_EACH and record.merge_parent is None:
                self._commits[record.tract_id, record.commit_hash] = _Commit(record, draft)
                self._nbytes += nbytes
        while self._nbytes > _MAX_BYTES:
            _, oldest = self._commits.popitem(last=False)
            self._nbytes -= _bytes_of(oldest.draft)

    def step(self, tract_id: str, commit_hash: str) -> tuple[CommitStep, str | None] | None:
        """Return a commit as a step, and its parent's hash; None if it was evicted."""
        found = self._commits.get((tract_id, commit_hash))
        if found is None:
            return None
        record, draft = found
        step = CommitStep(
            commit_hash,
            record.operation,
            record.edit_target,
            record.content_type,
            draft.data,
            record.token_count,
            draft.token_source,
            record.generation_config_json,
        )
        return step, record.parent_hash


def _bytes_of(draft: CommitDraft) -> int:
    config = draft.generation_config_json
    return _OVERHEAD + len(draft.data) + (len(config) if config else 0)
