"""Comparing branches and contexts: differences, side-by-side figures, sizes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from tract.engine.branches.diffing import context_diff
from tract.engine.compile.fold import Snapshot
from tract.engine.compile.reading import ContextReader, Found, ViewOptions, settled
from tract.engine.threads import Threads
from tract.exceptions import TractError
from tract.history.canonical import stored_json
from tract.models.refs import BranchComparison, BranchStats, ContextDiff
from tract.protocols import TokenUsage
from tract.storage.repositories import (
    BranchName,
    ComparisonRepository,
    Position,
    Survey,
)

__all__ = ["Comparer"]

_LOOKS = 3


class Comparer:
    """Measures branches of one store."""

    def __init__(
        self, comparisons: ComparisonRepository, contexts: ContextReader, threads: Threads
    ) -> None:
        self._threads = threads
        self._comparisons = comparisons
        self._contexts = contexts

    async def compare(self, branch: BranchName, names: Sequence[str]) -> list[BranchComparison]:
        """Return branches side by side.

        Raises:
            BranchNotFoundError: there is no such branch.
        """
        return await settled(partial(self._compare, branch, names))

    async def _compare(self, branch: BranchName, names: Sequence[str]) -> list[BranchComparison]:
        surveys = await self._comparisons.survey(branch, names)
        return [
            await self._comparison(branch._replace(branch=name), survey)
            for name, survey in zip(names, surveys, strict=True)
        ]

    async def stats(self, branch: BranchName) -> BranchStats:
        """Return the size of a branch."""
        return await settled(partial(self._stats, branch))

    async def _stats(self, branch: BranchName) -> BranchStats:
        for _ in range(_LOOKS):
            found = await self._contexts.snapshot(branch)
            sizes = await self._comparisons.sizes(branch.tract_id, found.snapshot.head_hash)
            if sizes.erasures in (0, found.erasures):
                break  # else the tract has been erased in part since the first trip
        context = await self._contexts.view(found, ViewOptions())
        compiled, stable = self._contexts.prefixes.sums(branch)
        return BranchStats(
            commits=sizes.commits,
            entries=context.commit_count,
            tokens=context.token_count,
            blobs=sizes.blobs,
            bytes=sizes.nbytes,
            attachments=sizes.attachments,
            attachment_bytes=sizes.attached_nbytes,
            compiled_tokens=compiled,
            stable_tokens=stable,
        )

    async def diff(self, branch: BranchName, a: Position, b: Position) -> ContextDiff:
        """Return how the context at *b* differs from that at *a*.

        Raises:
            CommitNotFoundError: the tract has no such commit.
            TractError: the compiler has no entries to compare.
        """
        before = await self._contexts.snapshot(branch, a)
        after = await self._contexts.snapshot(branch, b)
        one, other = before.snapshot, after.snapshot
        if not (isinstance(one, Snapshot) and isinstance(other, Snapshot)):
            raise TractError(
                "Comparing needs the entries of a context, which only the default compiler and its "
                "subclasses have."
            )
        shorter = await self._contexts.view(Found(one, None), ViewOptions())
        longer = await self._contexts.view(Found(other, None), ViewOptions())
        compare = partial(
            context_diff, one, other, token_difference=longer.token_count - shorter.token_count
        )
        return await self._threads.run(compare)

    async def _comparison(self, branch: BranchName, survey: Survey) -> BranchComparison:
        found = await self._contexts.snapshot(branch, Position(survey.head_hash))
        # counted for all branches, even where an API reported usage, to be comparable
        context = await self._contexts.view(Found(found.snapshot, None), ViewOptions())
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
