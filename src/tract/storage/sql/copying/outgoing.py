"""Reading a tract as it is stored; runs on the connection's thread."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Table

from tract.exceptions import StoreCorruptError, TractError
from tract.storage.repositories import Bundle, Outline, Portion, Rows
from tract.storage.schema import attachments, origins, refs, runs, spool, usage
from tract.storage.sql.ancestry.condemned import NEVER, condemned_through
from tract.storage.sql.ancestry.walk import place_or_beginning, walk_all
from tract.storage.sql.copying import statements as copying
from tract.storage.sql.keys import stored_key
from tract.storage.sql.naming import MAIN, ref_name
from tract.storage.sql.port import Connection, Row
from tract.storage.sql.rows import as_bytes, name_of, stored_of
from tract.storage.sql.statements import commits as sql

__all__ = [
    "bundle",
    "commits",
    "history",
    "line",
    "outline",
    "page",
    "parts",
    "tract_ids",
    "usages",
]

_COMMITS = 256
_NBYTES = 4_000_000  # of contents in one portion, unless a single one is larger
_HASHES = 4_096
_PAGE = 256
_FOR_EVER = 2**62
_NAMES = {"parent_hash": "parent", "merge_parent": "parent", "edit_target": "target"}


def tract_ids(connection: Connection) -> list[str]:
    """See `CopyRepository.tract_ids`."""
    found = {row[0] for each in copying.TRACT_IDS for row in connection.all(each)}
    if not all(isinstance(each, str) for each in found):
        raise StoreCorruptError("the id of a tract cannot be read: the store was damaged.")
    return sorted(found)


def outline(connection: Connection, *, tract_id: str) -> Outline:
    """See `CopyRepository.outline`."""
    with connection.at_one_moment():
        gone = condemned_through(connection, tract_id)
        last = connection.one(sql.LAST_TIME, tract_id=tract_id)
        if last is not None and isinstance(last[0], int) and last[0] <= gone:
            last = None
        [[count]] = connection.all(
            sql.COUNT, tract_id=tract_id, through=_FOR_EVER, after=gone, limit=_FOR_EVER
        )
        named = _named(refs, connection.all(copying.REFS, tract_id=tract_id))
        ended = _named(runs, connection.all(copying.RUNS, tract_id=tract_id))
        streams = connection.all(copying.STREAMS, tract_id=tract_id)
        facts = _facts(connection, tract_id, last[0] if last else 0, gone)
        heads = {row["commit_hash"] for row in named} | {row["end_hash"] for row in ended}
        found = {
            row[0] for row in connection.find(copying.TIMES, heads - {None}, tract_id=tract_id)
        }
    if last is not None and not isinstance(last[0], int):
        raise StoreCorruptError("the time of a commit cannot be read: the store was damaged.")
    return Outline(
        last[0] if last else 0,
        count,
        {row["name"]: row for row in named},
        {row["segment"]: row for row in ended},
        [row[0] for row in streams],
        sorted(map(name_of, heads - {None} - found)),
        facts,
    )


def bundle(connection: Connection, *, tract_id: str, at: str | None) -> Bundle:
    """See `CopyRepository.bundle`."""
    with connection.at_one_moment():
        outline, walked = history(connection, tract_id=tract_id, at=at, target=tract_id)
        uses = connection.find(copying.USES, {row[5] for row in walked}, tract_id=tract_id)
    used = frozenset(key for _, key, _ in uses)
    return Bundle(outline, frozenset(row[0] for row in walked), used)


def history(
    connection: Connection, *, tract_id: str, at: str | None, target: str
) -> tuple[Outline, list[Row]]:
    """Return the history of a commit as a tract *target*, and its rows of `WALK_SHOWN`.

    What went on from segments that it has in part is left out, so their runs have ended there.

    Raises:
        CommitNotFoundError: there is no such commit.
        TractError: it is before the first.
    """
    head = place_or_beginning(connection, tract_id, at, to_stay=True)
    if head is None:
        raise TractError("There is no commit yet to copy: commit first, or name another one.")
    walked = [*walk_all(connection, copying.WALK_SHOWN, tract_id, [head])]
    known = [
        *_named(runs, connection.all(copying.RUNS, tract_id=tract_id)),
        *_named(refs, connection.all(copying.REFS, tract_id=tract_id)),
    ]
    begun = {row["segment"]: row for row in known}
    ends = {row[4]: row for row in reversed(walked)}  # the newest of each segment
    last = ends.pop(head.segment)
    ended = [_ended(target, begun.get(segment), row) for segment, row in ends.items()]
    main = _main(target, begun.get(head.segment), last, walked[-1])
    outline = Outline(
        head.created_at,
        len(walked),
        {main["name"]: main},
        {row["segment"]: row for row in ended},
        [],
        [],
        {**_facts(connection, tract_id, 0), "updated_at": head.created_at},
    )
    return outline, walked


def _facts(
    connection: Connection, tract_id: str, last_time: Any, gone: int = NEVER
) -> dict[str, Any]:
    """Return what is known of a tract as a whole; its row may be behind its last commit.

    Nothing is of one that is being erased, but for what came after the time *gone*.
    """
    found = connection.one(copying.OF_TRACT, tract_id=tract_id)
    facts = dict(zip(copying.FACTS, found or (None, None, 0, 0, 0), strict=True))
    if gone > NEVER and max(facts["updated_at"], last_time) <= gone:
        facts |= {"created_at": 0, "updated_at": 0, "erasures": 0}
    if isinstance(last_time, int) and isinstance(facts["updated_at"], int):
        facts["updated_at"] = max(facts["updated_at"], last_time)
    return facts


def _run(tract_id: str, run: Mapping[str, Any] | None, row: Row) -> dict[str, Any]:
    """Return how a run began that went on up to a row of `WALK_SHOWN`."""
    found = run or {"start_hash": None, "started_at": row[2], "action": "create", "note": None}
    began = {name: found[name] for name in ("start_hash", "started_at", "action", "note")}
    return {"tract_id": tract_id, "segment": row[4], **began}


def _main(tract_id: str, run: Mapping[str, Any] | None, row: Row, first: Row) -> dict[str, Any]:
    """Return the branch that ends at a row of `WALK_SHOWN`, and goes on with its run."""
    began = _run(tract_id, run, row)
    times = {"created_at": first[2], "updated_at": row[2]}
    return {**began, **times, "name": ref_name(MAIN), "commit_hash": row[0]}


def _ended(tract_id: str, run: Mapping[str, Any] | None, row: Row) -> dict[str, Any]:
    """Return the run of a branch that a history has up to a row of `WALK_SHOWN`, and no further."""
    ended = {"end_hash": row[0], "ended_at": row[2], "ended_by": "delete"}
    name = run["name"] if run else ref_name(MAIN)
    return {**_run(tract_id, run, row), **ended, "name": name}


def line(
    connection: Connection, *, tract_id: str, after: int, through: int
) -> list[tuple[int, str]]:
    """See `CopyRepository.line`."""
    after = max(after, condemned_through(connection, tract_id))
    rows = connection.all(
        copying.LINE, tract_id=tract_id, after=after, through=through, limit=_HASHES
    )
    return [(created_at, name_of(key)) for created_at, key in rows]


def commits(connection: Connection, *, tract_id: str, after: int, through: int) -> Portion | None:
    """See `CopyRepository.commits`."""
    with connection.at_one_moment(), connection.lenient_text():
        after = max(after, condemned_through(connection, tract_id))
        found = connection.all(
            copying.COMMITS, tract_id=tract_id, after=after, through=through, limit=_COMMITS
        )
        if not found:
            return None
        rows = [dict(zip(copying.COLUMNS, row, strict=False)) for row in _first_of(found)]
        contents = _keys([row for row in rows if row["erased_as"] is None], "content_hash")
        data = dict.fromkeys(_keys(rows, "content_hash"), b"")  # what only erased commits hold
        shown = connection.find(copying.BLOBS, contents | _keys(rows, "erased_as"))
        data |= dict.fromkeys(contents) | {key: as_bytes(value) for key, value in shown}
        uses = connection.find(copying.USES, contents, tract_id=tract_id)
        sources = connection.find(copying.ORIGINS, _keys(rows, "commit_hash"), tract_id=tract_id)
        named = connection.find(copying.TIMES, _keys(rows, *_NAMES), tract_id=tract_id)
    stored = [
        stored_of((*row.values(), data.get(row["erased_as"] or row["content_hash"])))
        for row in rows
    ]
    belonging: Rows = {
        "blobs": [
            {"content_hash": key, "data": value} for key, value in data.items() if value is not None
        ],
        "attachment_uses": [
            {"content_hash": content, "attachment_hash": key} for content, key, _ in uses
        ],
        "commits": rows,
        "keys": [_key(row) for row in rows if isinstance(row["key"], str)],
        "origins": _named(origins, sources),
    }
    faults = [*_astray(rows, dict(named)), *_without(rows, uses)]
    return Portion(stored, belonging, faults, rows[-1]["created_at"])


def page(connection: Connection, *, tract_id: str, after: bytes) -> list[Mapping[str, Any]]:
    """See `CopyRepository.attachments`."""
    rows = connection.all(copying.ATTACHMENTS, tract_id=tract_id, after=after, limit=_PAGE)
    return _named(attachments, rows)


def usages(
    connection: Connection, *, tract_id: str, after: bytes, through: int
) -> list[Mapping[str, Any]]:
    """See `CopyRepository.usages`."""
    since = condemned_through(connection, tract_id)
    rows = connection.all(
        copying.USAGES, tract_id=tract_id, after=after, since=since, through=through, limit=_PAGE
    )
    return _named(usage, rows)


def parts(connection: Connection, *, tract_id: str, stream_id: str) -> list[Mapping[str, Any]]:
    """See `CopyRepository.parts`."""
    rows = connection.all(copying.PARTS, tract_id=tract_id, stream_id=stream_id)
    return _named(spool, rows)


def _key(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row of a commit's key; that of a later commit with the key replaces it."""
    named = {name: row[name] for name in ("tract_id", "commit_hash", "created_at")}
    return {**named, "key": stored_key(row["key"])}


