"""Writing what another store had, in a transaction."""

from __future__ import annotations

from tract.storage.repositories import CopyOvertakenError, Outline, Rows
from tract.storage.schema import commits, refs, runs
from tract.storage.sql.ancestry.condemned import NEVER, condemned_through
from tract.storage.sql.copying import statements as copying
from tract.storage.sql.naming import BRANCHES
from tract.storage.sql.statements import commits as sql
from tract.storage.sql.statements import refs as ref_statements
from tract.storage.sql.writing.transaction import WriteTransaction

__all__ = ["add", "insert", "set_facts", "settle"]


def add(transaction: WriteTransaction, *, tract_id: str, rows: Rows, last_time: int) -> None:
    """See `CopyRepository.add`."""
    _check(transaction, tract_id, last_time)
    insert(transaction, rows)
    transaction.tips.forget(tract_id)
    for row in rows.get(commits.name, ()):
        transaction.touch(tract_id, row["created_at"], 1)


def settle(transaction: WriteTransaction, *, tract_id: str, outline: Outline) -> None:
    """See `CopyRepository.settle`."""
    connection = transaction.connection
    named = {row[1]: row for row in connection.all(copying.REFS, tract_id=tract_id)}
    streams = connection.all(copying.STREAMS, tract_id=tract_id)
    _check(transaction, tract_id, outline.last_time)
    for [stream_id] in streams:
        if stream_id not in outline.streams:
            connection.run(sql.DROP_SPOOL, tract_id=tract_id, stream_id=stream_id)
    for name in named.keys() - outline.refs.keys():
        connection.run(ref_statements.DELETE_REF, tract_id=tract_id, name=name)
    present = {row[1] for row in connection.all(copying.RUNS, tract_id=tract_id)}
    new = [row for name, row in outline.refs.items() if named.get(name) != tuple(row.values())]
    ended = [row for segment, row in outline.runs.items() if segment not in present]
    insert(transaction, {refs.name: new, runs.name: ended})
    set_facts(transaction, tract_id, outline)
    changed = {row["name"] for row in new} | (named.keys() - outline.refs.keys())
    transaction.tips.forget(
        tract_id, [name.removeprefix(BRANCHES) for name in changed if name.startswith(BRANCHES)]
    )


def set_facts(transaction: WriteTransaction, tract_id: str, outline: Outline) -> None:
    """Note of a tract as a whole what *outline* says of it."""
    facts = {**outline.facts, "commits": outline.commits}
    values = {f"new_{name}": value for name, value in facts.items()}
    transaction.connection.run(copying.ADD_TRACT, tract_id=tract_id)
    transaction.connection.run(copying.SET_TRACT, of_tract=tract_id, **values)


def _check(transaction: WriteTransaction, tract_id: str, last_time: int) -> None:
    """Check that the last commit of a tract is of *last_time*; all of its answers are forgotten.

    Nothing goes into one that is being erased: its last commits would lose what they follow.
    """
    transaction.reported.add(tract_id)
    if condemned_through(transaction.connection, tract_id) > NEVER:
        raise CopyOvertakenError
    row = transaction.connection.one(sql.LAST_TIME, tract_id=tract_id)
    if (row[0] if row else 0) != last_time:
        raise CopyOvertakenError


def insert(transaction: WriteTransaction, rows: Rows) -> None:
    """Add rows of each table, those first that others refer to."""
    for table, statement in copying.ADD.items():
        for row in rows.get(table, ()):
            transaction.connection.run(statement, **row)
