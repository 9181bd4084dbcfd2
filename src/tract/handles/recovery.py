"""Left streams, which no process writes any more, and their recovery."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence, Set
from datetime import datetime
from typing import Any

from tract.engine.commit.keys import checked_on_key
from tract.engine.streams.arrived import Arrived
from tract.engine.streams.leases import current_owner, has_lapsed
from tract.engine.streams.open_streams import is_open_here
from tract.engine.streams.reasons import RECOVERED
from tract.engine.streams.recording import StreamEngine, warn_of_unknown
from tract.handles.arguments import checked_head
from tract.models.commit import CommitInfo, moment
from tract.models.operations import OnKey
from tract.protocols import UNSET, ToolCall, UnsetType
from tract.running.lifecycle import to_the_end
from tract.storage.repositories import BranchName, ExistingBranch, SpooledStream, StreamName

__all__ = ["LeftStream", "left_streams"]

_LOOK = 0.25  # seconds between checks of streams that may or may not have been left


class LeftStream:
    """A stream that no process writes any more, as far as it was saved.

    Get them from `TractStore.recover_streams()`. If several processes commit the same stream, only
    one of them succeeds; the others commit nothing.
    """

    def __init__(
        self, streams: StreamEngine, spooled: SpooledStream, fragments: Sequence[Any]
    ) -> None:
        self._streams = streams
        self._arrived = Arrived.saved(fragments)
        self._spooled = spooled
        self._name = _where(spooled.stream, self._arrived)
        self.tract_id: str = spooled.stream.branch.tract_id
        """The id of the stream's tract."""
        self.branch: str = spooled.stream.branch.branch
        """The name of the stream's branch."""
        self.touched_at: datetime = moment(spooled.updated_at)
        """When its process last gave a sign of life, in UTC."""
        started = self._arrived.preamble.get("started_at", spooled.updated_at)
        self.started_at: datetime = moment(started)
        """When it began, in UTC."""

    @property
    def text(self) -> str:
        """The text, as far as it was saved."""
        return self._arrived.text

    @property
    def tool_calls(self) -> list[ToolCall]:
        """The complete tool calls."""
        return self._arrived.tool_calls

    async def commit(
        self,
        *,
        expected_head: str | UnsetType | None = UNSET,
        on_key: OnKey | None = None,
    ) -> list[CommitInfo]:
        """Commit the stream to its branch, and remove it from the list of left streams.

        Its metadata marks it as interrupted, unless it was complete and only its commit had failed.

        Args:
            expected_head: the head that the branch must have (None: no commit).
            on_key: what to do if a commit has the stream's key, as for `AsyncTract.commit`; by
                default what the stream was begun with.

        Returns:
            The commits; none if any process committed or dropped the stream before, or if its own
            process has continued it.

        Raises:
            BudgetExceededError: the context would exceed a budget; the stream is kept.
            BranchNotFoundError: the branch was deleted; the stream is kept.
            HeadMovedError: the head is not *expected_head*; the stream is kept.
            KeyExistsError: a commit has the stream's key; the stream is kept.
        """
        expected = checked_head(expected_head)
        on_key = None if on_key is None else checked_on_key(on_key)
        with self._streams.gate.call():
            made: list[CommitInfo] = []
            await to_the_end(self._commit(made, expected, on_key))
        if made:
            warn_of_unknown(self._arrived)
        return made

    async def _commit(
        self, made: list[CommitInfo], expected: str | UnsetType | None, on_key: OnKey | None
    ) -> None:
        arrived = self._arrived
        reason = arrived.interruption if arrived.has_ended else RECOVERED
        made += await self._streams.land(
            self._name,
            arrived,
            reason,
            claim=self._spooled,
            expected_head=expected,
            on_key=on_key,
        )

    async def drop(self) -> None:
        """Delete the stream, unless its own process has continued it."""
        with self._streams.gate.call():
            await self._streams.spools.drop(self._name, self._spooled)

    def __repr__(self) -> str:
        return (
            f"<LeftStream of {self.tract_id!r} on {self.branch!r}: "
            f"{len(self.text)} characters, {len(self.tool_calls)} tool calls>"
        )


def _where(stream: StreamName, arrived: Arrived) -> StreamName:
    """Return the name of a stream; its branch must exist if that held for the stream's handle."""
    must_exist = arrived.preamble.get("must_exist") is True
    kind = ExistingBranch if must_exist else BranchName
    return stream._replace(branch=kind(*stream.branch))


async def left_streams(streams: StreamEngine, *, wait: bool) -> list[LeftStream]:
    """Return the left streams of a store; see `TractStore.recover_streams`."""
    silent = await _silent(streams) if wait else frozenset()
    with streams.gate.call():
        now = streams.clock()
        left: list[LeftStream] = []
        for stream in await streams.spools.spooled():
            if stream in silent or _is_left(stream, now):
                fragments = await streams.spools.fragments(stream.stream)
                if fragments:
                    left.append(LeftStream(streams, stream, fragments))
    return left


async def _silent(streams: StreamEngine) -> Set[SpooledStream]:
    """Watch each present stream until it is gone, is left, or has given a sign of life.

    Return those that gave none for the whole lease of their owner. They are left, too: their last
    sign only seems recent, or yet to come, because the clock of their machine was ahead.
    """
    clock = asyncio.get_running_loop().time
    undecided, since = await _running(streams), clock()
    silent: Set[SpooledStream] = frozenset()
    while undecided != silent:
        await asyncio.sleep(_LOOK)
        watched = int((clock() - since) * 1_000_000)
        undecided &= await _running(streams)
        silent = {item for item in undecided if has_lapsed(item.owner, watched)}
    return silent


async def _running(streams: StreamEngine) -> set[SpooledStream]:
    """Return the streams that another process may still be writing."""
    with streams.gate.call():  # but not while sleeping, because closing waits for calls
        found = await streams.spools.spooled()
    now = streams.clock()
    return {item for item in found if not (_is_left(item, now) or _is_ours(item))}


def _is_left(spooled: SpooledStream, now: int) -> bool:
    if _is_ours(spooled):
        return not is_open_here(spooled.stream.stream_id)
    return has_lapsed(spooled.owner, now - spooled.updated_at)


def _is_ours(spooled: SpooledStream) -> bool:
    return spooled.owner == current_owner()
