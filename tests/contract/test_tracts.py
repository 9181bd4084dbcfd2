"""Rows of tracts: when they are written, what they count, and in what order they are listed."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from support.drafts import MAIN, OTHER_BRANCH, OTHER_TRACT, draft
from support.repositories import EngineUnderTest, Repositories, say
from tract import HeadMovedError, TokenUsage, TractError
from tract.models.queries.query import Source, config_condition
from tract.storage.repositories import BranchName, Listing, SpoolPart, StreamName, TractOrder

SECOND = 1_000_000


async def named(store: Repositories, listing: Listing) -> list[str]:
    return [row.tract_id for row in await store.tracts.listed(listing)]


async def test_a_tract_has_a_row_once_something_was_done_in_it(store: Repositories) -> None:
    stream = StreamName(BranchName("c", "main"), "s")
    await store.spools.save("me", [SpoolPart(stream, 0, ["x"])])
    assert await store.tracts.ids() == [] == await store.tracts.listed(Listing())
    assert await store.tracts.get("c") is None

    [head] = await say(store, BranchName("b", "main"), "one")
    await store.refs.fork(BranchName("a", "main"), "empty", None)
    await store.tracts.describe("c", "a title")

    assert await store.tracts.ids() == ["a", "b", "c"]
    await store.usages.record("b", head, TokenUsage(3, 4), "{}")
    found = await store.tracts.get("b")
    assert found is not None
    assert (found.commits, found.branches, found.title, found.metadata_json) == (1, 1, None, None)
    assert (found.prompt_tokens, found.completion_tokens) == (3, 4)
    assert found.created_at == found.updated_at


async def test_a_row_counts_all_commits_and_knows_the_last_whenever_it_was_written(
    engine: EngineUnderTest, place: str
) -> None:
    now = SECOND
    async with engine.opened(place, lambda: now) as store:
        for number in range(1, 40):
            now += random.Random(number).choice([0, 1, SECOND // 3, SECOND, SECOND * 2])
            rows = await store.commits.write(MAIN, [draft(str(number)), draft(f"{number}!")])
            await say(store, OTHER_TRACT, "else")
            found = await store.tracts.get("agent")
            assert found is not None
            assert (found.commits, found.updated_at) == (2 * number, rows[-1].created_at)
            if number == 1:
                created_at = rows[0].created_at
            assert found.created_at == created_at


async def test_two_openings_count_what_both_have_committed(
    shared: EngineUnderTest, place: str
) -> None:
    now = SECOND
    clock: Callable[[], int] = lambda: now  # noqa: E731
    async with shared.opened(place, clock) as one, shared.opened(place, clock) as two:
        for number in range(1, 30):
            now += SECOND // 3
            await say(one if number % 3 else two, MAIN, str(number))
            for store in (one, two):
                found = await store.tracts.get("agent")
                assert found is not None
                assert found.commits == number


async def test_moves_of_branches_and_tags_change_a_tract_and_failures_do_not(
    store: Repositories,
) -> None:
    first, _ = await say(store, MAIN, "a", "b")
    seen = [await store.tracts.get("agent")]

    async def changed() -> bool:
        seen.append(await store.tracts.get("agent"))
        return seen[-1] != seen[-2]

    await store.refs.fork(MAIN, "side", first)
    assert await changed()
    await store.refs.move(MAIN, first, action="reset")
    assert await changed()
    await store.tags.tag(MAIN, "v1")
    assert await changed()
    await store.tags.untag("agent", "v1")
    assert await changed()
    await store.refs.delete(BranchName("agent", "side"), force=True)
    assert await changed()
    for refused in (
        store.refs.fork(MAIN, "main"),
        store.refs.move(MAIN, "nothing", action="reset"),
        store.commits.write(MAIN, [draft("c")], expected_head=None),
        store.tags.untag("agent", "v1"),
    ):
        with pytest.raises(TractError):
            await refused
        assert not await changed()


async def test_titles_and_metadata_are_set_apart_and_only_if_the_check_passes(
    store: Repositories,
) -> None:
    present: list[str | None] = []
    await store.tracts.describe("agent", "one", '{"a":1}', present.append)
    await store.tracts.describe("agent", metadata_json='{"b":2}', check=present.append)
    await store.tracts.describe("agent", title="two")

    def refuse(text: str | None) -> None:
        raise HeadMovedError(text, None)

    with pytest.raises(HeadMovedError, match="b"):
        await store.tracts.describe("agent", "three", None, refuse)

    assert {*present} == {None, '{"a":1}'}
    found = await store.tracts.get("agent")
    assert found is not None
    assert (found.title, found.metadata_json, found.commits) == ("two", '{"b":2}', 0)
    await store.tracts.describe("agent", None, None)
    found = await store.tracts.get("agent")
    assert found is not None
    assert (found.title, found.metadata_json) == (None, None)


async def test_tracts_are_listed_by_time_or_id_from_either_end(store: Repositories) -> None:
    for name in ("b", "a", "c"):
        await say(store, BranchName(name, "main"), name)
    await say(store, BranchName("b", "main"), "again")

    assert await named(store, Listing()) == ["b", "c", "a"]
    assert await named(store, Listing(descending=False)) == ["a", "c", "b"]
    assert await named(store, Listing(TractOrder.CREATED)) == ["c", "a", "b"]
    assert await named(store, Listing(TractOrder.CREATED, descending=False)) == ["b", "a", "c"]
    assert await named(store, Listing(TractOrder.ID)) == ["c", "b", "a"]
    assert await named(store, Listing(TractOrder.ID, descending=False, limit=2)) == ["a", "b"]
    assert await named(store, Listing(limit=0)) == []


@pytest.mark.parametrize("descending", [True, False])
async def test_pages_by_time_have_every_tract_once_in_the_order_of_their_last_commits(
    engine: EngineUnderTest, place: str, descending: bool
) -> None:
    """Also where many rows are behind, some as far as they may be, and times are equal."""
    now, chance = SECOND, random.Random(7)
    times: dict[str, int] = {}
    async with engine.opened(place, lambda: now) as store:
        for _ in range(120):
            now += chance.choice([0, 0, 1, SECOND // 2, SECOND - 1, SECOND, SECOND + 1])
            tract_id = f"t{chance.randrange(25)}"
            [row] = await store.commits.write(BranchName(tract_id, "main"), [draft("x")])
            times[tract_id] = row.created_at
        wanted = sorted(times, key=lambda name: (times[name], name), reverse=descending)
        for limit in (1, 2, 7, 100, None):
            found: list[str] = []
            after: tuple[int, str] | None = None
            while page := await store.tracts.listed(
                Listing(descending=descending, after=after, limit=limit)
            ):
                found += [row.tract_id for row in page]
                after = page[-1].updated_at, page[-1].tract_id

            assert found == wanted


@pytest.mark.parametrize("order", TractOrder)
async def test_a_page_goes_on_after_a_place_whether_a_tract_is_there_or_not(
    store: Repositories, order: TractOrder
) -> None:
    for name in "abcde":
        await store.tracts.describe(name, name)
    rows = await store.tracts.listed(Listing(order))
    after = (0 if order is TractOrder.ID else rows[1].updated_at, f"{rows[1].tract_id}!")

    assert (await store.tracts.listed(Listing(order, after=after)))[-3:] == rows[2:]


@pytest.mark.parametrize(
    ("prefix", "wanted"),
    [
        ("", ["\U0010ffff", "\U0010ffff\U0010ffff", "a", "a%", "ab", "a\ud7ffz", "b", "é"]),
        ("a", ["a", "a%", "ab", "a\ud7ffz"]),
        ("a%", ["a%"]),
        ("a\ud7ff", ["a\ud7ffz"]),
        ("\U0010ffff", ["\U0010ffff", "\U0010ffff\U0010ffff"]),
        ("nothing", []),
    ],
    ids=ascii,
)
async def test_a_prefix_is_the_beginning_of_an_id(
    store: Repositories, prefix: str, wanted: list[str]
) -> None:
    for name in ("a", "ab", "a%", "a\ud7ffz", "b", "é", "\U0010ffff", "\U0010ffff\U0010ffff"):
        await store.tracts.describe(name, "x")

    for order in TractOrder:
        found = await named(store, Listing(order, prefix=prefix))
        assert sorted(found) == sorted(wanted)
    by_id = Listing(TractOrder.ID, descending=False, prefix=prefix, limit=3)
    assert await named(store, by_id) == sorted(wanted)[:3]


async def test_metadata_are_compared_as_json(store: Repositories) -> None:
    stored = ['{"a":1,"b":"x"}', '{"a":1.0}', '{"a":"1"}', '{"a":null}', '{"a":[1]}', None, "{}"]
    for number, text in enumerate(stored):
        await store.tracts.describe(str(number), metadata_json=text)

    async def found(*members: tuple[str, object], limit: int | None = None) -> list[str]:
        conditions = [
            config_condition((name,), "=", value, Source.TRACT_METADATA) for name, value in members
        ]
        return await named(store, Listing(descending=False, conditions=conditions, limit=limit))

    assert await found(("a", 1)) == ["0", "1"]
    assert await found(("a", 1), limit=1) == ["0"]
    assert await found(("a", 1), ("b", "x")) == ["0"]
    assert await found(("a", "1")) == ["2"]
    assert await found(("a", None)) == ["3"]
    assert await found(("a", [1])) == ["4"]
    assert await found(("'\"; DROP TABLE tracts; --", 1)) == []


async def test_branches_and_usage_are_those_of_the_tract(store: Repositories) -> None:
    [head] = await say(store, MAIN, "a")
    [side] = await say(store, OTHER_BRANCH, "b")
    await store.tags.tag(MAIN, "v1")
    [theirs] = await say(store, OTHER_TRACT, "c")
    await store.usages.record("agent", head, TokenUsage(1, 2), "{}")
    await store.usages.record("agent", side, TokenUsage(10, 20), "{}")
    await store.usages.record("rival", theirs, TokenUsage(100, 200), "{}")

    rows = {row.tract_id: row for row in await store.tracts.listed(Listing())}
    assert (rows["agent"].branches, rows["rival"].branches) == (2, 1)
    assert (rows["agent"].prompt_tokens, rows["agent"].completion_tokens) == (11, 22)
    assert await store.tracts.get("agent") == rows["agent"]
