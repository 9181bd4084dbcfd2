"""`to_anthropic`: messages of any origin as arguments of a Messages call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

from tract.formats._ids import fill_ids, portable_ids
from tract.formats.anthropic_messages.translating import side_of
from tract.formats.anthropic_messages.writing import write
from tract.formats.format import Sent, Writing
from tract.protocols import AnthropicArguments, Message

__all__ = ["to_anthropic"]


def to_anthropic(
    messages: Sequence[Message],
    *,
    exact: bool = False,
    model: str | None = None,
    load: Callable[[str], bytes] = lambda _: b"",
) -> AnthropicArguments:
    """Return new arguments for `client.messages.create`: `messages`, and `system` if there is any.

    A message that came from this API goes out as it came, in its place; what the API does not
    support is adapted:

    - System messages of other origin are joined by blank lines into `system`; later ones stay behind
      the user's turn before them, if *model* is a Claude that takes them there.
    - Consecutive messages of one side become one message: tool results before the user's texts,
      the assistant's texts before its tool calls. A single text is a plain string.
    - A user's turn is put behind an assistant that would be last, if *model* takes no answer that is
      begun already.
    - Blank texts are left out, and so are messages that hold nothing else.
    - Names of users and assistants are dropped: the API has no field for them.
    - Thinking that another API made, or whose signature did not arrive, is left out.
    - Missing ids are made up, repeated ids are made unique, and characters outside
      `[a-zA-Z0-9_-]` are replaced; calls and their results always agree.
    - Arguments that are not a JSON object, cannot be sent as JSON, or are nested deeper than 64
      levels become `{"arguments": <the string>}`; empty ones become `{}`.

    A tool call without its result in *messages*, or a result without its call, is passed through;
    `CompiledContext.to_anthropic` settles those, and says what was left out.

    Args:
        messages: the messages of a context.
        exact: send what was committed, message by message, and mend nothing.
        model: the model that the request goes to, if it is known.
        load: returns the bytes of an attachment by their SHA-256.
    """
    shown = list(messages) if exact else _with_ids(messages)
    written = write([Sent(message) for message in shown], Writing(exact, load, model))
    return cast(AnthropicArguments, written)


def _with_ids(messages: Sequence[Message]) -> list[Message]:
    """Return *messages* with ids that the API takes; those of parts have theirs."""
    mended = iter(portable_ids(fill_ids([each for each in messages if _is_plain(each)])))
    return [next(mended) if _is_plain(message) else message for message in messages]


def _is_plain(message: Message) -> bool:
    return message.given is None and side_of(message) != "system"
