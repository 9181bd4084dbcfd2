"""Calls of a handle whose work goes on for a while: streams, recordings and watching."""

from __future__ import annotations

from collections.abc import AsyncIterable, Mapping
from typing import Any, Literal, TypedDict, TypeVar, Unpack, overload

from tract.engine.watching.watch import CommitsOnce, Everything, Watch
from tract.formats.anthropic_stream import AnthropicEvents
from tract.formats.openai_stream import OpenAIChunks
from tract.handles.arguments import checked_hash, checked_head, checked_place
from tract.handles.handle import Handle
from tract.handles.stream import OnInterrupt, Recording, Stream, StreamOptions
from tract.models.commit import CommitInfo
from tract.models.watching import BranchReset
from tract.protocols import UNSET, UnsetType

__all__ = ["RecordOptions", "StreamCalls"]

T = TypeVar("T")


class RecordOptions(TypedDict, total=False):
    """The keywords of `AsyncTract.record_openai` and `AsyncTract.record_anthropic`."""

    generation_config: Mapping[str, Any] | None
    metadata: Mapping[str, Any] | None
    message: str | None
    on_interrupt: OnInterrupt
    expected_head: str | UnsetType | None
    head_hash: str | UnsetType | None
    redact: bool


class StreamCalls(Handle):
    """What comes bit by bit, into a branch and out of it."""

    def stream(
        self,
        *,
        role: Literal["system", "user", "assistant"] = "assistant",
        name: str | None = None,
        generation_config: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        message: str | None = None,
        on_interrupt: OnInterrupt = "keep",
        redact: bool = True,
        expected_head: str | UnsetType | None = UNSET,
    ) -> Stream:
        """Return a stream: `async with tract.stream() as stream:` makes one message of its writes.

        Args:
            role: who speaks.
            name: the speaker's name.
            generation_config: as `commit` takes it, and so are *metadata* and *message*.
            metadata: marked `{"interrupted": true, "reason": …}` where the block was left by an
                exception or a cancellation.
            message: a note on the commit.
            on_interrupt: `keep` commits what had come in that case, `discard` nothing.
            redact: as `commit` takes it.
            expected_head: the head that the branch must have when the block is left (None: no
                commit). Leaving it raises a `HeadMovedError` if it has another; nothing is lost
                then: `TractStore.recover_streams()` has what came.
        """
        self._check_open()
        expected = checked_head("expected_head", expected_head)
        options = StreamOptions(
            role, name, generation_config, metadata, message, on_interrupt, expected, redact=redact
        )
        return Stream(self._runtime, self._branch, options)

    def record_openai(
        self, response: AsyncIterable[T], **options: Unpack[RecordOptions]
    ) -> Recording[T]:
        """Return an iterator over *response*, a Chat Completions stream, that commits its reply.

        Each chunk is passed through, unchanged. At the end text, tool calls and usage are kept in
        one transaction, with what the response names in the metadata: `model`, `response_id`,
        `finish_reason`. What is cut off is kept as `stream` does it; a tool call that was cut off
        is no tool call, but in the metadata, under `unfinished_tool_calls`.

        Args:
            response: the SDK's stream, or any asynchronous iterable of such chunks or dicts.
            options: `generation_config`, `metadata`, `message`, `on_interrupt`, `redact` (which goes
                for the report of usage, too) and `expected_head` as for `stream`; `head_hash`, the
                head that was compiled for the call, to which the usage belongs (that of the first
                chunk's time if left out; with None, an empty context, it belongs to none).

        Raises, on iterating:
            CommitNotFoundError: the tract has no commit *head_hash*.
            ContentValidationError: config, metadata or message cannot be stored.
            HeadMovedError: at the end, the head is not *expected_head*; nothing was committed, and
                `TractStore.recover_streams()` has the reply.
        """
        self._check_open()
        given = _checked(options)
        return Recording(self._runtime, self._branch, given, response, OpenAIChunks())

    def record_anthropic(
        self, response: AsyncIterable[T], **options: Unpack[RecordOptions]
    ) -> Recording[T]:
        """Return an iterator over *response*, a Messages stream, that commits its reply.

        See `record_openai`; *response* is that of `messages.create(stream=True)` or of
        `messages.stream()`.
        """
        self._check_open()
        given = _checked(options)
        return Recording(self._runtime, self._branch, given, response, AnthropicEvents())

    @overload
    def watch(
        self, after: str | None = None, *, resets: Literal[False] = False
    ) -> Watch[CommitInfo]: ...
    @overload
    def watch(
        self, after: str | None = None, *, resets: bool
    ) -> Watch[CommitInfo | BranchReset]: ...
    def watch(
        self, after: str | None = None, *, resets: bool = False
    ) -> Watch[CommitInfo] | Watch[CommitInfo | BranchReset]:
        """Return an iterator over the commits of this branch, those to come included.

        ```python
        async for commit in tract.watch(after="head"):
            ...
        ```

        It yields every commit of the branch once. What this process commits comes at once, what
        others commit within 100 ms. No writer waits for a watcher, however slow, and a watcher
        loses nothing. Closing the store or this handle ends the loop.

        Commits come in the order of the context, as long as the branch is only committed to and
        merged into. When it is moved otherwise, by a reset for instance, it may no longer have what
        was yielded, or not in that order. With *resets* a `BranchReset` then says how far it still
        agrees, and all that the branch has from there comes, again if need be: a copy that is cut
        back to `new_hash` and goes on is always `log(None, order="context")` reversed.

        Args:
            after: None for all commits from the first; a hash or a name for those that are not in
                its history; `"head"` for those that come from now on, whatever else has that name.
            resets: yield a `BranchReset` where the branch is not what was yielded any more.

        Raises:
            CommitNotFoundError: on the first step, the tract has no commit *after*.
            StorageError: on a step, the database file was deleted or replaced by another.
        """
        after = None if after is None else checked_hash(after)
        self._check_open()
        hub, clock = self._runtime.watching, self._runtime.clock
        if resets:
            return Watch(hub, self._branch, after, self._is_open, clock, Everything())
        return Watch(hub, self._branch, after, self._is_open, clock, CommitsOnce())

    def _is_open(self) -> bool:
        return not self._closed


def _checked(options: RecordOptions) -> StreamOptions:
    given = StreamOptions(**options)
    return given._replace(
        expected_head=checked_head("expected_head", given.expected_head),
        head_hash=checked_place(given.head_hash),
    )
