"""Every recorded request and answer through a store, and back: `nox -s exchanges -- PATH`.

A request goes in by `from_…` and has to come out of `request(…, open_calls="keep")` equal in value,
with its system prompt and its tools. An answer goes in by `record` or, event by event, by
`record_stream`; its items have to come out for the next request as the API's own reader has them,
and each text, id and signature of the answer is looked for among them.
"""

from __future__ import annotations

import copy
import json
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any, NamedTuple

from providers.exchanges import Exchange
from tract import (
    AsyncTract,
    NullTokenCounter,
    TractStore,
    from_anthropic,
    from_google,
    from_openai,
    from_responses,
)
from tract.formats.deltas import apply
from tract.formats.registry import FORMATS

Json = dict[str, Any]


class Passage(NamedTuple):
    """One way through the store: of an exchange's request or of its answer."""

    exchange: Exchange
    what: str
    problem: str | None


def api_of(exchange: Exchange) -> str:
    """Return the format's name; compaction speaks as Responses does."""
    return exchange.api.removesuffix(".compact")


def wanted(exchange: Exchange) -> Json:
    """Return what of a request is its context, as the SDK's arguments."""
    request = copy.deepcopy(exchange.request)
    match api_of(exchange):
        case "openai.chat":
            return _some(request, "messages", "tools")
        case "openai.responses":
            if isinstance(request["input"], str):  # one message of the user, as the API has it
                request["input"] = [{"role": "user", "content": request["input"]}]
            return _some(request, "input", "instructions", "tools")
        case "anthropic.messages":
            return _some(request, "messages", "system", "tools")
    tools = request.get("tools")
    config = {"system_instruction": request.get("systemInstruction")}
    config["tools"] = [tools] if isinstance(tools, dict) else tools  # the API takes one alone
    config = {key: value for key, value in config.items() if value}
    return {"contents": request["contents"], **({"config": config} if config else {})}


def _some(request: Json, *keys: str) -> Json:
    return {key: request[key] for key in keys if request.get(key) not in (None, [])}


def contents_of(exchange: Exchange) -> list[Any]:
    """Return the contents to commit for a request."""
    request = copy.deepcopy(exchange.request)
    tools = request.get("tools") or None
    match api_of(exchange):
        case "openai.chat":
            return [*from_openai(request["messages"], tools=tools)]
        case "openai.responses":
            instructions = request.get("instructions")
            return [*from_responses(request["input"], instructions=instructions, tools=tools)]
        case "anthropic.messages":
            system = request.get("system")
            return [*from_anthropic(request["messages"], system=system, tools=tools)]
    tools = [tools] if isinstance(tools, dict) else tools
    system = request.get("systemInstruction")
    return [*from_google(request["contents"], system_instruction=system, tools=tools)]


async def request_passes(tract: AsyncTract, exchange: Exchange) -> str | None:
    """Commit a request's context; return how what compiles differs from it."""
    async with tract.batch() as batch:
        for content in contents_of(exchange):
            batch.commit(content)
    context = await tract.compile(aggregate_same_role=False)
    sent = context.request(api_of(exchange), open_calls="keep")
    return difference(wanted(exchange), {key: sent[key] for key in sent if sent[key] != []})


async def answer_passes(tract: AsyncTract, exchange: Exchange) -> str | None:
    """Record an answer; return how the items for the next request differ from what it holds."""
    before = await items(tract, exchange)
    if exchange.reply is not None:
        await tract.record(copy.deepcopy(exchange.reply))
    else:
        async for _ in tract.record_stream(events_of(exchange)):
            pass
    after = await items(tract, exchange)
    expected = expected_items(exchange)
    return difference(before + expected, after) or missing(exchange, expected)


async def events_of(exchange: Exchange) -> AsyncIterator[Json]:
    """Yield an answer's events as they came."""
    for event in exchange.events:
        yield copy.deepcopy(event.data)


async def items(tract: AsyncTract, exchange: Exchange) -> list[Any]:
    """Return the items that a request would have now."""
    context = await tract.compile(aggregate_same_role=False)
    sent = context.request(api_of(exchange), open_calls="keep")
    key = {"openai.responses": "input", "google.generate_content": "contents"}
    return list(sent[key.get(api_of(exchange), "messages")])


def expected_items(exchange: Exchange) -> list[Json]:
    """Return an answer's items, as the API's format reads them without a store."""
    target = FORMATS[api_of(exchange)]
    if exchange.reply is not None:
        found = target.reply(copy.deepcopy(exchange.reply))
        said = [] if found is None else found.items
        return [item for item in said if item.keys() - {"role", "parts"} or item.get("parts")]
    reader, root = target.events(), dict[str, Any]()
    for event in exchange.events:
        apply(root, reader.feed(copy.deepcopy(event.data)))
    return reader.reply(root, complete=True).items


_CARRIED = ("arguments", "encrypted_content", "signature", "text", "thinking", "thoughtSignature")


def missing(exchange: Exchange, expected: Sequence[Json]) -> str | None:
    """Return a text or signature of a whole answer that its items do not carry."""
    if exchange.reply is None:
        return None
    there = json.dumps(expected, ensure_ascii=False)
    for text in _texts(exchange.items, ""):
        if json.dumps(text, ensure_ascii=False)[1:-1] not in there:
            return f"does not carry {text[:60]!r}"
    return None


def _texts(value: Any, key: str) -> Iterable[str]:
    if isinstance(value, dict):
        for name, each in value.items():
            yield from _texts(each, name)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each, key)
    elif isinstance(value, str) and key in _CARRIED:
        yield value


def difference(expected: Any, found: Any, path: str = "") -> str | None:
    """Return where two JSON values differ first, or None."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for key in [*expected, *(found.keys() - expected.keys())]:
            if key not in found or key not in expected:
                return f"{path}.{key} is in one of both"
            told = difference(expected[key], found[key], f"{path}.{key}")
            if told:
                return told
        return None
    if isinstance(expected, list) and isinstance(found, list):
        for index, (one, other) in enumerate(zip(expected, found, strict=False)):
            told = difference(one, other, f"{path}[{index}]")
            if told:
                return told
        return None if len(expected) == len(found) else f"{path} has {len(found)} items"
    same = json.dumps(expected, sort_keys=True) == json.dumps(found, sort_keys=True)
    return None if same else f"{path} differs"


async def passages(recorded: Iterable[Exchange]) -> list[Passage]:
    """Return how each passage went."""
    done: list[Passage] = []
    async with TractStore.open(tokenizer=NullTokenCounter()) as store:
        for exchange in recorded:
            tract = store.tract(exchange.id)
            done.append(await _tried(exchange, "request", request_passes, tract))
            if not exchange.failed:
                done.append(await _tried(exchange, "answer", answer_passes, tract))
    return done


async def _tried(
    exchange: Exchange, what: str, passes: Callable[..., Any], tract: AsyncTract
) -> Passage:
    try:
        return Passage(exchange, what, await passes(tract, exchange))
    except Exception as error:  # one passage must not hide the others
        return Passage(exchange, what, f"{type(error).__name__}: {error}"[:200])
