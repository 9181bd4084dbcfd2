"""Squashes and cherry-picks: one commit in place of others, and where it came from."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import pytest_asyncio

from support.rows import row_counts
from support.saying import texts
from tract import (
    AsyncTract,
    CommitNotFoundError,
    CommitOperation,
    ContentValidationError,
    EditTargetError,
    FreeformContent,
    MergeKind,
    NullTokenCounter,
    Origin,
    OriginKind,
    OutputContent,
    Priority,
    TractStore,
)

COUNTER = NullTokenCounter()
EDIT = CommitOperation.EDIT
RESULT = OutputContent(text="the result")


@pytest_asyncio.fixture
async def main(store: TractStore) -> AsyncTract:
    """A branch with one entry, `a`."""
    main = store.tract("t")
    await main.user("a")
    return main


async def test_a_squash_leaves_one_commit_in_place_of_the_branchs_own(
    main: AsyncTract, db_path: Path
) -> None:
    fork = await main.fork("fork")
    hashes = tuple([(await fork.user(word)).commit_hash for word in "bc"])
    await main.user("d")
    before = row_counts(db_path)
    result = await main.merge("fork", squash=RESULT)
    [info, *_] = await main.log()

    assert (result.kind, result.head_hash) == (MergeKind.SQUASH, info.commit_hash)
    assert (result.merged, result.conflicts) == (hashes, ())
    assert (info.operation, info.merge_parent) == (CommitOperation.APPEND, None)
    assert info.message == "Squash branch 'fork'"
    assert await texts(main) == ["a", "d", "the result"]
    assert await texts(fork) == ["a", "b", "c"]
    after = row_counts(db_path)
    assert after == {**before, "commits": before["commits"] + 1, "blobs": before["blobs"] + 1} | {
        "origins": 1
    }


async def test_where_a_squash_came_from_stays_on_record(
    main: AsyncTract, target: Path | str
) -> None:
    fork = await main.fork("fork")
    head = (await fork.user("b")).commit_hash
    result = await main.merge("fork", squash=RESULT, message="done")
    await main.delete_branch("fork")
    assert result.head_hash is not None
    origin = Origin(kind=OriginKind.SQUASH, source_hash=head, commit_hash=result.head_hash)

    assert await main.origins() == [origin]
    assert await main.origins(result.head_hash) == [origin]
    assert (await main.compile(at_commit=origin.source_hash)).commit_count == 2
    async with AsyncTract.open(target, tract_id="t", tokenizer=COUNTER) as again:
        assert await again.origins() == [origin]


async def test_a_squash_does_not_fast_forward(main: AsyncTract) -> None:
    fork = await main.fork("fork")
    await fork.user("b")

    assert (await main.merge("fork", squash=RESULT)).kind is MergeKind.SQUASH
    assert await texts(main) == ["a", "the result"]


async def test_a_squash_brings_no_edits_and_asks_about_no_conflicts(main: AsyncTract) -> None:
    head = await main.head()
    fork = await main.fork("fork")
    for tract in (main, fork):
        await tract.user(tract.branch, operation=EDIT, edit_target=head)

    result = await main.merge("fork", squash=RESULT)
    assert (result.kind, result.conflicts) == (MergeKind.SQUASH, ())
    assert await texts(main) == ["main", "the result"]


async def test_a_squash_into_an_empty_branch_is_its_first_commit(
    main: AsyncTract, store: TractStore
) -> None:
    await main.fork("fork")
    await main.on("fork").delete_branch("main")
    await main.merge("fork", squash=RESULT)

    assert await texts(main) == ["the result"]


async def test_nothing_to_squash_commits_nothing(main: AsyncTract) -> None:
    await main.fork("fork")
    head = await main.head()

    assert (await main.merge("fork", squash=RESULT)).kind is MergeKind.UP_TO_DATE
    assert await main.head() == head
    assert await main.origins() == []


async def test_what_a_branch_is_squashed_to_may_change_afterwards(main: AsyncTract) -> None:
    fork = await main.fork("fork")
    await fork.user("b")
    result = {"content_type": "freeform", "payload": {"found": ["oslo"]}}
    merging = asyncio.create_task(main.merge("fork", squash=result))
    await asyncio.sleep(0)
    result["payload"] = {"found": []}
    head = (await merging).head_hash

    assert head is not None
    assert (await main.get_content(head)).model_dump()["payload"] == {"found": ["oslo"]}


async def test_a_merge_after_a_squash_brings_the_branch_itself(main: AsyncTract) -> None:
    """As in git, a squash does not make the branch's commits a part of this one's history."""
    fork = await main.fork("fork")
    await fork.user("b")
    await main.merge("fork", squash=RESULT)
    await fork.user("c")
    result = await main.merge("fork")

    assert result.kind is MergeKind.MERGE
    assert await texts(main) == ["a", "the result", "b", "c"]
    assert (await main.merge("fork")).kind is MergeKind.UP_TO_DATE


async def test_what_is_no_content_is_not_squashed(main: AsyncTract) -> None:
    await (await main.fork("fork")).user("b")
    head = await main.head()

    for bad in ({}, {"content_type": "nothing"}, 1, FreeformContent):
        with pytest.raises(ContentValidationError):
            await main.merge("fork", squash=bad)  # type: ignore[arg-type]
    assert await main.head() == head


# picking


async def test_contents_are_committed_again_with_all_that_was_noted(main: AsyncTract) -> None:
    fork = await main.fork("fork")
    b = await fork.assistant(
        "b", message="why", metadata={"k": [1]}, generation_config={"model": "m"}
    )
    c = await fork.user("c")
    picked = await main.cherry_pick(c.commit_hash, b.commit_hash)

    assert await texts(main) == ["a", "c", "b"]
    assert [info.content_hash for info in picked] == [c.content_hash, b.content_hash]
    again = picked[1]
    assert again.commit_hash != b.commit_hash
    assert (again.message, again.metadata, again.generation_config) == (
        "why",
        {"k": [1]},
        {"model": "m"},
    )
    assert await main.origins() == [
        Origin(
            kind=OriginKind.CHERRY_PICK,
            source_hash=source.commit_hash,
            commit_hash=made.commit_hash,
        )
        for source, made in zip((c, b), picked, strict=True)
    ]


async def test_an_edit_is_picked_as_an_entry_of_its_own(main: AsyncTract) -> None:
    fork = await main.fork("fork")
    edit = await fork.user("A", operation=EDIT, edit_target=await main.head())
    [info] = await main.cherry_pick(edit.commit_hash)

    assert (info.operation, info.edit_target) == (CommitOperation.APPEND, None)
    assert await texts(main) == ["a", "A"]


async def test_what_has_no_content_of_its_own_is_not_picked(main: AsyncTract) -> None:
    """Nor is anything that was named beside it."""
    entry = await main.user("b")
    note = await main.annotate(entry.commit_hash, Priority.PINNED)
    await (await main.fork("fork")).user("c")
    merge = await main.merge("fork", fast_forward=False)
    assert merge.head_hash is not None

    for bad, word in ((note.commit_hash, "ANNOTATE"), (merge.head_hash, "MERGE")):
        with pytest.raises(EditTargetError, match=word):
            await main.cherry_pick(entry.commit_hash, bad)
    assert await main.head() == merge.head_hash
    assert await main.origins() == []


async def test_another_tracts_commits_are_not_picked(main: AsyncTract, store: TractStore) -> None:
    foreign = await store.tract("other").user("x")
    head = await main.head()

    for unknown in (foreign.commit_hash, "0" * 64, "nothing", ""):
        with pytest.raises(CommitNotFoundError):
            await main.cherry_pick("main", unknown)
    with pytest.raises(CommitNotFoundError):
        await main.cherry_pick(None)  # type: ignore[arg-type]
    assert await main.head() == head
    assert await store.tract("other").origins() == []


async def test_nothing_picked_is_nothing_committed(main: AsyncTract) -> None:
    head = await main.head()

    assert await main.cherry_pick() == []
    assert await main.head() == head


async def test_a_picked_entry_stays_when_its_source_is_merged(main: AsyncTract) -> None:
    """They are two entries: the one committed here, and the one that the merge brings."""
    fork = await main.fork("fork")
    b = await fork.user("b")
    await main.cherry_pick(b.commit_hash)
    await main.merge("fork")

    assert await texts(main) == ["a", "b", "b"]


async def test_origins_of_a_commit_that_has_none_are_empty(main: AsyncTract) -> None:
    head = await main.head()

    assert await main.origins(head) == []
    for unknown in ("0" * 64, "nothing"):
        with pytest.raises(CommitNotFoundError):
            await main.origins(unknown)


async def test_squashing_a_branch_again_does_nothing_until_it_has_grown(main: AsyncTract) -> None:
    """A call that is tried again after it came through must not say everything twice."""
    await main.user("shared")
    side = await main.fork("side")
    await side.user("a")
    await side.user("b")
    result = {"content_type": "output", "text": "a and b"}
    first = await main.merge("side", squash=result)
    await main.user("on")
    again = await main.merge("side", squash=result)

    assert (first.kind, again.kind) == (MergeKind.SQUASH, MergeKind.UP_TO_DATE)
    assert again.head_hash == await main.head()
    await side.user("c")
    assert (await main.merge("side", squash=result)).kind is MergeKind.SQUASH
    assert len(await main.origins()) == 2
