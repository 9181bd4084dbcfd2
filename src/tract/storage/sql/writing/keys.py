"""Callers' keys, as one transaction sees and gives them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tract.exceptions import KeyExistsError
from tract.storage.repositories import CommitDraft, CommitRow
from tract.storage.sql import keys
from tract.storage.sql.port import Connection
from tract.storage.sql.statements import keys as sql

__all__ = ["KeyWrites"]


class KeyWrites:
    """The keys of one transaction.

    Those that it has given or looked up are remembered: on PostgreSQL its writes are not there to
    read yet.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._known: dict[tuple[str, str], CommitRow | None] = {}

    def kept(self, tract_id: str, drafts: Sequence[CommitDraft]) -> dict[int, CommitRow | int]:
        """Return the drafts that must not be made: by index, the commit that is there instead.

        That may be the index of an earlier draft.

        Raises:
            KeyExistsError: a key is taken.
        """
        there: dict[str, CommitRow | int] = {}
        there.update(self._find(tract_id, {each.key for each in drafts if each.key is not None}))
        kept: dict[int, CommitRow | int] = {}
        for index, draft in enumerate(drafts):
            if draft.key is None:
                continue
            found = there.get(draft.key)
            if found is None or draft.on_key == "replace":
                there[draft.key] = index
            elif draft.on_key == "keep":
                kept[index] = found
            else:
                named = None if isinstance(found, int) else found.commit_hash
                raise KeyExistsError(draft.key, named)
        return kept

    def look_up(self, tract_id: str, wanted: Iterable[str]) -> None:
        """Read keys that `kept` will ask for."""
        wanted = {*wanted}
        found = self._find(tract_id, wanted)
        self._known.update({(tract_id, key): found.get(key) for key in wanted})

    def forget(self, tract_id: str) -> None:
        """Forget the keys of a tract that may have been taken from their commits."""
        self._known = {named: row for named, row in self._known.items() if named[0] != tract_id}

    def give(self, record: CommitRow, key: str) -> None:
        """Let *key* name a commit that was made under it."""
        self._known[record.tract_id, key] = record
        self._connection.run(
            sql.SET_KEY,
            tract_id=record.tract_id,
            key=keys.stored_key(key),
            commit_hash=bytes.fromhex(record.commit_hash),
            created_at=record.created_at,
        )

    def _find(self, tract_id: str, wanted: Iterable[str]) -> dict[str, CommitRow]:
        found: dict[str, CommitRow] = {}
        unknown: list[str] = []
        for key in wanted:
            record = self._known.get((tract_id, key))
            if record is not None:
                found[key] = record
            elif (tract_id, key) not in self._known:
                unknown.append(key)
        if unknown:
            found |= keys.find(self._connection, tract_id=tract_id, keys=unknown)
        return found
