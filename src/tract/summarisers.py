"""Ready summarisers for `compact()` and `maintain()`, over a client that the caller hands in.

Each takes an async client of a provider's SDK, or anything with the same methods, and returns a
summariser. Those named `…_summariser` ask a model for a text; any API that speaks like one of the
four will do. Those named `…_compactor` let the provider shorten the context in its own way, and keep
what it returns as it came.

They raise what the client raises, and a `CompactionError` for a reply that is empty, refused or cut
off; nothing is written then. The summary's commit has the model and the settings as its generation
config, and what the API reported in its metadata, `usage` included.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tract.exceptions import CompactionError, shown
from tract.formats.format import GO_ON, Json
from tract.formats.telling import Told, told
from tract.history.canonical import canonical_json, stored_json
from tract.models.compaction import CompactionRequest, Summariser, Summary
from tract.models.content import MessageContent, NativeContent
from tract.protocols.parts import Native, NativePart, Part, TextPart

__all__ = [
    "SUMMARY_HEADING",
    "SUMMARY_PROMPT",
    "anthropic_compactor",
    "anthropic_summariser",
    "google_summariser",
    "openai_summariser",
    "responses_compactor",
    "responses_summariser",
]

SUMMARY_HEADING: Final = "Summary of the conversation before this point:"
"""What the text of a summary begins with, so that a model does not take it for the user's words."""

SUMMARY_PROMPT: Final = """\
Summarise the conversation above. Your summary will replace it: whoever continues has your text and \
nothing else of it.

Keep, under short headings, what applies:
- the user's goals, constraints and preferences, in their own words where the wording matters;
- decisions, with the reasons for them, and what was tried and rejected;
- facts and results of tools that later steps may need;
- names, ids, paths, URLs, numbers, dates and error messages, exactly as they are written above;
- what is done, what is under way, and which questions are open.

Leave out greetings, repetition and dead ends that nothing depends on. Do not invent anything, do not \
continue the conversation, and do not call tools. Reply with the summary alone."""
"""What the ready summarisers ask for. What is pinned, an earlier summary and the target follow it."""

_COMPACTION_BETA = "compact-2026-09-04"
_MOST_TOKENS = 8192
_MOST_SHOWN = 500  # characters of a pinned message, or of an earlier summary
_WHOLE = frozenset({None, "completed", "end_turn", "eos", "stop", "stop_sequence"})
"""Why a reply ends that is whole, in lower case; None if the API does not say."""
_UNRECORDED = frozenset({"extra_headers", "extra_query", "timeout"})
"""Settings of the call, not of the model."""


def openai_summariser(
    client: Any, *, model: str, prompt: str = SUMMARY_PROMPT, **settings: Any
) -> Summariser:
    """Return a summariser that calls `client.chat.completions.create`.

    Args:
        client: an `openai.AsyncOpenAI`, or a client of an API like it.
        model: the model to ask.
        prompt: what to ask for, as the last message.
        settings: further arguments of the call, such as `temperature`.

    Raises:
        ContentValidationError: a setting is not JSON.
    """
    config = _config(model, settings)

    async def summarise(request: CompactionRequest) -> Summary:
        turns = request.context.to_openai(open_calls="drop", model=model)
        messages = _asked(turns, _turn, prompt, request)
        create = client.chat.completions.create
        return _summary(await create(model=model, messages=messages, **settings), config)

    return summarise


def responses_summariser(
    client: Any, *, model: str, prompt: str = SUMMARY_PROMPT, **settings: Any
) -> Summariser:
    """Return a summariser that calls `client.responses.create`; see `openai_summariser`."""
    config = _config(model, settings)

    async def summarise(request: CompactionRequest) -> Summary:
        given = request.context.to_responses(open_calls="drop", model=model)
        asked = {**given, "input": _asked(given["input"], _turn, prompt, request)}
        return _summary(await client.responses.create(model=model, **asked, **settings), config)

    return summarise


def anthropic_summariser(
    client: Any,
    *,
    model: str,
    max_tokens: int = _MOST_TOKENS,
    prompt: str = SUMMARY_PROMPT,
    **settings: Any,
) -> Summariser:
    """Return a summariser that calls `client.messages.create`; see `openai_summariser`.

    A summary of more than *max_tokens* is cut off, and refused.
    """
    settings["max_tokens"] = max_tokens
    config = _config(model, settings)

    async def summarise(request: CompactionRequest) -> Summary:
        given = request.context.to_anthropic(open_calls="drop", model=model)
        asked = {**given, "messages": _asked(given["messages"], _turn, prompt, request)}
        return _summary(await client.messages.create(model=model, **asked, **settings), config)

    return summarise


def google_summariser(
    client: Any, *, model: str, prompt: str = SUMMARY_PROMPT, **settings: Any
) -> Summariser:
    """Return a summariser that calls `client.models.generate_content`; see `openai_summariser`.

    The client is the async one, `genai.Client().aio`, and *settings* go into the call's `config`.
    """
    config = _config(model, settings)

    async def summarise(request: CompactionRequest) -> Summary:
        given = request.context.to_google(open_calls="drop", model=model)
        contents = _asked(given["contents"], _google_turn, prompt, request)
        reply = await client.models.generate_content(
            model=model, contents=contents, config={**given.get("config", {}), **settings}
        )
        return _summary(reply, config)

    return summarise


