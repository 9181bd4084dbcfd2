"""Erasing: gone for those who are meant, and for nobody else."""

from __future__ import annotations

from hashlib import sha256

from support.drafts import MAIN, OTHER_TRACT, draft
from support.repositories import EngineUnderTest, Repositories, say
from tract.storage.repositories import Attached, BranchName, Marker, Position

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
