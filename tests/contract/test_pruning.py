"""Pruning: what a plan does not need goes, and a plan that was overtaken does nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256

from support.drafts import MAIN, OTHER_TRACT, draft
from support.repositories import Repositories, say
from tract import CommitOperation
from tract.storage.repositories import BranchName, CommitDraft, Marker, PrunePlan

MARKER = b'{"content_type":"erased"}'
TRACT = MAIN.tract_id
SIDE = BranchName(TRACT, "side")


def edit(text: str, target: str) -> CommitDraft:
    return draft(text)._replace(operation=CommitOperation.EDIT.value, target=target)


async def planned(
    store: Repositories, live: Sequence[str] = (), keep: int = 0, before: str | None = None
) -> PrunePlan:
    plan = await store.prunes.plan(TRACT, before=before, keep=keep)
    return plan._replace(live=frozenset(live))


async def markers(store: Repositories, *named: str) -> Mapping[str, Marker]:
    marker = Marker(sha256(MARKER).hexdigest(), MARKER)
    return {each.content_hash: marker for each in await store.blobs.get_many(TRACT, named)}


async def data_of(store: Repositories, commit: str, tract_id: str = TRACT) -> bytes:
    return (await store.blobs.get(tract_id, commit))[1]


async def reset_away(store: Repositories) -> list[str]:
    """Make three commits on a branch that is then deleted, and return them."""
    await say(store, MAIN, "kept")
    await store.refs.fork(MAIN, "side")
    made = await say(store, SIDE, "a", "b", "c")
    await store.refs.delete(SIDE, force=True)
    return made


async def test_an_empty_tract_has_nothing_to_prune(store: Repositories) -> None:
    plan = await planned(store)

    assert not plan.roots
    assert await store.prunes.drop_runs(TRACT, plan) == 0
    assert not (await store.prunes.unreached(TRACT, plan, plan.boundary)).commits
    assert not (await store.prunes.unneeded(TRACT, plan, 0)).commits
    assert await store.prunes.drop(TRACT, plan, []) == (0, 0, 0)
    assert await store.prunes.take(TRACT, plan, {}) == (0, 0, 0, 0)


async def test_the_boundary_is_the_earlier_one(store: Repositories) -> None:
    first, second, third = await store.commits.write(MAIN, [draft(text) for text in "abc"])

    assert (await planned(store)).boundary > third.created_at
    assert (await planned(store, keep=2)).boundary == second.created_at
    assert (await planned(store, keep=9)).boundary == 0
    assert (await planned(store, keep=1, before=first.commit_hash)).boundary == first.created_at


async def test_what_nothing_reaches_is_deleted_newest_first(store: Repositories) -> None:
    made = await reset_away(store)
    plan = await planned(store)
    page = await store.prunes.unreached(TRACT, plan, plan.boundary)
    assert page.commits == made[::-1]
    await store.prunes.drop(TRACT, plan, made[:0:-1])
    assert not (await store.checks.misplaced(TRACT))
    assert {*await store.checks.heads(TRACT)} == {made[0], await store.refs.head(MAIN)}
    dropped = await store.prunes.drop(TRACT, plan, made[:1])

    assert dropped is not None
    assert dropped == (1, 1, 0)
    assert [await store.commits.get(TRACT, commit) for commit in made] == [None] * 3
    assert [await store.refs.head(MAIN)] == await store.checks.heads(TRACT)


async def test_what_keys_and_a_later_reflog_name_is_reached(store: Repositories) -> None:
    await say(store, MAIN, "kept")
    await store.refs.fork(MAIN, "side")
    [named] = await store.commits.write(SIDE, [draft("a")._replace(key="k")])
    [loose] = await say(store, SIDE, "b")
    recent = await planned(store, keep=1)
    await store.refs.delete(SIDE, force=True)
    later = await planned(store)

    assert not (await store.prunes.unreached(TRACT, recent, later.boundary)).commits
    assert (await store.prunes.unreached(TRACT, later, later.boundary)).commits == [loose]
    assert named.key == "k"


async def test_runs_without_commits_go_but_not_the_last(store: Repositories) -> None:
    await say(store, MAIN, "kept")
    for name in ("x", "y"):
        await store.refs.fork(MAIN, name)
        await store.refs.delete(BranchName(TRACT, name), force=True)

    plan = await planned(store)
    assert await store.prunes.drop_runs(TRACT, plan) == 1
    assert await store.prunes.drop_runs(TRACT, plan) == 0
    assert [move.branch for move in await store.refs.moves(TRACT)] == ["main", "y", "y"]


async def test_contents_that_are_not_shown_give_way_to_markers(store: Repositories) -> None:
    [entry] = await say(store, MAIN, "old")
    rows = await store.commits.write(MAIN, [edit("newer", entry), edit("newest", entry)])
    plan = await planned(store, live=[rows[-1].commit_hash])
    page = await store.prunes.unneeded(TRACT, plan, 0)
    assert page.commits == [entry, rows[0].commit_hash]
    taken = await store.prunes.take(TRACT, plan, await markers(store, *page.commits))

    assert taken == (2, 2, 0, 0)
    assert await data_of(store, entry) == MARKER
    assert await data_of(store, rows[-1].commit_hash) == draft("newest").data
    assert not (await store.prunes.unneeded(TRACT, plan, 0)).commits


async def test_a_content_that_is_needed_anywhere_stays(store: Repositories) -> None:
    other = BranchName(OTHER_TRACT.tract_id, "main")
    entry, live = await say(store, MAIN, "shared", "both")
    [theirs] = await say(store, other, "shared")
    [row] = await store.commits.write(MAIN, [edit("both", entry)])
    plan = await planned(store, live=[live])
    taken = await store.prunes.take(TRACT, plan, await markers(store, entry, row.commit_hash))

    assert taken == (1, 0, 1, 0)
    assert await data_of(store, row.commit_hash) == draft("both").data
    assert await data_of(store, theirs, other.tract_id) == draft("shared").data


async def test_a_content_that_was_made_again_since_the_boundary_stays(store: Repositories) -> None:
    [entry] = await say(store, MAIN, "old")
    rows = await store.commits.write(MAIN, [edit("new", entry), edit("old", entry)])
    await store.commits.write(MAIN, [edit("newest", entry)])
    plan = await planned(store, before=rows[-1].commit_hash)
    page = await store.prunes.unneeded(TRACT, plan, 0)
    taken = await store.prunes.take(TRACT, plan, await markers(store, *page.commits))

    assert page.commits == [entry, rows[0].commit_hash]
    assert taken == (1, 1, 0, 0)
    assert await data_of(store, rows[-1].commit_hash) == draft("old").data


async def test_entries_that_were_annotated_meanwhile_are_spared(store: Repositories) -> None:
    [entry] = await say(store, MAIN, "old")
    plan = await planned(store)
    note = draft("shown again")._replace(operation=CommitOperation.ANNOTATE.value, target=entry)
    await store.commits.write(MAIN, [note])

    assert await store.prunes.take(TRACT, plan, await markers(store, entry)) == (0, 0, 0, 0)
    assert await data_of(store, entry) == draft("old").data


async def test_a_plan_that_was_overtaken_does_nothing(store: Repositories) -> None:
    made = await reset_away(store)
    plan = await planned(store)
    await store.tags.tag(MAIN, "v1", made[1])

    assert await store.prunes.drop(TRACT, plan, made[::-1]) is None
    assert await store.prunes.take(TRACT, plan, {}) is None
    plan = await store.prunes.plan(TRACT, before=None, keep=None, former=plan)
    assert made[1] in plan.roots
    assert await store.prunes.drop(TRACT, plan, made[::-1]) == (1, 1, 0)
    assert await data_of(store, made[1]) == draft("b").data


async def test_finishing_counts_an_erasure_once(store: Repositories) -> None:
    made = await reset_away(store)
    await store.prunes.drop(TRACT, await planned(store), made[::-1])
    [(_, begun)] = (await store.erasures.times([TRACT])).values()

    first = await store.prunes.finish(TRACT)
    assert await store.prunes.finish(TRACT) == first > begun


async def test_finishing_what_was_erased_whole_counts_nothing(store: Repositories) -> None:
    made = await reset_away(store)
    await store.prunes.drop(TRACT, await planned(store), made[::-1])
    through = await store.erasures.drop_names(TRACT)
    while (await store.erasures.drop_commits(TRACT, through)).more:
        pass

    assert await store.prunes.finish(TRACT) == 0
    assert {*(await store.erasures.times([TRACT])).values()} <= {(0, 0)}


async def test_a_plan_tells_of_a_prune_that_was_cut_short(store: Repositories) -> None:
    """Whatever else is erased in between, until one has finished."""
    made = await reset_away(store)
    plan = await planned(store)
    begun = await store.erasures.times([TRACT])
    await store.prunes.drop(TRACT, plan, made[:1:-1])
    first = await store.erasures.times([TRACT])
    await store.prunes.drop(TRACT, plan, made[1::-1])
    assert await store.erasures.times([TRACT]) == first != begun
    kept = await store.refs.head(MAIN)
    await store.erasures.erase(TRACT, [str(kept)], await markers(store, str(kept)))

    assert not plan.was_cut_short
    assert (await planned(store)).was_cut_short
    await store.prunes.finish(TRACT)
    assert not (await planned(store)).was_cut_short


async def test_taking_contents_begins_a_prune_too(store: Repositories) -> None:
    [entry] = await say(store, MAIN, "old")
    plan = await planned(store)
    await store.prunes.take(TRACT, plan, {})
    assert not (await planned(store)).was_cut_short
    await store.prunes.take(TRACT, plan, await markers(store, entry))
    assert (await planned(store)).was_cut_short


async def test_finishing_leaves_other_tracts_alone(store: Repositories) -> None:
    await say(store, BranchName(OTHER_TRACT.tract_id, "main"), "a")
    made = await reset_away(store)
    await store.prunes.drop(TRACT, await planned(store), made[::-1])
    assert await store.prunes.finish(TRACT) > 0

    assert (await store.erasures.erase(OTHER_TRACT.tract_id, [], {})).erasures == 0