def responses_compactor(client: Any, *, model: str, **settings: Any) -> Summariser:
    """Return a summariser that calls `client.responses.compact`, OpenAI's own compaction.

    The summary is the encrypted item that it returns, after the user's messages, which the API keeps
    as they are. Only the Responses API can read the item; requests to others have the messages
    alone. Its tokens are not counted, and `must_keep` finds nothing in it.
    """
    config = _config(model, settings)

    async def summarise(request: CompactionRequest) -> Summary:
        given = request.context.to_responses(open_calls="drop", model=model)
        found = told(await client.responses.compact(model=model, **given, **settings))
        *kept, last = found.reply.items or [{}]
        if last.get("type") != "compaction" or any(each.get("role") != "user" for each in kept):
            raise CompactionError("the API did not return messages of the user and a compaction.")
        parts = [part for item in kept for part in found.format.read(item, keep=True).parts]
        if not parts:
            return _said(found, NativeContent(api=found.format.api, item=last), config)
        native = Native(found.format.api, canonical_json(last, surrogates=True))
        whole = (*parts, NativePart(native=native))
        return _said(found, MessageContent(role="user", parts=whole), config)

    return summarise


def anthropic_compactor(
    client: Any,
    *,
    model: str,
    max_tokens: int = _MOST_TOKENS,
    prompt: str | None = None,
    **settings: Any,
) -> Summariser:
    """Return a summariser that calls `client.beta.messages.create` for Anthropic's own compaction.

    The summary is the signed block that it returns. Requests that send it have to go to
    `client.beta.messages`, with the same `betas`, and the block has to come first: pin nothing
    before it. For other APIs it is its text. *prompt* replaces the API's own instructions. Give
    `system` and `tools` as *settings* if the conversation has them: the API reads them, too.
    """
    settings = {"betas": [_COMPACTION_BETA], **settings, "max_tokens": max_tokens}
    how = {"type": "summarize"} if prompt is None else {"type": "summarize", "instructions": prompt}
    config = _config(model, {**settings, "compaction": how})

    async def summarise(request: CompactionRequest) -> Summary:
        given = request.context.to_anthropic(open_calls="drop", model=model)
        create = client.beta.messages.create
        found = told(await create(**{"model": model, "compaction": how, **given, **settings}))
        (item,) = found.reply.items or [{}]
        blocks = item.get("content")
        if not isinstance(blocks, list) or [_compacted(each) for each in blocks] != [True]:
            raise CompactionError(
                f"the API returned no compaction, but ended with {found.reply.finish_reason!r}."
            )
        return _said(found, NativeContent(api=found.format.api, item=item), config)

    return summarise


def _compacted(block: Json) -> bool:
    return block.get("type") == "compaction" and bool(block.get("content"))


def _config(model: str, settings: Json) -> Json:
    """Return the generation config of a summary, as a copy."""
    told_of = {key: value for key, value in settings.items() if key not in _UNRECORDED}
    text = canonical_json({**told_of, "model": model}, "settings")
    copied: Json = stored_json(text, "settings")
    return copied


def _turn(text: str) -> Json:
    return {"role": "user", "content": text}


def _google_turn(text: str) -> Json:
    return {"role": "user", "parts": [{"text": text}]}


def _asked(
    turns: list[Any], turn: Callable[[str], Json], prompt: str, request: CompactionRequest
) -> list[Any]:
    """Return *turns* with the question as the last, in the place of what a format puts there."""
    if turns and turns[-1] == turn(GO_ON):
        turns.pop()
    return [*turns, turn("\n\n".join([prompt, *_circumstances(request)]))]


def _circumstances(request: CompactionRequest) -> list[str]:
    said: list[str] = []
    if request.previous_summary:
        said.append(
            "Among the messages above is an earlier summary, which yours replaces. Carry over what "
            f"still holds. It begins:\n{_brief(request.previous_summary)}"
        )
    pinned = [f"- {each.role}: {_brief(each.content)}" for each in request.pinned if each.content]
    if pinned:
        said.append("\n".join(["These messages stay. Do not repeat them:", *pinned]))
    if request.target_tokens is not None:
        said.append(f"Stay below {request.target_tokens} tokens.")
    return said


def _brief(text: str) -> str:
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]} […]"


def _summary(reply: object, config: Json) -> Summary:
    """Return the text of a reply that is whole."""
    found = told(reply)
    reason = found.reply.finish_reason
    if (None if reason is None else reason.lower()) not in _WHOLE:
        raise CompactionError(
            f"the summariser's reply ended with {shown(reason)}. If it was cut off, let it be longer."
        )
    parts: list[Part] = [
        part for item in found.reply.items for part in found.format.read(item).parts
    ]
    text = "\n\n".join(part.text for part in parts if isinstance(part, TextPart)).strip()
    if not text:
        raise CompactionError("the summariser returned nothing.")
    return _said(found, f"{SUMMARY_HEADING}\n\n{text}", config)


def _said(found: Told, content: str | NativeContent | MessageContent, config: Json) -> Summary:
    """Return a summary with what the API said about it."""
    reply = found.reply
    facts = {
        "api": found.format.api,
        "finish_reason": reply.finish_reason,
        "model": reply.model,
        "response_id": reply.response_id,
        "usage": reply.usage,
    }
    known = {key: value for key, value in facts.items() if value is not None}
    return Summary(content, generation_config=config, metadata=known)
