"""Usage reports: which commit they belong to, and which of several counts."""

from __future__ import annotations

import pytest

from support.drafts import MAIN, OTHER_BRANCH, OTHER_TRACT
from support.repositories import NONE_KNOWN, UNKNOWN, Repositories, say
from tract import HeadMovedError, TokenUsage, TractError
from tract.storage.repositories import BranchName, ExistingBranch, Position


async def usage(
    store: Repositories, position: Position, branch: BranchName = MAIN
) -> TokenUsage | None:
    return (await store.histories.locate(branch, position, NONE_KNOWN)).usage


async def test_usage_belongs_to_one_head_and_the_last_report_holds(store: Repositories) -> None:
    [head] = await say(store, MAIN, "a")
    await store.usages.record_at(MAIN.tract_id, head, TokenUsage(1, 2, 3), "{}")
    assert await usage(store, Position()) == TokenUsage(1, 2, 3)
    assert await store.usages.record(MAIN, TokenUsage(4, 5, 9), "{}", head_hash=head) == head
    assert await usage(store, Position()) == TokenUsage(4, 5, 9)
    [later] = await say(store, MAIN, "b")
    first = await store.commits.get(MAIN.tract_id, head)

    assert first is not None
    assert await usage(store, Position(head)) == TokenUsage(4, 5, 9)
    assert await usage(store, Position(at_time=first.created_at)) == TokenUsage(4, 5, 9)
    assert await usage(store, Position()) is None
    assert await usage(store, Position(later)) is None

    await store.usages.record_at(MAIN.tract_id, head, TokenUsage(7, 0, 7), "{}")
    assert await usage(store, Position(head)) == TokenUsage(7, 0, 7)
    assert await usage(store, Position()) is None


async def test_a_report_without_a_total_has_the_sum_of_its_counts(store: Repositories) -> None:
    [head] = await say(store, MAIN, "a")
    await store.usages.record(MAIN, TokenUsage(7, 2), "{}", head_hash=head)
    assert await usage(store, Position()) == TokenUsage(7, 2, 9)

    await store.usages.record_at(MAIN.tract_id, head, TokenUsage(1), "{}")
    assert await usage(store, Position()) == TokenUsage(1, 0, 1)


async def test_usage_is_kept_for_a_commit_that_is_no_head_of_any_branch(
    store: Repositories,
) -> None:
    a, b = await say(store, MAIN, "a", "b")
    await store.refs.move(MAIN, a, action="reset")
    await store.usages.record_at(MAIN.tract_id, b, TokenUsage(1, 2, 3), "{}")

    assert await usage(store, Position(b)) == TokenUsage(1, 2, 3)
    assert await usage(store, Position()) is None


async def test_usage_of_another_head_or_of_none_is_refused(store: Repositories) -> None:
    with pytest.raises(HeadMovedError):
        await store.usages.record(MAIN, TokenUsage(1), "{}", head_hash=UNKNOWN)
    first, head = await say(store, MAIN, "a", "b")

    for expected in (first, UNKNOWN):
        with pytest.raises(HeadMovedError) as refusal:
            await store.usages.record(MAIN, TokenUsage(1), "{}", head_hash=expected)
        assert (refusal.value.expected, refusal.value.actual) == (expected, head)
    assert await usage(store, Position(first)) is None
    assert await usage(store, Position()) is None


async def test_usage_of_a_branch_that_is_not_there_is_refused(store: Repositories) -> None:
    [head] = await say(store, MAIN, "a")
    side = ExistingBranch(MAIN.tract_id, "side")

    with pytest.raises(TractError):
        await store.usages.record(side, TokenUsage(1), "{}", head_hash=head)
    assert await usage(store, Position()) is None


async def test_usage_is_shared_by_branches_of_one_head_and_not_by_tracts(
    store: Repositories,
) -> None:
    [head] = await say(store, MAIN, "a")
    await store.refs.fork(MAIN, OTHER_BRANCH.branch)
    await say(store, OTHER_TRACT, "a")
    await store.usages.record(OTHER_BRANCH, TokenUsage(1, 1, 2), "{}", head_hash=head)

    assert await usage(store, Position()) == TokenUsage(1, 1, 2)
    assert await usage(store, Position(), OTHER_TRACT) is None


async def test_a_head_may_be_named_by_a_tag_and_is_given_by_its_hash(store: Repositories) -> None:
    [head] = await say(store, MAIN, "a")
    await store.tags.tag(MAIN, "v1")

    assert await store.usages.record(MAIN, TokenUsage(3, 1, 4), "{}", head_hash="v1") == head
    assert await usage(store, Position()) == TokenUsage(3, 1, 4)
