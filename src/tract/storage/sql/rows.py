"""Rows of the SQLite driver as the values of `repositories`.

SQLite stores any type in any column, so a damaged row can hold anything. Every value is checked
before use: for one that was never stored so, a reader raises a `StoreCorruptError`, and `verify()`
reports the row and goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from types import UnionType
from typing import Any, NoReturn

from tract.exceptions import StoreCorruptError
from tract.models.operations import CommitOperation
from tract.protocols import CommitStep
from tract.storage.repositories import CommitRow, OvertakenError, StoredCommit, StoredContent

__all__ = [
    "as_bytes",
    "check_types",
    "erasures_of",
    "hash_of",
    "head_of",
    "hex_or_none",
    "is_in_place",
    "key_or_none",
    "lenient_text",
    "name_of",
    "record_of",
    "sound",
    "steps_of",
    "stored_contents",
    "stored_of",
]

_NONE = type(None)
_STATE = CommitOperation.STATE.value
_RECORD: dict[str, tuple[type, ...]] = {
    "commit_hash": (bytes,),
    "tract_id": (str,),
    "parent_hash": (bytes, _NONE),
    "content_hash": (bytes,),
    "content_type": (str,),
    "operation": (str,),
    "edit_target": (bytes, _NONE),
    "message": (str, _NONE),
    "token_count": (int,),
    "metadata_json": (str, _NONE),
    "generation_config_json": (str, _NONE),
    "created_at": (int,),
    "merge_parent": (bytes, _NONE),
    "key": (str, _NONE),
}
_STORED = {
    **_RECORD,
    "token_source": (str,),
    "segment": (int,),
    "erased_as": (bytes, _NONE),
    "data": (bytes, str, _NONE),
}
# Every valid combination of types, so that a sound row costs a single look-up.
_RECORD_ROWS = frozenset(product(*_RECORD.values()))
_CONTENT: tuple[frozenset[Any], ...] = (  # hash, content hash, type, metadata, time, data, erasures
    *(frozenset({bytes}), frozenset({bytes}), frozenset({str})),
    *(frozenset({str, _NONE}), frozenset({int}), frozenset({bytes, str, _NONE})),
    frozenset({int}),
)
_STEP: tuple[frozenset[Any], ...] = (
    # hash, parent, time, operation, target, content type, data, count, source, config, merged, erasures
    *(frozenset({bytes}), frozenset({bytes, _NONE}), frozenset({int}), frozenset({str})),
    *(frozenset({bytes, _NONE}), frozenset({str}), frozenset({bytes, str, _NONE})),
    *(frozenset({int}), frozenset({str}), frozenset({str, _NONE}), frozenset({bytes, _NONE})),
    frozenset({int}),
)
_BYTES = frozenset({bytes})
_BLANKS: dict[type, Any] = {bytes: b"", str: "", int: 0}


def stored_contents(rows: Sequence[Sequence[Any]]) -> list[StoredContent]:
    """Return rows of `statements.CONTENTS`.

    Types are checked column by column, which costs a third of what it costs row by row.

    Raises:
        StoreCorruptError: a value has a type that is never stored there.
    """
    if not rows:
        return []
    columns = list(zip(*rows, strict=True))
    if not all(map(_holds, _CONTENT, columns)):
        _refuse(next(row[0] for row in rows if not all(map(_holds, _CONTENT, zip(row)))))
    hashes, contents, types, metadata, times, data, _ = columns
    names = (map(bytes.hex, hashes), map(bytes.hex, contents))
    return [*map(StoredContent, *names, types, metadata, times, map(as_bytes, data))]


def _holds(types: frozenset[type], column: Iterable[Any]) -> bool:
    return types.issuperset(map(type, column))


def record_of(row: Sequence[Any]) -> CommitRow:
    """Return a row of `statements.RECORDS`, which may have further columns, as a record.

    Raises:
        StoreCorruptError: a value has a type that is never stored there.
    """
    row = row[:14]
    if tuple(map(type, row)) not in _RECORD_ROWS:
        _refuse(row[0])
    return _record(*row)


def _record(
    commit_hash: bytes,
    tract_id: str,
    parent_hash: bytes | None,
    content_hash: bytes,
    content_type: str,
    operation: str,
    edit_target: bytes | None,
    message: str | None,
    token_count: int,
    metadata_json: str | None,
    generation_config_json: str | None,
    created_at: int,
    merge_parent: bytes | None,
    key: str | None,
) -> CommitRow:
    return CommitRow(
        commit_hash.hex(),
        tract_id,
        None if parent_hash is None else parent_hash.hex(),
        content_hash.hex(),
        content_type,
        operation,
        None if edit_target is None else edit_target.hex(),
        message,
        token_count,
        metadata_json,
        generation_config_json,
        created_at,
        None if merge_parent is None else merge_parent.hex(),
        key,
    )


def stored_of(row: Sequence[Any]) -> StoredCommit:
    """Return a row of `statements.WALK_STORED` for checking, whatever it holds.

    The row must be read with `lenient_text`. Unreadable values are blank, and listed in
    `unreadable`.
    """
    values = dict(zip(_STORED, row, strict=True))
    unreadable = [name for name, kinds in _STORED.items() if type(values[name]) not in kinds]
    for name in unreadable:
        kinds = _STORED[name]
        values[name] = None if _NONE in kinds else _BLANKS[kinds[0]]
    *columns, token_source, _, erased_as, data = values.values()
    return StoredCommit(
        _record(*columns),
        as_bytes(data),
        token_source,
        tuple(unreadable),
        hex_or_none(erased_as),
    )


def lenient_text(data: bytes) -> str | bytes:
    """Return text, or bytes that are not valid text; a `text_factory` for `stored_of`."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def as_bytes(data: Any) -> Any:
    """Return a blob that another program has stored as text in bytes; None stays None."""
    return data.encode() if isinstance(data, str) else data


