"""A written page has the data of the tracts, all of it and nothing else."""

from __future__ import annotations

import asyncio
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from support.viewing import PNG, blocks_in, crowd, everything
from tract import MediaPart, MessageContent, TractNotFoundError, TractStore
from tract.viewer import write_page


async def page_of(store: TractStore, folder: Path, **options: Any) -> dict[str, Any]:
    await write_page(store, folder / "page.html", **options)
    return blocks_in((folder / "page.html").read_text(encoding="utf-8"))


def rows_in(blocks: dict[str, Any], tract: int = 0) -> list[dict[str, Any]]:
    count = blocks["index"]["tracts"][tract]["blocks"]
    return [row for number in range(count) for row in blocks[f"{tract}-commits-{number}"]]


async def test_a_page_of_an_empty_store_has_no_tracts(store: TractStore, tmp_path: Path) -> None:
    blocks = await page_of(store, tmp_path)

    assert blocks["index"]["tracts"] == []


async def test_a_tract_without_commits_has_no_rows(store: TractStore, tmp_path: Path) -> None:
    await store.tract("empty").set_info(title="Nothing yet")

    blocks = await page_of(store, tmp_path)

    assert (blocks["index"]["tracts"][0]["title"], rows_in(blocks)) == ("Nothing yet", [])
    assert blocks["0-compare"]["branches"] == []


async def test_a_page_has_every_commit_newest_first_with_its_parents(
    store: TractStore, tmp_path: Path
) -> None:
    await everything(store)

    rows = rows_in(await page_of(store, tmp_path, tract_ids=["trip"]))

    commits = await store.tract("trip").query(newest=True)
    parents = [[e for e in (each.parent_hash, each.merge_parent) if e] for each in commits]
    assert [row["hash"] for row in rows] == [each.commit_hash for each in commits]
    assert [row["parents"] for row in rows] == parents
    assert [row["op"] for row in rows] == [each.operation for each in commits]


async def test_a_page_has_the_requests_at_the_heads_of_branches_and_tags(
    store: TractStore, tmp_path: Path
) -> None:
    await everything(store)
    trip = store.tract("trip")

    blocks = await page_of(store, tmp_path, tract_ids=["trip"])

    heads = {each.head_hash for each in await trip.branches()}
    heads |= {each.target_hash for each in await trip.tags()}
    assert blocks["0-points"].keys() == heads
    assert all(
        [*each["requests"]] == ["openai", "responses", "anthropic", "google"]
        for each in blocks["0-points"].values()
    )
    head = await trip.head()
    sections = blocks["0-points"][head]["requests"]["openai"]["sections"]
    request = (await trip.compile()).request("openai.chat")
    assert len(sections) == len(request["messages"]) + len(request["tools"])
    assert "They asked for ships" in blocks["0-texts"][sections[1][1]]


async def test_a_page_knows_open_calls_and_reported_usage(
    store: TractStore, tmp_path: Path
) -> None:
    await everything(store)
    trip = store.tract("trip")

    blocks = await page_of(store, tmp_path, tract_ids=["trip"])

    calls = blocks["0-points"][await trip.head()]["open_calls"]
    assert [(each["name"], each["id"]) for each in calls] == [("timetable", "c9")]
    assert [*blocks["0-usage"].values()] == [[120, 9]]


async def test_only_the_tracts_that_are_named_are_in_a_page(
    store: TractStore, tmp_path: Path
) -> None:
    await everything(store)

    await page_of(store, tmp_path, tract_ids=["recipes"])

    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert [each["tract_id"] for each in blocks_in(html)["index"]["tracts"]] == ["recipes"]
    assert "Waffles" in html
    assert "northernmost" not in html


async def test_no_tract_is_in_a_page_of_no_tracts(store: TractStore, tmp_path: Path) -> None:
    await everything(store)

    assert (await page_of(store, tmp_path, tract_ids=[]))["index"]["tracts"] == []


async def test_a_page_of_a_tract_that_is_not_there_is_not_written(
    store: TractStore, tmp_path: Path
) -> None:
    with pytest.raises(TractNotFoundError):
        await write_page(store, tmp_path / "page.html", tract_ids=["nowhere"])

    assert pages_in(tmp_path) == []


