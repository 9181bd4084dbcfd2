"""Records: states that say what a session, a user or an app has in its state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from google.adk.sessions.state import State
from pydantic import BaseModel

from tract.integrations.adk.events import json_safe, logged_event
from tract.models.content import StateContent
from tract.tract import AsyncTract

__all__ = ["Found", "Scopes", "find_state", "record_of", "scope_state", "split"]

_PAGE = 50  # commits that are read at a time, back to a record


class Scopes(NamedTuple):
    """A state by its scopes, without what is temporary; the keys have no prefixes."""

    app: dict[str, Any]
    user: dict[str, Any]
    session: dict[str, Any]

    def merged(self) -> dict[str, Any]:
        """Return the state that a session shows."""
        app = {State.APP_PREFIX + key: value for key, value in self.app.items()}
        user = {State.USER_PREFIX + key: value for key, value in self.user.items()}
        return {**self.session, **app, **user}


def split(state: Mapping[str, Any] | None) -> Scopes:
    """Return a state by its scopes, as JSON can hold it."""
    scopes = Scopes({}, {}, {})
    for key, value in json_safe(state or {}).items():
        if key.startswith(State.APP_PREFIX):
            scopes.app[key.removeprefix(State.APP_PREFIX)] = value
        elif key.startswith(State.USER_PREFIX):
            scopes.user[key.removeprefix(State.USER_PREFIX)] = value
        elif not key.startswith(State.TEMP_PREFIX):
            scopes.session[key] = value
    return scopes


def record_of(content: BaseModel) -> dict[str, Any] | None:
    """Return the payload of a session's record; None for any other content."""
    payload = content.payload if isinstance(content, StateContent) else None
    return payload if isinstance(payload, dict) and payload.get("adk") == "session" else None


async def scope_state(tract: AsyncTract) -> tuple[str | None, dict[str, Any]]:
    """Return the head of the branch that has the state of an app or a user, and that state."""
    head = await tract.head()
    if head is None:
        return None, {}
    [content] = await tract.get_contents([head])
    payload = content.payload if isinstance(content, StateContent) else {}  # or it was erased
    return head, payload.get("state", {})


class Found(NamedTuple):
    """What a session is at a head. `at` is the record that has the state, if there is one."""

    head: str
    time: float
    state: dict[str, Any]
    at: str | None
    payload: Mapping[str, Any] = {}

    @property
    def marker(self) -> str:
        """What sessions of ADK carry, to tell that they are stale."""
        return f"{self.head}:{self.at or ''}"


async def find_state(tract: AsyncTract, head: str) -> Found:
    """Return what a session is at *head*.

    As a rule that is a record. Where others committed, it is the newest record before, and what the
    events since then have changed.
    """
    [content] = await tract.get_contents([head])
    payload = record_of(content)
    if payload is not None:
        return await _recorded(tract, head, head, payload)
    found: Found | None = None
    changes: list[tuple[dict[str, Any], float]] = []
    info = await tract.get_commit(head)
    page = [] if info is None else [(info, content)]
    while page and found is None:
        for each, content in page:
            payload = record_of(content)
            if payload is not None:
                found = await _recorded(tract, head, each.commit_hash, payload)
                break
            changes.append(logged_event(each))
        page = await tract.log(_PAGE, before=page[-1][0].commit_hash, contents=True)
    state = found.state if found else {}
    for changed, _ in reversed(changes):
        state |= split(changed).session
    return Found(head, changes[0][1] if changes else 0.0, state, None)


async def _recorded(tract: AsyncTract, head: str, at: str, payload: dict[str, Any]) -> Found:
    at, state = payload.get("at", at), payload.get("state")
    if state is None:
        [content] = await tract.get_contents([at])
        state = (record_of(content) or {}).get("state", {})  # or it was erased
    return Found(head, payload["time"], state, at, payload)
