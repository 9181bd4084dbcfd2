"""Records: states that say what a session, a user or an app has in its state."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from google.adk.sessions.state import State
from pydantic import BaseModel

from tract.engine.compile.reading import settled
from tract.handles.staging import StagedBranch, StagedCommit
from tract.integrations.adk.events import json_safe, logged_event
from tract.models.content import StateContent
from tract.tract import AsyncTract
from tract.transaction import Transaction

__all__ = [
    "Found",
    "Record",
    "Scopes",
    "find_marked",
    "find_state",
    "found_at",
    "scope_state",
    "split",
    "state_of",
    "updated",
]

_LARGE = 1_000  # characters of a state that not every record repeats
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


class Record(NamedTuple):
    """What a session is after an event: a state commit, and the session's newest."""

    time: float
    state: dict[str, Any]
    event: str | None = None
    after: str | None = None
    """The head that the event followed."""

    def stage(self, branch: StagedBranch, session_id: str, at: str | None = None) -> StagedCommit:
        """Stage it; a large state that has not changed is in the record *at*.

        Keys keep the newest of both from being pruned.
        """
        payload: dict[str, Any] = {"adk": "session", **self._asdict()}
        large = at is not None and len(json.dumps(self.state)) > _LARGE
        if large:
            payload |= {"state": None, "at": at}
        key = f"{'head' if large else 'state'}/{session_id}"
        return branch.state(payload, key=key, on_key="replace")


class Found(NamedTuple):
    """What a session is at a head."""

    head: str
    time: float
    state: dict[str, Any]
    at: str | None = None
    """The record that has the state; None if events that others committed have changed it."""
    event: str | None = None
    after: str | None = None

    @property
    def marker(self) -> str:
        """What an object of the session carries: the head, and the state unless it is large.

        So that an append need not read what the object holds anyway.
        """
        state = json.dumps(self.state, sort_keys=True)
        return self.head if len(state) > _LARGE else f"{self.head} {state}"


async def find_marked(tract: AsyncTract, marker: str) -> Found:
    """Return what a session is at the head of an object's marker."""
    head, _, state = marker.partition(" ")
    return Found(head, 0.0, json.loads(state)) if state else await find_state(tract, head)


def _payload(content: BaseModel, kind: str) -> dict[str, Any] | None:
    payload = content.payload if isinstance(content, StateContent) else None
    return payload if isinstance(payload, dict) and payload.get("adk") == kind else None


async def scope_state(tract: AsyncTract) -> tuple[str | None, dict[str, Any]]:
    """Return the head of the branch that has the state of an app or a user, and that state."""
    return await settled(partial(_scope_state, tract))


async def _scope_state(tract: AsyncTract) -> tuple[str | None, dict[str, Any]]:
    head = await tract.head()
    if head is None:
        return None, {}
    [content] = await tract.get_contents([head])
    return head, state_of(content)


async def updated(
    tx: Transaction, tract: AsyncTract, scope: str, changes: dict[str, Any]
) -> dict[str, Any]:
    """Stage changes of the state of an app or a user, and return that."""
    head, state = await scope_state(tract)
    if changes:
        state |= changes
        branch = tx.on(tract, expected_head=head)
        branch.state({"adk": "scope", "state": state}, key=f"%{scope}", on_key="replace")
    return state


def state_of(content: BaseModel) -> dict[str, Any]:
    """Return the state of an app or a user; an empty one, if it was erased."""
    found: dict[str, Any] = (_payload(content, "scope") or {}).get("state", {})
    return found


async def find_state(tract: AsyncTract, head: str) -> Found:
    """Return what a session is at *head*.

    As a rule that is a record. Where others committed, it is the newest record before, and what the
    events since then have changed.
    """
    contents = await tract.get_contents([head])
    [found] = await found_at(tract, [head], contents)
    return found or await _rebuilt(tract, head)


async def found_at(
    tract: AsyncTract, heads: Sequence[str], contents: Sequence[BaseModel]
) -> list[Found | None]:
    """Return what sessions are at their heads; None for a head that is not a record."""
    payloads = [_payload(content, "session") for content in contents]
    at = [each["at"] for each in payloads if each is not None and each["state"] is None]
    holders = await tract.get_contents(at) if at else []
    states = iter([(_payload(each, "session") or {}).get("state") for each in holders])
    return [
        None
        if each is None
        else _found(head, each, next(states) if each["state"] is None else None)
        for head, each in zip(heads, payloads, strict=True)
    ]


def _found(head: str, payload: dict[str, Any], state: dict[str, Any] | None) -> Found:
    own = payload["state"]
    state = own if own is not None else state or {}  # or it was erased
    at = payload.get("at", head)
    return Found(head, payload["time"], state, at, payload["event"], payload["after"])


async def _rebuilt(tract: AsyncTract, head: str) -> Found:
    changes: list[tuple[dict[str, Any], float]] = []
    info = await tract.get_commit(head)
    [content] = await tract.get_contents([head])
    page = [] if info is None else [(info, content)]
    while page:
        for each, content in page:
            [found] = await found_at(tract, [each.commit_hash], [content])
            if found is not None:
                return _changed(head, found.state, changes)
            changes.append(logged_event(each))
        page = await tract.log(_PAGE, before=page[-1][0].commit_hash, contents=True)
    return _changed(head, {}, changes)


def _changed(
    head: str, state: dict[str, Any], changes: list[tuple[dict[str, Any], float]]
) -> Found:
    for changed, _ in reversed(changes):
        state |= split(changed).session
    return Found(head, changes[0][1] if changes else 0.0, state)
