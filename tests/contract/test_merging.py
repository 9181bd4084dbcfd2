"""Merges: what they are computed from, when that still holds, and how branches relate."""

from __future__ import annotations

import asyncio

import pytest

from support.drafts import MAIN, OTHER_BRANCH, OTHER_TRACT, annotation, draft, edit
from support.repositories import (
    UNKNOWN,
    Repositories,
    basis_of,
    everything,
    hashes,
    merge_of,
    say,
    stored,
)
from tract import (
    BranchNotFoundError,
    CommitNotFoundError,
    EditTargetError,
    HeadMovedError,
    TokenUsage,
)
from tract.storage.repositories import (
    Basis,
    BranchName,
    CommitDraft,
    Marker,
    Origin,
    OutdatedBasisError,
    Sizes,
    Survey,
)

THIRD = BranchName(MAIN.tract_id, "third")
COMPACTION = draft("what it hides", operation="compact")


async def parted(store: Repositories) -> tuple[str, str, str]:
    """Return the commit that two branches share, and the head of each."""
    [shared] = await say(store, MAIN, "shared")
    await store.refs.fork(MAIN, OTHER_BRANCH.branch)
    [ours], [theirs] = await say(store, MAIN, "ours"), await say(store, OTHER_BRANCH, "theirs")
    return shared, ours, theirs


async def basis(store: Repositories, *touched: str, squash: bool = False) -> Basis:
    return basis_of(await store.comparisons.relation(MAIN, OTHER_BRANCH), *touched, squash=squash)


async def test_what_follows_a_merge_in_a_batch_may_target_what_it_brings(
    store: Repositories,
) -> None:
    shared, _, theirs = await parted(store)
    stranger, *_ = await say(store, THIRD, "beside")

    with pytest.raises(EditTargetError, match="not in this branch's history"):
        await store.commits.write(MAIN, [annotation(theirs), merge_of(theirs)])
    with pytest.raises(EditTargetError, match="not in this branch's history"):
        await store.commits.write(MAIN, [merge_of(theirs), annotation(stranger)])
    made = await store.commits.write(
        MAIN, [merge_of(theirs), annotation(theirs), edit("x", shared)]
    )

    assert [each.edit_target for each in made] == [None, theirs, shared]


# relation


async def test_a_relation_has_both_heads_and_the_parents_down_to_where_they_parted(
    store: Repositories,
) -> None:
    _, before = await say(store, MAIN, "before", "all of it")
    shared, ours, theirs = await parted(store)
    await say(store, THIRD, "beside")
    relation = await store.comparisons.relation(MAIN, OTHER_BRANCH)

    assert (relation.ours, relation.theirs) == (ours, theirs)
    assert relation.parents == {
        shared: (before, None),
        ours: (shared, None),
        theirs: (shared, None),
    }
    assert (relation.changes, [*relation.squashed]) == ({}, [])


async def test_a_relation_lists_each_commit_before_its_parents(store: Repositories) -> None:
    """The graph reads it in that order, and only as far as it must."""
    shared, ours, theirs = await parted(store)
    merged, after = hashes(await store.commits.write(MAIN, [merge_of(theirs), draft("after")]))
    [beside] = await say(store, OTHER_BRANCH, "beside")
    relation = await store.comparisons.relation(MAIN, OTHER_BRANCH)

    listed = [*relation.parents]
    assert {*listed} == {ours, theirs, merged, after, beside}
    for at, commit in enumerate(listed):
        assert {*relation.parents[commit]} - {None} <= {*listed[at + 1 :], shared}


async def test_a_relation_tells_of_edits_annotations_merges_and_squashes(
    store: Repositories,
) -> None:
    shared, ours, theirs = await parted(store)
    squash = draft("squash")._replace(origins=(Origin("squash", theirs),))
    made = await store.commits.write(
        MAIN, [edit("x", shared), annotation(ours), squash, merge_of(theirs)]
    )
    edited, noted, squashed, merged = hashes(made)
    relation = await store.comparisons.relation(MAIN, OTHER_BRANCH)

    assert relation.changes == {edited: ("edit", shared), noted: ("annotate", ours)}
    assert [*relation.squashed] == [squashed]
    assert relation.parents[merged] == (squashed, theirs)


async def test_a_relation_to_an_empty_branch_and_of_one(store: Repositories) -> None:
    [head] = await say(store, MAIN, "a")
    await store.refs.fork(MAIN, "side", None)
    side = BranchName(MAIN.tract_id, "side")

    towards = await store.comparisons.relation(MAIN, side)
    assert (towards.ours, towards.theirs) == (head, None)
    away = await store.comparisons.relation(side, MAIN)
    assert (away.ours, away.theirs, away.parents) == (None, head, {head: (None, None)})


