"""Changes to several branches and tracts: all of them or none."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from support.drafts import MAIN, OTHER_BRANCH, OTHER_TRACT, draft, edit
from support.repositories import UNKNOWN, Repositories, everything, hashes, say
from tract import (
    BranchExistsError,
    BranchNotFoundError,
    CommitNotFoundError,
    EditTargetError,
    HeadMovedError,
    KeyExistsError,
    TokenUsage,
    TractError,
)
from tract.history.hashing import content_hash
from tract.storage.repositories import (
    AddCommits,
    AddTag,
    BranchName,
    Change,
    CommitDraft,
    DeleteBranch,
    DeleteTag,
    EraseContents,
    ExistingBranch,
    ForkBranch,
    Marker,
    Position,
    RecordUsage,
    ResetBranch,
    SetInfo,
)

MARK = b"f" * 48


def keyed(text: str, key: str, on_key: str = "error") -> CommitDraft:
    return draft(text)._replace(key=key, on_key=on_key)  # type: ignore[arg-type]  # as given


async def test_commits_of_several_branches_and_tracts_land_together(store: Repositories) -> None:
    [before] = await say(store, OTHER_TRACT, "before")
    landed = await store.transactions.write(
        [
            AddCommits(MAIN, [draft("a"), edit("b", 0)]),
            AddCommits(OTHER_TRACT, [draft("a")]),
            AddCommits(OTHER_BRANCH, [draft("c")]),
            AddCommits(MAIN, [edit("d", 0)]),
        ]
    )

    a, b, theirs, c, d = landed.commits
    assert [each.parent_hash for each in landed.commits] == [
        *(None, a.commit_hash, before, None, b.commit_hash)
    ]
    assert (b.edit_target, d.edit_target) == (a.commit_hash, a.commit_hash)
    assert [await store.refs.head(each) for each in (MAIN, OTHER_TRACT, OTHER_BRANCH)] == [
        each.commit_hash for each in (d, theirs, c)
    ]


async def test_no_changes_change_nothing(store: Repositories) -> None:
    assert await store.transactions.write([]) == ([], [])
    assert await store.tracts.ids() == []


@pytest.mark.parametrize(
    ("last", "error"),
    [
        (AddCommits(MAIN, [edit("x", UNKNOWN)]), EditTargetError),
        (AddCommits(OTHER_TRACT, [edit("x", 0)]), EditTargetError),
        (AddCommits(MAIN, [keyed("x", "taken")]), KeyExistsError),
        (AddCommits(ExistingBranch("agent", "nowhere"), [draft("x")]), BranchNotFoundError),
        (ForkBranch(MAIN, "other"), BranchExistsError),
        (ForkBranch(MAIN, "new", UNKNOWN), CommitNotFoundError),
        (ResetBranch(OTHER_BRANCH, 0), TractError),
        (AddTag(OTHER_TRACT, "t", 0), CommitNotFoundError),
        (RecordUsage(BranchName("empty", "main"), TokenUsage(1, 1, 2), "{}"), TractError),
        (RecordUsage(OTHER_TRACT, TokenUsage(1, 1, 2), "{}", 0), CommitNotFoundError),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, tuple) else value.__name__,
)
async def test_a_change_that_fails_takes_all_others_along(
    store: Repositories, last: Change, error: type[Exception]
) -> None:
    """And nobody else's, though these share a transaction."""
    await store.commits.write(MAIN, [keyed("a", "taken")])
    await say(store, OTHER_BRANCH, "b")
    before = await everything(store)
    theirs = [BranchName("third", name) for name in ("main", "b", "c")]
    written, [mine, *_] = await asyncio.gather(
        asyncio.gather(*(say(store, branch, "theirs") for branch in theirs)),
        asyncio.gather(
            store.transactions.write(
                [AddCommits(MAIN, [draft("new")]), AddCommits(OTHER_TRACT, [draft("new")]), last]
            ),
            return_exceptions=True,
        ),
    )

    assert isinstance(mine, error)
    assert (await everything(store))[1:] == before[1:]
    assert [[await store.refs.head(branch)] for branch in theirs] == written
    assert await store.tracts.ids() == ["agent", "third"]


