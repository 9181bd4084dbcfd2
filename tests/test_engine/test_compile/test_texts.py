"""A long run of texts is folded as a whole, and shows what it shows if folded commit by commit."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.counters import WordCounter
from support.steps import annotate, append, edit
from tract import CommitStep, DefaultContextCompiler, StoreCorruptError
from tract.engine.compile.entries import CHUNK_SIZE, Entry
from tract.engine.compile.fold import Snapshot
from tract.engine.compile.texts import TextChunk

ROLES = ("user", "assistant")
MANY = 3 * CHUNK_SIZE + 7


def dialogue(count: int, start: int = 0) -> list[CommitStep]:
    return [
        append(number, f"text {number}", ROLES[number % 2], config=f'{{"n":{number % 3}}}')
        for number in range(start, start + count)
    ]


def made() -> DefaultContextCompiler:
    return DefaultContextCompiler(WordCounter())


def at_once(steps: list[CommitStep]) -> Snapshot:
    compiler = made()
    return compiler.fold(compiler.empty(), steps)


def one_by_one(steps: list[CommitStep]) -> Snapshot:
    compiler = made()
    snapshot = compiler.empty()
    for step in steps:
        snapshot = compiler.fold(snapshot, [step])
    return snapshot


def told(snapshot: Snapshot) -> tuple[Any, ...]:
    """Return all that a snapshot tells, requests first: they are made before any entry is."""
    compiler = made()
    context = compiler.view(snapshot)
    apart = compiler.view(snapshot, aggregate_same_role=False)
    return (
        context.to_openai(),
        context.to_anthropic(),
        context.messages,
        apart.messages,
        context.token_count,
        apart.token_count,
        context.commit_hashes,
        context.generation_configs,
        snapshot.nbytes,
        snapshot.visible,
        [*snapshot.entries],
    )


def lazy(snapshot: Snapshot) -> int:
    """Return how many chunks were folded as a whole."""
    return sum(isinstance(chunk, TextChunk) for chunk in snapshot.entries.full)


def test_a_dialogue_is_folded_by_chunks() -> None:
    steps = dialogue(MANY)

    assert lazy(at_once(steps)) == MANY // CHUNK_SIZE
    assert told(at_once(steps)) == told(one_by_one(steps))


def test_what_comes_behind_goes_on_from_it() -> None:
    first, then = dialogue(MANY), dialogue(100, start=MANY)
    compiler = made()
    grown = compiler.fold(compiler.fold(compiler.empty(), first), then)

    assert told(grown) == told(one_by_one([*first, *then]))


def test_a_text_in_it_can_be_edited_skipped_and_shown_again() -> None:
    steps = [
        *dialogue(MANY),
        edit(1_000, 70, "another text", '{"a":1}'),
        annotate(1_001, 71, "skip"),
        annotate(1_002, 3, "pinned"),
        annotate(1_003, 71, "normal"),
    ]
    snapshot = at_once(steps)

    assert told(snapshot) == told(one_by_one(steps))
    entry: Entry = snapshot.entries[70]
    assert (entry.message.content, entry.edited_by) == ("another text", "h1000")


def test_the_entries_of_a_run_are_found() -> None:
    entries = at_once(dialogue(MANY)).entries

    assert [entries.find(f"h{number}") for number in (0, 65, MANY - 1)] == [0, 65, MANY - 1]
    assert entries.find("h9999") is None


@pytest.mark.parametrize("at", [0, 1, 63, 64, 100])
def test_texts_that_join_are_counted_as_one_message(at: int) -> None:
    steps = dialogue(MANY)
    steps[at] = append(at, "the same role", ROLES[(at + 1) % 2])

    assert told(at_once(steps)) == told(one_by_one(steps))


@pytest.mark.parametrize("source", ["", "other words"])
def test_what_another_counted_is_counted_again(source: str) -> None:
    steps = [step._replace(token_source=source, token_count=99) for step in dialogue(MANY)]
    snapshot = at_once(steps)

    assert lazy(snapshot) == 0
    assert snapshot.plain_tokens == at_once(dialogue(MANY)).plain_tokens


def test_a_counter_that_is_false_counts_all_the_same() -> None:
    class Empty(WordCounter):
        def __len__(self) -> int:
            return 0

    compiler = DefaultContextCompiler(Empty())
    snapshot = compiler.fold(compiler.empty(), dialogue(MANY))

    assert snapshot.plain_tokens == at_once(dialogue(MANY)).plain_tokens > 0


@pytest.mark.parametrize("data", [b"{", b"[]", b'{"role":"user"}', b'{"text":"x","name":null}'])
def test_what_is_damaged_in_a_run_is_named(data: bytes) -> None:
    steps = dialogue(MANY)
    steps[70] = steps[70]._replace(data=data)

    with pytest.raises(StoreCorruptError, match="h70"):
        at_once(steps)


def _step(number: int, kind: str) -> CommitStep:
    if kind == "call":
        fields: dict[str, Any] = {"direction": "call", "tool_name": "look", "payload": {"n": 1}}
        fields |= {"call_id": f"c{number}", "status": "success"}
        step = append(number)._replace(content_type="tool_io", data=json.dumps(fields).encode())
        return step._replace(token_source="")
    if kind == "named":
        fields = {"role": "user", "text": f"I am {number}", "name": f"n{number % 2}"}
        return append(number)._replace(data=json.dumps(fields).encode(), token_count=3)
    if kind == "instruction":
        data = json.dumps({"text": f"do {number}"}).encode()
        return append(number)._replace(content_type="instruction", data=data)
    if kind == "empty":
        return append(number, "", ROLES[number % 2])
    if kind in ("edit", "skip") and number:
        target = number * 7 % number
        return edit(number, target, "new") if kind == "edit" else annotate(number, target, "skip")
    return append(number, f"text {number}", ROLES[(number + (kind == "again")) % 2])


KINDS = ("again", "call", "named", "instruction", "empty", "edit", "skip")
ODD = st.dictionaries(st.integers(1, MANY - 1), st.sampled_from(KINDS), max_size=12)


@settings(max_examples=60)
@given(odd=ODD, cut=st.integers(0, MANY))
def test_any_history_shows_the_same_however_it_is_divided(odd: dict[int, str], cut: int) -> None:
    steps = [_step(number, odd.get(number, "text")) for number in range(MANY)]
    targets = {f"h{number}" for number, kind in odd.items() if kind in ("edit", "skip")}
    steps = [step for step in steps if step.edit_target not in targets]
    compiler = made()
    divided = compiler.fold(compiler.fold(compiler.empty(), steps[:cut]), steps[cut:])

    assert told(at_once(steps)) == told(one_by_one(steps)) == told(divided)
