from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tract import Message, Priority, ToolCall, to_openai
from tract.engine.compile.entries import CHUNK_SIZE, Entries, Entry, bytes_of
from tract.engine.compile.pages import Page, joined, joined_groups, joined_messages, openai_dicts

BOUNDARIES = [0, 1, CHUNK_SIZE - 1, CHUNK_SIZE, CHUNK_SIZE + 1, 2 * CHUNK_SIZE, 200]


def entry(number: int, text: str = "x", priority: Priority = Priority.NORMAL) -> Entry:
    return Entry(f"h{number}", Message("user", text), 1, 4, None, priority)


def sequence(size: int) -> Entries:
    return Entries().extended([entry(number) for number in range(size)])


@pytest.mark.parametrize("size", BOUNDARIES)
def test_a_sequence_holds_its_entries_in_order(size: int) -> None:
    entries = sequence(size)

    assert len(entries) == size
    assert [item.commit_hash for item in entries] == [f"h{number}" for number in range(size)]
    assert [entries[number] for number in range(size)] == list(entries)


@pytest.mark.parametrize("size", BOUNDARIES)
def test_growing_one_by_one_gives_the_same_sequence(size: int) -> None:
    entries = Entries()
    for number in range(size):
        entries = entries.extended([entry(number)])

    assert list(entries) == list(sequence(size))
    assert len(entries.full) == size // CHUNK_SIZE
    assert len(entries.tail) == size % CHUNK_SIZE


@pytest.mark.parametrize("size", BOUNDARIES)
def test_every_entry_is_found_and_nothing_else(size: int) -> None:
    entries = sequence(size)

    assert [entries.find(f"h{number}") for number in range(size)] == list(range(size))
    assert entries.find(f"h{size}") is None
    assert entries.find("") is None


