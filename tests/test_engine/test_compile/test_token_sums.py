from __future__ import annotations

from itertools import product

import pytest

from support.counters import WordCounter
from tract import BaseTokenCounter, Message, Priority, TiktokenCounter, ToolCall
from tract.engine.compile.entries import Entries, Entry
from tract.engine.compile.pages import joined, joins
from tract.engine.compile.tally import BriefCounter, TooLongError, tokens_of, window_around

COUNTER = TiktokenCounter()
MESSAGES = [
    Message("user", "a\n"),
    Message("user", "\n b"),
    Message("user", "/c\n\n"),
    Message("user", ""),
    Message("user", "d", "Ann"),
    Message("assistant", "e "),
    Message("assistant", None, None, (ToolCall("1", "f", "{}"),)),
    Message("tool", "\n"),
]


def entry(message: Message, counter: BaseTokenCounter = COUNTER) -> Entry:
    body = counter.count_body(message)
    whole = body + counter.count_overhead(message.role, message.name)
    return Entry("h", message, body, whole, None, Priority.NORMAL)


def counted_at_once(messages: tuple[Message, ...]) -> int:
    """The tokens of the joined messages, by the counter itself."""
    groups: list[list[Message]] = []
    for message in messages:
        if groups and joins(groups[-1][-1], message):
            groups[-1].append(message)
        else:
            groups.append([message])
    return COUNTER.count_messages([joined(group).to_dict() for group in groups]) - 3


def test_runs_add_up_to_the_count_of_the_whole() -> None:
    """Every sequence of four kinds of message, each with neighbours that a token may span."""
    for messages in product(MESSAGES, repeat=4):
        tokens = tokens_of([entry(message) for message in messages], None, None, COUNTER)
        assert tokens == counted_at_once(messages), messages


def test_a_window_ends_where_texts_are_cut_cleanly() -> None:
    texts = ["a", "b", " c", " d", "e", "f"]
    entries = Entries().extended([entry(Message("user", text)) for text in texts])

    window = window_around(entries, 3, COUNTER)
    assert [item.message.content for item in window.entries(entries)] == ["b", " c", " d", "e"]
    assert window.before is not None
    assert window.before.message.content == "a"
    assert window.after is not None
    assert window.after.message.content == "f"


def test_a_brief_counter_counts_as_the_one_it_stands_for() -> None:
    brief = BriefCounter(COUNTER)

    assert brief.count_text("hello world") == COUNTER.count_text("hello world")
    assert brief.source == COUNTER.source
    assert (brief.joins_cleanly("a"), brief.joins_cleanly(" a")) == (True, False)


def test_a_brief_counter_gives_up_before_it_counts_much() -> None:
    counter = WordCounter()
    brief = BriefCounter(counter)
    brief.count_text("a" * 10_000)

    with pytest.raises(TooLongError):
        brief.count_text("b" * 10_000)
    assert counter.texts == ["a" * 10_000]
