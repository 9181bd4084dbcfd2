"""`Renewal`: what becomes of tracts that are erased or pruned while they are exported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tract.engine.bundling import chosen
from tract.exceptions import CommitNotFoundError, TractNotFoundError
from tract.protocols import UNSET, UnsetType
from tract.storage.repositories import CopyRepository, Repositories

__all__ = ["Renewal"]


class Renewal:
    """Begins tracts anew in a file that nobody else has: they leave nothing of before in it."""

    def __init__(
        self,
        source: Repositories,
        target: Repositories,
        tracts: Mapping[str, str | UnsetType | None] | None,
    ) -> None:
        self._source = source
        self._target = target
        self._tracts = tracts or {}
        self._has_dropped = False

    async def again(self, tract_ids: Sequence[str]) -> dict[str, CopyRepository]:
        """Take tracts out of the file; return where to read those that are still there."""
        found: dict[str, CopyRepository] = {}
        for tract_id in tract_ids:
            await self._drop(tract_id)
            try:
                named = {tract_id: self._tracts.get(tract_id, UNSET)}
                copies = (await chosen(self._source.copies, named))[tract_id]
            except (CommitNotFoundError, TractNotFoundError):
                continue
            if not (await copies.outline(tract_id)).is_empty or await copies.attachments(
                tract_id, b""
            ):
                found[tract_id] = copies
        return found

    async def finish(self) -> None:
        """Leave no byte in the file of what was taken out of it."""
        if self._has_dropped:
            await self._target.erasures.vacuum()

    async def _drop(self, tract_id: str) -> None:
        self._has_dropped = True
        through = await self._target.erasures.drop_names(tract_id)
        while (await self._target.erasures.drop_commits(tract_id, through)).more:
            pass
