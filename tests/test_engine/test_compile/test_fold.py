from __future__ import annotations

import json

import pytest

from support.counters import WordCounter
from tract import CommitStep, DefaultContextCompiler, Priority, TractError
from tract.engine.compile.entries import CHUNK_SIZE
from tract.engine.compile.fold import Snapshot

MANY = 2 * CHUNK_SIZE + 5


def append(number: int, text: str = "two words", role: str = "user") -> CommitStep:
    fields = {"role": role, "text": text, "name": None}
    data = json.dumps(fields).encode()
    return CommitStep(f"h{number}", "append", None, "dialogue", data, 2, "words", None)


def edit(number: int, target: int, text: str, config: str | None = None) -> CommitStep:
    return append(number, text)._replace(
        operation="edit",
        edit_target=f"h{target}",
        token_count=len(text.split()),
        generation_config_json=config,
    )


def annotate(number: int, target: int | str, priority: str) -> CommitStep:
    data = json.dumps({"priority": priority}).encode()
    return CommitStep(f"h{number}", "annotate", f"h{target}", "annotation", data, 0, "", None)


def folded(compiler: DefaultContextCompiler, *steps: CommitStep) -> Snapshot:
    return compiler.fold(compiler.empty(), steps)


@pytest.fixture
def counter() -> WordCounter:
    return WordCounter()


@pytest.fixture
def compiler(counter: WordCounter) -> DefaultContextCompiler:
    return DefaultContextCompiler(counter)


def test_no_steps_change_nothing(compiler: DefaultContextCompiler) -> None:
    snapshot = folded(compiler, append(0))

    assert compiler.fold(snapshot, []) == snapshot


def test_an_edit_keeps_hash_place_priority_and_an_unnamed_config(
    compiler: DefaultContextCompiler,
) -> None:
    first = append(0)._replace(generation_config_json='{"a":1}')

    snapshot = folded(compiler, first, annotate(1, 0, "pinned"), append(2), edit(3, 0, "new"))
    entry = snapshot.entries[0]
    assert (entry.commit_hash, entry.message.content) == ("h0", "new")
    assert (entry.config_json, entry.priority, entry.edited) == ('{"a":1}', Priority.PINNED, True)


def test_an_entry_tells_whose_content_it_shows(compiler: DefaultContextCompiler) -> None:
    snapshot = folded(compiler, append(0), append(1), edit(2, 0, "new"), edit(3, 0, "newer"))

    assert [entry.edited_by for entry in snapshot.entries] == ["h3", None]
    assert [entry.source_hash for entry in snapshot.entries] == ["h3", "h1"]


@pytest.mark.parametrize("config", ["{}", '{"b":2}'])
def test_an_edit_with_a_config_replaces_it(compiler: DefaultContextCompiler, config: str) -> None:
    first = append(0)._replace(generation_config_json='{"a":1}')

    snapshot = folded(compiler, first, edit(1, 0, "new", config), edit(2, 0, "newer"))
    assert snapshot.entries[0].config_json == config


@pytest.mark.parametrize("step", [edit(9, 7, "x"), annotate(9, 7, "skip")])
def test_a_step_whose_target_is_missing_tells_what_to_do(
    compiler: DefaultContextCompiler, step: CommitStep
) -> None:
    with pytest.raises(TractError, match=r"h9 changes h7, which is not an entry.*verify"):
        folded(compiler, append(0), step)


def test_appending_to_a_long_joined_message_counts_one_text(
    compiler: DefaultContextCompiler, counter: WordCounter
) -> None:
    """However long the message has become, an append costs a fixed number of texts."""
    snapshot = folded(compiler, *map(append, range(MANY)))
    counter.asked.clear()

    snapshot = compiler.fold(snapshot, [append(MANY)])
    assert len(counter.texts) <= 3
    assert max(map(len, counter.texts)) <= len("two words\n\n")
    assert snapshot.joined_tokens == 3 + 1 + 2 * (MANY + 1)


@pytest.mark.parametrize("position", [0, CHUNK_SIZE - 1, CHUNK_SIZE, MANY - 1])
@pytest.mark.parametrize("priority", ["skip", "normal"])
def test_changing_a_long_joined_message_counts_a_few_texts(
    compiler: DefaultContextCompiler, counter: WordCounter, position: int, priority: str
) -> None:
    snapshot = folded(compiler, *map(append, range(MANY)))
    counter.asked.clear()

    compiler.fold(snapshot, [edit(900, position, "a"), annotate(901, position, priority)])
    assert len(counter.texts) <= 14
    assert max(map(len, counter.texts)) <= len("two words\n\n")


def test_a_count_by_the_same_counter_is_not_made_again(
    compiler: DefaultContextCompiler, counter: WordCounter
) -> None:
    """Tokens are counted once per content, by whoever committed it."""
    steps = [append(number, role=("user", "assistant")[number % 2]) for number in range(20)]

    snapshot = folded(compiler, *steps)
    assert counter.texts == []
    assert snapshot.joined_tokens == 20 * (3 + 1 + 2)


def test_a_count_by_another_counter_is_not_taken_over(
    compiler: DefaultContextCompiler, counter: WordCounter
) -> None:
    snapshot = folded(compiler, append(0)._replace(token_source="other", token_count=77))

    assert counter.texts == ["two words"]
    assert snapshot.joined_tokens == 3 + 1 + 2


def test_only_the_last_of_many_priorities_holds(compiler: DefaultContextCompiler) -> None:
    steps = [annotate(number, 0, ("skip", "normal")[number % 2]) for number in range(1, 8)]

    snapshot = folded(compiler, append(0), *steps)
    assert snapshot.visible == 1
    assert compiler.fold(snapshot, [annotate(8, 0, "skip")] * 2).visible == 0
