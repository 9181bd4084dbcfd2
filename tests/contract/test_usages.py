"""Usage reports: which commit they belong to, and which of several counts."""

from __future__ import annotations

from support.drafts import MAIN, OTHER_BRANCH, OTHER_TRACT
from support.repositories import NONE_KNOWN, Repositories, say
from tract import TokenUsage
from tract.storage.repositories import BranchName, Position


async def usage(
    store: Repositories, position: Position, branch: BranchName = MAIN
) -> TokenUsage | None:
    return (await store.histories.locate(branch, position, NONE_KNOWN)).usage


async def test_usage_belongs_to_one_head_and_the_last_report_holds(store: Repositories) -> None:
    [head] = await say(store, MAIN, "a")
    await store.usages.record(MAIN.tract_id, head, TokenUsage(1, 2, 3), "{}")
    assert await usage(store, Position()) == TokenUsage(1, 2, 3)
    await store.usages.record(MAIN.tract_id, head, TokenUsage(4, 5, 9), "{}")
    assert await usage(store, Position()) == TokenUsage(4, 5, 9)
    [later] = await say(store, MAIN, "b")
    first = await store.commits.get(MAIN.tract_id, head)

    assert first is not None
    assert await usage(store, Position(head)) == TokenUsage(4, 5, 9)
    assert await usage(store, Position(at_time=first.created_at)) == TokenUsage(4, 5, 9)
    assert await usage(store, Position()) is None
    assert await usage(store, Position(later)) is None

    await store.usages.record(MAIN.tract_id, head, TokenUsage(7, 0, 7), "{}")
    assert await usage(store, Position(head)) == TokenUsage(7, 0, 7)
    assert await usage(store, Position()) is None


async def test_a_report_without_a_total_has_the_sum_of_its_counts(store: Repositories) -> None:
    [head] = await say(store, MAIN, "a")
    await store.usages.record(MAIN.tract_id, head, TokenUsage(7, 2), "{}")
    assert await usage(store, Position()) == TokenUsage(7, 2, 9)

    await store.usages.record(MAIN.tract_id, head, TokenUsage(1), "{}")
    assert await usage(store, Position()) == TokenUsage(1, 0, 1)


async def test_usage_is_kept_for_a_commit_that_is_no_head_of_any_branch(
    store: Repositories,
) -> None:
    a, b = await say(store, MAIN, "a", "b")
    await store.refs.move(MAIN, a, action="reset")
    await store.usages.record(MAIN.tract_id, b, TokenUsage(1, 2, 3), "{}")

    assert await usage(store, Position(b)) == TokenUsage(1, 2, 3)
    assert await usage(store, Position()) is None


async def test_usage_is_shared_by_branches_of_one_head_and_not_by_tracts(
    store: Repositories,
) -> None:
    [head] = await say(store, MAIN, "a")
    await store.refs.fork(MAIN, OTHER_BRANCH.branch)
    await say(store, OTHER_TRACT, "a")
    await store.usages.record(OTHER_BRANCH.tract_id, head, TokenUsage(1, 1, 2), "{}")

    assert await usage(store, Position()) == TokenUsage(1, 1, 2)
    assert await usage(store, Position(), OTHER_TRACT) is None


async def test_the_newest_report_is_that_of_the_nearest_ancestor_among_so_many(
    store: Repositories,
) -> None:
    a, b, c, d = await say(store, MAIN, *"abcd")
    tract_id = MAIN.tract_id
    assert await store.usages.newest(tract_id, d, 16) is None
    await store.usages.record(tract_id, a, TokenUsage(1, 1, 2), "{}")
    await store.usages.record(tract_id, b, TokenUsage(2, 1, 3), "{}")

    assert await store.usages.newest(tract_id, d, 16) == (b, TokenUsage(2, 1, 3))
    assert await store.usages.newest(tract_id, d, 3) == (b, TokenUsage(2, 1, 3))
    assert await store.usages.newest(tract_id, d, 2) is None
    assert await store.usages.newest(tract_id, a, 1) == (a, TokenUsage(1, 1, 2))
    assert await store.usages.newest(tract_id, c, 16) == (b, TokenUsage(2, 1, 3))
    assert await store.usages.newest(tract_id, "0" * 64, 16) is None


async def test_the_newest_report_is_found_among_the_commits_of_other_branches(
    store: Repositories,
) -> None:
    [first] = await say(store, MAIN, "first")
    await store.usages.record(MAIN.tract_id, first, TokenUsage(1, 1, 2), "{}")
    [head] = await say(store, MAIN, "second")
    for number in range(40):
        [other] = await say(store, OTHER_BRANCH, f"{number}")
        await store.usages.record(MAIN.tract_id, other, TokenUsage(number, 1), "{}")
    [head] = await say(store, MAIN, "third")

    assert await store.usages.newest(MAIN.tract_id, head, 16) == (first, TokenUsage(1, 1, 2))
