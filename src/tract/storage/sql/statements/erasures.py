"""The SQL that erases contents and frees what nothing refers to.

Updates and deletions of many rows are `Lookup`s, so that a portion takes one trip to a server.
"""

from __future__ import annotations

from sqlalchemy import (
    ColumnElement,
    Table,
    Text,
    and_,
    bindparam,
    cast,
    delete,
    func,
    literal_column,
    not_,
    null,
    or_,
    select,
    update,
)

from tract.storage.schema import (
    attachment_uses,
    attachments,
    blobs,
    commits,
    keys,
    origins,
    refs,
    runs,
    spool,
    tracts,
    usage,
)
from tract.storage.sql.statements.compiled import Insertion, Lookup, Statement

_NOTHING = b""
_NO_REPORT = "{}"
_tract = commits.c.tract_id == bindparam("tract_id")
_by_content = commits.c.tract_id + "" == bindparam("tract_id")
"""Keeps SQLite from reading the whole tract where the index by content leads to a few rows."""


def _of(table: Table) -> ColumnElement[bool]:
    return table.c.tract_id == bindparam("of_tract")


OF_CONTENTS = Lookup(
    commits.c.content_hash,
    lambda named: (
        select(commits.c.commit_hash, commits.c.content_hash)
        .where(named, _by_content, commits.c.erased_as.is_(None))
        .order_by(commits.c.created_at + 0)
    ),
)
"""The commits of a tract that hold contents, but for those that are erased."""


def _holds_more() -> ColumnElement[bool]:
    """Return the condition that a commit holds something beside its content."""
    reported = select(usage.c.commit_hash).where(
        usage.c.tract_id == commits.c.tract_id,
        usage.c.commit_hash == commits.c.commit_hash,
        cast(usage.c.raw_json, Text) != _NO_REPORT,
    )
    names = ("message", "metadata_json", "generation_config_json", "key")
    return or_(*(commits.c[name].is_not(null()) for name in names), reported.exists())


ERASED = Lookup(
    commits.c.commit_hash,
    lambda named: select(commits.c.commit_hash).where(
        _tract, named, commits.c.erased_as.is_not(None)
    ),
)
"""Those of some commits whose contents are erased."""
STRIPPABLE = Lookup(
    commits.c.commit_hash,
    lambda named: (
        select(commits.c.commit_hash, commits.c.key)
        .where(_tract, named, _holds_more())
        .order_by(commits.c.created_at + 0)
    ),
)
"""Those of some commits that hold something beside their contents, with the keys of these."""
ERASE = Lookup(
    commits.c.commit_hash,
    lambda named: update(commits).where(_of(commits), named).values(erased_as=bindparam("marker")),
)
STRIP = Lookup(
    commits.c.commit_hash,
    lambda named: (
        update(commits)
        .where(_of(commits), named)
        .values(message=null(), metadata_json=null(), generation_config_json=null(), key=null())
    ),
)
DROP_REPORTS = Lookup(
    usage.c.commit_hash,
    lambda named: update(usage).where(_of(usage), named).values(raw_json=_NO_REPORT),
)
"""What an API reported, but for its numbers."""
KEYS_OF = Lookup(
    keys.c.key,
    lambda named: select(keys.c.key, keys.c.commit_hash).where(
        keys.c.tract_id == bindparam("tract_id"), named
    ),
)
DROP_KEYS = Lookup(keys.c.key, lambda named: delete(keys).where(_of(keys), named))
UNNAME = Lookup(
    commits.c.key, lambda named: update(commits).where(_of(commits), named).values(key=null())
)
"""Take keys from all commits that were made under them."""


def _is_needed() -> ColumnElement[bool]:
    """Return the condition that some tract still shows a blob, or may."""
    user = commits.alias("user")
    holds = select(commits.c.commit_hash).where(
        commits.c.content_hash == blobs.c.content_hash, commits.c.erased_as.is_(None)
    )
    stands = select(commits.c.commit_hash).where(commits.c.erased_as == blobs.c.content_hash)
    given = select(attachments.c.size).where(attachments.c.attachment_hash == blobs.c.content_hash)
    shows = (
        select(attachment_uses.c.content_hash)
        .join(user, user.c.content_hash == attachment_uses.c.content_hash)
        .where(
            attachment_uses.c.attachment_hash == blobs.c.content_hash, user.c.erased_as.is_(None)
        )
    )
    return or_(holds.exists(), stands.exists(), given.exists(), shows.exists())


