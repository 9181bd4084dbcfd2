"""Reading sessions: their events, their lists, and where an invocation begins."""

from __future__ import annotations

import asyncio
from typing import Any

from google.adk.errors import InvocationNotFoundError
from google.adk.events.event import Event
from google.adk.sessions.base_session_service import GetSessionConfig
from google.adk.sessions.session import Session

from tract.integrations.adk.events import as_event, event_json
from tract.integrations.adk.names import Named, session_of
from tract.integrations.adk.records import Found, Scopes, find_state, found_at, state_of
from tract.models.commit import EntryInfo
from tract.store import TractStore
from tract.tract import AsyncTract

__all__ = [
    "before_invocation",
    "events",
    "events_at",
    "marker_of",
    "session_of_user",
    "sessions_of",
    "set_marker",
]

_MANY = 50  # events that are made on a thread
_MARKER = "_storage_update_marker"
_HAS_MARKER = _MARKER in Session.__private_attributes__


async def events(tract: AsyncTract, head: str, config: GetSessionConfig) -> list[Event]:
    """Return the events of a session at *head*, oldest first: all, or those that *config* names."""
    most, since = config.num_recent_events, config.after_timestamp
    if most == 0:
        return []
    if most is not None and not since:
        newest = await _entries(tract, head, most)
        found = await _made(newest[::-1])
        if len(found) == most or len(newest) < most:
            return found
    found = await events_at(tract, head)
    if since:
        found = [event for event in found if event.timestamp >= since]
    return found if most is None else found[-most:]


async def events_at(tract: AsyncTract, head: str) -> list[Event]:
    """Return all events of a session at *head*, oldest first."""
    return await _made(await _entries(tract, head, None))


async def _entries(tract: AsyncTract, head: str, newest: int | None) -> list[EntryInfo]:
    return await tract.entries(
        at_commit=head, include_skipped=True, newest=newest is not None, limit=newest
    )


async def _made(entries: list[EntryInfo]) -> list[Event]:
    if len(entries) <= _MANY:
        return _events(entries)
    return await asyncio.to_thread(_events, entries)


def _events(entries: list[EntryInfo]) -> list[Event]:
    return [as_event(text) for text in filter(None, map(event_json, entries))]


async def before_invocation(tract: AsyncTract, head: str, invocation_id: str | None) -> str:
    """Return what the head was before an invocation; without one, the head.

    Raises:
        InvocationNotFoundError: none of the session's events is of that invocation.
    """
    if invocation_id is None:
        return head
    for entry in await _entries(tract, head, None):
        if (entry.metadata or {}).get("invocation_id") == invocation_id:
            info = await tract.get_commit(entry.commit_hash)
            if info is not None and info.parent_hash is not None:
                return info.parent_hash
    raise InvocationNotFoundError(f"Invocation ID not found: {invocation_id}")


async def sessions_of(
    store: TractStore, app_name: str, user_id: str, app: dict[str, Any]
) -> list[Session]:
    """Return the sessions of a user, without events."""
    tract = Named(store, app_name, user_id, "").user
    branches = [each for each in await tract.branches() if each.head_hash is not None]
    heads = [each.head_hash or "" for each in branches]
    contents = await tract.get_contents(heads)
    states = await found_at(tract, heads, contents)
    ids = [session_of(each.name) for each in branches]
    user: dict[str, Any] = {}
    if None in ids:
        user = state_of(contents[ids.index(None)])
    sessions = []
    for session_id, head, known in zip(ids, heads, states, strict=True):
        if session_id is None:
            continue
        named = Named(store, app_name, user_id, session_id)
        found = known or await find_state(named.tract, head)
        sessions.append(session_of_user(named, found, Scopes(app, user, found.state)))
    return sessions


def session_of_user(named: Named, found: Found, scopes: Scopes) -> Session:
    """Return a session as ADK has it, without events."""
    session = Session(
        app_name=named.app_name,
        user_id=named.user_id,
        id=named.session_id,
        state=scopes.merged(),
        last_update_time=found.time,
    )
    set_marker(session, found.head)  # its state is read if there is need
    return session


def marker_of(session: Session) -> str | None:
    """Return the marker that a session carries; None if it has none, or ADK has no such thing."""
    marker = getattr(session, _MARKER, None) if _HAS_MARKER else None
    return marker if isinstance(marker, str) else None


def set_marker(session: Session, marker: str) -> None:
    """Let a session carry a marker, if it can; it is private to ADK, and not in every release."""
    if _HAS_MARKER:
        setattr(session, _MARKER, marker)
