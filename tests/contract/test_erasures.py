"""Erasing: gone for those who are meant, and for nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from hashlib import sha256

import pytest

from support.drafts import MAIN, OTHER_TRACT, annotation, draft, edit
from support.repositories import EngineUnderTest, Repositories, merge_of, say
from tract import (
    UNSET,
    CommitNotFoundError,
    ContentValidationError,
    EditTargetError,
    HeadMovedError,
    TokenUsage,
    TractError,
    TractNotFoundError,
)
from tract.storage.repositories import (
    AddTag,
    Attached,
    Basis,
    BranchName,
    CopyOvertakenError,
    ForkBranch,
    Marker,
    OutdatedBasisError,
    Position,
    ResetBranch,
)

MARKER = b'{"content_type":"erased"}'
TRACT = MAIN.tract_id


async def markers(store: Repositories, *named: str, along: bool = True) -> dict[str, Marker]:
    """Return the markers for the contents of commits."""
    marker = Marker(sha256(MARKER).hexdigest(), MARKER, along)
    return {each.content_hash: marker for each in await store.blobs.get_many(TRACT, named)}


async def data_of(store: Repositories, commit: str, tract_id: str = TRACT) -> bytes:
    return (await store.blobs.get(tract_id, commit))[1]


async def test_a_marker_stands_in_the_place_of_what_was_erased(store: Repositories) -> None:
    first, second = await say(store, MAIN, "a", "b")
    erased = await store.erasures.erase(TRACT, [first], await markers(store, first))
    [step, other] = await store.histories.steps(TRACT, [first, second])

    assert (erased.commits, erased.along, erased.contents) == ([first], [], 1)
    assert erased.erasures > 0
    assert (step.content_type, step.data) == ("erased", MARKER)
    assert other.data == draft("b").data
    assert (await store.blobs.get(TRACT, first))[0].content_type == "erased"
    assert [each.data for each in await store.blobs.get_many(TRACT, [first])] == [MARKER]


async def test_what_no_hash_covers_is_taken_from_those_that_are_named(store: Repositories) -> None:
    told = draft("a")._replace(message="m", metadata_json="{}", generation_config_json="{}")
    rows = await store.commits.write(MAIN, [told, told])
    first, second = [row.commit_hash for row in rows]
    erased = await store.erasures.erase(TRACT, [first], await markers(store, first))
    stripped = await store.commits.get(TRACT, first)
    along = await store.commits.get(TRACT, second)

    assert erased.along == [second]
    assert stripped == rows[0]._replace(
        message=None, metadata_json=None, generation_config_json=None
    )
    assert along == rows[1]
    assert await data_of(store, second) == MARKER


async def test_a_commit_that_was_erased_along_is_stripped_when_it_is_named(
    store: Repositories,
) -> None:
    told = draft("a")._replace(message="m")
    rows = await store.commits.write(MAIN, [told, told])
    first, second = [row.commit_hash for row in rows]
    before = await store.erasures.erase(TRACT, [first], await markers(store, first))
    after = await store.erasures.erase(TRACT, [second], {})

    assert (after.commits, after.along, after.contents) == ([second], [], 0)
    assert after.erasures > before.erasures
    stripped = rows[1]._replace(message=None, metadata_json=None, generation_config_json=None)
    assert await store.commits.get(TRACT, second) == stripped
    assert (await store.erasures.erase(TRACT, [first, second], {})).commits == ()


async def test_others_keep_what_they_hold(store: Repositories) -> None:
    [mine] = await say(store, MAIN, "a")
    [theirs] = await say(store, BranchName(OTHER_TRACT.tract_id, "main"), "a")
    erased = await store.erasures.erase(TRACT, [mine], await markers(store, mine))

    assert (erased.contents, erased.kept) == (0, 1)
    assert await data_of(store, theirs, OTHER_TRACT.tract_id) == draft("a").data
    await store.erasures.scrub()
    assert await data_of(store, theirs, OTHER_TRACT.tract_id) == draft("a").data


async def test_a_content_can_come_back_after_it_was_erased(store: Repositories) -> None:
    [gone] = await say(store, MAIN, "a")
    await store.erasures.erase(TRACT, [gone], await markers(store, gone))
    await store.erasures.scrub()
    [back] = await say(store, MAIN, "a")

    assert await data_of(store, back) == draft("a").data
    assert await data_of(store, gone) == MARKER


async def test_nothing_to_erase_changes_nothing(store: Repositories) -> None:
    [kept] = await say(store, MAIN, "a")

    assert (await store.erasures.erase(TRACT, [], {})).erasures == 0
    alone = await markers(store, kept, along=False)
    assert (await store.erasures.erase(TRACT, [], alone)).erasures == 0
    assert await data_of(store, kept) == draft("a").data


async def test_a_tract_goes_in_portions_its_names_first(store: Repositories) -> None:
    other = BranchName(OTHER_TRACT.tract_id, "main")
    await say(store, MAIN, *(f"text {number}" for number in range(300)), "both")
    [theirs] = await say(store, other, "both")
    through = await store.erasures.drop_names(TRACT)
    assert await store.histories.find(MAIN, Position()) is None
    assert TRACT in await store.tracts.ids()
    portions = []
    while (freed := await store.erasures.drop_commits(TRACT, through)).more:
        portions.append(freed)

    assert sum(each.commits for each in portions) == 301
    assert sum(each.blobs for each in portions) == 300
    assert len(portions) > 1
    assert TRACT not in await store.tracts.ids()
    assert await data_of(store, theirs, other.tract_id) == draft("both").data


async def test_what_comes_while_a_tract_goes_stays(store: Repositories) -> None:
    await say(store, MAIN, "a", "b")
    through = await store.erasures.drop_names(TRACT)
    [new] = await say(store, MAIN, "b")
    while (await store.erasures.drop_commits(TRACT, through)).more:
        pass

    assert await data_of(store, new) == draft("b").data
    assert await store.histories.find(MAIN, Position()) == new
    assert [row.commit_hash for row in await store.histories.log(MAIN, limit=None)] == [new]


async def test_what_comes_by_a_clock_that_is_behind_stays_too(
    shared: EngineUnderTest, place: str
) -> None:
    async with (
        shared.opened(place, lambda: 2_000_000) as ahead,
        shared.opened(place, lambda: 1_000_000) as behind,
    ):
        await say(behind, MAIN, "a", "b")
        through = await ahead.erasures.drop_names(TRACT)
        new = await say(behind, MAIN, "c", "d")
        while (await ahead.erasures.drop_commits(TRACT, through)).more:
            pass

        log = await behind.histories.log(MAIN, limit=None)
        assert [row.commit_hash for row in log] == new[::-1]


async def test_what_is_left_of_a_tract_that_goes_has_all_that_it_builds_on(
    store: Repositories,
) -> None:
    said = await say(store, MAIN, *map(str, range(300)))
    through = await store.erasures.drop_names(TRACT)
    assert (await store.erasures.drop_commits(TRACT, through)).more

    left = [each for each in said if await store.commits.get(TRACT, each) is not None]
    assert 0 < len(left) < len(said)
    assert left == said[: len(left)]


async def test_a_tract_that_begins_anew_has_nothing_of_what_was_said_of_it(
    store: Repositories,
) -> None:
    await say(store, MAIN, "a", "b", "c")
    await store.tracts.describe(TRACT, "a secret", '{"a":"secret"}')
    through = await store.erasures.drop_names(TRACT)
    await say(store, MAIN, "b")
    while (await store.erasures.drop_commits(TRACT, through)).more:
        pass

    row = await store.tracts.get(TRACT)
    assert row is not None
    assert (row.title, row.metadata_json, row.commits, row.branches) == (None, None, 1, 1)
    assert through <= row.created_at <= row.updated_at


SIDE = BranchName(TRACT, "side")
DATA = b"picture"
PICTURE = Attached(sha256(DATA).hexdigest(), DATA, "image/png")

Write = Callable[[Repositories, str], Awaitable[object]]
BUILDING: dict[str, tuple[type[TractError], Write]] = {
    "a fork": (CommitNotFoundError, lambda store, old: store.refs.fork(MAIN, "side", old)),
    "a short hash": (CommitNotFoundError, lambda store, old: store.refs.fork(MAIN, "x", old[:12])),
    "a tag": (CommitNotFoundError, lambda store, old: store.tags.tag(MAIN, "v1", old)),
    "a move": (CommitNotFoundError, lambda store, old: store.refs.move(SIDE, old, action="merge")),
    "an edit": (EditTargetError, lambda store, old: store.commits.write(MAIN, [edit("b", old)])),
    "an annotation": (
        CommitNotFoundError,
        lambda store, old: store.commits.write(MAIN, [annotation(old)]),
    ),
    "usage": (
        CommitNotFoundError,
        lambda store, old: store.usages.record(TRACT, old, TokenUsage(1, 1), '{"a":"secret"}'),
    ),
    "a staged fork": (
        CommitNotFoundError,
        lambda store, old: store.transactions.write([ForkBranch(MAIN, "side", old)]),
    ),
    "a staged reset": (
        CommitNotFoundError,
        lambda store, old: store.transactions.write([ResetBranch(MAIN, old, None)]),
    ),
    "a staged tag": (
        CommitNotFoundError,
        lambda store, old: store.transactions.write([AddTag(MAIN, "v1", old)]),
    ),
    "a copy": (
        TractNotFoundError,
        lambda store, old: store.copy_targets.copy_within(TRACT, "copy", UNSET),
    ),
    "a copy of a history": (
        TractNotFoundError,
        lambda store, old: store.copy_targets.copy_within(TRACT, "copy", old),
    ),
    "a bundle": (CommitNotFoundError, lambda store, old: store.copies.bundle(TRACT, old)),
}


@pytest.mark.parametrize("how", BUILDING)
async def test_nothing_is_built_on_a_tract_that_goes(
    pair: tuple[Repositories, Repositories], how: str
) -> None:
    """It would lose what it stands on."""
    one, two = pair
    said = await say(one, MAIN, *map(str, range(300)))
    assert await two.refs.head(MAIN) == said[-1]
    through = await one.erasures.drop_names(TRACT)
    assert (await one.erasures.drop_commits(TRACT, through)).more
    expected, build = BUILDING[how]
    for store in (two, one):
        with pytest.raises(expected):
            await build(store, said[0])
    while (await one.erasures.drop_commits(TRACT, through)).more:
        pass

    assert await two.tracts.ids() == []
    [new] = await say(two, MAIN, "anew")
    await two.refs.fork(MAIN, "side", new)


async def test_nothing_is_merged_that_goes(pair: tuple[Repositories, Repositories]) -> None:
    one, two = pair
    [base] = await say(one, MAIN, "a")
    await one.refs.fork(MAIN, "side")
    [theirs] = await say(one, SIDE, "b")
    through = await one.erasures.drop_names(TRACT)
    [new] = await say(two, MAIN, "c")
    basis = Basis(new, theirs, {base, theirs})
    with pytest.raises(OutdatedBasisError):
        await two.commits.write_on(MAIN, [merge_of(theirs)], basis)
    while (await one.erasures.drop_commits(TRACT, through)).more:
        pass

    assert [row.commit_hash for row in await two.histories.log(MAIN, limit=None)] == [new]


async def test_what_is_given_while_a_tract_goes_stays(
    pair: tuple[Repositories, Repositories],
) -> None:
    """Attachments, too, that the tract had before; those it had before alone go."""
    one, two = pair
    gone = Attached(sha256(b"gone").hexdigest(), b"gone", "image/png")
    with_picture = draft("a")._replace(attachments=(PICTURE,))
    await one.commits.write(MAIN, [with_picture])
    await one.attachments.add(TRACT, gone)
    through = await one.erasures.drop_names(TRACT)
    for each in (PICTURE, gone):
        bare = Attached(each.sha256, None, None)
        with pytest.raises(ContentValidationError, match="was never given"):
            await two.commits.write(MAIN, [draft("b")._replace(attachments=(bare,))])
    await two.commits.write(MAIN, [with_picture])
    while (await one.erasures.drop_commits(TRACT, through)).more:
        pass

    names = [PICTURE.sha256, gone.sha256]
    assert await two.attachments.load(TRACT, names) == {PICTURE.sha256: DATA}
    assert not (await one.erasures.collect(b"")).blobs


async def test_bytes_that_are_attached_while_a_tract_goes_stay(
    pair: tuple[Repositories, Repositories],
) -> None:
    one, two = pair
    await one.attachments.add(TRACT, PICTURE)
    await say(one, MAIN, "a")
    through = await one.erasures.drop_names(TRACT)
    await two.attachments.add(TRACT, PICTURE)
    while (await one.erasures.drop_commits(TRACT, through)).more:
        pass

    assert await two.attachments.load(TRACT, [PICTURE.sha256]) == {PICTURE.sha256: DATA}


async def test_what_is_said_of_a_tract_while_it_goes_stays(
    pair: tuple[Repositories, Repositories],
) -> None:
    one, two = pair
    await say(one, MAIN, "a")
    through = await one.erasures.drop_names(TRACT)
    await two.tracts.describe(TRACT, "a title", '{"of":"it"}')
    await two.refs.fork(MAIN, "empty", None)
    while (await one.erasures.drop_commits(TRACT, through)).more:
        pass

    row = await two.tracts.get(TRACT)
    assert row is not None
    assert (row.title, row.metadata_json, row.branches) == ("a title", '{"of":"it"}', 1)


async def test_two_that_erase_a_tract_leave_nothing_of_it(
    pair: tuple[Repositories, Repositories],
) -> None:
    one, two = pair
    [old] = await say(one, MAIN, "a")
    first = await one.erasures.drop_names(TRACT)
    [new] = await say(two, MAIN, "b")
    second = await two.erasures.drop_names(TRACT)
    while (await one.erasures.drop_commits(TRACT, first)).more:
        pass
    for each in (old, new):
        with pytest.raises(CommitNotFoundError):
            await one.refs.fork(MAIN, "side", each)
    while (await two.erasures.drop_commits(TRACT, second)).more:
        pass

    assert await one.tracts.ids() == []
    assert await one.commits.get(TRACT, new) is None


async def test_nothing_of_a_tract_that_goes_is_copied(
    pair: tuple[Repositories, Repositories],
) -> None:
    """What comes meanwhile is."""
    one, two = pair
    await one.commits.write(MAIN, [draft("a")._replace(attachments=(PICTURE,))])
    await one.tracts.describe(TRACT, "a secret", None)
    [old] = await say(one, MAIN, "b")
    await one.usages.record(TRACT, old, TokenUsage(1, 1), "{}")
    await one.erasures.drop_names(TRACT)
    outline = await two.copies.outline(TRACT)

    assert (outline.last_time, outline.commits, outline.refs, outline.runs) == (0, 0, {}, {})
    assert outline.facts == {**outline.facts, "title": None, "created_at": 0, "updated_at": 0}
    assert await two.copies.line(TRACT, -1, 2**62) == []
    assert await two.copies.commits(TRACT, -1, 2**62) is None
    assert await two.copies.attachments(TRACT, b"") == []
    assert await two.copies.usages(TRACT, b"", 2**62) == []

    [new] = await say(two, MAIN, "c")
    outline = await two.copies.outline(TRACT)
    await two.copy_targets.copy_within(TRACT, "copy", UNSET)
    copied = [name for _, name in await two.copies.line("copy", -1, 2**62)]

    assert (outline.commits, [*outline.refs]) == (1, ["refs/heads/main"])
    assert copied == [new]
    assert await two.attachments.load("copy", [PICTURE.sha256]) == {}


async def test_nothing_is_copied_into_a_tract_that_goes(
    pair: tuple[Repositories, Repositories],
) -> None:
    """Its first commits would go, and those that follow them stay."""
    one, two = pair
    await say(one, MAIN, "a", "b")
    portion = await one.copies.commits(TRACT, -1, 2**62)
    outline = await one.copies.outline(TRACT)
    assert portion is not None
    through = await one.erasures.drop_names(TRACT)
    for last in (outline.last_time, 0):
        with pytest.raises(CopyOvertakenError):
            await two.copy_targets.add(TRACT, portion.rows, last)
        with pytest.raises(CopyOvertakenError):
            await two.copy_targets.settle(TRACT, outline._replace(last_time=last))
    while (await one.erasures.drop_commits(TRACT, through)).more:
        pass
    await two.copy_targets.add(TRACT, portion.rows, 0)
    await two.copy_targets.settle(TRACT, outline)

    assert len(await two.histories.log(MAIN, limit=None)) == 2


async def test_what_is_needed_is_not_collected(store: Repositories) -> None:
    first, second = await say(store, MAIN, "a", "b")
    await store.erasures.erase(TRACT, [first], await markers(store, first))
    freed = await store.erasures.collect(b"")

    assert (freed.blobs, freed.nbytes, freed.more) == (0, 0, False)
    assert await data_of(store, first) == MARKER
    assert await data_of(store, second) == draft("b").data


async def test_bytes_that_no_tract_has_are_collected(store: Repositories) -> None:
    """An attachment that only an erased content used is empty, and then gone."""
    data = b"bytes"
    attached = Attached(sha256(data).hexdigest(), data)
    [row] = await store.commits.write(MAIN, [draft("a")._replace(attachments=(attached,))])
    await store.erasures.erase(TRACT, [row.commit_hash], await markers(store, row.commit_hash))

    assert (await store.erasures.collect(b"")).blobs == 1
    assert (await store.erasures.collect(b"")).blobs == 0
    assert await data_of(store, row.commit_hash) == MARKER


async def test_a_refused_write_leaves_nothing_of_its_tract_behind_a_collection(
    pair: tuple[Repositories, Repositories],
) -> None:
    """An engine may have a row to lock, which says how the tract was called."""
    one, two = pair
    tracts = ["first", "second"]
    for tract_id in tracts:
        with pytest.raises(HeadMovedError):
            await one.commits.write(
                BranchName(tract_id, "main"), [draft("a")], expected_head="ab" * 32
            )
    await say(two, MAIN, "stays")
    await two.erasures.collect(b"")

    assert [*await two.erasures.times([*tracts, TRACT])] == [TRACT]
    assert await two.tracts.ids() == [TRACT]
    assert (await two.erasures.collect(b"")).tracts == 0
    for tract_id in tracts:
        await say(one, BranchName(tract_id, "main"), "begins")
        await say(two, BranchName(tract_id, "main"), "goes on")
    assert (await one.erasures.collect(b"")).tracts == 0
    assert await one.tracts.ids() == sorted([*tracts, TRACT])
    assert [
        len(await one.histories.log(BranchName(each, "main"), limit=None)) for each in tracts
    ] == [2, 2]


async def test_writers_may_begin_tracts_while_others_collect(
    pair: tuple[Repositories, Repositories],
) -> None:
    one, two = pair
    names = [f"t{number}" for number in range(40)]

    async def begin(name: str) -> None:
        branch = BranchName(name, "main")
        with pytest.raises(HeadMovedError):
            await one.commits.write(branch, [draft("a")], expected_head="ab" * 32)
        await say(one, branch, "begins")

    async def collect() -> None:
        while not begun.done():
            await two.erasures.collect(b"")

    begun = asyncio.gather(*map(begin, names))
    await asyncio.gather(begun, collect())
    assert await two.tracts.ids() == sorted(names)


async def test_tracts_tell_when_they_were_begun_and_last_erased(store: Repositories) -> None:
    one, two = MAIN.tract_id, OTHER_TRACT.tract_id
    await say(store, MAIN, "a")
    await say(store, OTHER_TRACT, "b")
    before = await store.erasures.times([one, two, "nothing of this"])
    [said] = await say(store, MAIN, "c")
    row = await store.commits.get(one, said)
    assert row is not None
    marked = {row.content_hash: Marker("ab" * 32, b"{}")}
    erased = (await store.erasures.erase(one, [said], marked)).erasures
    after = await store.erasures.times([one, two])

    facts = (await store.copies.outline(one)).facts
    assert after[one] == (facts["created_at"], erased) > before[one]
    assert after[two] == before[two]
    assert {*before} == {one, two}
    assert await store.erasures.times([]) == {}
