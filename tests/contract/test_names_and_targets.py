"""Which commits a name stands for, and which commits can be edited or annotated."""

from __future__ import annotations

import asyncio

import pytest

from support.drafts import MAIN, OTHER_BRANCH, OTHER_TRACT, annotation, draft, edit
from support.repositories import (
    MALFORMED,
    NONE_KNOWN,
    UNKNOWN,
    Repositories,
    everything,
    hashes,
    say,
    steps_to,
    stored,
)
from tract import (
    AmbiguousHashError,
    CommitNotFoundError,
    EditTargetError,
    HeadMovedError,
)
from tract.storage.repositories import CommitDraft, Located, Position


async def test_a_tract_without_commits_is_empty_in_every_view(store: Repositories) -> None:
    assert await store.refs.head(MAIN) is None
    assert await store.checks.heads(MAIN.tract_id) == []
    assert await store.tracts.ids() == []
    assert await store.tags.tags(MAIN.tract_id) == []
    assert await store.refs.branches(MAIN.tract_id) == []
    assert await store.refs.moves(MAIN.tract_id) == []
    assert await store.checks.misplaced(MAIN.tract_id) == []
    assert await store.histories.log(MAIN, limit=None) == []
    assert await store.histories.log(MAIN, limit=None, in_context=True) == []
    assert await store.commits.get(MAIN.tract_id, UNKNOWN) is None
    assert await store.histories.origins(MAIN.tract_id) == []
    assert await store.queries.query(MAIN, []) == []
    assert await store.queries.query(MAIN, [], branch_only=True) == []
    nowhere = Located(None, None, None, ())
    assert await store.histories.locate(MAIN, Position(), NONE_KNOWN) == nowhere
    assert await store.histories.locate(MAIN, Position(at_time=5), NONE_KNOWN) == nowhere
    assert await stored(store, MAIN.tract_id) == []


async def test_a_name_stands_for_a_commit_or_for_the_moment_before_the_first(
    store: Repositories,
) -> None:
    tract_id = MAIN.tract_id
    first, second = await say(store, MAIN, "a", "b")
    await store.tags.tag(MAIN, "v1", first)
    await store.refs.fork(MAIN, "empty", None)
    named = [await store.commits.resolve(tract_id, n) for n in (first, first[:12], "v1", "main")]

    assert named == [first, first, first, second]
    assert await store.commits.resolve(tract_id, "empty") is None
    assert await store.commits.resolve("a tract of nothing", "main") is None
    for unknown in (UNKNOWN, "v2", *MALFORMED):
        with pytest.raises(CommitNotFoundError):
            await store.commits.resolve(tract_id, unknown)


async def test_a_tag_a_branch_or_a_short_hash_does_as_well_as_a_hash(store: Repositories) -> None:
    first, second = await say(store, MAIN, "a", "b")
    await store.commits.write(MAIN, [annotation(first)])
    await store.refs.fork(MAIN, "b", second)
    await store.tags.tag(MAIN, "a", first)

    for name in ("a", first[:9], first.upper()[:11]):
        record = await store.commits.get(MAIN.tract_id, name)
        assert record is not None
        assert record.commit_hash == first
        assert (await store.blobs.get(MAIN.tract_id, name))[0] == record
        located = await store.histories.locate(MAIN, Position(name), NONE_KNOWN)
        assert located.head_hash == first
        assert len(await store.histories.annotations(MAIN, name)) == 1
        assert hashes(await store.histories.log(MAIN, limit=1, before=name)) == []
        assert await store.histories.origins(MAIN.tract_id, name) == []
        [made] = await store.commits.write(MAIN, [edit("x", name)])
        assert made.edit_target == first
    assert hashes(await store.histories.log(MAIN, limit=None, before="b")) == [first]


async def test_a_short_hash_of_several_commits_is_ambiguous(store: Repositories) -> None:
    made = await say(store, MAIN, *map(str, range(1_500)))
    by_digits: dict[str, list[str]] = {}
    for commit in made:
        by_digits.setdefault(commit[:4], []).append(commit)
    digits, several = max(by_digits.items(), key=lambda item: len(item[1]))
    assert len(several) > 1

    with pytest.raises(AmbiguousHashError):
        await store.commits.resolve(MAIN.tract_id, digits)
    with pytest.raises(AmbiguousHashError):
        await store.commits.get(MAIN.tract_id, digits)
    with pytest.raises(AmbiguousHashError):
        await store.refs.fork(MAIN, "side", digits)


async def test_hashes_of_another_tract_are_not_found(store: Repositories) -> None:
    [foreign] = await say(store, OTHER_TRACT, "secret")
    await say(store, MAIN, "mine")
    await check_not_found(store, foreign)


async def test_a_malformed_hash_is_one_that_nothing_has(
    store: Repositories, subtests: pytest.Subtests
) -> None:
    [known] = await say(store, MAIN, "a")
    for malformed in (*MALFORMED, f"{known}0"):
        with subtests.test(malformed=malformed):
            await check_not_found(store, malformed)


