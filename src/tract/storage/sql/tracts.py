"""Rows of tracts, to list them; runs where the connection does."""

from __future__ import annotations

from itertools import product
from typing import Any

from tract.exceptions import StoreCorruptError, shown
from tract.storage.repositories import Listing, TractOrder, TractRow
from tract.storage.sql.configs.language import ConfigLanguage
from tract.storage.sql.port import Connection, Row
from tract.storage.sql.statements import tracts as sql
from tract.storage.sql.statements.tract_lists import Shape, listing_of, remembered_listing

__all__ = ["get", "ids", "listed"]

_ALL = 2**62
_TEXTS = (str, type(None))
_ROWS = frozenset(product((str,), _TEXTS, _TEXTS, *[(int,)] * 6))
_ONE = Shape(TractOrder.ID, descending=False, of_one=True)
_MOST = 1_024  # characters of an id
_LAST, _SURROGATES, _AFTER_SURROGATES = 0x10FFFF, 0xD800, 0xE000


def ids(connection: Connection) -> list[str]:
    """See `TractRepository.ids`."""
    return [row[0] for row in connection.all(sql.TRACT_IDS)]


def get(connection: Connection, *, tract_id: str) -> TractRow | None:
    """See `TractRepository.get`."""
    row = connection.one(remembered_listing(_ONE), tract_id=tract_id, limit=1)
    return None if row is None else _row(row)


def listed(connection: Connection, *, language: ConfigLanguage, listing: Listing) -> list[TractRow]:
    """See `TractRepository.listed`."""
    shape = Shape(
        listing.order,
        listing.descending,
        has_prefix=bool(listing.prefix),
        goes_on=listing.after is not None,
        is_limited=listing.limit is not None,
    )
    parameters: dict[str, Any] = {"limit": _ALL if listing.limit is None else listing.limit}
    if listing.prefix:
        parameters.update(low=listing.prefix, high=_end_of(listing.prefix))
    if listing.after is not None:
        time, parameters["after_id"] = listing.after
        if listing.order is not TractOrder.ID:
            parameters["after_time"] = time
    if listing.conditions:
        shape = shape._replace(conditions=tuple(map(language.holds, listing.conditions)))
        statement = listing_of(shape)
    else:
        statement = remembered_listing(shape)
    return [_row(row) for row in connection.all(statement, **parameters)]


def _row(row: Row) -> TractRow:
    if tuple(map(type, row)) not in _ROWS:
        raise StoreCorruptError(
            f"the row of the tract {shown(row[0])} cannot be read: the store was damaged. Restore "
            "the file from a backup."
        )
    return TractRow(*row)


def _end_of(prefix: str) -> str:
    """Return a text that is after all ids that begin with *prefix*, and before all others."""
    kept = prefix.rstrip(chr(_LAST))
    if not kept:
        return chr(_LAST) * (_MOST + 1)
    following = ord(kept[-1]) + 1
    if following == _SURROGATES:
        following = _AFTER_SURROGATES
    return kept[:-1] + chr(following)