async def test_heads_are_expected_from_before_the_first_change(store: Repositories) -> None:
    [head] = await say(store, MAIN, "a")
    changes = [AddCommits(MAIN, [draft("b")]), AddCommits(OTHER_TRACT, [draft("c")])]
    await store.transactions.write(changes, [(MAIN, head), (OTHER_TRACT, None)])

    before = await everything(store)
    for expected in ([(MAIN, head)], [(OTHER_TRACT, None)], [(MAIN, head), (OTHER_TRACT, None)]):
        with pytest.raises(HeadMovedError):
            await store.transactions.write(changes, expected)
    with pytest.raises(HeadMovedError):
        await store.transactions.write([], [(MAIN, head)])
    assert await everything(store) == before


async def test_a_kept_key_makes_a_transaction_repeatable(store: Repositories) -> None:
    changes: Sequence[Change] = [
        AddCommits(MAIN, [keyed("a", "1", "keep"), keyed("b", "2", "keep")]),
        AddCommits(OTHER_TRACT, [keyed("c", "1", "keep")]),
    ]
    expected = [(MAIN, None), (OTHER_TRACT, None)]
    first = await store.transactions.write(changes, expected)

    assert await store.transactions.write(changes, expected) == first
    with pytest.raises(HeadMovedError):
        await store.transactions.write([*changes, AddTag(MAIN, "t")], expected)


async def test_a_key_is_taken_by_an_earlier_change(store: Repositories) -> None:
    with pytest.raises(KeyExistsError):
        await store.transactions.write(
            [AddCommits(MAIN, [keyed("a", "k")]), AddCommits(OTHER_BRANCH, [keyed("b", "k")])]
        )
    landed = await store.transactions.write(
        [
            AddCommits(MAIN, [keyed("a", "k")]),
            AddCommits(OTHER_BRANCH, [keyed("b", "k", "keep")]),
            AddCommits(OTHER_TRACT, [keyed("c", "k")]),
            AddCommits(MAIN, [keyed("d", "k", "replace")]),
        ]
    )

    assert landed.commits[1] == landed.commits[0]
    assert await store.keys.find(MAIN.tract_id, ["k"]) == {"k": landed.commits[3]}
    assert await store.refs.head(OTHER_BRANCH) is None


async def test_marks_become_the_hashes_of_earlier_commits(store: Repositories) -> None:
    named = [MARK.decode() + f"{number:016x}" for number in (0, 1, 0)]
    state = draft("-".join(named), operation="state")
    landed = await store.transactions.write(
        [
            AddCommits(OTHER_TRACT, [draft("a")]),
            AddCommits(MAIN, [keyed("b", "k")]),
            AddCommits(MAIN, [state], MARK),
        ]
    )

    told = "-".join(landed.commits[number].commit_hash for number in (0, 1, 0))
    row, data = await store.blobs.get(MAIN.tract_id, landed.commits[2].commit_hash)
    assert data == draft(told).data
    assert row.content_hash == content_hash(data)


async def test_branches_and_tags_follow_the_commits_of_their_transaction(
    store: Repositories,
) -> None:
    [old] = await say(store, MAIN, "old")
    await store.refs.fork(MAIN, "gone")
    await store.tags.tag(MAIN, "gone")
    new, third = BranchName("agent", "new"), BranchName("agent", "third")
    landed = await store.transactions.write(
        [
            AddCommits(MAIN, [draft("a"), draft("b")]),
            ForkBranch(MAIN, "new"),
            AddCommits(new, [draft("c")]),
            ForkBranch(MAIN, "third", 0),
            ResetBranch(MAIN, 0, "back"),
            AddTag(new, "first", 0),
            AddTag(new, "head"),
            DeleteBranch(BranchName("agent", "gone"), force=True),
            DeleteTag(MAIN, "gone"),
        ]
    )

    a, b, c = hashes(landed.commits)
    assert [await store.refs.head(each) for each in (MAIN, new, third)] == [a, c, a]
    assert [(each.name, each.commit_hash) for each in await store.tags.tags("agent")] == [
        ("first", a),
        ("head", c),
    ]
    moves = [
        (move.branch, move.old_hash, move.new_hash) for move in await store.refs.moves("agent")
    ]
    assert moves[-3:] == [("third", None, a), ("main", b, a), ("gone", old, None)]


async def test_usage_belongs_to_commits_of_the_transaction(store: Repositories) -> None:
    usage = TokenUsage(10, 5, 15)
    landed = await store.transactions.write(
        [
            AddCommits(MAIN, [draft("a"), draft("b")]),
            RecordUsage(MAIN, usage, "{}", 0),
            AddCommits(OTHER_TRACT, [draft("c")]),
            RecordUsage(OTHER_TRACT, usage, "{}"),
        ]
    )

    a, b, c = hashes(landed.commits)
    found = [
        (await store.histories.locate(branch, Position(named), frozenset())).usage
        for branch, named in ((MAIN, a), (MAIN, b), (OTHER_TRACT, c))
    ]
    assert found == [usage, None, usage]