async def test_a_relation_to_a_branch_that_is_not_there_is_refused(store: Repositories) -> None:
    await say(store, MAIN, "a")
    await say(store, BranchName(OTHER_TRACT.tract_id, "side"), "b")

    for name in ("side", "nobody"):
        with pytest.raises(BranchNotFoundError):
            await store.comparisons.relation(MAIN, BranchName(MAIN.tract_id, name))


# merge


async def test_a_merge_lands_like_any_write(store: Repositories) -> None:
    _, ours, theirs = await parted(store)
    records = await store.commits.write_on(
        MAIN, [merge_of(theirs), draft("after")], await basis(store), expected_head=ours
    )

    assert [record.parent_hash for record in records] == [ours, records[0].commit_hash]
    assert records[0].merge_parent == theirs
    assert await store.refs.head(MAIN) == records[1].commit_hash


async def test_a_merge_is_refused_on_another_head_than_expected(store: Repositories) -> None:
    _, _, theirs = await parted(store)
    computed = await basis(store)
    before = await everything(store)

    for expected in (theirs, None, UNKNOWN):
        with pytest.raises(HeadMovedError):
            await store.commits.write_on(MAIN, [merge_of(theirs)], computed, expected_head=expected)
    assert await everything(store) == before


async def test_a_merge_that_would_be_another_now_is_refused_and_leaves_nothing(
    store: Repositories,
) -> None:
    shared, _, theirs = await parted(store)
    computed = await basis(store, shared)
    await store.commits.write(MAIN, [edit("x", shared)])
    before = await everything(store)

    with pytest.raises(OutdatedBasisError):
        await store.commits.write_on(MAIN, [merge_of(theirs)], computed)
    assert await everything(store) == before


async def test_of_one_merge_made_many_times_at_once_one_lands(store: Repositories) -> None:
    _, _, theirs = await parted(store)
    computed = await basis(store)
    results = await asyncio.gather(
        *(store.commits.write_on(MAIN, [merge_of(theirs)], computed) for _ in range(6)),
        return_exceptions=True,
    )

    assert sum(isinstance(result, list) for result in results) == 1
    assert sum(isinstance(result, OutdatedBasisError) for result in results) == 5


# still_holds


async def holds(store: Repositories, computed: Basis) -> bool:
    head = await store.refs.head(MAIN)
    return await store.comparisons.still_holds(MAIN.tract_id, head, computed)


async def test_a_merge_still_holds_where_nothing_or_something_else_came(
    store: Repositories,
) -> None:
    shared, ours, theirs = await parted(store)
    [beside] = await say(store, THIRD, "beside")
    computed = await basis(store, shared)
    assert await holds(store, computed)

    changes: list[CommitDraft] = [
        draft("more"),
        edit("x", ours),
        annotation(ours),
        merge_of(beside),
    ]
    for change in changes:
        await store.commits.write(MAIN, [change])
        assert await holds(store, computed)
    await store.commits.write_on(MAIN, [merge_of(theirs)], computed)


@pytest.mark.parametrize("change", ["edit", "annotate", "merge", "reset", "empty", "elsewhere"])
async def test_a_merge_holds_no_more_once_what_it_stands_on_has_changed(
    store: Repositories, change: str
) -> None:
    shared, _, theirs = await parted(store)
    computed = await basis(store, shared)
    await say(store, THIRD, "beside")
    third = await store.refs.head(THIRD)
    if change == "edit":
        await store.commits.write(MAIN, [edit("x", shared)])
    elif change == "annotate":
        await store.commits.write(MAIN, [annotation(shared)])
    elif change == "merge":
        await store.commits.write(MAIN, [merge_of(theirs)])
    elif change == "reset":
        await store.refs.move(MAIN, shared, action="reset")
    elif change == "empty":
        await store.refs.move(MAIN, None, action="reset")
    else:
        await store.refs.move(MAIN, third, action="fast-forward")

    assert not await holds(store, computed)


async def test_it_still_holds_where_an_old_branch_was_merged_meanwhile(store: Repositories) -> None:
    """What that shares with our history is not new, however far below the merge base."""
    [oldest] = await say(store, MAIN, "oldest")
    await store.refs.fork(MAIN, THIRD.branch)
    await store.commits.write(MAIN, [edit("x", oldest)])
    await parted(store)
    [old] = await say(store, THIRD, "old")
    computed = await basis(store, oldest)
    await store.commits.write(MAIN, [merge_of(old), draft("after")])

    assert await holds(store, computed)


