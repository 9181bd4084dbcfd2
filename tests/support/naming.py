"""Keys, titles and erased contents, written as they are stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import bindparam, update

from support.copied import stored
from tract import CommitInfo
from tract.history.hashing import content_hash
from tract.storage.schema import blobs, commits, tracts
from tract.storage.sql.copying import statements as copying
from tract.storage.sql.statements.commits import ADD_BLOB
from tract.storage.sql.statements.compiled import Statement

__all__ = ["STAND_IN", "erased", "keyed", "titled"]

STAND_IN = (
    b'{"content_type":"erased","erased_at":"2026-01-01T00:00:00+00:00","of_type":"dialogue",'
    b'"reason":"asked","role":"user"}'
)

_KEYED = Statement(
    lambda: (
        update(commits)
        .where(commits.c.commit_hash == bindparam("hash"))
        .values(key=bindparam("new"))
    )
)
_ERASED = Statement(
    lambda: (
        update(commits)
        .where(commits.c.commit_hash == bindparam("hash"))
        .values(erased_as=bindparam("new"))
    )
)
_EMPTIED = Statement(
    lambda: (
        update(blobs).where(blobs.c.content_hash == bindparam("hash")).values(data=bindparam("new"))
    )
)
_COUNTED = Statement(
    lambda: (
        update(tracts)
        .where(tracts.c.tract_id == bindparam("of_tract"))
        .values(erasures=tracts.c.erasures + 2)
    )
)
"""How each is written; a test may write them through verbs once these exist."""


async def keyed(place: Path | str, info: CommitInfo, key: str) -> None:
    """Name a commit by a key, which it takes from whichever commit has it."""
    named = bytes.fromhex(info.commit_hash)
    row = {"tract_id": info.tract_id, "key": key, "commit_hash": named}
    created_at = round(info.created_at.timestamp() * 1_000_000)
    await stored(
        place,
        info.tract_id,
        (_KEYED, {"hash": named, "new": key}),
        (copying.ADD["keys"], {**row, "created_at": created_at}),
    )


async def titled(place: Path | str, tract_id: str, title: str, metadata_json: str) -> None:
    """Give a tract a title and metadata."""
    facts = {"title": title, "metadata_json": metadata_json, "created_at": 1, "erasures": 0}
    values: dict[str, Any] = {**facts, "updated_at": 1, "commits": 0}
    await stored(
        place,
        tract_id,
        (copying.ADD_TRACT, {"tract_id": tract_id}),
        (
            copying.SET_TRACT,
            {"of_tract": tract_id} | {f"new_{name}": value for name, value in values.items()},
        ),
    )


async def erased(place: Path | str, info: CommitInfo, *, shared: bool = False) -> None:
    """Erase a commit's content; unless it is *shared*, its blob is emptied."""
    stand_in = bytes.fromhex(content_hash(STAND_IN))
    writes: list[tuple[Statement, dict[str, Any]]] = [
        (ADD_BLOB, {"content_hash": stand_in, "data": STAND_IN}),
        (_ERASED, {"hash": bytes.fromhex(info.commit_hash), "new": stand_in}),
        (copying.ADD_TRACT, {"tract_id": info.tract_id}),
        (_COUNTED, {"of_tract": info.tract_id}),
    ]
    if not shared:
        writes.append((_EMPTIED, {"hash": bytes.fromhex(info.content_hash), "new": b""}))
    await stored(place, info.tract_id, *writes)
