"""Copying: tracts are read as they are stored, and added as they are, unless others came first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import pytest

from support.drafts import MAIN, OTHER_BRANCH, OTHER_TRACT, draft, edit
from support.repositories import Repositories, say
from tract import (
    UNSET,
    CommitNotFoundError,
    TokenUsage,
    TractError,
    TractExistsError,
    TractNotFoundError,
)
from tract.storage.repositories import (
    Attached,
    BranchName,
    CopyOvertakenError,
    Outline,
    Rows,
    SpoolPart,
    StreamName,
)

DATA = b"picture"
PICTURE = Attached(sha256(DATA).hexdigest(), DATA, "image/png")
FOR_EVER = 2**62
NEW = "a new tract"
NOTHING = {"title": None, "metadata_json": None, "created_at": 0, "erasures": 0, "updated_at": 0}


def of_new(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return rows of any tract as rows of `NEW`: a commit's hash does not depend on its tract."""
    return [{**row, "tract_id": NEW} if "tract_id" in row else dict(row) for row in rows]


def as_new(outline: Outline) -> Outline:
    return outline._replace(
        refs=dict(zip(outline.refs, of_new([*outline.refs.values()]), strict=True)),
        runs=dict(zip(outline.runs, of_new([*outline.runs.values()]), strict=True)),
    )


async def everything_of(store: Repositories, tract_id: str) -> Rows:
    """Return all rows that `add` takes."""
    found: dict[str, Sequence[Mapping[str, Any]]] = {}
    portion = await store.copies.commits(tract_id, -1, FOR_EVER)
    assert portion is not None
    assert portion.faults == []
    assert await store.copies.commits(tract_id, portion.through, FOR_EVER) is None
    found.update(portion.rows)
    found["attachments"] = await store.copies.attachments(tract_id, b"")
    found["usage"] = await store.copies.usages(tract_id, b"", FOR_EVER)
    found["spool"] = await store.copies.parts(tract_id, "s")
    return found


async def fill(store: Repositories) -> None:
    first, _ = await store.commits.write(
        MAIN, [draft("a")._replace(attachments=(PICTURE,)), draft("b")]
    )
    await store.commits.write(MAIN, [edit("c", first.commit_hash)])
    await store.refs.fork(MAIN, "side", first.commit_hash)
    await store.usages.record(MAIN.tract_id, first.commit_hash, TokenUsage(1, 2), "{}")
    await store.spools.save("me", [SpoolPart(StreamName(MAIN, "s"), 0, [1, "two"])])
    await say(store, OTHER_TRACT, "of another tract")


async def test_an_empty_store_has_nothing_to_copy(store: Repositories) -> None:
    assert await store.copies.tract_ids() == []
    assert await store.copies.outline("t") == Outline(0, 0, {}, {}, [], [], NOTHING)
    assert await store.copies.line("t", -1, FOR_EVER) == []
    assert await store.copies.commits("t", -1, FOR_EVER) is None
    assert await store.copies.attachments("t", b"") == []
    assert await store.copy_targets.attached("t", []) == {}
    assert await store.copies.usages("t", b"", FOR_EVER) == []
    assert await store.copy_targets.reported("t", []) == {}
    assert await store.copies.parts("t", "s") == []


async def test_every_tract_that_has_anything_is_named(store: Repositories) -> None:
    await say(store, BranchName("commits", "main"), "a")
    await store.attachments.add("attachments", PICTURE)
    await store.refs.fork(BranchName("refs", "main"), "empty", None)
    await store.spools.save(
        "me", [SpoolPart(StreamName(BranchName("spool", "main"), "s"), 0, ["x"])]
    )

    assert await store.copies.tract_ids() == ["attachments", "commits", "refs", "spool"]


async def test_what_is_read_of_a_tract_can_be_added_as_another(store: Repositories) -> None:
    await fill(store)
    outline = await store.copies.outline(MAIN.tract_id)
    rows = await everything_of(store, MAIN.tract_id)
    await store.copy_targets.add(NEW, {table: of_new(some) for table, some in rows.items()}, 0)
    await store.copy_targets.settle(NEW, as_new(outline))

    assert await store.copies.outline(NEW) == as_new(outline)
    assert await everything_of(store, NEW) == {table: of_new(some) for table, some in rows.items()}
    assert (outline.commits, len(outline.refs), outline.streams) == (3, 2, ["s"])
    assert await store.copies.line(NEW, -1, FOR_EVER) == await store.copies.line(
        MAIN.tract_id, -1, FOR_EVER
    )
    key = bytes.fromhex(PICTURE.sha256)
    assert await store.copy_targets.attached(NEW, [key, bytes(32)]) == {key: "image/png"}
    reported = [row["commit_hash"] for row in rows["usage"]]
    assert [*await store.copy_targets.reported(NEW, [*reported, bytes(32)])] == reported
    assert await store.checks.misplaced(NEW) == []
    [after] = await store.commits.write(BranchName(NEW, "main"), [draft("goes on")])
    assert after.parent_hash == (await store.copies.line(MAIN.tract_id, -1, FOR_EVER))[-1][1]


