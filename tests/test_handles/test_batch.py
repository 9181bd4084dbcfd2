"""Batches: all of it lands or none, and nobody waits for the body."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tract import (
    AsyncTract,
    Batch,
    BudgetAction,
    BudgetExceededError,
    CommitNotFoundError,
    CommitOperation,
    ContentValidationError,
    DialogueContent,
    EditTargetError,
    FreeformContent,
    HeadMovedError,
    Priority,
    StagedCommit,
    StoreClosedError,
    TokenBudgetConfig,
    TractConfig,
    TractError,
    TractStore,
)

EDIT = CommitOperation.EDIT
LONG = "many words " * 5000


def say(text: str) -> DialogueContent:
    return DialogueContent(role="user", text=text)


async def stage(batch: Batch, body: Callable[[], object]) -> None:
    async with batch:
        body()


@pytest_asyncio.fixture
async def tract(target: Path | str) -> AsyncIterator[AsyncTract]:
    async with AsyncTract.open(target, tract_id="t") as opened:
        yield opened


async def test_nothing_is_written_while_the_body_runs(tract: AsyncTract) -> None:
    async with tract.batch() as batch:
        batch.commit(say("a"))
        assert await tract.log() == []

    assert len(await tract.log()) == 1


async def test_the_commits_are_told_once_they_have_landed(tract: AsyncTract) -> None:
    async with tract.batch() as batch:
        staged = batch.commit(
            say("a"), message="m", metadata={"k": 1}, generation_config={"t": 0.5}
        )
        with pytest.raises(TractError, match="leave its `async with` block first"):
            _ = staged.info

    assert staged.info == batch.commits[0] == await tract.get_commit(staged.info.commit_hash)
    assert (staged.info.message, staged.info.metadata) == ("m", {"k": 1})
    assert staged.info.generation_config == {"t": 0.5}


async def test_a_body_that_raises_writes_nothing(tract: AsyncTract) -> None:
    batch = tract.batch()

    async def body() -> None:
        async with batch:
            batch.commit(say("a"))
            raise KeyError

    with pytest.raises(KeyError):
        await body()

    assert await tract.log() == []
    assert batch.commits == []


async def test_a_cancelled_body_writes_nothing(tract: AsyncTract) -> None:
    async def body() -> None:
        async with tract.batch() as batch:
            batch.commit(say("a"))
            await asyncio.sleep(60)

    task = asyncio.create_task(body())
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert await tract.head() is None


async def test_an_empty_batch_writes_nothing(tract: AsyncTract) -> None:
    async with tract.batch() as batch:
        pass

    assert batch.commits == []
    assert await tract.head() is None


async def test_no_lock_is_held_while_the_body_runs(tract: AsyncTract) -> None:
    async with tract.batch() as batch:
        batch.commit(say("later"))
        meanwhile = await tract.user("meanwhile")

    assert batch.commits[0].parent_hash == meanwhile.commit_hash


async def test_two_batches_may_be_open_at_once(tract: AsyncTract) -> None:
    async with tract.batch() as one, tract.batch() as other:
        one.commit(say("second"))
        other.commit(say("first"))

    assert other.commits[0].parent_hash is None
    assert one.commits[0].parent_hash == other.commits[0].commit_hash


async def test_a_batch_can_demand_its_head(tract: AsyncTract) -> None:
    first = await tract.user("a")
    async with tract.batch(expected_head=first.commit_hash) as batch:
        batch.commit(say("b"))
        batch.commit(say("c"))
    with pytest.raises(HeadMovedError) as caught:
        async with tract.batch(expected_head=first.commit_hash) as late:
            late.commit(say("d"))

    assert caught.value.actual == batch.commits[-1].commit_hash
    assert len(await tract.log()) == 3


async def test_staging_takes_a_copy(tract: AsyncTract) -> None:
    """Of small contents and of large ones, which are checked only on leaving."""
    payload: dict[str, Any] = {"deep": [1]}
    large: dict[str, Any] = {"text": LONG * 2, "deep": [1]}
    config: dict[str, Any] = {"stop": ["a"]}
    async with tract.batch() as batch:
        for item in (payload, large):
            batch.commit(FreeformContent(payload=item), generation_config=config, metadata=config)
            item["deep"].append(2)
        config["stop"].append("b")

    for info in batch.commits:
        content = await tract.get_content(info.commit_hash)
        assert isinstance(content, FreeformContent)
        assert content.payload["deep"] == [1]
        assert (info.generation_config, info.metadata) == ({"stop": ["a"]}, {"stop": ["a"]})


async def test_a_small_fault_is_told_where_it_is_staged(tract: AsyncTract) -> None:
    async with tract.batch() as batch:
        batch.commit(say("a"))
        with pytest.raises(ContentValidationError, match="text"):
            batch.commit({"content_type": "dialogue", "role": "user"})

    assert len(batch.commits) == 1


async def test_a_large_fault_is_told_on_leaving_and_nothing_lands(tract: AsyncTract) -> None:
    batch = tract.batch()
    bad = {"content_type": "dialogue", "role": "nobody", "text": LONG * 2}
    with pytest.raises(ContentValidationError, match="role"):
        await stage(batch, lambda: [batch.commit(say("a")), batch.commit(bad)])

    assert await tract.head() is None
    assert batch.commits == []


async def test_one_bad_target_takes_the_whole_batch_along(tract: AsyncTract) -> None:
    batch = tract.batch()

    def body() -> None:
        batch.commit(say("a"))
        batch.commit(say("b"), operation=EDIT, edit_target="0" * 64)

    with pytest.raises(EditTargetError):
        await stage(batch, body)

    assert await tract.head() is None


async def test_an_edit_may_target_what_was_committed_before(tract: AsyncTract) -> None:
    info = await tract.user("a")
    async with tract.batch() as batch:
        batch.commit(say("b"), operation=EDIT, edit_target=info.commit_hash)

    assert (await tract.compile()).to_dicts() == [{"role": "user", "content": "b"}]


async def test_an_edit_of_an_edit_is_refused_within_a_batch_too(tract: AsyncTract) -> None:
    batch = tract.batch()

    def body() -> None:
        entry = batch.commit(say("a"))
        edit = batch.commit(say("b"), operation=EDIT, edit_target=entry)
        batch.commit(say("c"), operation=EDIT, edit_target=edit)

    with pytest.raises(EditTargetError, match="is an EDIT, not an entry"):
        await stage(batch, body)

    assert await tract.head() is None


async def test_a_staged_commit_of_a_landed_batch_is_a_target(tract: AsyncTract) -> None:
    async with tract.batch() as first:
        entry = first.commit(say("a"))
    async with tract.batch() as second:
        second.commit(say("b"), operation=EDIT, edit_target=entry)

    assert second.commits[0].edit_target == entry.info.commit_hash


async def test_a_staged_commit_of_an_open_batch_is_none(tract: AsyncTract) -> None:
    async with tract.batch() as one, tract.batch() as other:
        entry = one.commit(say("a"))
        with pytest.raises(EditTargetError, match="is not written yet"):
            other.commit(say("b"), operation=EDIT, edit_target=entry)

    assert other.commits == []


async def test_a_batch_stages_only_inside_its_block(tract: AsyncTract) -> None:
    batch = tract.batch()
    with pytest.raises(TractError, match="async with"):
        batch.commit(say("too early"))
    async with batch:
        pass
    with pytest.raises(TractError, match="async with"):
        batch.commit(say("too late"))

    assert await tract.head() is None


async def test_a_batch_is_used_once(tract: AsyncTract) -> None:
    batch = tract.batch()
    async with batch:
        batch.commit(say("a"))
    with pytest.raises(TractError, match="used once"):
        async with batch:
            pass

    assert len(await tract.log()) == 1


async def test_a_closed_store_is_told_before_the_body_runs(target: Path | str) -> None:
    tract = await AsyncTract.open(target)
    await tract.aclose()
    ran = False
    with pytest.raises(StoreClosedError):
        async with tract.batch():
            ran = True

    assert not ran


async def test_a_store_closed_during_the_body_is_told_on_leaving(target: Path | str) -> None:
    tract = await AsyncTract.open(target, tract_id="t")

    async def body() -> None:
        async with tract.batch() as batch:
            batch.commit(say("a"))
            await tract.aclose()

    with pytest.raises(StoreClosedError):
        await body()
    async with AsyncTract.open(target, tract_id="t") as again:
        assert await again.head() is None


async def test_a_budget_is_checked_for_the_batch_as_a_whole(target: Path | str) -> None:
    """An entry over it may be followed by the edit that brings it back."""
    config = TractConfig(token_budget=TokenBudgetConfig(max_tokens=50, action=BudgetAction.REJECT))
    async with TractStore.open(target, config=config) as store:
        tract = store.tract("t")
        refused = tract.batch()
        with pytest.raises(BudgetExceededError):
            await stage(refused, lambda: [refused.commit(say("word " * 30)) for _ in range(2)])
        assert await tract.head() is None
        async with tract.batch() as batch:
            entry = batch.commit(say("word " * 90))
            batch.commit(say("short"), operation=EDIT, edit_target=entry)
        context = await tract.compile()

    assert context.to_dicts() == [{"role": "user", "content": "short"}]
    assert refused.commits == []


@pytest.mark.unmeasured
async def test_a_large_batch_stays_in_order(tract: AsyncTract) -> None:
    async with tract.batch() as batch:
        staged: list[StagedCommit] = [
            batch.commit({"content_type": "freeform", "payload": n}) for n in range(3000)
        ]

    report = await tract.verify()

    assert (report.checked, report.faults) == (3000, ())
    assert [item.info for item in staged] == batch.commits
    assert (await tract.compile()).commit_hashes == [c.commit_hash for c in batch.commits]


async def test_an_edit_and_priorities_land_together(tract: AsyncTract) -> None:
    old = await tract.user("long ago")
    async with tract.batch() as batch:
        new = batch.commit(say("just now"))
        batch.annotate(old.commit_hash, Priority.SKIP, reason="stale")
        batch.annotate(new, Priority.PINNED)

    assert (await tract.compile()).to_dicts() == [{"role": "user", "content": "just now"}]
    assert [item.reason for item in await tract.get_annotations(old.commit_hash)] == ["stale"]
    (pinned,) = await tract.get_annotations(new.info.commit_hash)
    assert pinned.priority is Priority.PINNED
    assert [info.operation for info in batch.commits] == ["append", "annotate", "annotate"]


async def test_a_batch_refuses_what_annotate_refuses(tract: AsyncTract) -> None:
    old = await tract.user("long ago")
    with pytest.raises(ContentValidationError, match="is not a priority"):
        await stage(batch := tract.batch(), lambda: batch.annotate(old.commit_hash, "high"))  # type: ignore[arg-type]  # refused
    with pytest.raises(CommitNotFoundError):
        await stage(other := tract.batch(), lambda: other.annotate(None, Priority.SKIP))  # type: ignore[arg-type]  # refused

    assert len(await tract.log()) == 1


async def test_annotating_waits_for_landing(tract: AsyncTract) -> None:
    async with tract.batch() as batch:
        entry = batch.commit(say("a"))
    await tract.annotate(entry.info.commit_hash, Priority.SKIP)

    assert (await tract.compile()).commit_count == 0


async def test_a_batch_tells_how_it_stands(tract: AsyncTract) -> None:
    async with tract.batch() as batch:
        staged = batch.commit(say("a"))

        assert "1 staged" in repr(batch)
        assert "not landed" in repr(staged)

    assert "1 landed" in repr(batch)
    assert staged.info.commit_hash[:12] in repr(staged)
