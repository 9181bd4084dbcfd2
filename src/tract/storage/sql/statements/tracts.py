"""The SQL of rows of tracts; `tract_lists` has that of the list of all tracts."""

from __future__ import annotations

from sqlalchemy import BigInteger, BindParameter, bindparam, case, func, select, update

from tract.storage.schema import commits, tracts
from tract.storage.sql.statements.compiled import Insertion, Statement

_of_tract: BindParameter[str] = bindparam("of_tract")
_first = bindparam("first", type_=BigInteger)

TRACT_IDS = Statement(
    lambda: select(tracts.c.tract_id).where(tracts.c.updated_at > 0).order_by(tracts.c.tract_id)
)
"""A row without a time only has a number for writers to agree on."""
ROW_TIME = Statement(
    lambda: select(tracts.c.updated_at).where(tracts.c.tract_id == bindparam("tract_id"))
)
PRESENT = Statement(
    lambda: select(tracts.c.metadata_json).where(tracts.c.tract_id == bindparam("tract_id"))
)
ADD_TRACT = Insertion(tracts, ["tract_id"], instead=[])
SET_TITLE = Statement(
    lambda: (
        update(tracts).where(tracts.c.tract_id == _of_tract).values(title=bindparam("new_title"))
    )
)
SET_METADATA = Statement(
    lambda: (
        update(tracts)
        .where(tracts.c.tract_id == _of_tract)
        .values(metadata_json=bindparam("new_metadata"))
    )
)
_before = (
    select(func.count())
    .select_from(commits)
    .where(
        commits.c.tract_id == _of_tract,
        commits.c.created_at > tracts.c.updated_at,
        commits.c.created_at < _first,
    )
    .correlate(tracts)
    .scalar_subquery()
)
TOUCH_TRACT = Statement(
    lambda: (
        update(tracts)
        .where(tracts.c.tract_id == _of_tract)
        .values(
            created_at=case((tracts.c.created_at == 0, _first), else_=tracts.c.created_at),
            updated_at=bindparam("last"),
            commits=tracts.c.commits + bindparam("made", type_=BigInteger) + _before,
        )
    )
)
"""Changes the row of a tract in which *made* commits were made, from the time *first* on.

It counts those since the row was written, and must not count what its own transaction has made.
"""
