"""`import_sessions`: what the SDK's own sessions have stored, as sessions here."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from agents.memory import SessionSettings
from sqlalchemy.ext.asyncio import AsyncEngine

from tract.exceptions import BranchExistsError, HeadMovedError, MetadataChangedError
from tract.formats.openai_responses.contents import from_responses
from tract.integrations.authorship import is_by_a_model
from tract.integrations.openai_agents.entries import entries_of, items_of
from tract.integrations.openai_agents.session import TractSession
from tract.integrations.openai_agents.stored import Line, StoredItem, StoredSession, opened
from tract.models.refs import quote_id
from tract.store import TractStore
from tract.tract import AsyncTract

__all__ = ["ImportReport", "import_sessions"]

_PORTION = 200  # items in a transaction


class ImportReport(NamedTuple):
    """What an import did, and what is not the same here as in its source."""

    sessions: int
    """Those of the source, or of them those that were asked for."""
    branches: int
    """Their branches, `main` of each included."""
    items: int
    """Those that were written now; others were here before."""
    unread: tuple[str, ...]
    """Rows that did not come, as `session/row`: no item that can be stored, or of no branch."""
    different: tuple[str, ...]
    """Branches that went another way here, as `session/branch`, which were left alone."""


async def import_sessions(
    source: str | os.PathLike[str] | AsyncEngine,
    store: TractStore,
    *,
    session_ids: Collection[str] | None = None,
    sessions_table: str = "agent_sessions",
    messages_table: str = "agent_messages",
) -> ImportReport:
    """Import sessions from a `SQLiteSession`, an `AdvancedSQLiteSession` or a `SQLAlchemySession`.

        await import_sessions("conversations.db", store)

    A `TractSession` of the same id then has the items, and for each branch of an
    `AdvancedSQLiteSession` there is one of the name `quote_id(branch)`, which shares what the SDK's
    branches share. The metadata of an item have its time, the number of its turn and, with the last one
    of a turn, what that has used. Call this again after it was cut short, or later: it goes on where it
    was. Everything is read again and compared at the end. A branch that went on here stays as it is; so
    does one that went another way, and is reported.

    Args:
        source: a SQLite file, which is opened read-only, or an engine, as a `SQLAlchemySession` has.
        store: where the sessions go.
        session_ids: only these sessions; by default all.
        sessions_table: the table of sessions, if it is not called as the SDK calls it.
        messages_table: the table of their messages.

    Raises:
        FileNotFoundError: there is no such file.
        TractError: it has no such tables.
    """
    branches = items = 0
    unread, different = list[str](), list[str]()
    async with opened(source, sessions_table, messages_table) as stored:
        there = await stored.session_ids()
        asked = there if session_ids is None else [each for each in there if each in session_ids]
        for session_id in asked:
            session = await stored.session(session_id)
            importing = _Importing(store, session)
            items += await importing.run()
            branches += len(session.lines)
            unread += session.unread
            different += [f"{session_id}/{branch}" for branch in importing.different]
    return ImportReport(len(asked), branches, items, tuple(unread), tuple(different))


class _Importing:
    """The import of one session."""

    def __init__(self, store: TractStore, session: StoredSession) -> None:
        self.different: list[str] = []
        self._store = store
        self._session = session
        self._tract_id = quote_id(session.session_id)
        self._done: list[tuple[Line, list[str]]] = []  # with the commits that are its items here

    async def run(self) -> int:
        """Import the session; return how many items were written."""
        written = 0
        await self._describe()
        for line in self._session.lines:
            tract = self._store.tract(self._tract_id, branch=quote_id(line.branch))
            new = await self._import(tract, line)
            written += new or 0
            if new is None or not await self._is_whole(line):
                self.different.append(line.branch)
        return written

    async def _describe(self) -> None:
        """Keep the session's times, unless the tract has metadata of its own."""
        times = {"created_at": self._session.created_at, "updated_at": self._session.updated_at}
        tract = self._store.tract(self._tract_id)
        info = await tract.info()
        if info is None or info.metadata is None:
            with suppress(MetadataChangedError):
                await tract.set_info(metadata=times, expected_metadata=None)

    async def _import(self, tract: AsyncTract, line: Line) -> int | None:
        """Write the items that are not here; return how many, or None if others are here."""
        wanted = [_plain(each.item) for each in line.items]
        written = 0
        while True:
            await self._fork(tract, line)
            head = await tract.head()
            entries = await entries_of(tract, at=head)
            here = [_plain(item) for entry in entries for item in items_of(entry)]
            if here[: len(wanted)] != wanted[: len(here)]:
                return None
            if len(here) >= len(wanted):
                if len(entries) == len(here):
                    hashes = [entry.commit_hash for entry in entries]
                    self._done.append((line, hashes[: len(wanted)]))
                return written
            with suppress(HeadMovedError):  # others have written meanwhile
                for start in range(len(here), len(wanted), _PORTION):
                    portion = line.items[start : start + _PORTION]
                    head = await _write(tract, head, portion, _reported(line))
                    written += len(portion)

    async def _fork(self, tract: AsyncTract, line: Line) -> None:
        """Create the branch where it leaves another one, unless it is there."""
        if tract.branch in {branch.name for branch in await tract.branches()}:
            return
        best: list[str] = []
        for other, hashes in self._done:
            shared = _shared(other.items, line.items)
            best = max(best, hashes[:shared], key=len)
        main = self._store.tract(self._tract_id)
        with suppress(BranchExistsError):
            await main.fork(tract.branch, at_commit=best[-1] if best else None)

    async def _is_whole(self, line: Line) -> bool:
        """Return True if a session of that branch begins with all items of the source."""
        session = TractSession(
            self._session.session_id,
            self._store,
            branch=quote_id(line.branch),
            session_settings=SessionSettings(limit=None),
        )
        here = await session.get_items()
        wanted = [_plain(each.item) for each in line.items]
        return [_plain(item) for item in here[: len(wanted)]] == wanted


