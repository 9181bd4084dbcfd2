"""`expected_head=` on every verb that moves or makes a ref: checked in the transaction that writes."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from support.opening import COUNTER
from support.replies import drained, reply
from tract import (
    UNSET,
    AsyncTract,
    BudgetAction,
    CommitOperation,
    ContentValidationError,
    DialogueContent,
    HeadMovedError,
    MergeConflict,
    MergeKind,
    Priority,
    TokenBudgetConfig,
    TokenUsage,
    TractConfig,
    TractStore,
)

SQUASH = DialogueContent(role="user", text="squashed")
UNKNOWN = "0" * 64
CHUNK: dict[str, Any] = {
    "model": "m",
    "choices": [{"index": 0, "delta": {"content": "paid for"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 7, "completion_tokens": 2},
}
EVENTS: tuple[dict[str, Any], ...] = (
    {"type": "message_start", "message": {"usage": {"input_tokens": 7, "output_tokens": 1}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "paid"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
    {"type": "message_stop"},
)


@pytest_asyncio.fixture(params=["plain", "budgeted"])
async def store(target: Path | str, request: pytest.FixtureRequest) -> AsyncIterator[TractStore]:
    budget = TokenBudgetConfig(max_tokens=10**9, action=BudgetAction.REJECT)
    options = TractConfig(token_budget=budget if request.param == "budgeted" else None)
    async with TractStore.open(target, tokenizer=COUNTER, config=options) as store:
        yield store


@pytest_asyncio.fixture
async def main(store: TractStore) -> AsyncTract:
    """A branch whose head is `b`, beside branches that go on from there, or are empty."""
    main = store.tract("t")
    for text in "ab":
        await main.user(text)
        await main.tag(text)
    await (await main.fork("ahead")).user("c")
    await (await main.fork("aside", at_commit="a")).user("d")
    await main.fork("empty", at_commit=None)
    await main.fork("work")
    return main.on("work")


def written(path: Path) -> list[list[tuple[Any, ...]]]:
    """Return every row that a verb may write, parts of streams apart."""
    tables = ("blobs", "commits", "refs", "runs", "origins", "usage")
    with closing(sqlite3.connect(path)) as connection:
        return [connection.execute(f"SELECT * FROM {table}").fetchall() for table in tables]


async def stage(tract: AsyncTract, **options: Any) -> None:
    async with tract.batch(**options) as batch:
        batch.commit(SQUASH)


async def say(tract: AsyncTract, **options: Any) -> None:
    async with tract.stream(**options) as stream:
        await stream.write("said")


Verb = Callable[..., Awaitable[Any]]
VERBS: dict[str, Verb] = {
    "user": lambda tract, **head: tract.user("x", **head),
    "batch": stage,
    "empty batch": lambda tract, **head: leave(tract.batch(**head)),
    "annotate": lambda tract, **head: tract.annotate("a", Priority.PINNED, **head),
    "cherry_pick": lambda tract, **head: tract.cherry_pick("a", **head),
    "cherry_pick nothing": lambda tract, **head: tract.cherry_pick(**head),
    "fork": lambda tract, **head: tract.fork("new", **head),
    "fork at": lambda tract, **head: tract.fork("new", at_commit="a", **head),
    "fork at none": lambda tract, **head: tract.fork("new", at_commit=None, **head),
    "tag": lambda tract, **head: tract.tag("new", **head),
    "tag another": lambda tract, **head: tract.tag("new", "a", **head),
    "reset": lambda tract, **head: tract.reset("a", **head),
    "reset to none": lambda tract, **head: tract.reset(None, **head),
    "merge": lambda tract, **head: tract.merge("aside", **head),
    "fast-forward": lambda tract, **head: tract.merge("ahead", **head),
    "squash": lambda tract, **head: tract.merge("aside", squash=SQUASH, **head),
    "merge of nothing": lambda tract, **head: tract.merge("empty", **head),
    "stream": say,
    "record_openai": lambda tract, **head: drained(tract.record_openai(reply(CHUNK), **head)),
    "record_anthropic": lambda tract, **head: drained(
        tract.record_anthropic(reply(*EVENTS), **head)
    ),
    "delete_branch": lambda tract, **head: tract.on("main").delete_branch("work", **head),
}
ON_EMPTY = VERBS.keys() - {"annotate", "tag", "reset"}
"""Verbs that work on an empty branch, or of one."""


async def leave(block: Any) -> None:
    async with block:
        pass


async def put_back(work: AsyncTract) -> None:
    """Undo what a verb did to refs, so that the next one meets the branch at `b` again."""
    main = work.on("main")
    for name in {branch.name for branch in await main.branches()} & {work.branch, "new"}:
        await main.delete_branch(name, force=True)
    if "new" in {tag.name for tag in await main.tags()}:
        await main.delete_tag("new")
    await main.fork(work.branch)


async def test_every_verb_works_where_the_head_is_as_expected_or_nothing_is(
    main: AsyncTract, subtests: pytest.Subtests
) -> None:
    for verb, call in VERBS.items():
        with subtests.test(verb=verb):
            await call(main, expected_head=await main.head())
            await put_back(main)
            await call(main, expected_head=UNSET)
            await put_back(main)

    assert (await main.on("main").verify()).faults == ()


async def test_nothing_is_written_where_the_head_is_another(
    main: AsyncTract, db_path: Path, subtests: pytest.Subtests
) -> None:
    head, before = await main.head(), written(db_path)
    for verb, expected in itertools.product(VERBS, ["a", UNKNOWN, None, "nothing", "empty"]):
        with subtests.test(verb=verb, expected=expected):
            with pytest.raises(HeadMovedError) as told:
                await VERBS[verb](main, expected_head=expected)

            assert (told.value.expected, told.value.actual) == (expected, head)
            assert written(db_path) == before


async def test_none_is_the_head_of_an_empty_branch(
    main: AsyncTract, subtests: pytest.Subtests
) -> None:
    for verb, expected in itertools.product(sorted(ON_EMPTY), [None, "empty"]):
        with subtests.test(verb=verb, expected=expected):
            await main.reset(None)
            await VERBS[verb](main, expected_head=expected)
            await put_back(main)

    assert (await main.on("main").verify()).faults == ()


async def test_an_empty_branch_has_no_other_head(
    main: AsyncTract, db_path: Path, subtests: pytest.Subtests
) -> None:
    await main.reset(None)
    before = written(db_path)
    for verb in sorted(ON_EMPTY):
        with subtests.test(verb=verb):
            with pytest.raises(HeadMovedError) as told:
                await VERBS[verb](main, expected_head="b")

            assert (told.value.expected, told.value.actual) == ("b", None)
            assert written(db_path) == before


async def test_what_is_not_a_hash_is_refused_at_once(
    main: AsyncTract, db_path: Path, subtests: pytest.Subtests
) -> None:
    before = written(db_path)
    for verb, call in VERBS.items():
        with subtests.test(verb=verb):
            with pytest.raises(ContentValidationError) as told:
                await call(main, expected_head=7)

            assert told.value.path == "expected_head"
            assert written(db_path) == before


# tags


async def test_a_tag_is_deleted_where_it_names_what_was_expected(main: AsyncTract) -> None:
    a, b = [await main.get_commit(name) for name in "ab"]
    assert a is not None
    assert b is not None
    for other in (a.commit_hash, "a", None, UNKNOWN):
        with pytest.raises(HeadMovedError) as told:
            await main.delete_tag("b", expected_head=other)
        assert (told.value.expected, told.value.actual) == (other, b.commit_hash)
    assert [tag.name for tag in await main.tags()] == ["a", "b"]

    await main.delete_tag("b", expected_head=b.commit_hash)
    assert [tag.name for tag in await main.tags()] == ["a"]


# what goes on at once


@pytest.mark.parametrize("to", ["a", None])
async def test_of_resets_from_one_head_exactly_one_is_done(
    store: TractStore, target: Path | str, main: AsyncTract, to: str | None
) -> None:
    """Of this process's and of another's store."""
    async with TractStore.open(target, tokenizer=COUNTER) as other:
        there = other.tract("t", branch="work")
        head = await main.head()
        results = await asyncio.gather(
            *(tract.reset(to, expected_head=head) for tract in [main, there] * 5),
            return_exceptions=True,
        )

    failed = [error for error in results if isinstance(error, HeadMovedError)]
    assert (len(results), len(failed)) == (10, 9)
    assert {error.expected for error in failed} == {head}
    assert [move.action for move in await main.reflog("work")] == ["reset", "fork"]


async def test_of_merges_from_one_head_exactly_one_is_done(main: AsyncTract) -> None:
    head = await main.head()
    results = await asyncio.gather(
        *(main.merge("aside", expected_head=head) for _ in range(5)), return_exceptions=True
    )

    assert sorted(type(result).__name__ for result in results) == [
        *["HeadMovedError"] * 4,
        "MergeResult",
    ]


async def test_a_merge_is_not_computed_anew_for_another_head(main: AsyncTract) -> None:
    """A commit that came while it was decided is not merged behind the caller's back."""
    head = await main.head()
    for tract, text in ((main, "ours"), (main.on("aside"), "theirs")):
        await tract.user(text, operation=CommitOperation.EDIT, edit_target="a")
    head = await main.head()
    asked: list[MergeConflict] = []

    async def decide(conflict: MergeConflict) -> DialogueContent:
        asked.append(conflict)
        await main.user("meanwhile")
        return SQUASH

    with pytest.raises(HeadMovedError) as told:
        await main.merge("aside", on_conflict=decide, expected_head=head)
    actual = await main.head()

    assert (told.value.expected, told.value.actual) == (head, actual)
    assert len(asked) == 1
    assert (await main.merge("aside", on_conflict="ours")).kind is MergeKind.MERGE


