"""Branches as callers see them, alone and beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from tract.engine.branches.diffing import context_diff
from tract.engine.commit.infos import moment
from tract.engine.compile.fold import Snapshot
from tract.engine.compile.reading import ContextReader, Found, ViewOptions
from tract.engine.threads import Threads
from tract.exceptions import TractError
from tract.history.canonical import stored_json
from tract.models.refs import (
    BranchComparison,
    BranchInfo,
    BranchStats,
    ContextDiff,
    ReflogEntry,
    TagInfo,
)
from tract.protocols import TokenUsage
from tract.storage.repositories import (
    BranchName,
    ComparisonRepository,
    Move,
    Position,
    RefRecord,
    Survey,
)

__all__ = ["Comparer", "branch_info", "reflog_entry", "tag_info"]


def branch_info(ref: RefRecord) -> BranchInfo:
    """Return a branch as callers see it."""
    return BranchInfo(
        name=ref.name,
        head_hash=ref.commit_hash,
        created_at=moment(ref.created_at),
        updated_at=moment(ref.updated_at),
    )


def tag_info(ref: RefRecord) -> TagInfo:
    """Return a tag as callers see it."""
    assert ref.commit_hash is not None  # only branches may be empty
    return TagInfo(name=ref.name, target_hash=ref.commit_hash, created_at=moment(ref.created_at))


def reflog_entry(move: Move) -> ReflogEntry:
    """Return a branch's move as callers see it."""
    return ReflogEntry(
        branch=move.branch,
        old_hash=move.old_hash,
        new_hash=move.new_hash,
        action=move.action,
        note=move.note,
        created_at=moment(move.created_at),
    )


class Comparer:
    """Measures branches of one store."""

    def __init__(
        self, comparisons: ComparisonRepository, reader: ContextReader, threads: Threads
    ) -> None:
        self._threads = threads
        self._comparisons = comparisons
        self._reader = reader

    async def compare(self, branch: BranchName, names: Sequence[str]) -> list[BranchComparison]:
        """Return branches side by side.

        Raises:
            BranchNotFoundError: there is no such branch.
        """
        surveys = await self._comparisons.survey(branch, names)
        return [
            await self._comparison(branch._replace(branch=name), survey)
            for name, survey in zip(names, surveys, strict=True)
        ]

    async def stats(self, branch: BranchName) -> BranchStats:
        """Return the size of a branch."""
        context = await self._reader.compile(branch, Position(), ViewOptions())
        sizes = await self._comparisons.sizes(branch.tract_id, context.head_hash)
        return BranchStats(
            commits=sizes.commits,
            entries=context.commit_count,
            tokens=context.token_count,
            blobs=sizes.blobs,
            bytes=sizes.nbytes,
        )

    async def diff(self, branch: BranchName, a: Position, b: Position) -> ContextDiff:
        """Return how the context at *b* differs from that at *a*.

        Raises:
            CommitNotFoundError: the tract has no such commit.
            TractError: the compiler is one that has no entries to compare.
        """
        before = await self._reader.snapshot(branch, a)
        after = await self._reader.snapshot(branch, b)
        one, other = before.snapshot, after.snapshot
        if not (isinstance(one, Snapshot) and isinstance(other, Snapshot)):
            raise TractError(
                "Comparing needs the entries of a context, which only the default compiler and its "
                "subclasses have."
            )
        shorter = await self._reader.view(Found(one, None), ViewOptions())
        longer = await self._reader.view(Found(other, None), ViewOptions())
        compare = partial(
            context_diff, one, other, token_difference=longer.token_count - shorter.token_count
        )
        return await self._threads.run(compare)

    async def _comparison(self, branch: BranchName, survey: Survey) -> BranchComparison:
        found = await self._reader.snapshot(branch, Position(survey.head_hash))
        # counted here for all of them, even where an API has reported for some
        context = await self._reader.view(Found(found.snapshot, None), ViewOptions())
        messages = context.messages
        return BranchComparison(
            branch=branch.branch,
            head_hash=survey.head_hash,
            entries=context.commit_count,
            token_count=context.token_count,
            usage=_total(survey.usage),
            usage_since_fork=_total(survey.usage_since),
            generation_configs=tuple(map(_config, dict.fromkeys(survey.configs_since))),
            last_message=messages[-1] if messages else None,
        )


def _total(usages: Sequence[TokenUsage]) -> TokenUsage:
    return TokenUsage(
        sum(usage.prompt_tokens for usage in usages),
        sum(usage.completion_tokens for usage in usages),
        sum(usage.total_tokens or 0 for usage in usages),
    )


def _config(text: str) -> dict[str, Any]:
    config: dict[str, Any] = stored_json(text, "a generation config")
    return config
