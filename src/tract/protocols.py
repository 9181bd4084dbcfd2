"""The values that all packages share, and the protocols that callers may implement.

Nothing here does I/O or knows how a context is stored; every other module may import it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import (
    Any,
    ClassVar,
    Final,
    Literal,
    NamedTuple,
    NotRequired,
    Protocol,
    TypedDict,
    runtime_checkable,
)

from tract.parts import Native, Part, RefusalPart, TextPart, ToolCallPart, ToolResultPart

__all__ = [
    "UNSET",
    "AnthropicArguments",
    "CommitStep",
    "CompileSnapshot",
    "CompiledContext",
    "ContextCompiler",
    "GoogleArguments",
    "Instrumentation",
    "Loss",
    "Message",
    "OpenCall",
    "OpenCalls",
    "ResponsesArguments",
    "StablePrefix",
    "TokenCounter",
    "TokenUsage",
    "ToolCall",
    "Uncounted",
    "Unset",
]


class Unset(Enum):
    """Type of `UNSET`, which distinguishes "not given" from None."""

    UNSET = "UNSET"

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = Unset.UNSET
"""Stands for a keyword that was not given, where None means something."""

UnsetType = Literal[Unset.UNSET]
"""The type of a keyword that was not given."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One tool call of an assistant's message.

    `arguments` is JSON text, byte for byte as committed. `id` is None where the
    committed call had no `call_id`; the provider formats then generate one.
    """

    id: str | None
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a compiled context; deeply immutable, so it is shared, not copied.

    `content` is the message's text: of several texts, those of one reply as they were, others
    joined by blank lines. It is None if there is no text. `tool_name` and `is_error` describe a
    tool result for providers that need them; `to_dict()` leaves them out, and they cost no tokens.

    A message with more than text, tool calls or one plain tool result has `given` parts, and is
    never joined with others. One that came from an API has its `native` item.
    """

    role: str
    content: str | None = None
    name: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    tool_name: str | None = None
    is_error: bool = False
    given: tuple[Part, ...] | None = None
    """The parts, if they say more than the fields above; see `parts`."""
    native: Native | None = None
    """The item of an API that this message was read from."""

    @classmethod
    def of(
        cls,
        role: str,
        parts: Sequence[Part],
        *,
        name: str | None = None,
        native: Native | None = None,
    ) -> Message:
        """Return the message of *parts*."""
        results = [part for part in parts if isinstance(part, ToolResultPart)]
        result = results[0] if len(results) == len(parts) == 1 else None
        calls = tuple(
            ToolCall(part.id, part.name, part.arguments)
            for part in parts
            if isinstance(part, ToolCallPart) and part.kind != "server"
        )
        return cls(
            role,
            _text_of(role, parts),
            name,
            calls,
            result.call_id if result else None,
            result.name if result else None,
            result.is_error if result else False,
            tuple(parts),
            native,
        )

    @property
    def parts(self) -> tuple[Part, ...]:
        """Everything that the message consists of, in order."""
        if self.given is not None:
            return self.given
        text = () if self.content is None else (TextPart(text=self.content),)
        calls = tuple(
            ToolCallPart(id=call.id, name=call.name, arguments=call.arguments)
            for call in self.tool_calls
        )
        if self.role != "tool" or calls:
            return (*text, *calls)
        return (
            ToolResultPart(
                call_id=self.tool_call_id, parts=text, name=self.tool_name, is_error=self.is_error
            ),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return a new plain dict: `role`, `content` and, where present, the other keys."""
        plain: dict[str, Any] = {"role": self.role, "content": self.content}
        if self.name is not None:
            plain["name"] = self.name
        if self.tool_calls:
            plain["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments},
                }
                for call in self.tool_calls
            ]
        if self.tool_call_id is not None:
            plain["tool_call_id"] = self.tool_call_id
        return plain


def _text_of(role: str, parts: Sequence[Part]) -> str | None:
    """Return the text of parts; a model's adjacent texts are one text, cut where it cites."""
    texts: list[str] = []
    goes_on = False
    for part in parts:
        text = part.text if isinstance(part, TextPart | RefusalPart | ToolResultPart) else ""
        if text and goes_on and isinstance(part, TextPart):
            texts[-1] += text
        elif text:
            texts.append(text)
        goes_on = bool(text) and role == "assistant" and isinstance(part, TextPart)
    return "\n\n".join(texts) if texts else None


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """The token counts, each zero or more, that an API reported for one call."""

    prompt_tokens: int
    completion_tokens: int = 0
    total_tokens: int | None = None


class AnthropicArguments(TypedDict):
    """Arguments of a Messages call: `client.messages.create(..., **context.to_anthropic())`.

    `messages` holds plain dicts that are `Any` to a type checker; see `CompiledContext.to_openai`.
    """

    messages: list[Any]
    system: NotRequired[str]


class ResponsesArguments(TypedDict):
    """Arguments of a Responses call: `client.responses.create(..., **context.to_responses())`."""

    input: list[Any]
    instructions: NotRequired[str]


class GoogleArguments(TypedDict):
    """Arguments of google-genai's `generate_content(..., **context.to_google())`."""

    contents: list[Any]
    config: NotRequired[dict[str, Any]]


OpenCalls = Literal["error", "drop", "keep"]
"""What a request does with tool calls that have no result.

`error` gives each a result that says so, `drop` leaves the calls out, and `keep` sends exactly what
was committed.
"""


class StablePrefix(NamedTuple):
    """What a context has in common with the one compiled before it, from the beginning.

    `commit_hash` is the last entry that is the same, None if the first one differs, and `tokens`
    what the entries up to it cost, each counted by itself.
    """

    commit_hash: str | None
    tokens: int


class OpenCall(NamedTuple):
    """A tool call in a context that has no result there."""

    commit_hash: str
    """The entry that holds the call."""
    id: str | None
    name: str
    arguments: str
    kind: str = "function"


class Loss(NamedTuple):
    """Something in a context that a request does not carry, or carries in another form."""

    commit_hash: str | None
    """The entry."""
    what: str
    """The kind of part, such as `thinking`, `media`, `tool_call` or `name`."""
    why: str


class Uncounted(NamedTuple):
    """Something in a context that no formula counts, so that `token_count` lacks its tokens."""

    commit_hash: str
    """The entry."""
    what: str
    """The kind of part, such as `audio`, `image` (of unknown size) or `thinking` (encrypted)."""


class CommitStep(NamedTuple):
    """One commit as the fold reads it; `data` is the blob, canonical JSON in UTF-8.

    `operation` is `append`, `edit` or `annotate`; or `merge` or `state`, which change nothing.
    The `data` of a state is empty. `token_count` was counted by the counter named `token_source`
    when the commit was made.
    """

    commit_hash: str
    operation: str
    edit_target: str | None
    content_type: str
    data: bytes
    token_count: int
    token_source: str
    generation_config_json: str | None


class CompileSnapshot(Protocol):
    """The immutable result of folding a history up to one head."""

    @property
    def head_hash(self) -> str | None:
        """The commit that this snapshot compiles; None for an empty history."""


class CompiledContext(ABC):
    """The messages that a model gets at one head, with their token count and their commits.

    Each access returns new lists and dicts, which the caller may change: the store, the
    cache and the results of other callers stay as they are.
    """

    __slots__ = ()

    @property
    @abstractmethod
    def messages(self) -> list[Message]:
        """The messages, oldest first; by default consecutive ones of a role are joined."""

    @property
    @abstractmethod
    def token_count(self) -> int:
        """Tokens of the whole message list; `token_source` names who counted them.

        For texts and tool calls, this is what the counter gives for `to_dicts()`. Thinking counts
        as text, images by their provider's formula, and both are not in `to_dicts()`. What has no
        formula is `uncounted`; tool definitions are counted apart, by `tool_tokens`.
        """

    @property
    @abstractmethod
    def token_source(self) -> str:
        """`tiktoken:<encoding>` or another counter's name, or `api:<prompt>+<completion>`."""

    @property
    @abstractmethod
    def commit_count(self) -> int:
        """The number of effective entries: all that are not SKIP."""

    @property
    @abstractmethod
    def generation_configs(self) -> list[dict[str, Any]]:
        """One config per effective entry, before joining; `{}` where none was set."""

    @property
    @abstractmethod
    def commit_hashes(self) -> list[str]:
        """One hash per effective entry, parallel to `generation_configs`."""

    @property
    @abstractmethod
    def head_hash(self) -> str | None:
        """The commit that was compiled; None for an empty history."""

    @abstractmethod
    def to_openai(self, *, open_calls: OpenCalls = "error", model: str | None = None) -> list[Any]:
        """Return a Chat Completions message list of new plain dicts.

        Its items are typed as `Any`, so that type checkers accept them as any SDK's `messages`:
        each SDK has message types of its own. See `request` for the keywords.
        """

    @abstractmethod
    def to_anthropic(
        self, *, open_calls: OpenCalls = "error", model: str | None = None
    ) -> AnthropicArguments:
        """Return Messages API arguments: `messages` and, where there is one, `system`.

        See `request` for the keywords.
        """

    def to_responses(
        self, *, open_calls: OpenCalls = "error", model: str | None = None
    ) -> ResponsesArguments:
        """Return Responses API arguments: `input` and, where there are any, `instructions`.

        See `request` for the keywords.
        """
        raise NotImplementedError(f"{type(self).__name__} knows no requests of this kind.")

    def to_google(
        self, *, open_calls: OpenCalls = "error", model: str | None = None
    ) -> GoogleArguments:
        """Return arguments for `generate_content` of google-genai: `contents` and `config`.

        See `request` for the keywords.
        """
        raise NotImplementedError(f"{type(self).__name__} knows no requests of this kind.")

    def to_otel(self) -> list[dict[str, Any]]:
        """Return the messages as OpenTelemetry's GenAI conventions (0.1.0) describe them.

        This is what their attributes `gen_ai.input.messages` and `gen_ai.system_instructions` hold.
        Nothing is left out: media stand in it as base64, and what only one API has as its JSON.
        """
        raise NotImplementedError(f"{type(self).__name__} has no messages of this kind.")

    def request(
        self, api: str, *, open_calls: OpenCalls = "error", model: str | None = None
    ) -> dict[str, Any]:
        """Return all that a call takes from the context: messages, system prompt and tools.

            await client.messages.create(model=…, **context.request("anthropic.messages"))

        Results stand behind their calls, and ids and tool names are in the form that the API
        takes. What came from the same API goes out as it came; the rest is translated, and
        `losses` names what could not be.

        Args:
            api: `openai.chat`, `openai.responses`, `anthropic.messages` or
                `google.generate_content`.
            open_calls: what becomes of calls without a result. `keep` sends exactly what was
                committed, whatever the API may say.
            model: the model that is called, if some models take less than the API does. Another
                family's signed thinking is left out.

        Raises:
            ValueError: *api* or *open_calls* is none of them, or *model* is not a string.
        """
        raise NotImplementedError(f"{type(self).__name__} knows no requests of this kind.")

    @property
    def losses(self) -> list[Loss]:
        """What the last `request()` or `to_…()` of this context left out or changed, in order."""
        return []

    @property
    def stable_prefix(self) -> StablePrefix | None:
        """What is still the same of the context that this store compiled last for the branch.

        A provider's prompt cache holds that, if it was sent. It is nothing once the tools have changed.
        None if no context of the branch was compiled before, or that one was evicted; and for one
        of the past.
        """
        return None

    @property
    def open_calls(self) -> list[OpenCall]:
        """The tool calls that have no result in this context, in order; see `AsyncTract.settle`."""
        return []

    @property
    def tools(self) -> list[dict[str, Any]]:
        """The tool definitions in force, as they were given to `AsyncTract.tools`."""
        return []

    @property
    def tool_tokens(self) -> int:
        """Tokens of the tool definitions in force, as JSON; they are not part of `token_count`."""
        return 0

    @property
    def uncounted(self) -> list[Uncounted]:
        """What `token_count` lacks, in order; nothing if an API reported the count."""
        return []

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return new plain dicts: `role`, `content` and, where present, the other keys."""
        return [message.to_dict() for message in self.messages]

    def __eq__(self, other: object) -> bool:
        """Two contexts are equal if all their fields are."""
        if not isinstance(other, CompiledContext):
            return NotImplemented
        return (
            self.head_hash == other.head_hash
            and self.token_count == other.token_count
            and self.token_source == other.token_source
            and self.commit_hashes == other.commit_hashes
            and self.messages == other.messages
            and self.generation_configs == other.generation_configs
        )

    __hash__: ClassVar[None]  # type: ignore[assignment]  # its lists are the caller's to change

    def __repr__(self) -> str:
        head = self.head_hash[:12] if self.head_hash else None
        return (
            f"<{type(self).__name__} head={head} entries={self.commit_count} "
            f"tokens={self.token_count} ({self.token_source})>"
        )


class Instrumentation(Protocol):
    """What reports on the calls of a store; `tract.telemetry.Telemetry` is one.

    The parts that it gets are internal, and differ from release to release.
    """

    def attach(self, parts: Any, /) -> None:
        """Report from now on what the parts of an open store do."""


@runtime_checkable
class TokenCounter(Protocol):
    """Counts tokens; may be called from several worker threads at a time.

    A counter may have an attribute `source`, its name in `token_source`; otherwise it is
    named after its class. Counters whose count of a message list is the sum over its messages
    should derive from `BaseTokenCounter`, which keeps compiles incremental.
    """

    def count_text(self, text: str) -> int:
        """Return the tokens of *text*; special tokens in it count as plain text."""

    def count_messages(self, messages: Sequence[dict[str, Any]]) -> int:
        """Return the tokens of a message list in the shape of `CompiledContext.to_dicts()`."""


class ContextCompiler(Protocol):
    """Turns a history into contexts: a left fold, one step per commit, and views of its result.

    All three methods are pure functions of their arguments. They may be called from worker
    threads. Snapshots are shared between calls and must not be changed.
    """

    def empty(self) -> CompileSnapshot:
        """Return the snapshot of a history without commits."""

    def fold(self, snapshot: CompileSnapshot, steps: Sequence[CommitStep]) -> CompileSnapshot:
        """Return the snapshot after *steps*, which follow *snapshot*'s head, oldest first."""

    def view(
        self,
        snapshot: CompileSnapshot,
        usage: TokenUsage | None = None,
        *,
        include_edit_annotations: bool = False,
        aggregate_same_role: bool = True,
    ) -> CompiledContext:
        """Return the context that a model gets; *usage*, if given, replaces count and source."""
