"""From messages to the arguments of a request: paired, fitted, written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

from tract.exceptions import shown
from tract.formats.fitting import fitted, fitting_name
from tract.formats.format import Format, Json, Sent, Tool, Writing
from tract.formats.pairing import paired
from tract.formats.registry import FORMATS
from tract.protocols import (
    AnthropicArguments,
    GoogleArguments,
    Loss,
    Message,
    OpenCalls,
    ResponsesArguments,
)
from tract.protocols.parts import Native, Part

__all__ = [
    "arguments",
    "parts_of",
    "to_anthropic",
    "to_google",
    "to_openai",
    "to_responses",
    "tool_arguments",
    "write_tools",
]

_WAYS = ("error", "drop", "keep")
"""What may become of open calls."""
_HINTS = ("annotations", "cache_control", "citations", "prompt_cache_breakpoint")
"""Where APIs say what a text quotes, and what to keep in the prompt cache."""


def arguments(
    target: Format, sent: Sequence[Sent], writing: Writing, open_calls: OpenCalls = "error"
) -> Json:
    """Return the arguments of a request to *target*; `keep` sends exactly what was committed.

    Raises:
        ValueError: *open_calls* is not one of the three ways, or the model is not a string.
    """
    if open_calls not in _WAYS:
        raise ValueError(f"open_calls is 'error', 'drop' or 'keep', not {shown(open_calls)}")
    if not isinstance(writing.model, str | None):
        raise ValueError(f"model is a model's name or None, not {shown(writing.model)}")
    if open_calls == "keep":
        writing.exact = True
    else:
        sent = paired(sent, open_calls, writing, parts_of)
    return _written(target, sent, writing)


def _written(target: Format, sent: Sequence[Sent], writing: Writing) -> Json:
    if not writing.exact:
        sent = fitted(sent, target.rules_of(writing.model), writing, parts_of)
    written = target.write(sent, writing)
    _lose_hints(sent, target.api, writing)
    return written


def _lose_hints(sent: Sequence[Sent], api: str, writing: Writing) -> None:
    """Name what other APIs say beside a text or a medium, which has no form of its own here."""
    named = {(loss.commit_hash, loss.what) for loss in writing.losses}
    for each in sent:
        message, native = each.message, each.message.native
        if message.given is None if native is None else native.api == api:
            continue  # what it has beside its texts is of this API, as all of its parts are
        for native in _natives(message):
            if native.api == api or not any(f'"{key}"' in native.text for key in _HINTS):
                continue
            for key in dict.fromkeys(_hints(native.item)):
                if (each.commit_hash, key) not in named:
                    named.add((each.commit_hash, key))
                    writing.lose(each, key, f"only {native.api} has it")


def _natives(message: Message) -> Iterator[Native]:
    if message.native is not None:
        yield message.native
    for part in message.given or ():
        if part.native is not None:
            yield part.native


def _hints(value: Any) -> Iterator[str]:
    """Yield the hints of an item, its blocks, and the blocks in those."""
    if isinstance(value, list):
        for each in value:
            yield from _hints(each)
    elif isinstance(value, dict):
        yield from (key for key in _HINTS if value.get(key))
        for key in ("content", "output", "system"):
            yield from _hints(value.get(key))


def parts_of(message: Message) -> Sequence[Part]:
    """Return the parts of a message, each with its own JSON if an API sent it."""
    native = message.native
    source = None if native is None else FORMATS.get(native.api)
    if native is None or source is None:
        return message.parts
    return source.read(native.item, keep=True).parts


def tool_arguments(target: Format, tools: Native | None, writing: Writing) -> Json:
    """Return the arguments for the tools of a context."""
    return {} if tools is None else write_tools(target, tools.item, tools.api, writing)


def write_tools(target: Format, tools: list[Json], api: str, writing: Writing) -> Json:
    """Return the arguments for tools as *api* takes them: the target's own as they are."""
    if api == target.api:
        kept = tools if writing.exact else _once(target, tools, writing)
        return target.offer(kept, writing, is_own=True) if tools else {}
    made: dict[str, Json] = {}
    for given in tools:
        found = [] if (source := FORMATS.get(api)) is None else source.read_tool(given)
        defined = [_defined(target, tool, writing) for tool in found if not tool.is_nested]
        if not any(defined):
            kind = given.get("type") or next(iter(given), "nothing")
            why = f"the tool {kind!r} is one that only its own API has"
            writing.losses.append(Loss(None, "tool", why))
        for name, definition in filter(None, defined):
            made.setdefault(name, definition)
    return target.offer([*made.values()], writing, is_own=False) if made else {}