async def test_nobody_is_asked_about_a_merge_into_another_head(main: AsyncTract) -> None:
    for tract, text in ((main, "ours"), (main.on("aside"), "theirs")):
        await tract.user(text, operation=CommitOperation.EDIT, edit_target="a")
    asked: list[MergeConflict] = []

    def decide(conflict: MergeConflict) -> DialogueContent:
        asked.append(conflict)
        return SQUASH

    with pytest.raises(HeadMovedError):
        await main.merge("aside", on_conflict=decide, expected_head="a")
    assert asked == []


# streams: what was paid for is kept


RECORDINGS: dict[str, Verb] = {
    name: VERBS[name] for name in ("stream", "record_openai", "record_anthropic")
}


@pytest.mark.parametrize("verb", RECORDINGS)
async def test_a_reply_to_a_head_that_moved_is_recovered(
    store: TractStore, main: AsyncTract, verb: str
) -> None:
    head = await main.head()
    moved = await main.user("meanwhile")
    with pytest.raises(HeadMovedError):
        await RECORDINGS[verb](main, expected_head=head)
    [left] = await store.recover_streams()
    with pytest.raises(HeadMovedError):
        await left.commit(expected_head=head)
    [kept] = await left.commit(expected_head=moved.commit_hash)

    assert kept.parent_hash == moved.commit_hash
    assert "interrupted" not in (kept.metadata or {})  # it had come to its end
    assert (await main.log(1))[0] == kept
    assert left.text in ("said", "paid for", "paid")
    assert await store.recover_streams() == []
    if verb != "stream":
        context = await main.compile(at_commit=moved.commit_hash)
        assert context.token_source == "api:7+2"


