"""Copying a tract within its database, one statement a table, in a transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    Table,
    bindparam,
    exists,
    func,
    or_,
    select,
)

from tract.exceptions import TractExistsError, TractNotFoundError
from tract.protocols import UNSET, UnsetType
from tract.storage.repositories import Outline
from tract.storage.schema import (
    attachment_uses,
    attachments,
    commits,
    keys,
    origins,
    refs,
    runs,
    spool,
    tracts,
    usage,
)
from tract.storage.sql.ancestry.condemned import NEVER, condemned_through
from tract.storage.sql.ancestry.walk import lost
from tract.storage.sql.copying import incoming, outgoing
from tract.storage.sql.naming import BRANCHES
from tract.storage.sql.statements.compiled import Statement
from tract.storage.sql.writing.transaction import WriteTransaction

__all__ = ["copy"]

_new = bindparam("tract_id", type_=commits.c.tract_id.type)


def copy(
    transaction: WriteTransaction, *, source: str, target: str, at: str | UnsetType | None
) -> None:
    """See `CopyTargetRepository.copy_within`."""
    connection = transaction.connection
    transaction.reported.add(target)
    transaction.tips.finish()
    gone = condemned_through(connection, source)
    if connection.all(_THERE, tract_id=target, gone=NEVER, given=NEVER)[0][0]:
        raise TractExistsError(target)
    if not connection.all(_THERE, tract_id=source, gone=gone, given=0)[0][0]:
        raise TractNotFoundError(source)
    if at is UNSET:
        outline = outgoing.outline(connection, tract_id=source)
        given: Mapping[str, Any] = {"source": source, "gone": gone}
    else:
        outline, _ = outgoing.history(connection, tract_id=source, at=at, target=target)
        given = {"source": source, "at": outline.refs[f"{BRANCHES}main"]["commit_hash"]}
    if outline.missing:
        raise lost(outline.missing[0])
    _run(transaction, target, given, outline)


def _run(
    transaction: WriteTransaction, target: str, given: Mapping[str, Any], outline: Outline
) -> None:
    for statement in _WHOLE if "at" not in given else _HISTORY:
        transaction.connection.run(statement, tract_id=target, **given)
    if "at" in given:
        incoming.insert(
            transaction, {"refs": [*outline.refs.values()], "runs": [*outline.runs.values()]}
        )
    number = outline.facts["erasures"]
    facts = {**outline.facts, "erasures": number + number % 2}  # no prune of the copy is under way
    incoming.set_facts(transaction, target, outline._replace(facts=facts))
    names = [name.removeprefix(BRANCHES) for name in outline.refs if name.startswith(BRANCHES)]
    transaction.tips.forget(target, names)


def _there() -> Select[Any]:
    """Whether a tract has anything; a row of `tracts` may be nothing but a lock.

    Commits up to a time *gone*, and attachments before another, do not count.
    """
    having = [
        exists().where(table.c.tract_id == bindparam("tract_id"), *conditions)
        for table, *conditions in (
            (commits, commits.c.created_at > bindparam("gone")),
            (refs,),
            (runs,),
            (attachments, attachments.c.created_at >= bindparam("given")),
            (spool,),
        )
    ]
    said = tracts.c.title.is_not(None) | tracts.c.metadata_json.is_not(None)
    return select(or_(*having, exists().where(tracts.c.tract_id == bindparam("tract_id"), said)))


_THERE = Statement(_there)


def _copied(table: Table, *conditions: ColumnElement[bool]) -> Statement:
    names = [column.name for column in table.c if column.name != "tract_id"]
    rows = select(_new, *(table.c[name] for name in names)).where(
        table.c.tract_id == bindparam("source"), *conditions
    )
    if table is commits:
        rows = rows.order_by(commits.c.created_at)
    return Statement(lambda: table.insert().from_select(["tract_id", *names], rows))


def _reached() -> ColumnElement[bool]:
    """The commits of the history of `at`."""
    of_source = commits.c.tract_id == bindparam("source")
    found = (
        select(commits.c.commit_hash)
        .where(of_source, commits.c.commit_hash == bindparam("at"))
        .cte("reached", recursive=True)
    )
    child, parent = commits.alias("child"), commits.alias("parent")
    found = found.union(
        select(parent.c.commit_hash)
        .select_from(found)
        .join(
            child,
            (child.c.tract_id == bindparam("source"))
            & (child.c.commit_hash == found.c.commit_hash),
        )
        .join(
            parent,
            (parent.c.tract_id == bindparam("source"))
            & parent.c.commit_hash.in_([child.c.parent_hash, child.c.merge_parent]),
        )
    )
    return commits.c.commit_hash.in_(select(found.c.commit_hash))


def _used() -> ColumnElement[bool]:
    """The attachments that contents of the new tract refer to."""
    shown = func.coalesce(commits.c.erased_as, commits.c.content_hash)
    used = (
        select(attachment_uses.c.attachment_hash)
        .join(commits, shown == attachment_uses.c.content_hash)
        .where(commits.c.tract_id == _new)
    )
    return attachments.c.attachment_hash.in_(used)


def _keys_there() -> Any:
    """What each key means by the last commit of the new tract that was made under it."""
    last = (
        select(commits.c.key, func.max(commits.c.created_at).label("created_at"))
        .where(commits.c.tract_id == _new, commits.c.key.is_not(None))
        .group_by(commits.c.key)
        .subquery()
    )
    columns = (commits.c.tract_id, commits.c.key, commits.c.commit_hash, commits.c.created_at)
    rows = (
        select(*columns)
        .join(last, (last.c.key == commits.c.key) & (last.c.created_at == commits.c.created_at))
        .where(commits.c.tract_id == _new)
    )
    return keys.insert().from_select([column.name for column in columns], rows)


def _of_new(table: Table) -> ColumnElement[bool]:
    return table.c.commit_hash.in_(select(commits.c.commit_hash).where(commits.c.tract_id == _new))


_WHOLE: Sequence[Statement] = [
    _copied(commits, commits.c.created_at > bindparam("gone")),
    _copied(attachments, attachments.c.created_at >= 0),
    *(_copied(table) for table in (keys, refs, runs)),
    *(_copied(table, _of_new(table)) for table in (origins, usage)),
]
_HISTORY: Sequence[Statement] = [
    _copied(commits, _reached()),
    _copied(attachments, _used()),
    Statement(_keys_there),
    *(_copied(table, _of_new(table)) for table in (origins, usage)),
]
"""Those of a history read what the first of them has written."""