def _once(target: Format, tools: list[Json], writing: Writing) -> list[Json]:
    """Return *tools* without those of a name that came before, which APIs refuse."""
    kept: list[Json] = []
    known: set[str] = set()
    for tool in tools:
        names = {each.name for each in target.read_tool(tool)}
        if (names and names <= known) or tool in kept:
            named = ", ".join(sorted(names)) or str(tool.get("type") or next(iter(tool), "nothing"))
            writing.losses.append(Loss(None, "tool", f"the tool {named!r} is there already"))
        else:
            kept.append(tool)
            known |= names
    return kept


def _defined(target: Format, tool: Tool, writing: Writing) -> tuple[str, Json] | None:
    name = tool.name if writing.exact else fitting_name(tool.name, target.rules)
    definition = target.define(tool._replace(name=name), writing)
    return None if definition is None else (name, definition)


def to_openai(
    messages: Sequence[Message],
    *,
    exact: bool = False,
    model: str | None = None,
    load: Callable[[str], bytes] = lambda _: b"",
) -> list[Any]:
    """Return a Chat Completions message list, as new plain dicts.

    Tool calls in messages of their own, as `compile(aggregate_same_role=False)` leaves them, are
    merged into the assistant's message before them, because the API wants a turn's calls in one
    message. Missing ids are made up: `call_1`, `call_2`, … A tool result's name is not sent.
    Messages that came from this API go out as they came; those of others are translated.

    Args:
        messages: the messages of a context.
        exact: send what was committed, message by message, and mend nothing.
        model: the model that the request goes to, if it is known: thinking of others is left out.
        load: returns the bytes of an attachment by their SHA-256.
    """
    found = _of_messages("openai.chat", messages, Writing(exact, load, model))
    return cast("list[Any]", found["messages"])


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
    - Missing ids are made up, repeated ids are made unique, and one with characters outside
      `[a-zA-Z0-9_-]` ends in a digest of what it was; calls and their results always agree.
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
    found = _of_messages("anthropic.messages", messages, Writing(exact, load, model))
    return cast(AnthropicArguments, found)


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
      are cut and end in a digest of what they were.

    `CompiledContext.to_responses` does the same, and says what was left out.

    Args:
        messages: the messages of a context.
        open_calls: what becomes of calls without a result; see `CompiledContext.request`.
        model: the model that the request goes to, if it is known.
        load: returns the bytes of an attachment by their SHA-256.
    """
    writing = Writing(open_calls == "keep", load, model)
    sent = [Sent(message) for message in messages]
    found = arguments(FORMATS["openai.responses"], sent, writing, open_calls)
    return cast(ResponsesArguments, found)


def to_google(
    messages: Sequence[Message],
    *,
    exact: bool = False,
    model: str | None = None,
    load: Callable[[str], bytes] = lambda _: b"",
) -> GoogleArguments:
    """Return new arguments for `generate_content`: `contents`, and `config` if there is need.

    They are plain dicts with the keys of the REST API, and bytes as base64, which the SDK takes as
    well. A message that came from this API goes out as it came; what the API does not support is
    adapted:

    - System messages of other origin, wherever they stand, are joined into `system_instruction`.
    - The calls of one step are in one content, and their responses in the next, in their order;
      what else the user says stands behind them.
    - Calls that no Gemini model made get the API's own word for that in place of a signature,
      unless *model* is one that does not sign its calls.
    - Empty texts are left out, and so are messages that hold nothing else, names, and thinking that
      another API made.
    - A user's turn is put before a call that would be first, and behind a model that would be last.

    A tool call without its result in *messages*, or a result without its call, is passed through;
    `CompiledContext.to_google` settles those, and says what was left out.

    Args:
        messages: the messages of a context.
        exact: send what was committed, message by message, and mend nothing.
        model: the model that the request goes to, if it is known.
        load: returns the bytes of an attachment by their SHA-256.
    """
    found = _of_messages("google.generate_content", messages, Writing(exact, load, model))
    return cast(GoogleArguments, found)


def _of_messages(api: str, messages: Sequence[Message], writing: Writing) -> Json:
    return _written(FORMATS[api], [Sent(message) for message in messages], writing)
