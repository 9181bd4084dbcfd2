"""`import_sessions`: what another session service of ADK has, as sessions here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from google.adk.events.event import Event
from google.adk.sessions.base_session_service import BaseSessionService
from google.adk.sessions.session import Session

from tract.exceptions import HeadMovedError
from tract.integrations.adk.events import as_event, stored_event
from tract.integrations.adk.names import Named
from tract.integrations.adk.reading import events_at
from tract.integrations.adk.records import Record, Scopes, find_state, scope_state, split, updated
from tract.integrations.adk.service import TractSessionService

__all__ = ["ImportReport", "import_sessions"]

_PORTION = 100  # events in a transaction


class ImportReport(NamedTuple):
    """What an import did, and what is not the same here as in its source."""

    sessions: int
    """Those of the source."""
    events: int
    """Those that were written now; others were here before."""
    different: tuple[str, ...]
    """Sessions and keys of shared states that have other values here, which were left alone."""


async def import_sessions(
    source: BaseSessionService, service: TractSessionService, *, app_name: str
) -> ImportReport:
    """Import the sessions of an app, of all users, from another service, such as ADK's own.

        await import_sessions(SqliteSessionService("old.db"), service, app_name="travel")

    Each session gets its events, and its state as of each of them. Call it again after it was cut
    short, or later: it goes on where it was. Everything is read again and compared at the end. A session
    that went on here stays as it is; so does one that went another way here, and is reported.
    """
    listed = (await source.list_sessions(app_name=app_name)).sessions
    written, different = 0, list[str]()
    for each in listed:
        found = await source.get_session(
            app_name=app_name, user_id=each.user_id, session_id=each.id
        )
        if found is None:
            continue  # it was deleted meanwhile
        named = Named(await service.opened(), app_name, each.user_id, each.id)
        written += await _imported(named, found)
        different += await _shared(named, split(found.state))
        if not await _is_whole(named, found):
            different.append(f"{each.user_id}/{each.id}")
    return ImportReport(len(listed), written, tuple(dict.fromkeys(different)))


async def _imported(named: Named, source: Session) -> int:
    """Write the events of a session that are not here; return how many they are."""
    wanted = _plain(source.events)
    while True:
        head = await named.tract.head()
        here = await events_at(named.tract, head) if head else []
        if _plain(here) != wanted[: len(here)]:
            return 0
        try:
            return await _written(named, source, head, source.events[len(here) :])
        except HeadMovedError:
            continue  # others have written meanwhile


async def _written(named: Named, source: Session, head: str | None, events: Sequence[Event]) -> int:
    own = split(source.state).session
    if head is None:
        time = source.events[0].timestamp if source.events else source.last_update_time
        async with named.store.transaction() as tx:
            branch = tx.on(named.tract, expected_head=None)
            Record(time, _initial(own, source.events)).stage(branch, named.session_id)
        head = tx.commits[-1].commit_hash
    for start in range(0, len(events), _PORTION):
        head = await _added(named, head, events[start : start + _PORTION])
    found = await find_state(named.tract, head)
    if (found.state, found.time) != (own, source.last_update_time):
        async with named.store.transaction() as tx:
            branch = tx.on(named.tract, expected_head=head)
            last = Record(source.last_update_time, own, found.event)
            last.stage(branch, named.session_id)
    return len(events)


def _initial(state: dict[str, Any], events: Sequence[Event]) -> dict[str, Any]:
    """Return what of a state no event has set, so that it was there from the beginning."""
    later = {key for event in events for key in event.actions.state_delta}
    return {key: value for key, value in state.items() if key not in later}


async def _added(named: Named, head: str, events: Sequence[Event]) -> str:
    """Write events, each with the session's record; return the new head."""
    found = await find_state(named.tract, head)
    state, holder = found.state, found.at
    async with named.store.transaction() as tx:
        branch = tx.on(named.tract, expected_head=head)
        for event in events:
            stored_event(event).stage(branch)
            changes = split(event.actions.state_delta).session
            state |= changes
            holder = None if changes else holder
            staged = Record(event.timestamp, state, event.id).stage(
                branch, named.session_id, holder
            )
            holder = holder or staged.reference
    return tx.commits[-1].commit_hash


async def _shared(named: Named, given: Scopes) -> list[str]:
    """Add what is missing in the states of app and user; return the keys that have other values."""
    different = []
    scopes = (("app", named.app, given.app), ("user", named.user, given.user))
    for scope, tract, wanted in scopes:
        _, state = await scope_state(tract)
        missing = {key: value for key, value in wanted.items() if key not in state}
        different += [
            f"{scope}:{key}" for key in wanted if state.get(key, wanted[key]) != wanted[key]
        ]
        while missing:
            try:
                async with named.store.transaction() as tx:
                    await updated(tx, tract, scope, missing)
                break
            except HeadMovedError:
                continue
    return different


async def _is_whole(named: Named, source: Session) -> bool:
    """Return True if a session has all that its source has."""
    head = await named.tract.head()
    if head is None:
        return False
    here, wanted = _plain(await events_at(named.tract, head)), _plain(source.events)
    if len(here) > len(wanted):
        return here[: len(wanted)] == wanted
    return (
        here == wanted
        and (await find_state(named.tract, head)).state == split(source.state).session
    )


def _plain(events: Sequence[Event]) -> list[Event]:
    """Return events as JSON can hold them."""
    return [as_event(event.model_dump_json(exclude_none=True)) for event in events]