async def _write(
    tract: AsyncTract,
    head: str | None,
    items: Sequence[StoredItem],
    reported: Mapping[Any, dict[str, int]],
) -> str:
    """Commit items, with what tells of each, in one transaction; return the new head."""
    contents = from_responses([each.item for each in items])
    async with tract.batch(expected_head=head) as batch:
        for number, (each, content) in enumerate(zip(items, contents, strict=True)):
            if each.row in reported and (number or head is not None):
                batch.record_usage(reported[each.row])
            batch.commit(content, metadata=_metadata(each))
    return batch.commits[-1].commit_hash


def _metadata(item: StoredItem) -> dict[str, Any]:
    found = {"created_at": item.created_at, "turn": item.turn, "turn_usage": item.usage}
    return {name: value for name, value in found.items() if value is not None}


def _reported(line: Line) -> dict[Any, dict[str, int]]:
    """Return usage by the row that answered a context, of turns whose usage is that of one request."""
    first: dict[int | None, Any] = {}
    for each in line.items:
        if is_by_a_model(each.item):
            first.setdefault(each.turn, each.row)
    names = ("input_tokens", "output_tokens")
    return {
        first[each.turn]: {name: each.usage[name] for name in names}
        for each in line.items
        if each.usage and each.usage["requests"] == 1 and each.usage["input_tokens"]
        if each.turn in first
    }


def _shared(one: Sequence[StoredItem], other: Sequence[StoredItem]) -> int:
    """Return how many rows two branches begin with alike."""
    number = 0
    for this, that in zip(one, other, strict=False):
        if this.row != that.row or that.usage not in (None, this.usage):
            break
        number += 1
    return number


def _plain(item: Any) -> str:
    """Return an item as a text that equals those of equal JSON alone."""
    return json.dumps(item, sort_keys=True)