@pytest.mark.parametrize("size", BOUNDARIES[1:])
def test_replacing_changes_one_place(size: int) -> None:
    entries = sequence(size)
    for position in {0, size // 2, size - 1}:
        new = entry(position, "new")
        changed = entries.replaced(position, new)

        wanted = list(entries)
        wanted[position] = new
        assert list(changed) == wanted
        assert changed.find(f"h{position}") == position


@given(st.lists(st.integers(0, 130), max_size=6), st.integers(0, 140))
def test_older_versions_stay_as_they_were(growths: list[int], at: int) -> None:
    versions = [Entries()]
    for growth in growths:
        size = len(versions[-1])
        versions.append(versions[-1].extended([entry(size + number) for number in range(growth)]))
        if size > at:
            versions.append(versions[-1].replaced(at, entry(at, f"changed at {size}")))
    before = [list(version) for version in versions]

    versions[-1].extended([entry(9999)])
    for version, items in zip(versions, before, strict=True):
        assert list(version) == items


def test_versions_share_what_they_have_in_common() -> None:
    """An append copies at most the tail, a replacement one chunk."""
    entries = sequence(3 * CHUNK_SIZE + 1)

    assert entries.extended([entry(999)]).full is entries.full
    changed = entries.replaced(CHUNK_SIZE, entry(CHUNK_SIZE, "new"))
    assert [a is b for a, b in zip(changed.full, entries.full, strict=True)] == [True, False, True]
    assert changed.tail is entries.tail


@pytest.mark.parametrize("last", [0, CHUNK_SIZE - 1, CHUNK_SIZE, CHUNK_SIZE + 3])
def test_the_newest_visible_entry_is_found_across_chunks(last: int) -> None:
    skipped = [entry(last + 1 + number, priority=Priority.SKIP) for number in range(70)]
    entries = sequence(last + 1).extended(skipped)

    assert entries.newest_visible() == entry(last)


def test_a_history_of_skipped_entries_has_no_newest_visible_one() -> None:
    assert Entries().newest_visible() is None
    assert Entries().extended([entry(1, priority=Priority.SKIP)]).newest_visible() is None


def test_a_larger_entry_weighs_more() -> None:
    call = Message("assistant", None, None, (ToolCall("1", "f", "x" * 1000),))

    short, long = Message("user", "x"), Message("user", "x" * 1000)
    assert bytes_of(long, None) == bytes_of(short, None) + 999
    assert bytes_of(call, None) > 1600
    assert bytes_of(short, "c" * 1000) > 1600
    assert bytes_of(replace(short, name="n" * 1000), None) > 1600


@given(st.lists(st.booleans(), max_size=200))
def test_the_neighbours_that_are_shown_are_found_across_any_gap(shown: list[bool]) -> None:
    priorities = [Priority.NORMAL if show else Priority.SKIP for show in shown]
    entries = Entries().extended([entry(at, priority=p) for at, p in enumerate(priorities)])
    positions = [at for at, show in enumerate(shown) if show]

    for position in range(len(shown) + 1):
        before = [at for at in positions if at < position]
        after = [at for at in positions if at > position]
        assert entries.visible_before(position) == (before[-1] if before else None)
        assert entries.visible_after(position) == (after[0] if after else None)


def test_sequences_that_grow_out_of_each_other_keep_one_page_for_all() -> None:
    """Joined texts are copies: a page for each length would hold many times the entries' texts."""
    grown = [Entries()]
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(CHUNK_SIZE - 1):
            grown.append(grown[-1].extended([entry(number, "x" * 20_000 + str(number))]))
            assert grown[-1].last.page.messages[0].content
        held = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()

    assert held < 3 * CHUNK_SIZE * 20_000


def test_a_page_shows_its_own_entries_whichever_was_looked_at_before() -> None:
    base = sequence(3)
    branches = [base.extended([entry(number, f"text {number}")]) for number in (3, 4, 5)]
    grown = [*branches, base, *(branch.extended([entry(9, "last")]) for branch in branches)]
    for looked in (grown, grown[::-1], grown):
        for each in looked:
            wanted = "\n\n".join(item.message.content or "" for item in each)
            assert [shown.content for shown in each.last.page.messages] == [wanted]


@pytest.mark.parametrize("show", [joined_messages, openai_dicts])
def test_a_run_of_one_role_through_many_pages_is_joined_once(show: Callable[..., Any]) -> None:
    """Not once more at each page: that would copy its texts again and again."""
    pages = sequence(50 * CHUNK_SIZE).pages
    show(pages)
    joins: list[str] = []

    def note(frame: FrameType, event: str, arg: Any) -> None:
        if event == "call" and frame.f_code is joined.__code__:
            joins.append(event)

    sys.setprofile(note)
    try:
        shown = show(pages)
    finally:
        sys.setprofile(None)

    assert len(shown) == 1
    assert len(joins) == 1


@given(
    st.lists(st.lists(st.sampled_from(["user", "assistant", "call", "tool"]), max_size=4)),
)
def test_pages_show_what_their_messages_do_together(parts: list[list[str]]) -> None:
    call = Message("assistant", tool_calls=(ToolCall("1", "f", "{}"),))
    made = {"call": call, "tool": Message("tool", "r", tool_call_id="1", tool_name="f")}
    messages = [[made.get(role, Message(role, role)) for role in part] for part in parts]
    pages = [Page.of(part) for part in messages]
    together = list(joined_groups(chain.from_iterable(messages)))

    assert joined_messages(pages) == together
    quick = openai_dicts(pages)
    assert quick is None or quick == to_openai(together)
    if not any(role in ("call", "tool") for part in parts for role in part):
        assert quick is not None


@given(st.lists(st.sampled_from(["user", "assistant", "step"]), max_size=8), st.integers(1, 4))
def test_pages_are_quick_wherever_they_part_calls_from_their_results(
    kinds: list[str], size: int
) -> None:
    messages: list[Message] = []
    for number, kind in enumerate(kinds):
        if kind != "step":
            messages.append(Message(kind, kind))
            continue
        ids = [f"{number}-{each}" for each in range(2)]
        messages.append(
            Message("assistant", "", tool_calls=tuple(ToolCall(each, "f", "{}") for each in ids))
        )
        messages += [Message("tool", "r", tool_call_id=each, tool_name="f") for each in ids]
    pages = [Page.of(messages[at : at + size]) for at in range(0, len(messages), size)]

    assert openai_dicts(pages) == to_openai(list(joined_groups(messages)))


@pytest.mark.parametrize("looked", ["before", "after"])
@pytest.mark.parametrize("order", [["user", "call", "tool"], ["call", "tool", "user"]])
def test_every_caller_gets_tool_calls_of_their_own_however_the_page_came_to_be(
    order: list[str], looked: str
) -> None:
    """Promise 7."""
    call = Message("assistant", tool_calls=(ToolCall("1", "f", "{}"),))
    made = {"call": call, "tool": Message("tool", "r", tool_call_id="1", tool_name="f")}
    messages = [made.get(role, Message(role, "a")) for role in order]
    page = Page.of(messages[:1])
    if looked == "before":
        assert page.openai
        page = page.grown(messages[1:])
    else:
        page = Page.of(messages)
    for sent in openai_dicts([page]) or ():
        for made in sent.get("tool_calls", ()):
            made["function"]["arguments"] = "changed"
            made["id"] = "changed"

    assert openai_dicts([page]) == to_openai(messages)
