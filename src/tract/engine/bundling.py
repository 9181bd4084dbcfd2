"""The history of one commit, read as if it were all that its tract has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any

from tract.exceptions import TractNotFoundError
from tract.protocols import UNSET, UnsetType
from tract.storage.repositories import Bundle, CopyRepository, Outline, Portion, Rows

__all__ = ["BundledTract", "chosen"]


class BundledTract(CopyRepository):
    """A tract of *source*, without whatever is not in its *bundle*."""

    def __init__(self, source: CopyRepository, tract_id: str, bundle: Bundle) -> None:
        self._source = source
        self._tract_id = tract_id
        self._bundle = bundle

    async def tract_ids(self) -> list[str]:
        return [self._tract_id]

    async def outline(self, tract_id: str) -> Outline:
        return self._bundle.outline

    async def bundle(self, tract_id: str, at: str | None) -> Bundle:
        return self._bundle

    async def line(self, tract_id: str, after: int, through: int) -> list[tuple[int, str]]:
        while found := await self._source.line(tract_id, after, through):
            own = [each for each in found if bytes.fromhex(each[1]) in self._bundle.commits]
            if own:
                return own
            after = found[-1][0]
        return []

    async def commits(self, tract_id: str, after: int, through: int) -> Portion | None:
        while (found := await self._source.commits(tract_id, after, through)) is not None:
            own = _portion(found, self._bundle.commits)
            if own.commits:
                return own
            after = found.through
        return None

    async def attachments(self, tract_id: str, after: bytes) -> list[Mapping[str, Any]]:
        while found := await self._source.attachments(tract_id, after):
            own = [row for row in found if row["attachment_hash"] in self._bundle.attachments]
            if own:
                return own
            after = found[-1]["attachment_hash"]
        return []

    async def usages(self, tract_id: str, after: bytes, through: int) -> list[Mapping[str, Any]]:
        while found := await self._source.usages(tract_id, after, through):
            own = [row for row in found if row["commit_hash"] in self._bundle.commits]
            if own:
                return own
            after = found[-1]["commit_hash"]
        return []

    async def parts(self, tract_id: str, stream_id: str) -> list[Mapping[str, Any]]:
        return []


async def chosen(
    source: CopyRepository, tracts: Mapping[str, str | UnsetType | None]
) -> dict[str, CopyRepository]:
    """Return where to read each of some tracts: whole, or the history of the commit that is named.

    Raises:
        TractNotFoundError: there is no such tract.
        CommitNotFoundError: there is no such commit.
    """
    present = {*await source.tract_ids()}
    found: dict[str, CopyRepository] = {}
    for tract_id, at in tracts.items():
        if tract_id not in present:
            raise TractNotFoundError(tract_id)
        found[tract_id] = source
        if at is not UNSET:
            found[tract_id] = BundledTract(source, tract_id, await source.bundle(tract_id, at))
    return found


def _portion(portion: Portion, hashes: Set[bytes]) -> Portion:
    """Return what a portion has of some commits; it goes up to the last of them."""
    rows = [row for row in portion.rows["commits"] if row["commit_hash"] in hashes]
    erased = {row["content_hash"] for row in rows if row["erased_as"] is not None}
    shown = {row["content_hash" if row["erased_as"] is None else "erased_as"] for row in rows}
    own: Rows = {
        "blobs": [
            *_having(portion.rows["blobs"], "content_hash", shown),
            *({"content_hash": each, "data": b""} for each in erased - shown),
        ],
        "attachment_uses": _having(portion.rows["attachment_uses"], "content_hash", shown),
        "commits": rows,
        "keys": _having(portion.rows["keys"], "commit_hash", hashes),
        "origins": _having(portion.rows["origins"], "commit_hash", hashes),
    }
    names = {row["commit_hash"].hex() for row in rows}
    return Portion(
        [each for each in portion.commits if each.record.commit_hash in names],
        own,
        [fault for fault in portion.faults if fault[0] in names],
        rows[-1]["created_at"] if rows else portion.through,
    )


def _having(
    rows: Sequence[Mapping[str, Any]], name: str, values: Set[bytes]
) -> list[Mapping[str, Any]]:
    return [row for row in rows if row[name] in values]
