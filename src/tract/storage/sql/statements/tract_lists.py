"""The SQL of the list of tracts.

A row's time may be up to `LAG` older than its tract's last commit. So a page by time is found in
two steps within one statement: as many rows by their own times as the page has, and then all that
are at most `LAG` beyond the last of them, by their true times. The index on times answers both.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    Select,
    String,
    and_,
    bindparam,
    cast,
    func,
    literal,
    or_,
    select,
)

from tract.storage.repositories import TractOrder
from tract.storage.schema import commits, refs, tracts, usage
from tract.storage.sql.statements.compiled import Statement

__all__ = ["LAG", "Shape", "listing_of"]

LAG: int = 1_000_000
"""Microseconds that a row may be behind the last commit."""
_BRANCHES, _AFTER_BRANCHES = "refs/heads/", "refs/heads0"


class Shape(NamedTuple):
    """What the statement of a listing depends on."""

    order: TractOrder
    descending: bool
    has_prefix: bool = False
    goes_on: bool = False
    is_limited: bool = True
    of_one: bool = False
    conditions: tuple[ColumnElement[bool], ...] = ()


_since = and_(commits.c.tract_id == tracts.c.tract_id, commits.c.created_at > tracts.c.updated_at)
_last = select(func.max(commits.c.created_at)).where(_since).correlate(tracts).scalar_subquery()
_updated = func.coalesce(_last, tracts.c.updated_at)


def listing_of(shape: Shape) -> Statement:
    """Return the statement that lists tracts, with the columns of a `TractRow`.

    Its parameters are *limit*, *low* and *high* for a prefix, *after_time* and *after_id*, and
    *tract_id* for a single one.
    """
    return Statement(lambda: _listing(shape), by_name=True)


@lru_cache(32)
def remembered_listing(shape: Shape) -> Statement:
    """Do what `listing_of` does, once for each shape; conditions would make too many of them."""
    return listing_of(shape)


def _listing(shape: Shape) -> Select[Any]:
    sorted_by: ColumnElement[Any] = {
        TractOrder.UPDATED: _updated,
        TractOrder.CREATED: tracts.c.created_at,
        TractOrder.ID: literal(0),
    }[shape.order]
    wanted = [tracts.c.updated_at > 0, *_wanted(shape, sorted_by)]
    if shape.order is TractOrder.UPDATED and shape.is_limited:
        wanted.append(_up_to_the_edge(shape, wanted))
    place = sorted_by.label("place")
    page = (
        select(tracts.c.tract_id.label("named"), place)
        .where(*wanted)
        .order_by(*_sorted(shape, place, tracts.c.tract_id))
        .limit(bindparam("limit"))
        .subquery("page")
    )
    joined: FromClause = tracts.join(page, tracts.c.tract_id == page.c.named)
    return (
        select(*_described())
        .select_from(joined)
        .order_by(*_sorted(shape, page.c.place, page.c.named))
    )


def _described() -> Sequence[ColumnElement[Any]]:
    """The columns of a `TractRow`, which are read only of the rows of a page."""
    added = select(func.count()).select_from(commits).where(_since).correlate(tracts)
    branches = (
        select(func.count())
        .select_from(refs)
        .where(
            refs.c.tract_id == tracts.c.tract_id,
            refs.c.name >= _BRANCHES,
            refs.c.name < _AFTER_BRANCHES,
        )
        .correlate(tracts)
    )
    return (
        tracts.c.tract_id,
        tracts.c.title,
        tracts.c.metadata_json,
        tracts.c.created_at,
        _updated,
        tracts.c.commits + added.scalar_subquery(),
        branches.scalar_subquery(),
        _reported(usage.c.prompt_tokens),
        _reported(usage.c.completion_tokens),
    )


def _reported(tokens: ColumnElement[Any]) -> ColumnElement[Any]:
    total = cast(func.coalesce(func.sum(tokens), 0), BigInteger)
    of_tract = usage.c.tract_id == tracts.c.tract_id
    return select(total).where(of_tract).correlate(tracts).scalar_subquery()


def _wanted(shape: Shape, sorted_by: ColumnElement[Any]) -> list[ColumnElement[bool]]:
    wanted = [*shape.conditions]
    tract_id = tracts.c.tract_id
    if shape.of_one:
        wanted.append(tract_id == bindparam("tract_id"))
    if shape.has_prefix:
        wanted += [tract_id >= bindparam("low"), tract_id < bindparam("high")]
    if shape.goes_on:
        wanted.append(_beyond(shape, sorted_by))
    return wanted


def _beyond(shape: Shape, sorted_by: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return the condition that a tract follows the last one of the page before."""
    tract_id, after_id = tracts.c.tract_id, bindparam("after_id", type_=String)
    follows = tract_id < after_id if shape.descending else tract_id > after_id
    if shape.order is TractOrder.ID:
        return follows
    time = bindparam("after_time", type_=BigInteger)
    later = sorted_by < time if shape.descending else sorted_by > time
    beyond = or_(later, and_(sorted_by == time, follows))
    if shape.order is TractOrder.CREATED:
        return beyond
    row_time = tracts.c.updated_at  # what the index knows
    return and_(row_time <= time if shape.descending else row_time >= time - LAG, beyond)


def _up_to_the_edge(shape: Shape, wanted: Sequence[ColumnElement[bool]]) -> ColumnElement[bool]:
    """Return the condition that a row's time is not too far for the page."""
    row_time = tracts.c.updated_at
    order = row_time.desc() if shape.descending else row_time.asc()
    nearest = (
        select(row_time.label("row_time"))
        .where(*wanted)
        .order_by(order)
        .limit(bindparam("limit"))
        .subquery("nearest")
    )
    if shape.descending:
        return row_time >= select(func.min(nearest.c.row_time) - LAG).scalar_subquery()
    return row_time <= select(func.max(nearest.c.row_time) + LAG).scalar_subquery()


def _sorted(
    shape: Shape, place: ColumnElement[Any], tract_id: ColumnElement[Any]
) -> list[ColumnElement[Any]]:
    columns = [tract_id] if shape.order is TractOrder.ID else [place, tract_id]
    return [column.desc() if shape.descending else column.asc() for column in columns]
