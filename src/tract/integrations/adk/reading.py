"""Reading sessions: their events, their lists, and where an invocation begins."""

from __future__ import annotations

import asyncio
from typing import Any

from google.adk.errors import InvocationNotFoundError
from google.adk.events.event import Event
from google.adk.sessions.base_session_service import GetSessionConfig
from google.adk.sessions.session import Session

from tract.integrations.adk.events import event_json
from tract.integrations.adk.names import Named, session_of
from tract.integrations.adk.records import Found, Scopes, find_state, record_of, scope_state
from tract.models.commit import EntryInfo
from tract.store import TractStore
from tract.tract import AsyncTract

__all__ = [
    "before_invocation",
    "events",
    "marker_of",
    "session_of_user",
    "sessions_of",
    "set_marker",
]

_MANY = 50  # events that are made on a thread
_MARKER = "_storage_update_marker"


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
    found = await _made(await _entries(tract, head, None))
    if since:
        found = [event for event in found if event.timestamp >= since]
    return found if most is None else found[-most:]


async def _entries(tract: AsyncTract, head: str, newest: int | None) -> list[EntryInfo]:
    return await tract.entries(
        at_commit=head, include_skipped=True, newest=newest is not None, limit=newest
    )


async def _made(entries: list[EntryInfo]) -> list[Event]:
    if len(entries) <= _MANY:
        return _events(entries)
    return await asyncio.to_thread(_events, entries)


def _events(entries: list[EntryInfo]) -> list[Event]:
    texts = filter(None, map(event_json, entries))
    return [Event.model_validate_json(text) for text in texts]


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
    branches, (_, user) = await asyncio.gather(tract.branches(), scope_state(tract))
    heads = {each.name: each.head_hash for each in branches if each.head_hash is not None}
    ids = {name: session_of(name) for name in heads}
    shown = [(found, heads[name]) for name, found in ids.items() if found is not None]
    sessions = []
    states = await _states(tract, [head for _, head in shown])
    for (session_id, head), found in zip(shown, states, strict=True):
        named = Named(store, app_name, user_id, session_id)
        found = found or await find_state(named.tract, head)
        sessions.append(session_of_user(named, found, Scopes(app, user, found.state)))
    return sessions


async def _states(tract: AsyncTract, heads: list[str]) -> list[Found | None]:
    """Return what sessions are at their heads, in two trips; None for a head that is not a record."""
    payloads = [record_of(content) for content in await tract.get_contents(heads)]
    at = {head: (each or {}).get("at", head) for head, each in zip(heads, payloads, strict=True)}
    others = list({where for head, where in at.items() if where != head})
    states = dict(zip(heads, [(each or {}).get("state") for each in payloads], strict=True))
    holders = [record_of(content) or {} for content in await tract.get_contents(others)]
    states |= {where: each.get("state") for where, each in zip(others, holders, strict=True)}
    return [
        None
        if payload is None
        else Found(head, payload["time"], dict(states[at[head]] or {}), at[head], payload)
        for head, payload in zip(heads, payloads, strict=True)
    ]


def session_of_user(named: Named, found: Found, scopes: Scopes) -> Session:
    """Return a session as ADK has it, without events."""
    session = Session(
        app_name=named.app_name,
        user_id=named.user_id,
        id=named.session_id,
        state=scopes.merged(),
        last_update_time=found.time,
    )
    set_marker(session, found.marker)
    return session


def marker_of(session: Session) -> str | None:
    """Return the marker that a session carries; None if it has none, or ADK has no such thing."""
    marker = getattr(session, _MARKER, None)
    return marker if isinstance(marker, str) else None


def set_marker(session: Session, marker: str) -> None:
    """Let a session carry a marker, if it can; it is private to ADK, and not in every release."""
    if hasattr(session, _MARKER):
        setattr(session, _MARKER, marker)
