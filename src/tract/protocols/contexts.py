"""A compiled context: the messages of a history at one head, in the form of each API."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import (
    Any,
    ClassVar,
    Literal,
    NotRequired,
    TypedDict,
)

from tract.protocols.messages import Loss, Message, OpenCall, StablePrefix, Uncounted

__all__ = [
    "AnthropicArguments",
    "CompiledContext",
    "GoogleArguments",
    "OpenCalls",
    "ResponsesArguments",
]


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