async def test_nothing_erased_is_in_a_page(store: TractStore, tmp_path: Path) -> None:
    await everything(store)

    blocks = await page_of(store, tmp_path, tract_ids=["trip"])

    assert b"X123" not in (tmp_path / "page.html").read_bytes()
    (erased,) = [row for row in rows_in(blocks) if "erased" in row]
    assert (erased["erased"]["reason"], erased["preview"]) == ("asked by the user", "[erased]")


async def test_pictures_are_data_of_raster_formats_and_all_else_is_not_there(
    store: TractStore, tmp_path: Path
) -> None:
    svg = b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"
    parts = [MediaPart(kind="image", media_type="image/png", data=each) for each in (PNG, svg)]
    await store.tract("t").commit(MessageContent(role="user", parts=tuple(parts)))

    media = (await page_of(store, tmp_path))["0-media"]

    assert sorted([*each] for each in media.values()) == [["url"], ["why"]]
    assert (
        sum(each.get("url", "").startswith("data:image/png;base64,") for each in media.values())
        == 1
    )
    assert b"onload" not in (tmp_path / "page.html").read_bytes()


class Note(BaseModel):
    """A content of an application's own."""

    lines: list[str]

    def to_text(self) -> str:
        return "\n".join(self.lines)


async def test_contents_whose_type_is_not_registered_are_told_as_unreadable(
    tmp_path: Path,
) -> None:
    path = tmp_path / "notes.db"
    async with TractStore.open(path, content_types={"note": Note}) as store:
        await store.tract("t").user("before")
        await store.tract("t").commit({"content_type": "note", "lines": ["a", "b"]})
        known = rows_in(await page_of(store, tmp_path))
    async with TractStore.open(path) as store:
        unknown = rows_in(await page_of(store, tmp_path))

    assert [row["preview"] for row in known] == ["a\nb", "before"]
    assert [row.get("unreadable", False) for row in unknown] == [True, False]


async def test_commits_come_in_blocks_and_short_contents_once(
    store: TractStore, tmp_path: Path
) -> None:
    await crowd(store, 6_000)

    blocks = await page_of(store, tmp_path)

    info = blocks["index"]["tracts"][0]
    assert (info["blocks"], info["commits"]) == (2, len(rows_in(blocks)))
    assert len(blocks["0-commits-0"]) == 5_000
    assert blocks["0-details-0"] == {}


async def test_a_page_replaces_one_that_is_there_and_only_its_owner_may_read_it(
    store: TractStore, tmp_path: Path
) -> None:
    path = tmp_path / "page.html"
    path.write_text("former")

    await write_page(store, path)

    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    if sys.platform != "win32":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_a_page_that_cannot_be_written_leaves_nothing(
    store: TractStore, tmp_path: Path
) -> None:
    (tmp_path / "page.html").mkdir()

    with pytest.raises(IsADirectoryError):
        await write_page(store, tmp_path / "page.html")

    assert pages_in(tmp_path) == ["page.html"]


async def test_a_page_whose_writing_is_cancelled_is_whole_or_not_there(
    store: TractStore, tmp_path: Path
) -> None:
    await everything(store)
    for turns in (1, 3, 10, 40, 160):
        writing = asyncio.create_task(write_page(store, tmp_path / "page.html"))
        for _ in range(turns):
            await asyncio.sleep(0.001)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
    await asyncio.sleep(0.2)  # for a job whose caller has gone

    assert broken(tmp_path) == []
    await store.tract("trip").user("The store works on.")


def pages_in(folder: Path) -> list[str]:
    return [each.name for each in folder.glob("*.html")] + [
        each.name for each in folder.glob(".*.html")
    ]


def broken(folder: Path) -> list[str]:
    names = [name for name in pages_in(folder) if name != "page.html"]
    page = folder / "page.html"
    whole = not page.exists() or page.read_text(encoding="utf-8").endswith("</html>\n")
    return names if whole else [*names, page.name]


async def test_integers_that_a_page_would_round_are_texts(
    store: TractStore, tmp_path: Path
) -> None:
    await store.tract("t").user("draw", generation_config={"seed": 2**60 + 1, "n": 2})

    (row,) = rows_in(await page_of(store, tmp_path))

    assert row["config"] == {"n": 2, "seed": str(2**60 + 1)}
