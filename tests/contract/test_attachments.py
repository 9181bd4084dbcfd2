"""Attachments: stored once, given to each tract by itself, written with the commits that use them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from hashlib import sha256

import pytest

from support.drafts import MAIN, OTHER_BRANCH, OTHER_TRACT, draft, edit, ticking
from support.repositories import (
    MALFORMED,
    UNKNOWN,
    EngineUnderTest,
    Repositories,
    everything,
    say,
)
from tract import ContentValidationError, EditTargetError, HeadMovedError, StoreReadOnlyError
from tract.storage.repositories import Attached, CommitDraft, Sizes

ONE, TWO = b"one" * 1000, b"two"


def named(data: bytes) -> str:
    return sha256(data).hexdigest()


def brought(data: bytes) -> Attached:
    return Attached(named(data), data, "image/png")


def using(text: str, *attachments: Attached) -> CommitDraft:
    """Return a draft whose content refers to *attachments*."""
    return draft(text)._replace(attachments=attachments)


async def test_what_a_tract_was_given_is_its_own(store: Repositories) -> None:
    await store.attachments.add(MAIN.tract_id, brought(ONE))
    wanted = [named(ONE), named(TWO)]

    assert await store.attachments.load(MAIN.tract_id, wanted) == {named(ONE): ONE}
    assert await store.attachments.load(OTHER_TRACT.tract_id, wanted) == {}
    assert await store.attachments.load(MAIN.tract_id, []) == {}
    assert await store.attachments.load(MAIN.tract_id, [UNKNOWN, *MALFORMED]) == {}


async def test_bytes_may_be_given_again_and_to_others(store: Repositories) -> None:
    for tract_id in (MAIN.tract_id, OTHER_TRACT.tract_id, MAIN.tract_id):
        await store.attachments.add(tract_id, brought(ONE))
    await store.attachments.add(MAIN.tract_id, brought(ONE)._replace(media_type="image/gif"))

    for tract_id in (MAIN.tract_id, OTHER_TRACT.tract_id):
        assert await store.attachments.load(tract_id, [named(ONE)]) == {named(ONE): ONE}


async def test_sizes_count_what_the_commits_of_a_head_use_once(store: Repositories) -> None:
    [first] = await store.commits.write(MAIN, [using("a", brought(ONE))])
    texts = [f"text {number}" for number in range(100)]
    drafts = [using("b", Attached(named(ONE))), using("c", brought(TWO)), *map(draft, texts)]
    *_, last = await store.commits.write(MAIN, drafts)
    await store.attachments.add(MAIN.tract_id, brought(b"used by nobody"))
    await store.commits.write(OTHER_TRACT, [using("d", brought(b"another tract's"))])

    def sizes(head: str | None) -> Awaitable[Sizes]:
        return store.comparisons.sizes(MAIN.tract_id, head)

    assert (await sizes(None))[3:5] == (0, 0)
    assert (await sizes(first.commit_hash))[3:5] == (1, len(ONE))
    assert (await sizes(last.commit_hash))[3:5] == (2, len(ONE) + len(TWO))
    assert (await sizes(last.commit_hash)).blobs == 103


async def test_many_are_read_at_once(store: Repositories) -> None:
    many = [b"%d" % number for number in range(150)]
    await store.commits.write(MAIN, [using("many", *map(brought, many))])

    found = await store.attachments.load(MAIN.tract_id, [named(each) for each in many])
    assert found == {named(each): each for each in many}


async def test_a_commit_brings_its_attachments_along(store: Repositories) -> None:
    first, second = using("a", brought(ONE), brought(TWO)), using("b", brought(ONE))
    await store.commits.write(MAIN, [first, second, draft("c")])

    loaded = await store.attachments.load(MAIN.tract_id, [named(ONE), named(TWO)])
    assert loaded == {named(ONE): ONE, named(TWO): TWO}
    uses = await store.attachments.uses(
        [first.content_hash, second.content_hash, draft("c").content_hash, UNKNOWN]
    )
    assert uses == {
        first.content_hash: {named(ONE), named(TWO)},
        second.content_hash: {named(ONE)},
        draft("c").content_hash: frozenset(),
        UNKNOWN: frozenset(),
    }
    assert await store.attachments.uses([]) == {}


async def test_a_commit_may_name_what_its_tract_was_given_before(store: Repositories) -> None:
    await store.attachments.add(MAIN.tract_id, brought(ONE))
    by_name = using("a", Attached(named(ONE)))
    await store.commits.write(MAIN, [by_name])
    await store.commits.write(OTHER_BRANCH, [by_name])
    within = [using("b", brought(TWO)), using("c", Attached(named(TWO)))]
    await store.commits.write(MAIN, within)

    assert (await store.attachments.uses([by_name.content_hash])) == {
        by_name.content_hash: {named(ONE)}
    }
    assert len(await store.histories.log(MAIN, limit=None)) == 3


async def test_a_commit_cannot_name_what_only_another_tract_was_given(
    store: Repositories,
) -> None:
    """Not even with the very content that the other tract has committed."""
    await say(store, MAIN, "before")
    await store.commits.write(OTHER_TRACT, [using("a", brought(ONE))])
    before = await everything(store)
    by_name = using("a", Attached(named(ONE)))
    late = [by_name, using("b", brought(ONE))]

    for drafts in ([by_name], [draft("x"), by_name], late):
        with pytest.raises(ContentValidationError, match="attach"):
            await store.commits.write(MAIN, drafts)
        assert await everything(store) == before
        assert await store.attachments.load(MAIN.tract_id, [named(ONE)]) == {}


async def test_a_write_that_is_refused_leaves_no_attachment(store: Repositories) -> None:
    await say(store, MAIN, "a")
    with pytest.raises(HeadMovedError):
        await store.commits.write(MAIN, [using("b", brought(ONE))], expected_head=None)
    with pytest.raises(EditTargetError):
        await store.commits.write(MAIN, [using("b", brought(ONE)), edit("c", UNKNOWN)])

    assert await store.attachments.load(MAIN.tract_id, [named(ONE)]) == {}
    used = using("b", brought(ONE)).content_hash
    assert await store.attachments.uses([used]) == {used: frozenset()}


async def test_a_refused_write_among_others_takes_no_attachment_of_theirs_along(
    store: Repositories,
) -> None:
    texts = [b"%d" % number for number in range(12)]
    results = await asyncio.gather(
        *(
            store.commits.write(
                MAIN,
                [using(f"{text!r}", brought(text)), *([edit("x", UNKNOWN)] if at % 3 else [])],
            )
            for at, text in enumerate(texts)
        ),
        return_exceptions=True,
    )

    found = await store.attachments.load(MAIN.tract_id, [named(text) for text in texts])
    assert sorted(found.values()) == sorted(texts[::3])
    assert sum(isinstance(result, list) for result in results) == 4


async def test_a_write_cancelled_at_any_step_brings_all_or_nothing(store: Repositories) -> None:
    for step in range(20):
        data = b"%d" % step
        made = using(f"{step}", brought(data))
        write = asyncio.create_task(store.commits.write(MAIN, [made]))
        for _ in range(step):
            await asyncio.sleep(0)
        write.cancel()
        await asyncio.wait([write])
        await say(store, MAIN, "later")
        log = await store.histories.log(MAIN, limit=None)
        landed = any(record.content_hash == made.content_hash for record in log)

        found = await store.attachments.load(MAIN.tract_id, [named(data)])
        uses = await store.attachments.uses([made.content_hash])
        assert landed or write.cancelled()
        assert found == ({named(data): data} if landed else {})
        assert uses == {made.content_hash: {named(data)} if landed else frozenset()}


async def test_attachments_survive_reopening(shared: EngineUnderTest, place: str) -> None:
    async with shared.opened(place, ticking()) as store:
        await store.attachments.add(MAIN.tract_id, brought(ONE))
        await store.commits.write(MAIN, [using("a", brought(TWO))])
    async with shared.opened(place, ticking(10**9)) as store:
        await store.commits.write(MAIN, [using("b", Attached(named(ONE)), Attached(named(TWO)))])

        found = await store.attachments.load(MAIN.tract_id, [named(ONE), named(TWO)])
        assert found == {named(ONE): ONE, named(TWO): TWO}


async def test_a_lost_attachment_is_left_out(store: Repositories) -> None:
    await store.attachments.add(MAIN.tract_id, brought(ONE))
    await store.attachments.add(MAIN.tract_id, brought(TWO))
    await store.damage.lose_blob(named(ONE))

    wanted = [named(ONE), named(TWO)]
    assert await store.attachments.load(MAIN.tract_id, wanted) == {named(TWO): TWO}


async def test_a_read_only_store_takes_no_attachment(shared: EngineUnderTest, place: str) -> None:
    async with shared.opened(place, ticking()) as store:
        await store.attachments.add(MAIN.tract_id, brought(ONE))
    async with shared.opened(place, ticking(), read_only=True) as store:
        with pytest.raises(StoreReadOnlyError):
            await store.attachments.add(MAIN.tract_id, brought(TWO))

        assert await store.attachments.load(MAIN.tract_id, [named(ONE)]) == {named(ONE): ONE}