async def test_a_reply_to_a_head_that_moved_outlives_the_store(
    store: TractStore, main: AsyncTract, target: Path | str
) -> None:
    with pytest.raises(HeadMovedError):
        await VERBS["record_openai"](main, expected_head="a")
    await store.aclose()

    async with TractStore.open(target, tokenizer=COUNTER) as again:
        [left] = await again.recover_streams()
        [kept] = await left.commit()
        assert (await again.tract("t", branch="work").log(1)) == [kept]


async def test_the_head_is_compared_when_the_stream_ends(main: AsyncTract) -> None:
    """Not before: what comes meanwhile moves it."""
    head = await main.head()
    async with main.stream(expected_head=head) as stream:
        await stream.write("said")
        moved = await main.user("meanwhile")
        await main.reset(head)
    assert stream.commit_info is not None

    assert stream.commit_info.parent_hash == head != moved.commit_hash


async def break_off(tract: AsyncTract, **options: Any) -> None:
    async with tract.stream(**options) as stream:
        await stream.write("half")
        raise RuntimeError("broken")


async def test_an_interrupted_stream_says_that_its_head_moved(
    store: TractStore, main: AsyncTract
) -> None:
    with pytest.raises(RuntimeError) as told:
        await break_off(main, expected_head="a")

    assert "was not committed: The head is" in told.value.__notes__[0]
    [left] = await store.recover_streams()
    [kept] = await left.commit()
    assert left.text == "half"
    assert kept.metadata is not None
    assert kept.metadata["interrupted"] is True
    assert kept.metadata["reason"] == "error: RuntimeError"


async def test_a_stream_of_nothing_or_that_is_discarded_compares_no_head(
    store: TractStore, main: AsyncTract
) -> None:
    async with main.stream(expected_head="a"):
        pass
    with pytest.raises(RuntimeError):
        await break_off(main, expected_head="a", on_interrupt="discard")

    assert await store.recover_streams() == []
    assert await main.head() == (await main.on("main").head())


async def test_usage_is_for_the_head_that_is_named_newest_or_not(main: AsyncTract) -> None:
    for head in ("a", "b"):
        context = await main.record_usage(TokenUsage(1), head_hash=head)

        assert context == await main.compile(at_commit=head)
        assert context.token_source == "api:1+0"