async def test_it_no_longer_holds_where_the_branch_is_at_what_is_brought(
    store: Repositories,
) -> None:
    await say(store, MAIN, "shared")
    await store.refs.fork(MAIN, OTHER_BRANCH.branch)
    [newest] = await say(store, OTHER_BRANCH, "on top of ours")
    computed = await basis(store)
    await store.refs.move(MAIN, newest, action="fast-forward")

    assert not await holds(store, computed)


async def shortening(store: Repositories, *hidden: str) -> Basis:
    """Return the basis of a compaction of what is there."""
    head = await store.refs.head(MAIN)
    assert head is not None
    return Basis(head, touched={*hidden})


async def test_a_compaction_still_holds_where_others_talk_on(store: Repositories) -> None:
    shared, ours, theirs = await parted(store)
    computed = await shortening(store, shared)
    for other in (draft("more"), edit("x", ours), annotation(ours), merge_of(theirs)):
        await store.commits.write(MAIN, [other])

    assert await holds(store, computed)


@pytest.mark.parametrize("change", ["edit", "annotate", "compact", "expand", "brought", "reset"])
async def test_a_compaction_holds_no_more_once_what_is_shown_has_changed(
    store: Repositories, change: str
) -> None:
    shared, ours, theirs = await parted(store)
    [hid] = hashes(await store.commits.write(MAIN, [COMPACTION]))
    computed = await shortening(store, shared)
    if change == "reset":
        await store.refs.move(MAIN, ours, action="reset")
    elif change == "brought":
        await store.commits.write(OTHER_BRANCH, [edit("x", shared)])
        theirs = str(await store.refs.head(OTHER_BRANCH))
        await store.commits.write(MAIN, [merge_of(theirs)])
    else:
        changes = {
            "edit": edit("x", shared),
            "annotate": annotation(shared),
            "compact": COMPACTION,
            "expand": draft("undone", operation="expand")._replace(target=hid),
        }
        await store.commits.write(MAIN, [changes[change]])

    assert not await holds(store, computed)


@pytest.mark.parametrize("far", [False, True])
async def test_a_compaction_holds_no_more_once_anything_was_erased(
    store: Repositories, far: bool
) -> None:
    """On the very head that it was computed on, too."""
    shared, ours, _ = await parted(store)
    computed = (await shortening(store, shared))._replace(erasures=0)
    if far:
        await say(store, MAIN, "more")
    assert await holds(store, computed)
    row = await store.commits.get(MAIN.tract_id, ours)
    assert row is not None
    marked = {row.content_hash: Marker("ab" * 32, b"{}")}
    await store.erasures.erase(MAIN.tract_id, [ours], marked)

    assert not await holds(store, computed)


async def test_where_any_edit_matters_only_those_of_what_came_since_do_no_harm(
    store: Repositories,
) -> None:
    shared, ours, _ = await parted(store)
    computed = (await shortening(store, shared))._replace(any_edit=True)
    [new] = await say(store, MAIN, "new")
    await store.commits.write(MAIN, [edit("x", new), annotation(ours)])
    assert await holds(store, computed)
    await store.commits.write(MAIN, [edit("x", ours)])

    assert not await holds(store, computed)


async def test_a_merge_holds_no_more_once_something_was_hidden(store: Repositories) -> None:
    """It may be what the merge edits, which is a conflict."""
    await parted(store)
    computed = await basis(store)
    await store.commits.write(MAIN, [COMPACTION])

    assert not await holds(store, computed)


async def test_a_head_that_only_brings_ours_in_by_a_merge_does_not_go_on_from_it(
    store: Repositories,
) -> None:
    """Its first parents lead elsewhere, so entries come in a different order."""
    _, ours, _ = await parted(store)
    computed = await basis(store)
    await say(store, THIRD, "third")
    [crossed] = hashes(await store.commits.write(THIRD, [merge_of(ours)]))

    assert not await store.comparisons.still_holds(MAIN.tract_id, crossed, computed)


async def test_a_squash_holds_until_the_same_is_squashed(store: Repositories) -> None:
    _, _, theirs = await parted(store)
    squashing, merging = await basis(store, squash=True), await basis(store)
    await say(store, MAIN, "more")
    assert await holds(store, squashing)
    await store.commits.write(MAIN, [draft("squash")._replace(origins=(Origin("squash", theirs),))])

    assert not await holds(store, squashing)
    assert await holds(store, merging)


# sizes


