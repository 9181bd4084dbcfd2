"""Values of the SDKs' types with something else in their slots: what no API should send, and may."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from anthropic.types.beta import BetaMessage, BetaMessageParam, BetaRawMessageStreamEvent
from google.genai.types import Content, GenerateContentResponse
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionMessageParam
from openai.types.responses import (
    Response,
    ResponseInputItemParam,
    ResponseOutputItem,
    ResponseStreamEvent,
)

from support.sdk_types import cases

__all__ = ["JUNK", "events", "items", "replies", "spoilt"]

JUNK: tuple[Any, ...] = (
    *(None, True, 0, 1.5, "", "x", " ", "\ud800", [], {}, [None], [[1]], ["x"]),
    *({"a": 1}, {"type": "text"}, {"type": []}, [{"type": "text", "text": 5}]),
    *("data:;base64,x", "data:image/png;base64,QUJD"),
)

_ITEMS: dict[str, tuple[Any, ...]] = {
    "openai.chat": (ChatCompletionMessageParam,),
    "openai.responses": (ResponseInputItemParam, ResponseOutputItem),
    "anthropic.messages": (BetaMessageParam,),
    "google.generate_content": (Content,),
}
_REPLIES: dict[str, Any] = {
    "openai.chat": ChatCompletion,
    "openai.responses": Response,
    "anthropic.messages": BetaMessage,
    "google.generate_content": GenerateContentResponse,
}
_EVENTS: dict[str, Any] = {
    "openai.chat": ChatCompletionChunk,
    "openai.responses": ResponseStreamEvent,
    "anthropic.messages": BetaRawMessageStreamEvent,
    "google.generate_content": GenerateContentResponse,
}


@cache
def items(api: str) -> st.SearchStrategy[Any]:
    """Return a strategy of an API's items with junk in some slots."""
    return spoilt([value for each in _ITEMS[api] for value in cases(each).values])


@cache
def replies(api: str) -> st.SearchStrategy[Any]:
    """Return a strategy of an API's whole replies with junk in some slots."""
    return spoilt(cases(_REPLIES[api]).values)


@cache
def events(api: str) -> st.SearchStrategy[Any]:
    """Return a strategy of the events of an API's streams with junk in some slots."""
    return spoilt(cases(_EVENTS[api]).values)


@st.composite
def spoilt(draw: st.DrawFn, values: Sequence[Any]) -> Any:
    """Draw one of *values*, up to two slots of which hold junk."""
    value = draw(st.sampled_from(values))
    for _ in range(draw(st.integers(0, 2))):
        slots = list(_slots(value))
        if slots:
            value = _with(value, draw(st.sampled_from(slots)), draw(st.sampled_from(JUNK)))
    return copy.deepcopy(value)


def _slots(value: Any) -> Iterator[tuple[Any, ...]]:
    """Yield the path of everything in *value*."""
    inside = value.items() if isinstance(value, dict) else enumerate(value)
    for step, each in inside:
        yield (step,)
        if isinstance(each, dict | list):
            yield from ((step, *rest) for rest in _slots(each))


def _with(value: Any, path: tuple[Any, ...], junk: Any) -> Any:
    """Return *value* with *junk* at a path."""
    changed = copy.copy(value)
    step, *rest = path
    changed[step] = _with(value[step], tuple(rest), junk) if rest else copy.deepcopy(junk)
    return changed
