"""What a transaction does with the title and the metadata of a tract."""

from __future__ import annotations

from collections.abc import Callable

from tract.protocols import UNSET, UnsetType
from tract.storage.sql.statements import tracts as sql
from tract.storage.sql.writing.tract_rows import open_row
from tract.storage.sql.writing.transaction import WriteTransaction

__all__ = ["describe"]


def describe(
    transaction: WriteTransaction,
    tract_id: str,
    title: str | UnsetType | None,
    metadata_json: str | UnsetType | None,
    check: Callable[[str | None], None] | None,
) -> None:
    """See `TractRepository.describe`."""
    connection, times = transaction.connection, transaction.tips.row_times
    if check is not None:
        row = connection.one(sql.PRESENT, tract_id=tract_id)
        check(row[0] if row else None)
    now = transaction.next_time(tract_id)
    open_row(connection, times, tract_id)
    if title is not UNSET:
        connection.run(sql.SET_TITLE, of_tract=tract_id, new_title=title)
    if metadata_json is not UNSET:
        connection.run(sql.SET_METADATA, of_tract=tract_id, new_metadata=metadata_json)
    transaction.touch(tract_id, now)
