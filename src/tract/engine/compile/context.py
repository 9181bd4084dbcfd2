"""`SnapshotContext`: what a caller gets of a snapshot. Its lists are made on access."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

from tract.engine.compile.entries import Entry
from tract.engine.compile.fold import Snapshot
from tract.engine.compile.pages import joined, joined_messages, joins, openai_dicts
from tract.engine.contents.attachments import loader
from tract.engine.contents.provided import TOOLS
from tract.engine.tokens.media import Beside
from tract.formats.format import Format, Sent, Writing
from tract.formats.keeping import kept_arguments
from tract.formats.otel import otel_messages
from tract.formats.pairing import open_calls
from tract.formats.registry import format_of
from tract.formats.sending import arguments, tool_arguments
from tract.history.canonical import stored_json
from tract.models.annotations import Priority
from tract.protocols import (
    AnthropicArguments,
    CompiledContext,
    GoogleArguments,
    Loss,
    Message,
    OpenCall,
    OpenCalls,
    ResponsesArguments,
    StablePrefix,
    Uncounted,
)
from tract.protocols.parts import Native, ToolCallPart

__all__ = ["SnapshotContext"]


class _Asked(NamedTuple):
    """A request that was asked for."""

    api: str
    model: str | None
    with_tools: bool = False


class SnapshotContext(CompiledContext):
    """A view of a snapshot; `carrying` gives it the bytes of its attachments, by SHA-256."""

    __slots__ = (
        "_beside",
        "_joining",
        "_losses",
        "_media",
        "_messages",
        "_prefix",
        "_quick",
        "_snapshot",
        "_source",
        "_tokens",
    )

    def __init__(
        self,
        snapshot: Snapshot,
        source: str,
        *,
        joining: bool,
        beside: Callable[[Message], Beside],
    ) -> None:
        self._snapshot = snapshot
        self._joining = joining
        self._media: Mapping[str, bytes] = {}
        self._beside = beside
        self._tokens = 0
        self._source = source
        self._losses: tuple[Loss, ...] = ()
        self._quick: _Asked | None = None
        """What the quick way was taken for, which does not look for losses."""
        self._messages: tuple[Message, ...] | None = None
        self._prefix: StablePrefix | None = None

    def counted(self, tokens: int, source: str) -> SnapshotContext:
        """Return this context with its token count."""
        self._tokens = tokens
        self._source = source
        return self

    def carrying(self, media: Mapping[str, bytes]) -> SnapshotContext:
        """Return this context with the bytes of its attachments."""
        self._media = media
        return self

    def following(self, prefix: StablePrefix | None) -> SnapshotContext:
        """Return this context with what it has in common with the last one."""
        self._prefix = prefix
        return self

    @property
    def stable_prefix(self) -> StablePrefix | None:
        return self._prefix

    @property
    def messages(self) -> list[Message]:
        if self._messages is None:
            self._messages = tuple(
                joined_messages(self._snapshot.entries.pages)
                if self._joining
                else (message for message, _ in self._apart())
            )
        return list(self._messages)

    @property
    def token_count(self) -> int:
        return self._tokens

    @property
    def token_source(self) -> str:
        return self._source

    @property
    def uncounted(self) -> list[Uncounted]:
        if self._source.startswith("api:"):
            return []
        return [
            Uncounted(entry.commit_hash, what)
            for entry in self._shown()
            for message in entry.messages
            if message.given is not None
            for what in self._beside(message).uncounted
        ]

    @property
    def tool_tokens(self) -> int:
        entry = self._tools_entry()
        return 0 if entry is None else entry.body_tokens

    @property
    def commit_count(self) -> int:
        return self._snapshot.visible

    @property
    def generation_configs(self) -> list[dict[str, Any]]:
        return [
            stored_json(entry.config_json, "a generation config") if entry.config_json else {}
            for entry in self._shown()
        ]

    @property
    def commit_hashes(self) -> list[str]:
        return [entry.commit_hash for entry in self._shown()]

    @property
    def head_hash(self) -> str | None:
        return self._snapshot.head_hash

    @property
    def losses(self) -> list[Loss]:
        if self._quick is not None:
            self._write(self._quick, "error")
        return list(self._losses)

    @property
    def open_calls(self) -> list[OpenCall]:
        shown = self._apart()
        found = []
        for call in open_calls([message for message, _ in shown]):
            message, commit_hash = shown[call.at]
            part = message.parts[call.place]
            assert isinstance(part, ToolCallPart)
            assert commit_hash is not None
            found.append(OpenCall(commit_hash, call.id, call.name, part.arguments, call.kind))
        return found

    @property
    def tools(self) -> list[dict[str, Any]]:
        given = self._tools()
        return [] if given is None else list(given.item)

    def to_openai(self, *, open_calls: OpenCalls = "error", model: str | None = None) -> list[Any]:
        return cast("list[Any]", self._arguments("openai.chat", open_calls, model)["messages"])

    def to_anthropic(
        self, *, open_calls: OpenCalls = "error", model: str | None = None
    ) -> AnthropicArguments:
        return cast(AnthropicArguments, self._arguments("anthropic.messages", open_calls, model))

    def to_responses(
        self, *, open_calls: OpenCalls = "error", model: str | None = None
    ) -> ResponsesArguments:
        return cast(ResponsesArguments, self._arguments("openai.responses", open_calls, model))

    def to_google(
        self, *, open_calls: OpenCalls = "error", model: str | None = None
    ) -> GoogleArguments:
        given = self._arguments("google.generate_content", open_calls, model)
        return cast(GoogleArguments, given)

    def to_otel(self) -> list[dict[str, Any]]:
        return otel_messages(self.messages, loader(self._media))

    def request(
        self, api: str, *, open_calls: OpenCalls = "error", model: str | None = None
    ) -> dict[str, Any]:
        return self._arguments(api, open_calls, model, with_tools=True)

    def _arguments(
        self, api: str, open_calls: OpenCalls, model: str | None, *, with_tools: bool = False
    ) -> dict[str, Any]:
        """Return the arguments of a request, written anew only where that is needed."""
        target: Format = format_of(api)
        asked = _Asked(target.api, model, with_tools)
        given = self._quickly(target, model) if open_calls == "error" else None
        if given is None:
            return self._write(asked, open_calls)
        self._quick = asked
        if not with_tools:
            return given
        return target.request(given, tool_arguments(target, self._tools(), Writing(model=model)))

    def _quickly(self, target: Format, model: str | None) -> dict[str, Any] | None:
        """Return the arguments of a request if most of them are there already, else None."""
        if not self._joining or self._snapshot.has_attachments:
            return None
        pages = self._snapshot.entries.pages
        if target.api == "openai.chat" and model is None:
            plain = openai_dicts(pages)
            if plain is not None:
                return {"messages": plain}
        return kept_arguments(target, pages, model)

    def _write(self, asked: _Asked, open_calls: OpenCalls) -> dict[str, Any]:
        """Return the arguments of a request, written as a whole; note the losses."""
        target: Format = format_of(asked.api)
        writing = Writing(load=loader(self._media), model=asked.model)
        given = arguments(target, self._sent(), writing, open_calls)
        if asked.with_tools:
            given = target.request(given, tool_arguments(target, self._tools(), writing))
        self._losses, self._quick = tuple(writing.losses), None
        return given

    def _sent(self) -> list[Sent]:
        """Return the messages, each with the commit of the (first) entry that it shows."""
        if not self._joining:
            return self._apart()
        groups: list[list[Sent]] = []
        for sent in self._apart():
            if groups and joins(groups[-1][-1].message, sent.message):
                groups[-1].append(sent)
            else:
                groups.append([sent])
        return [_as_one(group) for group in groups]

    def _tools(self) -> Native | None:
        entry = self._tools_entry()
        return None if entry is None else entry.message.native

    def _tools_entry(self) -> Entry | None:
        """Return the newest entry with tool definitions that is not skipped."""
        if not self._snapshot.has_tools:
            return None
        entries: list[Entry] = [*self._snapshot.entries]
        for entry in reversed(entries):
            if entry.message.role is TOOLS and entry.priority is not Priority.SKIP:
                return entry
        return None

    def _apart(self) -> list[Sent]:
        """Return the messages before joining."""
        found: list[Sent] = []
        for chunk in self._snapshot.entries.shown_chunks:
            found += chunk.derived(_apart)
        return found

    def _shown(self) -> Iterator[Entry]:
        return self._snapshot.entries.shown()


def _apart(shown: Sequence[Entry]) -> list[Sent]:
    """Return the messages of entries before joining, which a chunk keeps."""
    return [
        Sent(message, entry.commit_hash)
        for entry in shown
        for message in (entry.messages if entry.more else (entry.message,))
    ]


def _as_one(group: Sequence[Sent]) -> Sent:
    return Sent(joined([sent.message for sent in group]), group[0].commit_hash)
