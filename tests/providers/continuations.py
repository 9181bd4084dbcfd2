"""Later requests that contain an earlier answer, made again from what was recorded of it.

The history is what the later request has before the answer, the answer as `record` or
`record_stream` takes it, and what the later request has behind it. What compiles has to be accepted
by the API's validator, and to carry each text, argument, id and signature of what was really sent.
"""

from __future__ import annotations

import copy
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from providers.exchanges import Exchange
from providers.passages import Passage, api_of, contents_of, events_of
from providers.validators import problems
from tract import AsyncTract, NullTokenCounter, TractStore
from tract.formats.registry import FORMATS

__all__ = ["Continuation", "continuations", "found"]

Json = dict[str, Any]

_LISTS = {"openai.responses": "input", "google.generate_content": "contents"}
_CARRIED = frozenset(
    {
        "args",
        "arguments",
        "call_id",
        "content",
        "data",
        "encrypted_content",
        "id",
        "input",
        "name",
        "output",
        "reasoning",
        "reasoning_content",
        "refusal",
        "signature",
        "text",
        "thinking",
        "thoughtSignature",
        "thought_signature",
        "tool_call_id",
        "tool_use_id",
    }
)
"""The keys of texts, arguments, ids and signatures."""
_ARGUMENTS = frozenset({"args", "input"})
"""The keys of arguments that are objects, of which all strings count."""


_COMPOSED = {"test_google/test_google_model_file_search_grounding_gemini_3[True]#4"}
"""Whose client wrote a response of the provider's tool itself, from what the answer cites."""


class Continuation(NamedTuple):
    """A request that has an earlier answer among its items, from `begin` to before `end`."""

    answered: Exchange
    request: Exchange
    begin: int
    end: int


def found(recorded: Iterable[Exchange]) -> Iterator[Continuation]:
    """Yield each earlier answer of the same file that a request contains, the latest one first."""
    files: defaultdict[str, list[Exchange]] = defaultdict(list)
    for exchange in recorded:
        for before in reversed(files[exchange.id.partition("#")[0]]):
            if before.failed or exchange.id in _COMPOSED:
                continue
            place = _place(before, _items(exchange))
            if place is not None:
                yield Continuation(before, exchange, *place)
                break
        files[exchange.id.partition("#")[0]].append(exchange)


def _items(exchange: Exchange) -> list[Any]:
    listed = exchange.request[_LISTS.get(api_of(exchange), "messages")]
    return [_without_made_up(each) for each in listed] if isinstance(listed, list) else []


def _without_made_up(value: Any) -> Any:
    """Return JSON without the ids that the client made up for calls that came without."""
    if isinstance(value, list):
        return [_without_made_up(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _without_made_up(each)
        for key, each in value.items()
        if not (isinstance(each, str) and each.startswith("pyd_ai_"))
    }


def _place(answered: Exchange, items: Sequence[Any]) -> tuple[int, int] | None:
    """Return where *items* have the answer: items of the model's that say nothing else."""
    said = _comparable(answered.answers) + _pieces(answered.answers)
    for begin in range(len(items)):
        end = begin
        while end < len(items) and _is_models(items[end]) and _all_in(items[end], said):
            end += 1
        if end > begin:
            return begin, end
    return None


def _is_models(item: Json) -> bool:
    if "role" in item:
        return item["role"] in ("assistant", "model")
    kind = str(item.get("type"))
    return kind == "reasoning" or (kind.endswith("_call") and not kind.startswith("mcp_approval"))


def _all_in(item: Json, said: str) -> bool:
    strings = [text for text in _carried(item) if text.strip()]
    return bool(strings) and all(_escaped(text) in said for text in strings)


def _comparable(value: Any) -> str:
    """Return JSON in which base64 of either alphabet is the same, since Google's SDK changes it."""
    return json.dumps(value, ensure_ascii=False).translate(_ALPHABET)


def _escaped(text: str) -> str:
    return _comparable(text)[1:-1]


_ALPHABET = str.maketrans("-_", "+/")


def _pieces(answers: Sequence[Json]) -> str:
    """Return the strings of a stream, put together by their keys."""
    joined: defaultdict[str, list[str]] = defaultdict(list)
    for key, text in _strings(answers, ""):
        joined[key].append(text)
    return _comparable(["".join(texts) for texts in joined.values()])


def _strings(value: Any, key: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, each in value.items():
            yield from _strings(each, name)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _strings(each, key)
    elif isinstance(value, str):
        yield key, value


def _carried(value: Any, key: str = "") -> Iterator[str]:
    """Yield the texts, arguments, ids and signatures of an item."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from _carried(each, key if key in _ARGUMENTS else name)
    elif isinstance(value, list):
        for each in value:
            yield from _carried(each, key)
    elif isinstance(value, str) and key in _CARRIED:
        yield value


async def continuations(recorded: Iterable[Exchange]) -> list[Passage]:
    """Return how each continuation went."""
    done: list[Passage] = []
    async with TractStore.open(tokenizer=NullTokenCounter()) as store:
        for each in found(recorded):
            try:
                problem = await _problem(store.tract(each.request.id), each)
            except Exception as error:  # one must not hide the others
                problem = f"{type(error).__name__}: {error}"[:200]
            done.append(Passage(each.request, "continuation", problem))
    return done


async def _problem(tract: AsyncTract, each: Continuation) -> str | None:
    """Return what is wrong with the request that follows from the recorded answer."""
    request, api = each.request, api_of(each.request)
    items = _items(request)
    await _commit(tract, request, items[: each.begin], begins=True)
    if each.answered.reply is not None:
        await tract.record(copy.deepcopy(each.answered.reply))
    else:
        async for _ in tract.record_stream(events_of(each.answered)):
            pass
    await _commit(tract, request, items[each.end :], begins=False)
    context = await tract.compile()
    made = context.request(api)
    refused = problems(api, _as_sent(api, made), provider=request.provider, model=request.model)
    if refused:
        return refused[0]
    lost = {loss.what for loss in context.losses}
    if each.answered.api != request.api and "thinking" in lost:
        return None  # which the client sent to another API as a text
    return _missing(request, made)


def _as_sent(api: str, made: Json) -> Json:
    """Return the SDK's arguments as the body of the request."""
    if api != "google.generate_content":
        return made
    config = made.get("config", {})
    names = {"system_instruction": "systemInstruction", "tools": "tools"}
    return {
        "contents": made["contents"],
        **{names[key]: value for key, value in config.items() if key in names},
    }


async def _commit(tract: AsyncTract, request: Exchange, items: list[Any], *, begins: bool) -> None:
    """Commit items of a request; what stands beside them comes before the first."""
    listed = _LISTS.get(api_of(request), "messages")
    beside = request.request if begins else {}
    async with tract.batch() as batch:
        for content in contents_of(replace(request, request={**beside, listed: items})):
            batch.commit(content)


def _missing(request: Exchange, made: Json) -> str | None:
    """Return a text, argument, id or signature that was really sent, and is not sent now."""
    there = _comparable(made)
    longest = FORMATS[api_of(request)].rules.id_longest
    for text in _carried(_items(request)):
        # Ids that are too long for the API's own provider are cut, in a call as in its result.
        known = text if len(text) <= longest or " " in text else text[: longest - 9]
        if text.strip() and _escaped(known) not in there:
            return f"does not carry {text[:60]!r}"
    return None
