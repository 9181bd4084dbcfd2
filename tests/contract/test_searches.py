"""The search index: what is listed, what is found, and what became of that."""

from __future__ import annotations

import pytest

from support.drafts import MAIN, OTHER_TRACT, annotation, draft, edit
from support.repositories import EngineUnderTest, Repositories, hashes, say
from tract import QueryError
from tract.models.queries.searching import SearchTerm
from tract.storage.repositories import BranchName, Found, Marker, Unindexed

WORD = [SearchTerm(("word",))]
ALL = 2**62


async def indexed(store: Repositories, *words: str) -> int:
    """Index all that waits, each commit with the same words; return the number of commits."""
    number = 0
    while (batch := await store.searches.unindexed()) is not None:
        number += len(batch.commits)
        await store.searches.index(batch, {each.number: [*words] for each in batch.commits})
    return number


async def found(store: Repositories, tract_id: str | None = "agent", limit: int = 9) -> list[Found]:
    page = await store.searches.find(WORD, tract_id, ALL, limit)
    return [*page.found]


async def test_without_an_index_only_switching_on_and_off_works(store: Repositories) -> None:
    await store.searches.disable()
    for call in (
        store.searches.unindexed(),
        store.searches.index(Unindexed(0, 0, ()), {}),
        store.searches.find(WORD, None, ALL, 9),
    ):
        with pytest.raises(QueryError):
            await call


async def test_entries_and_edits_are_listed_once_in_the_order_of_time(store: Repositories) -> None:
    [entry] = await say(store, MAIN, "one")
    await say(store, OTHER_TRACT, "other")
    await store.searches.enable()
    await store.commits.write(MAIN, [edit("two", entry)])
    await store.commits.write(MAIN, [draft("state", operation="state")])

    batch = await store.searches.unindexed()

    assert batch is not None
    listed = sorted(batch.commits, key=lambda each: each.number)
    assert [each.tract_id for each in listed] == ["agent", OTHER_TRACT.tract_id, "agent"]
    assert await indexed(store, "word") == 3
    assert await store.searches.unindexed() is None
    await store.searches.enable()
    assert await store.searches.unindexed() is None
    await store.searches.enable(rebuild=True)
    assert await indexed(store, "word") == 3


async def test_the_newest_are_found_first_and_in_their_tract_alone(store: Repositories) -> None:
    await store.searches.enable()
    made = await say(store, MAIN, "one", "two", "three")
    others = await say(store, OTHER_TRACT, "other")
    await indexed(store, "a", "word")

    assert [each.record.commit_hash for each in await found(store)] == made[::-1]
    assert [each.record.commit_hash for each in await found(store, None, 2)] == [
        others[0],
        made[2],
    ]
    page = await store.searches.find(WORD, "agent", ALL, 2)
    assert page.bottom == page.found[-1].number
    rest = await store.searches.find(WORD, "agent", page.bottom, 2)
    assert ([each.record.commit_hash for each in rest.found], rest.bottom) == ([made[0]], 0)
    assert await found(store, "nobody") == []


@pytest.mark.parametrize(
    ("term", "meets"),
    [
        (SearchTerm(("one", "two")), True),
        (SearchTerm(("two", "one")), False),
        (SearchTerm(("tw",)), False),
        (SearchTerm(("tw",), prefix=True), True),
        (SearchTerm(("one", "tw"), prefix=True), True),
        (SearchTerm(("one", "thr"), prefix=True), False),
        (SearchTerm(("and",)), False),
    ],
    ids=lambda value: str(value[:1]) if isinstance(value, tuple) else str(value),
)
async def test_terms_are_words_phrases_and_beginnings(
    store: Repositories, term: SearchTerm, meets: bool
) -> None:
    await store.searches.enable()
    await say(store, MAIN, "text")
    await indexed(store, "one", "two", "three")

    page = await store.searches.find([SearchTerm(("three",)), term], None, ALL, 9)

    assert len(page.found) == meets


async def test_a_batch_that_others_have_indexed_changes_nothing(
    pair: tuple[Repositories, Repositories],
) -> None:
    one, two = pair
    await one.searches.enable()
    await say(one, MAIN, "text")
    batch = await two.searches.unindexed()
    assert batch is not None
    await indexed(one, "word")
    await two.searches.index(batch, {each.number: ["other"] for each in batch.commits})

    assert len(await found(two)) == 1


async def test_what_was_erased_since_a_batch_was_read_is_left_out(store: Repositories) -> None:
    await store.searches.enable()
    [gone, stays] = await say(store, MAIN, "gone", "stays")
    await say(store, OTHER_TRACT, "dropped")
    batch = await store.searches.unindexed()
    assert batch is not None
    row = await store.commits.get("agent", gone)
    assert row is not None
    marker = Marker("ab" * 32, b"{}")
    await store.erasures.erase("agent", [gone], {row.content_hash: marker})
    await store.erasures.drop_names(OTHER_TRACT.tract_id)
    await store.searches.index(batch, {each.number: ["word"] for each in batch.commits})
    while (rest := await store.searches.unindexed()) is not None:
        await store.searches.index(rest, {each.number: [] for each in rest.commits})

    assert [each.record.commit_hash for each in await found(store, None)] == [stays]


