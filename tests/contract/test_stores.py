"""The database as a whole: what it is, what it holds, and giving space back."""

from __future__ import annotations

from hashlib import sha256

import pytest

from support.drafts import MAIN, OTHER_TRACT, draft
from support.repositories import EngineUnderTest, Repositories, say
from tract import StoreReadOnlyError
from tract.storage.repositories import (
    Attached,
    BranchName,
    Marker,
    SpoolPart,
    StoreCounts,
    StreamName,
)

TRACT = MAIN.tract_id


async def test_an_empty_database_holds_nothing_and_has_a_size(store: Repositories) -> None:
    facts, counts = await store.stores.facts(), await store.stores.counts(exact=True)

    assert facts.nbytes > 0
    assert not facts.read_only
    assert counts == StoreCounts(counts.schema_version, 0, 0, 0, 0, 0, 0, 0, 0, 0)


async def test_everything_is_counted_once(store: Repositories) -> None:
    data = b"bytes"
    attached = (Attached(sha256(data).hexdigest(), data),)
    for branch in (MAIN, BranchName(OTHER_TRACT.tract_id, "main")):
        await say(store, branch, "a", "b")
        await store.commits.write(branch, [draft("c")._replace(attachments=attached, key="k")])
    await store.refs.fork(MAIN, "side")
    await store.tags.tag(MAIN, "v1")
    for stream in (StreamName(MAIN, "s1"), StreamName(MAIN, "s2")):
        await store.spools.save("owner", [SpoolPart(stream, number, []) for number in range(3)])

    quick, exact = await store.stores.counts(), await store.stores.counts(exact=True)
    assert quick[1:] == (2, 6, 3, 1, 2, None, None, None, None)
    assert exact == quick._replace(contents=3, attachments=1, attachment_nbytes=5, keys=2)


async def test_a_database_that_is_read_only_says_so(shared: EngineUnderTest, place: str) -> None:
    async with shared.opened(place, lambda: 1) as writing:
        await say(writing, MAIN, "a")
        counts = await writing.stores.counts(exact=True)
    async with shared.opened(place, lambda: 1, read_only=True) as reading:
        facts = await reading.stores.facts()

        assert facts.read_only
        assert await reading.stores.counts(exact=True) == counts
        with pytest.raises(StoreReadOnlyError):
            reading.commits.check_writable()


async def test_an_empty_database_can_be_vacuumed(store: Repositories) -> None:
    assert await store.erasures.vacuum() is None
    [made] = await say(store, MAIN, "a")
    assert await store.refs.head(MAIN) == made


async def test_a_vacuum_leaves_everything_where_it_was(store: Repositories) -> None:
    first, second = await say(store, MAIN, "a", "b")
    [content] = [each.content_hash for each in await store.blobs.get_many(TRACT, [first])]
    data = b'{"content_type":"erased"}'
    marker = Marker(sha256(data).hexdigest(), data)
    await store.erasures.erase(TRACT, [first], {content: marker})

    assert await store.erasures.vacuum() is None
    counts = await store.stores.counts(exact=True)
    contents = await store.blobs.get_many(TRACT, [first, second])
    assert [each.data for each in contents] == [data, draft("b").data]
    assert await store.erasures.vacuum() is None
    assert await store.stores.counts(exact=True) == counts