async def test_sizes_count_commits_contents_and_bytes_once(store: Repositories) -> None:
    same, again, other = await say(store, MAIN, "same", "same", "other")
    await say(store, OTHER_BRANCH, "beside")
    large, small = len(draft("other").data), len(draft("same").data)

    assert await store.comparisons.sizes(MAIN.tract_id, None) == Sizes(0, 0, 0)
    assert await store.comparisons.sizes(MAIN.tract_id, same) == Sizes(1, 1, small)
    assert await store.comparisons.sizes(MAIN.tract_id, again) == Sizes(2, 1, small)
    assert await store.comparisons.sizes(MAIN.tract_id, other) == Sizes(3, 2, small + large)
    with pytest.raises(CommitNotFoundError):
        await store.comparisons.sizes(MAIN.tract_id, UNKNOWN)


async def test_sizes_count_what_a_merge_brought(store: Repositories) -> None:
    _, _, theirs = await parted(store)
    [merged] = hashes(await store.commits.write(MAIN, [merge_of(theirs)]))
    found = await stored(store, MAIN.tract_id, merged)

    assert await store.comparisons.sizes(MAIN.tract_id, merged) == Sizes(
        4, 4, sum(len(item.data or b"") for item in found)
    )


# survey


async def test_a_survey_tells_what_happened_in_all_and_since_branches_parted(
    store: Repositories,
) -> None:
    [shared] = hashes(await store.commits.write(MAIN, [draft("a", config='{"n":0}')]))
    await store.usages.record(MAIN.tract_id, shared, TokenUsage(1, 1, 2), "{}")
    await store.refs.fork(MAIN, OTHER_BRANCH.branch)
    mine = [draft("b", config='{"n":1}'), draft("c", config='{"n":2}')]
    [_, ours] = hashes(await store.commits.write(MAIN, mine))
    await store.usages.record(MAIN.tract_id, ours, TokenUsage(3, 1, 4), "{}")
    usages, since = {TokenUsage(1, 1, 2), TokenUsage(3, 1, 4)}, [TokenUsage(3, 1, 4)]

    main, other = await store.comparisons.survey(MAIN, ["main", "other"])
    assert (main.head_hash, {*main.usage}, [*main.usage_since]) == (ours, usages, since)
    assert [*main.configs_since] == ['{"n":1}', '{"n":2}']
    assert other == Survey(shared, [TokenUsage(1, 1, 2)], [], [])


async def test_a_branch_surveyed_alone_is_seen_beside_the_one_that_asks(
    store: Repositories,
) -> None:
    """A branch compared with itself has parted from none, so everything is reported."""
    [shared] = hashes(await store.commits.write(MAIN, [draft("a", config='{"n":0}')]))
    await store.refs.fork(MAIN, OTHER_BRANCH.branch)
    [own] = hashes(await store.commits.write(OTHER_BRANCH, [draft("b", config='{"n":1}')]))

    [beside] = await store.comparisons.survey(MAIN, ["other"])
    assert (beside.head_hash, [*beside.configs_since]) == (own, ['{"n":1}'])
    [alone] = await store.comparisons.survey(OTHER_BRANCH, ["other"])
    assert [*alone.configs_since] == ['{"n":0}', '{"n":1}']
    [itself] = await store.comparisons.survey(MAIN, ["main"])
    assert (itself.head_hash, [*itself.configs_since]) == (shared, ['{"n":0}'])


async def test_a_survey_of_no_branch_is_empty_and_of_a_missing_one_refused(
    store: Repositories,
) -> None:
    await say(store, OTHER_BRANCH, "a")

    assert await store.comparisons.survey(OTHER_BRANCH, []) == []
    assert await store.comparisons.survey(MAIN, ["main"]) == [Survey(None, [], [], [])]
    for names in (["nobody"], ["other", "nobody"]):
        with pytest.raises(BranchNotFoundError):
            await store.comparisons.survey(OTHER_BRANCH, names)


# origins


async def test_origins_are_of_one_commit_of_all_or_of_none(store: Repositories) -> None:
    a, b = await say(store, OTHER_BRANCH, "a", "b")
    picked, squash = Origin("cherry-pick", a), Origin("squash", b)
    [first] = await store.commits.write(MAIN, [draft("c")._replace(origins=(picked,))])
    [second] = await store.commits.write(MAIN, [draft("d")._replace(origins=(squash,))])
    of_all = [(first.commit_hash, picked), (second.commit_hash, squash)]

    assert await store.histories.origins(MAIN.tract_id) == of_all
    assert await store.histories.origins(MAIN.tract_id, first.commit_hash) == of_all[:1]
    assert await store.histories.origins(MAIN.tract_id, "main") == of_all[1:]
    assert await store.histories.origins(MAIN.tract_id, a) == []
    assert await store.histories.origins(MAIN.tract_id, None) == []
    assert await store.histories.origins(OTHER_TRACT.tract_id) == []
    with pytest.raises(CommitNotFoundError):
        await store.histories.origins(OTHER_TRACT.tract_id, first.commit_hash)
