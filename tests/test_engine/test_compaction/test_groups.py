"""Message groups from what chunks know, as the whole context would have them."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tract.engine.compaction.groups import sections_of
from tract.engine.compile.entries import Chunk, Chunks, Entries, Entry
from tract.formats.pairing import is_models, matched
from tract.models.annotations import Priority
from tract.protocols import Message, ToolCall
from tract.protocols.parts import ThinkingPart

IDS = st.sampled_from(["a", "b", "c", None])


def says(role: str) -> Message:
    return Message(role, "text")


def calls(ids: list[str | None]) -> Message:
    return Message("assistant", None, None, tuple(ToolCall(each, "look", "{}") for each in ids))


def result(call_id: str | None) -> Message:
    return Message("tool", "found", tool_call_id=call_id, tool_name="look")


THINKS = Message.of("assistant", (ThinkingPart(text="hm"),))
MESSAGES = st.one_of(
    st.sampled_from(["user", "assistant", "system"]).map(says),
    st.lists(IDS, min_size=1, max_size=2).map(calls),
    IDS.map(result),
    st.just(THINKS),
)


@st.composite
def contexts(draw: st.DrawFn) -> Entries:
    """Entries in chunks of any size, some of them with several messages, some skipped."""
    chunks, number = list[Chunk](), 0
    for _ in range(draw(st.integers(1, 5))):
        items = list[Entry]()
        for _ in range(draw(st.integers(0, 6))):
            message, *more = draw(st.lists(MESSAGES, min_size=1, max_size=2))
            priority = draw(st.sampled_from([Priority.NORMAL] * 5 + [Priority.SKIP]))
            items.append(Entry(f"{number}", message, 1, 3, None, priority, more=tuple(more)))
            number += 1
        chunks.append(Chunk(tuple(items)))
    return Entries(Chunks(chunks[:-1]), chunks[-1])


def thinks(entry: Entry) -> bool:
    return entry.message is THINKS and not entry.more


def grouped(entries: list[Entry]) -> list[tuple[list[str], bool, bool]]:
    """Return the groups of entries, from calls and results matched over all of them at once."""
    messages = [message for entry in entries for message in entry.messages]
    owner = [at for at, entry in enumerate(entries) for _ in entry.messages]
    found, _ = matched(messages)
    spans = [
        sorted((owner[call.at], owner[call.at if call.result is None else call.result.at]))
        for call in found
    ]
    spans += [[at, at + 1] for at, entry in enumerate(entries[:-1]) if thinks(entry)]
    still_open = {owner[call.at] for call in found if call.result is None}
    still_open |= {len(entries) - 1} if entries and thinks(entries[-1]) else set()
    cuts = [at for at in range(len(entries) + 1) if not any(a < at <= b for a, b in spans)]
    groups = []
    for start, stop in pairwise(cuts):
        some = entries[start:stop]
        speaks = any(is_models(message) for entry in some for message in entry.messages)
        opens = bool(still_open & {*range(start, stop)})
        groups.append(([entry.commit_hash for entry in some], speaks, opens))
    return groups


@given(contexts())
def test_chunks_make_the_groups_that_the_whole_context_has(entries: Entries) -> None:
    groups = [group for section in sections_of(entries) for group in section.groups]

    found = [([*group.hashes], group.is_step, group.is_open) for group in groups]
    assert found == grouped([*entries.shown()])


def test_a_context_that_shows_nothing_has_no_groups() -> None:
    assert sections_of(Entries()) == []
