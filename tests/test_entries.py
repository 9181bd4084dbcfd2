"""Listing a context again and again: what was read before is not read again, nor shown when it is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Never

import pytest

from support.opening import COUNTER
from support.probes import probe
from tract import (
    AsyncTract,
    CommitNotFoundError,
    DialogueContent,
    EntryInfo,
    TractConfig,
    TractStore,
)
from tract.engine.contents.recent import RecentContents
from tract.storage.repositories import BlobRepository, StoredContent

LONG = "word " * 400


def told(entries: list[EntryInfo]) -> list[tuple[object, ...]]:
    return [(each.commit_hash, each.content, each.metadata, each.created_at) for each in entries]


async def said(tract: AsyncTract, count: int, text: str = LONG) -> None:
    async with tract.batch() as batch:
        for number in range(count):
            batch.commit(
                DialogueContent(role="user", text=f"{number} {text}"), metadata={"n": number}
            )


async def listing_trips(tract: AsyncTract) -> int:
    before = probe(tract).trips
    await tract.entries()
    return probe(tract).trips - before


async def test_what_was_listed_before_is_not_read_again(main: AsyncTract) -> None:
    await said(main, 40)
    first = told(await main.entries())
    before = probe(main).trips
    await main.compile()
    looking = probe(main).trips - before

    assert await listing_trips(main) == looking
    assert told(await main.entries()) == first
    await main.user("next")
    assert (await main.entries(limit=1, newest=True))[0].message.content == "next"
    assert await listing_trips(main) == looking


@pytest.mark.parametrize("at_most", [0, 16 * 4_000])
async def test_contexts_of_any_size_are_listed_with_little_memory(
    tmp_path: Path, at_most: int
) -> None:
    path = tmp_path / "s.db"
    config = TractConfig(cache_max_bytes=at_most)
    async with (
        TractStore.open(path, tokenizer=COUNTER) as store,
        TractStore.open(path, tokenizer=COUNTER, config=config) as small,
    ):
        for name in ("one", "other"):
            await said(store.tract(name), 30)
        for name in ("one", "other", "one", "other"):
            wanted = told(await store.tract(name).entries())
            assert told(await small.tract(name).entries()) == wanted
            assert told(await small.tract(name).entries(limit=1)) == wanted[:1]


class SlowBlobs(BlobRepository):
    """Contents that are read when told to."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.reads = 0

    async def get(self, tract_id: str, commit_hash: str) -> Never:
        raise CommitNotFoundError(commit_hash)

    async def get_many(self, tract_id: str, named: Sequence[str]) -> list[StoredContent]:
        self.reads += 1
        await self.go_on.wait()
        return [StoredContent(each, each, "dialogue", None, 1, b"{}") for each in named]


@pytest.mark.parametrize(("erased", "reads"), [(True, 2), (False, 1)])
async def test_what_was_being_read_during_an_erasure_is_not_kept(erased: bool, reads: int) -> None:
    blobs = SlowBlobs()
    recent = RecentContents(blobs, 1_000_000)
    reading = asyncio.ensure_future(recent.get_many("t", ["a"]))
    await asyncio.sleep(0)
    if erased:
        recent.forget("t")
    blobs.go_on.set()
    await reading
    await recent.get_many("t", ["a"])

    assert blobs.reads == reads


async def test_what_another_store_erases_is_not_listed_from_memory(tmp_path: Path) -> None:
    """Also the metadata of a commit whose content an edit has replaced."""
    path = tmp_path / "s.db"
    async with (
        TractStore.open(path, tokenizer=COUNTER) as here,
        TractStore.open(path, tokenizer=COUNTER) as there,
    ):
        tract = here.tract("t")
        await said(tract, 3)
        last, middle, first = [info.commit_hash for info in await tract.log()]
        edited = DialogueContent(role="user", text="edited")
        await tract.commit(edited, operation="edit", edit_target=first)
        before = await tract.entries()
        await there.tract("t").erase([first, middle], reason="asked for")
        after = await tract.entries(include_skipped=True)
        async with TractStore.open(path, tokenizer=COUNTER) as fresh:
            wanted = told(await fresh.tract("t").entries(include_skipped=True))

        assert [each.metadata for each in before] == [{"n": 0}, {"n": 1}, {"n": 2}]
        assert told(after) == wanted
        assert [each.commit_hash for each in after] == [first, middle, last]
        assert [each.metadata for each in after] == [None, None, {"n": 2}]
