"""Branches and tags: made, moved, deleted and listed, and where they have pointed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from support.drafts import MAIN, OTHER_BRANCH, OTHER_TRACT, draft
from support.repositories import UNKNOWN, Repositories, everything, hashes, merge_of, say
from tract import (
    BranchExistsError,
    BranchNotFoundError,
    BranchNotMergedError,
    CommitNotFoundError,
    HeadMovedError,
    TagExistsError,
    TagNotFoundError,
    TractError,
)
from tract.storage.repositories import BranchName, ExistingBranch, Misplaced, Origin

SIDE = BranchName(MAIN.tract_id, "side")


async def fork_points(store: Repositories, *names: str) -> list[str | None]:
    return [await store.refs.head(BranchName(MAIN.tract_id, name)) for name in names]


async def test_a_fork_points_where_it_is_told_or_where_its_origin_does(
    store: Repositories,
) -> None:
    a, b = await say(store, MAIN, "a", "b")
    await store.tags.tag(MAIN, "v1", a)
    await store.refs.fork(MAIN, "here")
    await store.refs.fork(MAIN, "there", a)
    await store.refs.fork(MAIN, "at-a-tag", "v1")
    await store.refs.fork(MAIN, "at-a-branch", "here")
    await store.refs.fork(MAIN, "empty", None)
    await say(store, MAIN, "c")

    points = await fork_points(store, "here", "there", "at-a-tag", "at-a-branch", "empty")
    assert points == [b, a, a, b, None]


async def test_a_fork_of_an_empty_branch_is_empty_and_is_there(store: Repositories) -> None:
    await store.refs.fork(MAIN, "side")

    assert await store.refs.head(ExistingBranch(*SIDE)) is None
    assert [(ref.name, ref.commit_hash) for ref in await store.refs.branches("agent")] == [
        ("side", None)
    ]
    [made] = await say(store, SIDE, "a")
    assert await store.refs.head(SIDE) == made


async def test_a_fork_is_refused_where_its_name_is_taken_or_its_origin_has_moved(
    store: Repositories,
) -> None:
    old, head = await say(store, MAIN, "a", "b")
    await say(store, SIDE, "x")
    await store.refs.fork(MAIN, "empty", None)
    before = await everything(store)

    for name in ("side", "main", "empty"):
        with pytest.raises(BranchExistsError):
            await store.refs.fork(MAIN, name)
    for expected in (old, None, UNKNOWN):
        with pytest.raises(HeadMovedError):
            await store.refs.fork(MAIN, "new", expected_head=expected)
        with pytest.raises(HeadMovedError):
            await store.refs.fork(MAIN, "new", old, expected_head=expected)
    with pytest.raises(CommitNotFoundError):
        await store.refs.fork(MAIN, "new", UNKNOWN)
    assert await everything(store) == before
    await store.refs.fork(MAIN, "new", old, expected_head=head)
    assert await fork_points(store, "new") == [old]


async def test_of_many_forks_of_one_name_one_is_made(store: Repositories) -> None:
    await say(store, MAIN, "a")
    results = await asyncio.gather(
        *(store.refs.fork(MAIN, "side") for _ in range(8)), return_exceptions=True
    )

    assert results.count(None) == 1
    assert sum(isinstance(item, BranchExistsError) for item in results) == 7


async def test_a_branch_moves_back_and_goes_on_from_there(store: Repositories) -> None:
    a, b = await say(store, MAIN, "a", "b")
    moved = await store.refs.move(MAIN, a, action="reset", note="b was wrong")
    [listed] = await store.refs.branches(MAIN.tract_id)
    [c] = await store.commits.write(MAIN, [draft("c")])

    assert moved == listed
    assert (moved.name, moved.commit_hash) == ("main", a)
    assert moved.created_at < moved.updated_at < c.created_at
    assert c.parent_hash == a
    assert await store.commits.get(MAIN.tract_id, b) is not None


async def test_a_branch_is_emptied_and_begins_anew(store: Repositories) -> None:
    await say(store, MAIN, "a", "b")
    moved = await store.refs.move(MAIN, None, action="reset")

    assert moved.commit_hash is None
    assert await store.refs.head(MAIN) is None
    assert await store.histories.log(MAIN, limit=None) == []
    [first] = await store.commits.write(MAIN, [draft("c")], expected_head=None)
    assert first.parent_hash is None
    assert await store.histories.log(MAIN, limit=None) == [first]


async def test_a_fast_forward_goes_where_a_reset_may_not(store: Repositories) -> None:
    [a] = await say(store, MAIN, "a")
    await store.refs.fork(MAIN, "side")
    [b] = await say(store, SIDE, "b")
    before = await everything(store)

    with pytest.raises(TractError, match="history"):
        await store.refs.move(MAIN, b, action="reset")
    for expected in (b, None):
        with pytest.raises(HeadMovedError):
            await store.refs.move(MAIN, b, action="fast-forward", expected_head=expected)
    with pytest.raises(BranchNotFoundError):
        await store.refs.move(ExistingBranch("agent", "nobody"), a, action="fast-forward")
    assert await everything(store) == before
    await store.refs.move(MAIN, b, action="fast-forward", expected_head=a)
    assert await store.refs.head(MAIN) == b


async def test_a_branch_is_deleted_where_others_reach_its_head_or_by_force(
    store: Repositories,
) -> None:
    await say(store, MAIN, "a")
    await store.refs.fork(MAIN, "side")
    await store.refs.delete(SIDE, force=False)
    await store.refs.fork(MAIN, "side")
    [own] = await say(store, SIDE, "b")

    with pytest.raises(BranchNotMergedError):
        await store.refs.delete(SIDE, force=False)
    with pytest.raises(HeadMovedError):
        await store.refs.delete(SIDE, force=True, expected_head=None)
    assert await store.refs.head(SIDE) == own
    await store.refs.delete(SIDE, force=True, expected_head=own)
    with pytest.raises(BranchNotFoundError):
        await store.refs.delete(SIDE, force=True)
    assert [ref.name for ref in await store.refs.branches(MAIN.tract_id)] == ["main"]
    assert await store.commits.get(MAIN.tract_id, own) is not None


async def _tagged(store: Repositories, own: str) -> None:
    await store.tags.tag(SIDE, "kept")


async def _forked(store: Repositories, own: str) -> None:
    await store.refs.fork(SIDE, "kept")


async def _merged(store: Repositories, own: str) -> None:
    await store.commits.write(MAIN, [merge_of(own)])


async def _squashed(store: Repositories, own: str) -> None:
    await store.commits.write(MAIN, [draft()._replace(origins=(Origin("squash", own),))])


@pytest.mark.parametrize("keep", [_tagged, _forked, _merged, _squashed])
async def test_what_else_keeps_a_branchs_commits_within_reach_lets_it_be_deleted(
    store: Repositories, keep: Callable[[Repositories, str], Awaitable[None]]
) -> None:
    await say(store, MAIN, "a")
    await store.refs.fork(MAIN, "side")
    [own] = await say(store, SIDE, "b")
    with pytest.raises(BranchNotMergedError):
        await store.refs.delete(SIDE, force=False)
    await keep(store, own)

    await store.refs.delete(SIDE, force=False)


async def test_a_deleted_branch_can_be_made_anew_and_has_nothing_of_the_former(
    store: Repositories,
) -> None:
    [a] = await say(store, MAIN, "a")
    await store.refs.fork(MAIN, "side")
    await say(store, SIDE, "b")
    await store.refs.delete(SIDE, force=True)
    [c] = await store.commits.write(SIDE, [draft("c")])

    assert c.parent_hash is None
    assert await store.histories.log(SIDE, limit=None) == [c]
    assert await store.refs.head(MAIN) == a
    assert await store.checks.misplaced(MAIN.tract_id) == []


async def test_branches_and_tags_are_listed_by_name(store: Repositories) -> None:
    await say(store, MAIN, "a")
    await say(store, OTHER_TRACT, "a")
    for name in ("b", "a/b", "Z", "\u00e9"):
        await store.refs.fork(MAIN, name)
        await store.tags.tag(MAIN, name)

    branches = await store.refs.branches(MAIN.tract_id)
    tags = await store.tags.tags(MAIN.tract_id)
    assert [ref.name for ref in branches] == ["Z", "a/b", "b", "main", "\u00e9"]
    assert [ref.name for ref in tags] == ["Z", "a/b", "b", "\u00e9"]
    assert [ref.name for ref in await store.refs.branches(OTHER_TRACT.tract_id)] == ["main"]
    assert await store.tags.tags(OTHER_TRACT.tract_id) == []
    assert await store.refs.branches("nobody") == []


async def test_a_branch_tells_since_when_it_is_there_and_of_its_last_change(
    store: Repositories,
) -> None:
    first, last = await store.commits.write(MAIN, [draft("a"), draft("b")])

    [main] = await store.refs.branches(MAIN.tract_id)
    assert main == ("main", last.commit_hash, first.created_at, last.created_at)


async def test_a_tag_names_a_commit_whatever_becomes_of_the_branch(store: Repositories) -> None:
    a, b = await say(store, MAIN, "a", "b")
    here = await store.tags.tag(MAIN, "here")
    there = await store.tags.tag(MAIN, "there", a, expected_head=b)
    await store.refs.move(MAIN, None, action="reset")

    assert (here.name, here.commit_hash, there.commit_hash) == ("here", b, a)
    assert await store.tags.tags(MAIN.tract_id) == [here, there]
    assert await store.commits.resolve(MAIN.tract_id, "here") == b


async def test_a_tag_is_refused_where_it_is_taken_or_names_no_commit(store: Repositories) -> None:
    with pytest.raises(TractError, match="no commit yet"):
        await store.tags.tag(MAIN, "v1")
    [a, b] = await say(store, MAIN, "a", "b")
    await store.tags.tag(MAIN, "v1", a)
    before = await everything(store)

    with pytest.raises(TagExistsError):
        await store.tags.tag(MAIN, "v1", b)
    with pytest.raises(TractError, match="no commit yet"):
        await store.tags.tag(MAIN, "v2", None)
    with pytest.raises(CommitNotFoundError):
        await store.tags.tag(MAIN, "v2", UNKNOWN)
    for expected in (a, None, UNKNOWN):
        with pytest.raises(HeadMovedError):
            await store.tags.tag(MAIN, "v2", expected_head=expected)
    assert await everything(store) == before
    await store.tags.tag(OTHER_BRANCH, "v2", b)
    assert [tag.name for tag in await store.tags.tags(MAIN.tract_id)] == ["v1", "v2"]


async def test_a_tag_is_taken_away_if_it_names_what_is_expected(store: Repositories) -> None:
    a, b = await say(store, MAIN, "a", "b")
    await store.tags.tag(MAIN, "v1", a)
    await store.tags.tag(MAIN, "v2", a)

    with pytest.raises(HeadMovedError):
        await store.tags.untag(MAIN.tract_id, "v1", expected_head=b)
    with pytest.raises(TagNotFoundError):
        await store.tags.untag(OTHER_TRACT.tract_id, "v1")
    await store.tags.untag(MAIN.tract_id, "v1", expected_head=a)
    with pytest.raises(TagNotFoundError):
        await store.tags.untag(MAIN.tract_id, "v1")
    assert [tag.name for tag in await store.tags.tags(MAIN.tract_id)] == ["v2"]
    await store.tags.tag(MAIN, "v1", b)
    assert await store.commits.resolve(MAIN.tract_id, "v1") == b


async def test_where_branches_have_pointed_is_told_oldest_first(store: Repositories) -> None:
    a, b = await say(store, MAIN, "a", "b")
    await store.refs.fork(MAIN, "side", a)
    [c] = await say(store, SIDE, "c")
    await store.refs.move(MAIN, a, action="reset", note="why")
    await store.refs.move(MAIN, c, action="fast-forward")
    await store.refs.delete(SIDE, force=False)
    await say(store, OTHER_TRACT, "beside")
    moves = await store.refs.moves(MAIN.tract_id)

    assert [move[:4] for move in moves] == [
        ("main", None, a, "append"),
        ("main", a, b, "append"),
        ("side", None, a, "fork"),
        ("side", a, c, "append"),
        ("main", b, a, "reset"),
        ("main", a, c, "fast-forward"),
        ("side", c, None, "delete"),
    ]
    times = [move.created_at for move in moves]
    assert times == sorted(set(times))
    assert [moves[0].note, moves[4].note] == ["says a", "why"]


async def test_heads_reach_every_commit_whatever_became_of_the_branches(
    store: Repositories,
) -> None:
    a, b = await say(store, MAIN, "a", "b")
    await store.refs.move(MAIN, a, action="reset")
    [c] = await say(store, SIDE, "c")
    await store.tags.tag(SIDE, "v1")
    await store.refs.delete(SIDE, force=True)
    [foreign] = await say(store, OTHER_TRACT, "x")

    heads = await store.checks.heads(MAIN.tract_id)
    assert {a, b, c} == {*heads}
    assert heads == sorted(heads)
    assert await store.checks.heads(OTHER_TRACT.tract_id) == [foreign]
    assert await store.checks.heads("nobody") == []


async def test_heads_are_told_whether_their_commits_are_there_or_not(store: Repositories) -> None:
    _, head = await say(store, MAIN, "a", "b")
    await store.damage.lose_commit(head)

    assert head in await store.checks.heads(MAIN.tract_id)


async def test_heads_and_tracts_are_listed_sorted(store: Repositories) -> None:
    [theirs] = await say(store, OTHER_TRACT, "a")
    [other] = await say(store, OTHER_BRANCH, "b")
    [main] = await say(store, MAIN, "c")

    assert await store.tracts.ids() == ["agent", "rival"]
    assert await store.checks.heads("agent") == sorted([main, other])
    assert await store.checks.heads("rival") == [theirs]


async def test_branches_reach_what_they_went_on_from_and_what_was_merged(
    store: Repositories,
) -> None:
    [a, b] = await say(store, MAIN, "a", "b")
    await store.refs.fork(MAIN, SIDE.branch, a)
    await store.refs.fork(MAIN, "empty", None)
    [c] = await say(store, SIDE, "c")
    asked = [a, b, c, SIDE.branch]

    found = await store.refs.reached_by(MAIN.tract_id, asked)
    assert found == {a: ["main", "side"], b: ["main"], c: ["side"], "side": ["side"]}
    [merge] = await store.commits.write(MAIN, [merge_of(c)])
    await store.refs.move(SIDE, a, action="reset")
    found = await store.refs.reached_by(MAIN.tract_id, [c, merge.commit_hash])
    assert found == {c: ["main"], merge.commit_hash: ["main"]}


async def test_no_branch_reaches_a_commit_of_another_tract_or_of_none(store: Repositories) -> None:
    [theirs] = await say(store, OTHER_TRACT, "theirs")
    [mine] = await say(store, MAIN, "mine")

    assert await store.refs.reached_by(MAIN.tract_id, []) == {}
    assert await store.refs.reached_by("nobody", []) == {}
    for name in (theirs, UNKNOWN, "nobody"):
        with pytest.raises(CommitNotFoundError):
            await store.refs.reached_by(MAIN.tract_id, [mine, name])


async def test_a_tract_is_listed_even_if_its_commits_are_on_no_branch(
    store: Repositories,
) -> None:
    await say(store, SIDE, "a")
    await store.refs.delete(SIDE, force=True)

    assert await store.tracts.ids() == ["agent"]


async def test_a_branch_whose_row_does_not_fit_is_told_with_its_head(store: Repositories) -> None:
    await say(store, MAIN, "a")
    [head] = await say(store, SIDE, "b")
    await store.refs.move(SIDE, None, action="reset")
    [head] = await say(store, SIDE, "c")
    assert await store.checks.misplaced(MAIN.tract_id) == []
    await store.damage.misplace(SIDE, MAIN)

    assert await store.checks.misplaced(MAIN.tract_id) == [Misplaced(head, "side")]
    assert await store.checks.misplaced(OTHER_TRACT.tract_id) == []


async def test_a_commit_that_lies_among_those_of_another_branch_is_told(
    store: Repositories,
) -> None:
    made = await say(store, MAIN, "a", "b", "c", "d")
    await store.refs.fork(MAIN, SIDE.branch, made[1])
    [theirs] = await say(store, SIDE, "e")
    await store.commits.write(MAIN, [merge_of(theirs)])
    assert await store.checks.misplaced(MAIN.tract_id) == []
    await store.damage.misfile(made[2], theirs)

    assert await store.checks.misplaced(MAIN.tract_id) == [Misplaced(made[2])]
    assert await store.checks.misplaced(OTHER_TRACT.tract_id) == []


async def test_a_branch_moves_and_forks_whatever_lies_on_others_meanwhile(
    store: Repositories,
) -> None:
    """All of that at once, and every branch remains a line of its own."""
    made = await say(store, MAIN, "a", "b", "c")
    forks = [BranchName(MAIN.tract_id, f"fork-{number}") for number in range(6)]
    await asyncio.gather(*(store.refs.fork(MAIN, fork.branch, made[1]) for fork in forks))
    await asyncio.gather(
        *(store.commits.write(fork, [draft(fork.branch)]) for fork in forks),
        store.refs.move(MAIN, made[0], action="reset"),
        store.commits.write(OTHER_BRANCH, [draft("beside")]),
    )

    for fork in forks:
        [own, *rest] = await store.histories.log(fork, limit=None)
        assert own.message == f"says {fork.branch}"
        assert hashes(rest) == [made[1], made[0]]
    assert await store.refs.head(MAIN) == made[0]
    assert await store.checks.misplaced(MAIN.tract_id) == []