async def test_erasures_are_part_of_a_transaction(store: Repositories) -> None:
    old, gone = draft("old"), draft("gone")
    [named] = hashes(await store.commits.write(MAIN, [old]))
    marker = Marker(gone.content_hash, gone.data)
    landed = await store.transactions.write(
        [
            AddCommits(MAIN, [edit("new", named)]),
            EraseContents(MAIN, [named], {old.content_hash: marker}),
        ]
    )

    [erased] = landed.erased
    assert (erased.commits, erased.contents) == ([named], 1)
    _, data = await store.blobs.get(MAIN.tract_id, named)
    assert data == gone.data


async def test_titles_and_metadata_are_part_of_a_transaction(store: Repositories) -> None:
    def refuse(present: str | None) -> None:
        seen.append(present)
        raise TractError("they changed")

    seen: list[str | None] = []
    given = SetInfo(MAIN, "T", '{"a":1}')
    await store.transactions.write([AddCommits(MAIN, [draft("a")]), given])
    failing: list[list[Change]] = [
        [SetInfo(MAIN, None, check=refuse), AddCommits(MAIN, [draft("b")])],
        [AddCommits(OTHER_TRACT, [draft("b")]), SetInfo(MAIN, None, check=refuse)],
    ]
    for changes in failing:
        with pytest.raises(TractError, match="they changed"):
            await store.transactions.write(changes)

    assert seen
    assert {*seen} == {'{"a":1}'}
    row = await store.tracts.get(MAIN.tract_id)
    assert row is not None
    assert (row.title, row.metadata_json, row.commits) == ("T", '{"a":1}', 1)
    assert await store.tracts.ids() == [MAIN.tract_id]
    await store.transactions.write([SetInfo(OTHER_TRACT, metadata_json=None, check=seen.append)])
    assert seen[-1] is None


async def test_crossing_transactions_do_not_wait_for_each_other_for_ever(
    pair: tuple[Repositories, Repositories],
) -> None:
    async def cross(store: Repositories, first: BranchName, second: BranchName) -> None:
        for number in range(5):
            await store.transactions.write(
                [AddCommits(branch, [draft(str(number))]) for branch in (first, second)]
            )

    ways = [(MAIN, OTHER_TRACT), (OTHER_TRACT, MAIN)]
    await asyncio.gather(*(cross(store, *way) for store in pair for way in ways for _ in range(2)))

    for branch in (MAIN, OTHER_TRACT):
        assert len(await pair[0].histories.log(branch, limit=None)) == 40


async def test_what_others_have_deleted_is_in_nobodys_way(
    pair: tuple[Repositories, Repositories],
) -> None:
    """Even if the branch was known to be there, and the first of the changes was made."""
    one, two = pair
    await say(one, MAIN, "a")
    await say(one, OTHER_BRANCH, "b")
    await two.refs.delete(OTHER_BRANCH, force=True)
    landed = await one.transactions.write(
        [AddCommits(OTHER_TRACT, [draft("c")]), ForkBranch(MAIN, OTHER_BRANCH.branch)]
    )

    assert len(landed.commits) == 1
    assert await two.refs.head(OTHER_BRANCH) == await two.refs.head(MAIN)


async def test_an_erased_key_is_free_for_those_that_share_the_transaction(
    store: Repositories,
) -> None:
    old, gone = keyed("old", "k", "keep"), draft("gone")
    [named, first] = hashes(await store.commits.write(MAIN, [old, draft("first")]))
    await store.erasures.erase(MAIN.tract_id, [first], {})  # makes the indexes that erasures need
    markers = {old.content_hash: Marker(gone.content_hash, gone.data)}
    _, kept, _, [new] = await asyncio.gather(
        say(store, OTHER_TRACT, "first"),
        store.transactions.write([AddCommits(MAIN, [old]), AddCommits(OTHER_TRACT, [draft("x")])]),
        store.erasures.erase(MAIN.tract_id, [named], markers),
        store.commits.write(MAIN, [keyed("new", "k")]),
    )

    assert kept.commits[0].commit_hash == named
    assert await store.keys.find(MAIN.tract_id, ["k"]) == {"k": new}