NEEDED = Lookup(
    blobs.c.content_hash, lambda named: select(blobs.c.content_hash).where(named, _is_needed())
)
EMPTY = Lookup(blobs.c.content_hash, lambda named: update(blobs).where(named).values(data=_NOTHING))
STILL_USED = Lookup(
    attachment_uses.c.attachment_hash,
    lambda named: (
        select(attachment_uses.c.attachment_hash)
        .where(
            named,
            select(commits.c.commit_hash)
            .where(
                commits.c.content_hash == attachment_uses.c.content_hash,
                _by_content,
                commits.c.erased_as.is_(None),
            )
            .exists(),
        )
        .distinct()
    ),
)
"""The attachments that contents of a tract use, but for those that are erased."""
DROP_GRANTS = Lookup(
    attachments.c.attachment_hash, lambda named: delete(attachments).where(_of(attachments), named)
)
GRANTED = Lookup(
    attachments.c.attachment_hash,
    lambda named: select(attachments.c.attachment_hash).where(
        attachments.c.tract_id == bindparam("tract_id"), named
    ),
)
DROP_USES = Lookup(
    attachment_uses.c.content_hash, lambda named: delete(attachment_uses).where(named)
)

ERASURES = Statement(
    lambda: select(tracts.c.erasures).where(tracts.c.tract_id == bindparam("tract_id"))
)
TIMES = Lookup(
    tracts.c.tract_id,
    lambda named: select(tracts.c.tract_id, tracts.c.created_at, tracts.c.erasures).where(named),
)
ADD_TRACT = Insertion(tracts, ["tract_id"], instead=[])
SET_ERASURES = Statement(
    lambda: update(tracts).where(_of(tracts)).values(erasures=bindparam("number"))
)

BRANCHES = Statement(lambda: select(refs.c.name).where(refs.c.tract_id == bindparam("tract_id")))


def _all_of(table: Table) -> Statement:
    return Statement(lambda: delete(table).where(_of(table)))


def _of_commits(table: Table) -> Lookup:
    return Lookup(table.c.commit_hash, lambda named: delete(table).where(_of(table), named))


DROP_ALL = [_all_of(table) for table in (refs, runs, keys, spool)]
"""What can be deleted at once, and is all that leads to a tract's commits."""
DROP_OF = [_of_commits(table) for table in (refs, keys, usage, origins, commits)]
"""What belongs to commits, and then these themselves."""
NEWEST = Statement(
    lambda: (
        select(commits.c.commit_hash, commits.c.content_hash, commits.c.erased_as)
        .where(_tract, commits.c.created_at <= bindparam("through"))
        .order_by(commits.c.created_at.desc())
        .limit(bindparam("limit"))
    )
)
"""From the end, so that what is left of a tract that goes in portions has all that it builds on."""
GRANTS = Statement(
    lambda: (
        select(attachments.c.attachment_hash)
        .where(
            attachments.c.tract_id == bindparam("tract_id"),
            attachments.c.created_at < 0,
        )
        .limit(bindparam("limit"))
    )
)
CLEAR_TRACT = Statement(
    lambda: (
        update(tracts)
        .where(_of(tracts))
        .values(
            title=null(),
            metadata_json=null(),
            commits=0,
            created_at=bindparam("now"),
            updated_at=bindparam("now"),
        )
    )
)
"""Take from a tract's row what was said of it; those that come later are counted anew."""
DROP_TRACT = Statement(
    lambda: delete(tracts).where(
        _of(tracts),
        tracts.c.updated_at <= bindparam("through"),
        not_(select(commits.c.commit_hash).where(commits.c.tract_id == tracts.c.tract_id).exists()),
    )
)
_IS_VACANT = and_(
    tracts.c.updated_at == 0,
    *(
        not_(select(literal_column("1")).where(table.c.tract_id == tracts.c.tract_id).exists())
        for table in (commits, refs, attachments)
    ),
)
VACANT = Statement(lambda: select(func.count()).select_from(tracts).where(_IS_VACANT))
"""The rows of tracts in which nothing was ever written: a writer locked them, and was refused."""
DROP_VACANT = Statement(lambda: delete(tracts).where(_IS_VACANT))
BLOBS = Statement(
    lambda: (
        select(blobs.c.content_hash)
        .where(blobs.c.content_hash > bindparam("after"))
        .order_by(blobs.c.content_hash)
        .limit(bindparam("limit"))
    )
)


def _is_referred_to() -> ColumnElement[bool]:
    """Return the condition that a row names a blob."""
    columns = (
        commits.c.content_hash,
        commits.c.erased_as,
        attachments.c.attachment_hash,
        attachment_uses.c.attachment_hash,
    )
    return or_(
        *(select(column).where(column == blobs.c.content_hash).exists() for column in columns)
    )


FREE = Lookup(
    blobs.c.content_hash,
    lambda named: select(blobs.c.content_hash, func.length(blobs.c.data), _is_referred_to()).where(
        named, not_(_is_needed()), or_(func.length(blobs.c.data) > 0, not_(_is_referred_to()))
    ),
)
"""The blobs that nothing shows, with their bytes, and whether anything refers to them.

Erased commits do, whose content another tract held then. Those that are empty stay as they are.
"""
DROP_BLOBS = Lookup(blobs.c.content_hash, lambda named: delete(blobs).where(named))
