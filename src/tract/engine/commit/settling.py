"""Answering tool calls that will never get their result."""

from __future__ import annotations

from tract.engine.commit.drafts import Given
from tract.engine.commit.engine import CommitEngine, Expected
from tract.engine.compile.reading import ContextReader, ViewOptions
from tract.exceptions import HeadMovedError
from tract.models.commit import CommitInfo
from tract.models.content import ContentModel, MessageContent, ToolIOContent
from tract.protocols import UNSET, OpenCall
from tract.protocols.parts import TextPart, ToolResultPart
from tract.storage.repositories import BranchName

__all__ = ["CallSettler"]


class CallSettler:
    """Answers the open calls of a branch with error results."""

    def __init__(self, contexts: ContextReader, commits: CommitEngine) -> None:
        self._contexts = contexts
        self._commits = commits

    async def settle(
        self, branch: BranchName, reason: str, expected_head: Expected = UNSET
    ) -> list[CommitInfo]:
        """Commit an error result for every open call; see `AsyncTract.settle`."""
        while True:
            found = await self._contexts.snapshot(branch)
            head = found.snapshot.head_hash
            await self._commits.check_head(branch, head, expected_head)
            context = await self._contexts.view(found, ViewOptions(aggregate_same_role=False))
            staged = [
                self._commits.stage(Given(_answer(call, reason))) for call in context.open_calls
            ]
            if not staged:
                return []
            try:
                return await self._commits.land(branch, staged, head)
            except HeadMovedError:
                if expected_head is not UNSET:
                    raise
                # another task committed meanwhile, perhaps the very result


def _answer(call: OpenCall, reason: str) -> ContentModel:
    if call.kind == "function":
        return ToolIOContent(
            tool_name=call.name,
            direction="result",
            payload=reason,
            status="error",
            call_id=call.id,
        )
    part = ToolResultPart(
        call_id=call.id,
        name=call.name,
        parts=(TextPart(text=reason),),
        is_error=True,
        kind="custom",
    )
    return MessageContent(role="tool", parts=(part,))
