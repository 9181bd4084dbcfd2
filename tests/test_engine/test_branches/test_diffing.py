"""What differs between two contexts, entry by entry."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.counters import WordCounter
from support.steps import annotate, append, edit
from tract import CommitStep, ContextDiff, DefaultContextCompiler, EntryChange, Message, Priority
from tract.engine.branches.diffing import context_diff
from tract.engine.compile.fold import Snapshot

COMPILER = DefaultContextCompiler(WordCounter())


def folded(*steps: CommitStep) -> Snapshot:
    return COMPILER.fold(COMPILER.empty(), steps)


def diff(before: Snapshot, after: Snapshot) -> ContextDiff:
    tokens = [COMPILER.view(snapshot).token_count for snapshot in (before, after)]
    return context_diff(before, after, token_difference=tokens[1] - tokens[0])


def changed(before: Snapshot, after: Snapshot) -> list[tuple[str, tuple[str, ...]]]:
    return [(entry.commit_hash, entry.changes) for entry in diff(before, after).entries]


def test_a_snapshot_does_not_differ_from_itself() -> None:
    snapshot = folded(append(0), append(1))

    assert diff(snapshot, snapshot) == ContextDiff(entries=(), token_difference=0)
    assert diff(snapshot, folded(append(0), append(1))).entries == ()
    assert diff(COMPILER.empty(), COMPILER.empty()).entries == ()


def test_an_added_entry_was_nothing_before() -> None:
    (entry,) = diff(COMPILER.empty(), folded(append(0, "a b c", config='{"t":1}'))).entries

    assert entry.model_dump() == {
        "commit_hash": "h0",
        "changes": (EntryChange.ADDED,),
        "message_before": None,
        "message_after": {**vars_of(Message("user", "a b c"))},
        "priority_before": None,
        "priority_after": Priority.NORMAL,
        "config_before": None,
        "config_after": {"t": 1},
        "tokens_before": None,
        "tokens_after": 3 + 1 + 3,
        "hides": (),
    }


def vars_of(message: Message) -> dict[str, Any]:
    return {name: getattr(message, name) for name in message.__dataclass_fields__}


def test_a_removed_entry_is_nothing_afterwards() -> None:
    (entry,) = diff(folded(append(0, "a b c")), COMPILER.empty()).entries

    assert entry.changes == (EntryChange.REMOVED,)
    assert (entry.message_before, entry.message_after) == (Message("user", "a b c"), None)
    assert (entry.priority_before, entry.priority_after) == (Priority.NORMAL, None)
    assert (entry.config_before, entry.config_after) == ({}, None)
    assert (entry.tokens_before, entry.tokens_after) == (7, None)


def test_an_edit_tells_both_texts_and_both_prices() -> None:
    (entry,) = diff(folded(append(0)), folded(append(0), edit(1, 0, "a b c d"))).entries

    assert (entry.commit_hash, entry.changes) == ("h0", (EntryChange.EDITED,))
    assert entry.message_before == Message("user", "two words")
    assert entry.message_after == Message("user", "a b c d")
    assert (entry.tokens_before, entry.tokens_after) == (6, 8)


def test_an_entry_that_is_skipped_now_costs_nothing_and_keeps_its_message() -> None:
    (entry,) = diff(folded(append(0)), folded(append(0), annotate(1, 0, "skip"))).entries

    assert entry.changes == (EntryChange.REPRIORITISED,)
    assert (entry.priority_before, entry.priority_after) == (Priority.NORMAL, Priority.SKIP)
    assert entry.message_before == entry.message_after
    assert (entry.tokens_before, entry.tokens_after) == (6, 0)


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        (None, '{"a":1}', [("h0", ("config_changed",))]),
        ('{"a":1}', "{}", [("h0", ("config_changed",))]),
        (None, "{}", []),
        ('{"a":1}', None, []),
    ],
)
def test_a_config_differs_by_what_it_says(
    before: str | None, after: str | None, changes: list[Any]
) -> None:
    """None and `{}` say the same of an entry; an EDIT without a config keeps the old one."""
    first = append(0, "a", config=before)

    assert changed(folded(first), folded(first, edit(1, 0, "a", after))) == changes


def test_one_entry_may_differ_in_every_way() -> None:
    after = folded(append(0), edit(1, 0, "new", '{"a":1}'), annotate(2, 0, "pinned"))

    assert changed(folded(append(0)), after) == [
        ("h0", ("edited", "reprioritised", "config_changed"))
    ]


def test_an_edit_back_to_the_same_message_is_no_difference() -> None:
    after = folded(append(0, "a"), edit(1, 0, "b"), edit(2, 0, "a"))

    assert changed(folded(append(0, "a")), after) == []


def test_entries_come_in_the_order_of_the_second_and_removed_ones_where_they_were() -> None:
    before = folded(append(8), append(0), append(6), append(7), append(1))
    after = folded(append(0), append(1), append(2), edit(3, 0, "x"))

    assert [name for name, _ in changed(before, after)] == ["h8", "h0", "h6", "h7", "h2"]


def test_the_difference_of_tokens_is_that_of_the_contexts() -> None:
    """Joined messages cost less than each by itself, and an empty context nothing at all."""
    found = diff(COMPILER.empty(), folded(append(0), append(1)))

    assert found.token_difference == 3 + (3 + 1 + 4)
    assert [entry.tokens_after for entry in found.entries] == [6, 6]


def test_a_config_is_the_callers_own() -> None:
    after = folded(append(0, config='{"a":[1]}'))
    (entry,) = diff(COMPILER.empty(), after).entries
    assert entry.config_after is not None
    entry.config_after["a"].append(2)

    assert diff(COMPILER.empty(), after).entries[0].config_after == {"a": [1]}


NUMBERS = st.lists(st.integers(0, 8), unique=True)
OPPOSITE = {"added": "removed", "removed": "added"}


@given(NUMBERS, NUMBERS, st.sets(st.integers(0, 8)))
def test_the_way_back_is_the_opposite(ours: list[int], theirs: list[int], edits: set[int]) -> None:
    before = folded(*map(append, ours))
    after = folded(*map(append, theirs), *(edit(20 + n, n, "x") for n in edits if n in theirs))
    there, back = diff(before, after), diff(after, before)
    opposite = {
        (entry.commit_hash, tuple(OPPOSITE.get(change, change) for change in entry.changes))
        for entry in back.entries
    }

    assert there.token_difference == -back.token_difference
    assert {(entry.commit_hash, entry.changes) for entry in there.entries} == opposite
    assert len(there.entries) == len(back.entries)
    assert len(there.entries) == len(set(ours) ^ set(theirs)) + len(edits & {*ours} & {*theirs})