async def test_commits_are_read_up_to_a_time(store: Repositories) -> None:
    first, second, _ = await store.commits.write(MAIN, [draft("a"), draft("b"), draft("c")])
    portion = await store.copies.commits(MAIN.tract_id, first.created_at, second.created_at)

    assert portion is not None
    assert [each.record for each in portion.commits] == [second]
    assert portion.through == second.created_at
    assert await store.copies.line(MAIN.tract_id, -1, first.created_at) == [
        (first.created_at, first.commit_hash)
    ]


async def test_nothing_is_added_if_others_have_written(store: Repositories) -> None:
    await fill(store)
    outline = await store.copies.outline(MAIN.tract_id)
    rows = await everything_of(store, MAIN.tract_id)
    await say(store, BranchName(NEW, "main"), "others")
    before = await store.copies.outline(NEW)

    with pytest.raises(CopyOvertakenError):
        await store.copy_targets.add(NEW, {table: of_new(some) for table, some in rows.items()}, 0)
    with pytest.raises(CopyOvertakenError):
        await store.copy_targets.settle(NEW, as_new(outline))
    assert await store.copies.outline(NEW) == before


async def test_settling_removes_what_the_outline_does_not_have(store: Repositories) -> None:
    await fill(store)
    earlier = await store.copies.outline(MAIN.tract_id)
    assert earlier.commits == 3
    await store.refs.fork(MAIN, "later", None)
    await store.spools.save("me", [SpoolPart(StreamName(OTHER_BRANCH, "t"), 0, ["x"])])
    await store.copy_targets.settle(MAIN.tract_id, earlier)

    assert await store.copies.outline(MAIN.tract_id) == earlier
    assert await store.copies.parts(MAIN.tract_id, "t") == []
    assert len(await store.copies.parts(MAIN.tract_id, "s")) == 1


async def test_commits_that_contradict_others_are_told(store: Repositories) -> None:
    first, second = await store.commits.write(MAIN, [draft("a"), draft("b")])
    await store.damage.lose_commit(first.commit_hash)
    portion = await store.copies.commits(MAIN.tract_id, -1, FOR_EVER)

    assert portion is not None
    assert portion.faults == [
        (second.commit_hash, f"its parent {first.commit_hash} is not in the store")
    ]
    await store.damage.lose_commit(second.commit_hash)
    assert (await store.copies.outline(MAIN.tract_id)).missing == [second.commit_hash]


async def test_a_tract_is_copied_within_its_store(store: Repositories) -> None:
    await fill(store)
    before = await store.copies.outline(MAIN.tract_id)
    await store.copy_targets.copy_within(MAIN.tract_id, NEW, UNSET)

    assert await store.copies.outline(NEW) == as_new(before)._replace(
        streams=[], facts=(await store.copies.outline(NEW)).facts
    )
    assert await store.copies.outline(MAIN.tract_id) == before
    with pytest.raises(TractExistsError):
        await store.copy_targets.copy_within(MAIN.tract_id, NEW, UNSET)
    with pytest.raises(TractNotFoundError):
        await store.copy_targets.copy_within("nobody", "another", UNSET)


async def test_a_history_is_copied_within_its_store_as_its_bundle_says(store: Repositories) -> None:
    await fill(store)
    first = (await store.copies.line(MAIN.tract_id, -1, FOR_EVER))[0][1]
    await store.copy_targets.copy_within(MAIN.tract_id, NEW, first)
    bundle = await store.copies.bundle(MAIN.tract_id, first)

    assert bundle.commits == {bytes.fromhex(first)}
    assert bundle.attachments == {bytes.fromhex(PICTURE.sha256)}
    assert (await store.copies.outline(NEW)).refs == as_new(bundle.outline).refs
    assert [name for _, name in await store.copies.line(NEW, -1, FOR_EVER)] == [first]


async def test_a_bundle_is_of_a_commit(store: Repositories) -> None:
    await fill(store)
    with pytest.raises(CommitNotFoundError):
        await store.copies.bundle(MAIN.tract_id, "f" * 64)
    with pytest.raises(TractError, match="no commit yet"):
        await store.copies.bundle(MAIN.tract_id, None)