async def test_an_index_built_while_a_tract_is_erased_has_nothing_of_it_in_the_end(
    store: Repositories,
) -> None:
    await say(store, MAIN, *map(str, range(300)))
    through = await store.erasures.drop_names(MAIN.tract_id)
    await store.searches.enable()
    assert await indexed(store, "word") == 300
    assert len(await found(store)) == 9
    while (await store.erasures.drop_commits(MAIN.tract_id, through)).more:
        [anew] = await say(store, MAIN, "anew")
    await say(store, MAIN, "again")

    assert await store.searches.find(WORD, None, ALL, 9) == ([], 0)
    assert await indexed(store, "word") > 0
    assert anew in {each.record.commit_hash for each in await found(store, limit=999)}


async def test_erased_commits_leave_the_index_and_others_come_back(store: Repositories) -> None:
    await store.searches.enable()
    [gone, stays] = await say(store, MAIN, "gone", "stays")
    await indexed(store, "word")
    row = await store.commits.get("agent", gone)
    assert row is not None

    await store.erasures.erase("agent", [gone], {row.content_hash: Marker("ab" * 32, b"{}")})

    while (batch := await store.searches.unindexed()) is not None:
        words = {
            each.number: [] if each.content_type == "erased" else ["word"] for each in batch.commits
        }
        await store.searches.index(batch, words)
    assert [each.record.commit_hash for each in await found(store)] == [stays]


async def test_switching_off_forgets_all_and_on_again_lists_all(store: Repositories) -> None:
    await store.searches.enable()
    await say(store, MAIN, "text")
    await indexed(store, "word")
    await store.searches.disable()
    with pytest.raises(QueryError):
        await store.searches.find(WORD, None, ALL, 9)
    await say(store, MAIN, "more")
    await store.searches.enable()

    assert await found(store) == []
    assert await indexed(store, "word") == 2
    assert len(await found(store)) == 2


async def test_a_read_only_database_is_searched_as_it_is(
    shared: EngineUnderTest, place: str
) -> None:
    async with shared.opened(place, lambda: 1) as store:
        await store.searches.enable()
        await say(store, MAIN, "text")
        await indexed(store, "word")
        await say(store, MAIN, "later")
    async with shared.opened(place, lambda: 1, read_only=True) as store:
        assert await store.searches.unindexed() is None
        assert len(await found(store)) == 1


async def test_standings_say_what_became_of_entries_and_edits(store: Repositories) -> None:
    [one, two] = await say(store, MAIN, "one", "two")
    [edited] = hashes(await store.commits.write(MAIN, [edit("1", one)]))
    note = annotation(two)
    await store.commits.write(MAIN, [note])
    rows = [await store.commits.get("agent", each) for each in (one, two, edited)]
    known = [row for row in rows if row is not None]

    found = await store.searches.standings([MAIN], known)
    nowhere = await store.searches.standings([BranchName("agent", "side")], known)

    assert [found["agent", each].is_reached for each in (one, two, edited)] == [True] * 3
    assert [found["agent", each].is_current for each in (one, two, edited)] == [False, True, True]
    assert found["agent", two].priority != found["agent", one].priority is not None
    assert not any(standing.is_reached for standing in nowhere.values())


async def test_standings_count_what_a_branch_reaches_alone(store: Repositories) -> None:
    [one] = await say(store, MAIN, "one")
    side = BranchName("agent", "side")
    await store.refs.fork(MAIN, "side", one)
    [edited] = hashes(await store.commits.write(side, [edit("1", one)]))
    rows = [await store.commits.get("agent", each) for each in (one, edited)]
    known = [row for row in rows if row is not None]

    main = await store.searches.standings([MAIN], known)
    other = await store.searches.standings([side], known)

    assert [
        (main["agent", each].is_reached, main["agent", each].is_current) for each in (one, edited)
    ] == [
        (True, True),
        (False, False),
    ]
    assert [
        (other["agent", each].is_reached, other["agent", each].is_current) for each in (one, edited)
    ] == [
        (True, False),
        (True, True),
    ]


async def test_standings_of_many_tracts_are_told_apart(store: Repositories) -> None:
    tracts = [BranchName(f"tract {number}", "main") for number in range(70)]
    said = {branch: (await say(store, branch, "one"))[0] for branch in tracts}
    [edited] = hashes(await store.commits.write(tracts[3], [edit("1", said[tracts[3]])]))
    rows = [await store.commits.get(branch.tract_id, key) for branch, key in said.items()]
    rows.append(await store.commits.get(tracts[3].tract_id, edited))
    known = [row for row in rows if row is not None]

    found = await store.searches.standings(tracts, known)

    assert [*found] == [(row.tract_id, row.commit_hash) for row in known]
    assert all(standing.is_reached for standing in found.values())
    outdated = [key for key, standing in found.items() if not standing.is_current]
    assert outdated == [(tracts[3].tract_id, said[tracts[3]])]
    assert await store.searches.standings(tracts, []) == {}