def hash_of(value: Any, of: Any = None) -> str:
    """Return the hexadecimal form of a hash that is stored with the commit *of*.

    Raises:
        StoreCorruptError: it is not a hash.
    """
    if not isinstance(value, bytes):
        _refuse(value if of is None else of)
    return value.hex()


def head_of(value: Any) -> str | None:
    """Return a branch's stored head as a hexadecimal hash, or None if it is empty.

    Raises:
        StoreCorruptError: it is neither.
    """
    return None if value is None else hash_of(value)


def key_or_none(commit_hash: str | None) -> bytes | None:
    """Return the bytes of a hash, as stored; None stays None."""
    return None if commit_hash is None else bytes.fromhex(commit_hash)


def hex_or_none(key: bytes | None) -> str | None:
    """Return the hexadecimal form of a stored hash; None stays None."""
    return None if key is None else key.hex()


def erasures_of(rows: Sequence[Sequence[Any]]) -> int | None:
    """Return the count of their tract's erasures that rows of a stamped statement bring.

    Without rows, return None.

    Raises:
        OvertakenError: a lookup took several statements, and an erasure came between them.
    """
    if not rows:
        return None
    if rows[0][-1] != rows[-1][-1]:
        raise OvertakenError
    erasures: int = rows[0][-1]
    return erasures


def steps_of(rows: Sequence[Sequence[Any]]) -> list[CommitStep]:
    """Return rows of the step statements as steps; `data` is None where a content is missing.

    A row has hash, parent and time, then the step's columns, and what a stamped statement adds. All
    is done column by column, as in `stored_contents`: a first compile reads a whole history.

    Raises:
        StoreCorruptError: a value has a type that is never stored there.
    """
    if not rows:
        return []
    columns = list(zip(*rows, strict=True))
    if not all(map(_holds, _STEP, columns)):
        _refuse(next(row[0] for row in rows if not all(map(_holds, _STEP, zip(row)))))
    hashes, _, _, operations, targets, types, data, counts, sources, configs, _, _ = columns
    if any(targets):
        targets = tuple(map(hex_or_none, targets))
    if not _holds(_BYTES, data):
        data = tuple(map(as_bytes, data))
    if _STATE in operations:  # contents of states were not read; other statements read them
        whole = zip(operations, data, strict=True)
        data = tuple(b"" if operation == _STATE else each for operation, each in whole)
    steps = zip(
        map(bytes.hex, hashes),
        operations,
        targets,
        types,
        data,
        counts,
        sources,
        configs,
        strict=True,
    )  # zip, since a named tuple is made faster of one value than of eight
    return [*map(CommitStep._make, steps)]


def check_types(key: Any, values: Sequence[Any], *kinds: type) -> None:
    """Raise a StoreCorruptError for the commit *key* unless *values* are of *kinds*."""
    if tuple(map(type, values)) != kinds:
        _refuse(key)


def name_of(key: object) -> str:
    """Return the name of a commit for an error, whatever is stored as its hash."""
    return key.hex() if isinstance(key, bytes) else repr(key)


def sound(rows: Iterable[Sequence[Any]], *kinds: type | UnionType) -> Iterator[Sequence[Any]]:
    """Yield rows, checked to have values of *kinds*.

    Raises:
        StoreCorruptError: a value has a type that is never stored there.
    """
    for row in rows:
        if not all(map(isinstance, row, kinds)):
            raise StoreCorruptError(
                "a row of a branch cannot be read: the store was damaged. Restore the file from a "
                "backup."
            )
        yield row


def _refuse(key: Any) -> NoReturn:
    raise StoreCorruptError(
        f"the row of the commit {name_of(key)} cannot be read: the store was damaged. Run "
        "`verify()` to list all damage, and restore the file from a backup."
    )


def is_in_place(segment: int, of_head: int | None, head: bytes | None, start: bytes | None) -> bool:
    """Return True if a branch's row can have this segment.

    It is the segment of its head or, until the run has its first commit, a later one. A branch that
    is empty began its run empty.
    """
    if head is None or of_head is None:
        return start is None
    return segment == of_head or (segment > of_head and start == head)
