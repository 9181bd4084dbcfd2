"""`to_responses`: messages of any origin as arguments of a Responses call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

from tract.formats.fitting import fitted
from tract.formats.format import Sent, Writing
from tract.formats.openai_responses.kinds import API, RULES
from tract.formats.openai_responses.reading import read
from tract.formats.openai_responses.writing import write
from tract.formats.pairing import paired
from tract.parts import Part
from tract.protocols import Message, OpenCalls, ResponsesArguments

__all__ = ["to_responses"]


def to_responses(
    messages: Sequence[Message],
    *,
    open_calls: OpenCalls = "error",
    model: str | None = None,
    load: Callable[[str], bytes] = lambda _: b"",
) -> ResponsesArguments:
    """Return new arguments for `client.responses.create`: `input`, and `instructions` if any.

    A message that came from this API goes out as the item that it was. What the API does not
    support is adapted:

    - System and developer messages before all others are joined by blank lines into
      `instructions`; later ones stand in the input. Without anything else, they do, too.
    - Texts become messages, each tool call and each result an item of its own.
    - Results stand behind their calls, and are of the kind that the call asks for.
    - Names of users and assistants are dropped: the API has no field for them.
    - Thinking that another API made is left out, and so is thinking that leads to nothing.
    - Missing ids are made up, repeated ids are made unique, and those of more than 64 characters
      are cut.

    `CompiledContext.to_responses` does the same, and says what was left out.

    Args:
        messages: the messages of a context.
        open_calls: what becomes of calls without a result; see `CompiledContext.request`.
        model: the model that the request goes to, if it is known.
        load: returns the bytes of an attachment by their SHA-256.
    """
    sent: Sequence[Sent] = [Sent(message) for message in messages]
    writing = Writing(exact=open_calls == "keep", load=load, model=model)
    if open_calls != "keep":
        sent = fitted(paired(sent, open_calls, writing, _parts_of), RULES, writing, _parts_of)
    return cast(ResponsesArguments, write(sent, writing))


def _parts_of(message: Message) -> Sequence[Part]:
    """Return the parts of a message, each with its own JSON if this API sent it."""
    native = message.native
    is_own = native is not None and native.api == API
    return read(native.item, keep=True).parts if native and is_own else message.parts
