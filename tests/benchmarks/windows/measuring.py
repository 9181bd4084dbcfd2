"""Replays a conversation turn by turn, and measures what a model is sent."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, Self

from benchmarks.windows.ways import COUNTER, Way
from benchmarks.workload import ChatMessage

__all__ = ["Figures", "cost_of", "replayed", "tokens_of"]

_ID = re.compile(r"\b(?:HAT\d{3}|[A-Z0-9]{6}|[a-z]+_[a-z]+_\d{4}|\d{4}-\d\d-\d\d)\b")
"""Flights, reservations, users and dates: what a clerk is asked about later."""


@dataclass
class Figures:
    """Sums over requests, and over conversations of what is left of their first third."""

    requests: int = 0
    tokens: int = 0
    same: int = 0
    """Tokens of the messages that a request begins with and that the one before began with, too."""
    over: int = 0
    orphans: int = 0
    """Requests with a call without its result, or a result without its call."""
    early: int = 0
    in_last: int = 0
    found: int = 0
    looked: int = 0
    seconds: float = 0.0

    def __add__(self, other: Figures) -> Self:
        return type(self)(
            *(getattr(self, each.name) + getattr(other, each.name) for each in fields(self))
        )

    def cells(self) -> list[str]:
        """Return the cells of a table."""
        return [
            f"{self.tokens:,}",
            f"{self.same / self.tokens:.1%}",
            f"{self.over / self.requests:.1%}",
            f"{self.orphans}",
            f"{self.in_last / self.early:.0%}",
            f"{self.found / self.looked:.0%}" if self.looked else "-",
            f"{1_000 * self.seconds / self.requests:.1f}",
        ]


async def replayed(way: type[Way], messages: Sequence[ChatMessage], window: int) -> Figures:
    """Replay a conversation: each message of the assistant's is preceded by a request."""
    figures, sent = Figures(), list[str]()
    kept = way(window, tokens_of(messages) / len(messages))
    async with kept:
        for message in messages:
            begun = time.perf_counter()
            if message["role"] == "assistant":
                request = await kept.request()
                figures.seconds += time.perf_counter() - begun
                sent = _note(figures, request, sent, window)
                begun = time.perf_counter()
            await kept.add(message)
            figures.seconds += time.perf_counter() - begun
        for word in _early(messages):
            figures.early += 1
            figures.in_last += any(word in text for text in sent)
            found = await kept.finds(word)
            figures.looked += found is not None
            figures.found += found is True
    return figures


def _note(
    figures: Figures, request: Sequence[ChatMessage], before: Sequence[str], window: int
) -> list[str]:
    costs = [cost_of(message) for message in request]
    texts = [repr(sorted(message.items())) for message in request]
    pairs = enumerate(zip(texts, before, strict=False))
    same = next((at for at, (one, other) in pairs if one != other), min(len(texts), len(before)))
    total = sum(costs) + COUNTER.tokens_for_reply
    figures.requests += 1
    figures.tokens += total
    figures.same += sum(costs[:same])
    figures.over += total > window
    figures.orphans += _has_orphans(request)
    return texts


def tokens_of(messages: Sequence[ChatMessage]) -> int:
    """Return what messages cost as a request."""
    return COUNTER.tokens_for_reply + sum(map(cost_of, messages))


def cost_of(message: ChatMessage) -> int:
    """Return what a message costs; each is counted once, for whichever way asks."""
    return _cost(json.dumps({key: each for key, each in message.items() if each is not None}))


@lru_cache(maxsize=50_000)
def _cost(message: str) -> int:
    return COUNTER.count_messages([json.loads(message)]) - COUNTER.tokens_for_reply


def _has_orphans(request: Sequence[ChatMessage]) -> bool:
    calls: Counter[Any] = Counter(
        call["id"] for message in request for call in message.get("tool_calls") or ()
    )
    return calls != Counter(each["tool_call_id"] for each in request if each["role"] == "tool")


def _early(messages: Sequence[ChatMessage]) -> list[str]:
    """Return the ids that were said in the first third, but for the system prompt's."""
    texts = [str(each.get("content") or "") for each in messages[: len(messages) // 3]]
    told = {*_ID.findall(texts[0])}
    found = dict.fromkeys(word for text in texts[1:] for word in _ID.findall(text))
    return [word for word in found if word not in told and not word.isalpha()]