async def check_not_found(store: Repositories, named: str) -> None:
    """Assert that no method finds a commit of that name, and that trying changes nothing."""
    before = await everything(store)
    assert await store.commits.get(MAIN.tract_id, named) is None
    for refused in (
        store.commits.resolve(MAIN.tract_id, named),
        store.blobs.get(MAIN.tract_id, named),
        store.histories.locate(MAIN, Position(named), NONE_KNOWN),
        store.histories.log(MAIN, limit=1, before=named),
        store.histories.log(MAIN, limit=1, before=named, in_context=True),
        store.histories.annotations(MAIN, named),
        store.histories.origins(MAIN.tract_id, named),
        steps_to(store, named),
        store.commits.write(MAIN, [annotation(named)]),
        store.refs.fork(MAIN, "side", named),
        store.tags.tag(MAIN, "v1", named),
        store.refs.move(MAIN, named, action="fast-forward"),
        store.refs.move(MAIN, named, action="reset"),
    ):
        with pytest.raises(CommitNotFoundError):
            await refused
    with pytest.raises(EditTargetError):
        await store.commits.write(MAIN, [edit("x", named)])
    for refused in (
        store.commits.write(MAIN, [draft()], expected_head=named),
        store.refs.delete(MAIN, force=True, expected_head=named),
        store.tags.tag(MAIN, "v1", expected_head=named),
        store.refs.fork(MAIN, "side", expected_head=named),
        store.refs.move(MAIN, None, action="reset", expected_head=named),
    ):
        with pytest.raises(HeadMovedError):
            await refused
    assert await stored(store, MAIN.tract_id, named) == []
    assert await everything(store) == before


@pytest.mark.parametrize(
    "drafts",
    [
        [draft("a"), edit("b", 1)],
        [draft("a"), edit("b", -1)],
        [draft("a"), edit("b", 0), edit("c", 1)],
        [draft("a"), annotation(0), edit("c", 1)],
        [draft("a"), edit("b", UNKNOWN)],
    ],
    ids=[
        "itself",
        "before the call",
        "an edit of the call",
        "an annotation of the call",
        "unknown",
    ],
)
async def test_a_call_with_one_bad_target_leaves_nothing(
    store: Repositories, drafts: list[CommitDraft]
) -> None:
    empty = await everything(store)

    with pytest.raises(EditTargetError):
        await store.commits.write(MAIN, drafts)
    assert await everything(store) == empty


async def test_only_an_entry_can_be_a_target(store: Repositories) -> None:
    _, edited, noted = await store.commits.write(MAIN, [draft("a"), edit("b", 0), annotation(0)])

    for target in (edited.commit_hash, noted.commit_hash):
        for change in (edit("x", target), annotation(target)):
            with pytest.raises(EditTargetError, match="not an entry"):
                await store.commits.write(MAIN, [change])


async def test_a_target_must_lie_in_the_history_of_the_branch(store: Repositories) -> None:
    [mine] = await say(store, MAIN, "a")
    [other] = await say(store, OTHER_BRANCH, "b")
    [later] = await say(store, MAIN, "c")

    for branch, target in ((MAIN, other), (OTHER_BRANCH, mine), (OTHER_BRANCH, later)):
        for change in (edit("x", target), annotation(target)):
            with pytest.raises(EditTargetError, match="history"):
                await store.commits.write(branch, [change])
    await store.commits.write(MAIN, [edit("x", mine), annotation(later)])
    await store.commits.write(OTHER_BRANCH, [edit("x", other)])


async def test_a_target_is_checked_against_the_branch_among_other_writes_too(
    store: Repositories,
) -> None:
    [other] = await say(store, OTHER_BRANCH, "a")

    landed, refused = await asyncio.gather(
        store.commits.write(MAIN, [draft("b")]),
        store.commits.write(MAIN, [edit("x", other)]),
        return_exceptions=True,
    )

    assert isinstance(refused, EditTargetError)
    assert isinstance(landed, list)
    assert await store.refs.head(MAIN) == landed[0].commit_hash


async def test_branches_that_begin_at_once_are_told_apart(store: Repositories) -> None:
    """A refused first write must not make two branches look like one."""
    _, other, _ = await asyncio.gather(
        store.commits.write(MAIN, [draft()], expected_head=UNKNOWN),
        store.commits.write(OTHER_BRANCH, [draft("a")]),
        store.commits.write(MAIN, [draft("b")]),
        return_exceptions=True,
    )

    assert isinstance(other, list)
    with pytest.raises(EditTargetError, match="history"):
        await store.commits.write(MAIN, [edit("x", other[0].commit_hash)])


async def test_a_fork_reaches_what_its_origin_had_when_it_left_and_no_more(
    store: Repositories,
) -> None:
    before, at = await say(store, MAIN, "a", "b")
    await store.refs.fork(MAIN, OTHER_BRANCH.branch, at)
    [after] = await say(store, MAIN, "c")

    await store.commits.write(OTHER_BRANCH, [edit("x", before), annotation(at), draft("d")])
    with pytest.raises(EditTargetError, match="history"):
        await store.commits.write(OTHER_BRANCH, [edit("x", after)])


async def test_an_annotation_of_an_unknown_commit_is_not_found(store: Repositories) -> None:
    await say(store, MAIN, "a")

    with pytest.raises(CommitNotFoundError):
        await store.commits.write(MAIN, [annotation(UNKNOWN)])
