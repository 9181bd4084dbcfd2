"""`TractEngine`: titles, metadata and the list of tracts."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from tract.exceptions import MetadataChangedError, shown
from tract.history.canonical import as_object, canonical_json, stored_json
from tract.history.redaction import Redactor
from tract.models.commit import moment
from tract.models.queries.query import Condition, Source, config_condition
from tract.models.store import TractInfo
from tract.protocols import UNSET, UnsetType
from tract.storage.repositories import (
    BranchName,
    Listing,
    SetInfo,
    TractOrder,
    TractRepository,
    TractRow,
)

__all__ = ["TractEngine", "conditions_of", "cursor_of"]

_WHAT = "a tract's metadata"


class TractEngine:
    """The tracts of one store, as a whole; *redactor* keeps secrets out of their metadata."""

    def __init__(self, tracts: TractRepository, redactor: Redactor | None) -> None:
        self._tracts = tracts
        self._redactor = redactor

    async def ids(self) -> list[str]:
        """See `TractStore.tract_ids`."""
        return await self._tracts.ids()

    async def listed(self, listing: Listing) -> list[TractInfo]:
        """See `TractStore.tracts`."""
        return [_info(row, listing.order) for row in await self._tracts.listed(listing)]

    async def info(self, tract_id: str) -> TractInfo | None:
        """See `AsyncTract.info`."""
        row = await self._tracts.get(tract_id)
        return None if row is None else _info(row, TractOrder.UPDATED)

    def change(
        self,
        branch: BranchName,
        title: str | UnsetType | None,
        metadata: Mapping[str, Any] | UnsetType | None,
        expected_metadata: Mapping[str, Any] | UnsetType | None,
        *,
        redact: bool,
    ) -> SetInfo:
        """Return what `AsyncTract.set_info` changes.

        Raises:
            ContentValidationError: an object cannot be stored.
        """
        redactor = self._redactor if redact else None
        text = metadata if metadata is UNSET else _json(metadata, "metadata", redactor)
        check = None
        if expected_metadata is not UNSET:
            expected = _json(expected_metadata, "expected_metadata", None)
            check = partial(_check, expected)
        return SetInfo(branch, title, text, check)

    async def describe(
        self,
        tract_id: str,
        title: str | UnsetType | None,
        metadata: Mapping[str, Any] | UnsetType | None,
        expected_metadata: Mapping[str, Any] | UnsetType | None,
        *,
        redact: bool,
    ) -> TractInfo:
        """See `AsyncTract.set_info`."""
        given = title, metadata, expected_metadata
        change = self.change(BranchName(tract_id, "main"), *given, redact=redact)
        await self._tracts.describe(tract_id, change.title, change.metadata_json, change.check)
        info = await self.info(tract_id)
        assert info is not None
        return info


def conditions_of(metadata: object) -> tuple[Condition, ...]:
    """Return the conditions that each member of *metadata* is a member of a tract's.

    Raises:
        ContentValidationError: it is not an object.
        QueryError: a value cannot be compared.
    """
    members = as_object(metadata, "metadata") or {}
    return tuple(
        config_condition((name,), "=", value, Source.TRACT_METADATA)
        for name, value in members.items()
    )


def cursor_of(order: TractOrder, cursor: object) -> tuple[int, str]:
    """Return the place at which a page begins.

    Raises:
        ValueError: *cursor* is not that of a `TractInfo` that was listed in this order.
    """
    text = str.__str__(cursor) if isinstance(cursor, str) else ""
    by, _, rest = text.partition(":")
    time, _, tract_id = rest.partition(":")
    if by != order or not (time.isascii() and time.isdecimal()) or len(time) > 18 or not tract_id:
        raise ValueError(
            f"{shown(cursor)} is not a cursor of tracts by {order}. Give the `cursor` of the last "
            "TractInfo, and the same `order_by`."
        )
    return int(time), tract_id


def _info(row: TractRow, order: TractOrder) -> TractInfo:
    times = {TractOrder.UPDATED: row.updated_at, TractOrder.CREATED: row.created_at}
    metadata = row.metadata_json
    return TractInfo(
        tract_id=row.tract_id,
        title=row.title,
        metadata=None if metadata is None else stored_json(metadata, _WHAT),
        created_at=moment(row.created_at),
        updated_at=moment(row.updated_at),
        commits=row.commits,
        branches=row.branches,
        prompt_tokens=row.prompt_tokens,
        completion_tokens=row.completion_tokens,
        cursor=f"{order}:{times.get(order, 0)}:{row.tract_id}",
    )


def _json(value: object, path: str, redactor: Redactor | None) -> str | None:
    given = as_object(value, path)
    return None if given is None else canonical_json(given, path, redactor)


def _check(expected: str | None, present: str | None) -> None:
    actual = None if present is None else stored_json(present, _WHAT)
    if (None if actual is None else canonical_json(actual)) != expected:
        raise MetadataChangedError(
            None if expected is None else stored_json(expected, _WHAT), actual
        )