def _named(table: Table, rows: Sequence[Row]) -> list[Mapping[str, Any]]:
    names = table.c.keys()
    return [dict(zip(names, row, strict=True)) for row in rows]


def _first_of(rows: Sequence[Row]) -> Iterator[Row]:
    """Yield the first of some commits, whose contents fit into a portion; at least one."""
    nbytes = 0
    for row in rows:
        nbytes += row[-1] or 0
        if nbytes > _NBYTES and row is not rows[0]:
            return
        yield row


def _keys(rows: Sequence[Mapping[str, Any]], *columns: str) -> set[bytes]:
    """Return the hashes in some columns; a damaged row may hold anything."""
    values = (row[column] for row in rows for column in columns)
    return {value for value in values if isinstance(value, bytes)}


def _astray(
    rows: Sequence[Mapping[str, Any]], times: Mapping[bytes, int]
) -> Iterator[tuple[str, str]]:
    """Yield the commits that name others which are not there, or not earlier."""
    for row in rows:
        for column, what in _NAMES.items():
            name = row[column]
            if name is None:
                continue
            if name not in times:
                problem = f"its {what} {name_of(name)} is not in the store"
            elif times[name] >= row["created_at"]:
                problem = f"its {what} {name_of(name)} is not earlier than it"
            else:
                continue
            yield name_of(row["commit_hash"]), problem


def _without(rows: Sequence[Mapping[str, Any]], uses: Sequence[Row]) -> Iterator[tuple[str, str]]:
    """Yield the commits that use what their tract was never given."""
    lacking = {content: key for content, key, size in uses if size is None}
    for row in rows:
        key = lacking.get(row["content_hash"])
        if key is not None and row["erased_as"] is None:
            yield name_of(row["commit_hash"]), f"its attachment {name_of(key)} is not in the store"
