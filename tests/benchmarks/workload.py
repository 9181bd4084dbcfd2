"""What is stored: messages of 290 characters, their generation config, recorded conversations."""

from __future__ import annotations

import json
import os
import random
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

__all__ = [
    "CONFIG",
    "FULL",
    "LENGTH",
    "QUICK",
    "RARE_CONFIG",
    "ChatMessage",
    "Sizes",
    "config_of",
    "document",
    "messages",
    "transcripts",
    "worded",
    "zipf_word",
]

ChatMessage = dict[str, Any]
"""A Chat Completions message."""

LENGTH = 290
CONFIG: dict[str, Any] = {"model": "gpt-4o", "temperature": 0.7, "max_tokens": 1024}
RARE_CONFIG: dict[str, Any] = {**CONFIG, "model": "o3"}

_WORDS = (
    "I you we they can could please would the a flight ticket to from on before after morning "
    "evening Oslo Bergen Lisbon Denver seat aisle window baggage card change cancel confirm "
    "reservation number passenger booking price refund policy member silver gold and or but then "
    "thanks sure of course let me check what about tomorrow Friday 12:40 B-7Q2 $184"
).split()
_FOLDER = Path(__file__).parents[3] / "shared" / "data"


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much each line does; what is slow does less of it, so that a run comes to an end."""

    repetitions: int = 5
    commits: int = 3_000
    tasks: int = 64
    commits_each: int = 50
    slow_commits: int = 300
    slow_commits_each: int = 5
    history: int = 1_000
    conversations: int = 32
    turns: int = 50
    head: int = 10_000
    shallow: int = 200
    deep: int = 20_000
    probes: int = 40
    peer_probes: int = 5
    queried: int = 50_000
    matches: int = 50
    queries: int = 5
    agents: int = 100
    stall_rounds: int = 40
    slow_stall_rounds: int = 10
    document: int = 2_000_000
    opened: int = 100_000
    tracts: int = 1_000
    tract_length: int = 200
    stored: int = 10_000
    listed: int = 10_000
    erased: int = 100
    pruned: int = 100_000
    searched: int = 200_000
    numerous: int = 100_000


FULL = Sizes()
QUICK = Sizes(
    repetitions=1,
    commits=100,
    tasks=16,
    commits_each=5,
    slow_commits=50,
    slow_commits_each=2,
    history=40,
    conversations=8,
    turns=5,
    head=300,
    shallow=20,
    deep=300,
    probes=5,
    peer_probes=2,
    queried=500,
    matches=5,
    queries=1,
    agents=8,
    stall_rounds=5,
    slow_stall_rounds=3,
    document=200_000,
    opened=500,
    tracts=20,
    tract_length=20,
    stored=300,
    listed=200,
    erased=10,
    pruned=1_000,
    searched=1_000,
    numerous=300,
)


def messages(count: int, conversation: str = "main", start: int = 0) -> list[ChatMessage]:
    """Return messages that differ, a user's and an assistant's in turn; always the same ones."""
    chance = random.Random(f"{conversation}/{start}")
    roles = ("user", "assistant")
    return [
        {"role": roles[number % 2], "content": _text(chance, f"{conversation}-{number}")}
        for number in range(start, start + count)
    ]


def config_of(number: int, matches: int, count: int) -> dict[str, Any]:
    """Return the config of one of *count* commits, *matches* of which have another model."""
    return RARE_CONFIG if number % (count // matches) == 0 else CONFIG


def document(characters: int) -> ChatMessage:
    """Return a user's message with a text of that length."""
    chance = random.Random(characters)
    return {"role": "user", "content": _text(chance, "document", characters)}


def _text(chance: random.Random, beginning: str, length: int = LENGTH) -> str:
    text = f"{beginning}: " + " ".join(chance.choices(_WORDS, k=length // 4))
    while len(text) < length:
        text += " " + " ".join(chance.choices(_WORDS, k=32))
    return text[: length - 1] + "."


_VOCABULARY = 30_000
_SHARES = list(accumulate(1 / number for number in range(1, _VOCABULARY + 1)))


def zipf_word(number: int) -> str:
    """Return a word of `worded`; the lower its number, the more common it is."""
    return f"w{number:05}"


def worded(count: int, name: str) -> list[str]:
    """Return texts of 60 words, of which each is as common as in a natural language."""
    chance = random.Random(name)
    words = [zipf_word(number) for number in range(_VOCABULARY)]
    return [" ".join(chance.choices(words, cum_weights=_SHARES, k=60)) for _ in range(count)]


def transcripts(count: int) -> list[list[ChatMessage]] | None:
    """Return recorded conversations, or None where their file is not there.

    `ASYNCTRACT_TRANSCRIPTS` names its folder if that is another one.
    """
    path = Path(os.environ.get("ASYNCTRACT_TRANSCRIPTS", _FOLDER)) / "airline.jsonl"
    if not path.is_file():
        return None
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line)["messages"] for line, _ in zip(lines, range(count), strict=False)]
