"""`TractSessionService`: sessions of ADK as branches, their events as commits."""

from __future__ import annotations

import asyncio
import os
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

from google.adk.errors import StaleSessionError
from google.adk.errors.already_exists_error import AlreadyExistsError
from google.adk.errors.session_not_found_error import SessionNotFoundError
from google.adk.events.event import Event
from google.adk.platform import time as platform_time
from google.adk.platform import uuid as platform_uuid
from google.adk.sessions.base_session_service import (
    BaseSessionService,
    GetSessionConfig,
    ListSessionsResponse,
)
from google.adk.sessions.session import Session

from tract.engine.compile.reading import settled
from tract.exceptions import BranchNotFoundError, CommitNotFoundError, HeadMovedError
from tract.handles.staging import StagedBranch
from tract.integrations.adk.calls import Calls
from tract.integrations.adk.events import StoredEvent, stored_event
from tract.integrations.adk.names import APP, USER, Named, users_of
from tract.integrations.adk.reading import (
    before_invocation,
    events,
    marker_of,
    session_of_user,
    sessions_of,
    set_marker,
)
from tract.integrations.adk.records import (
    Found,
    Record,
    Scopes,
    find_marked,
    find_state,
    scope_state,
    split,
    updated,
)
from tract.integrations.lending import LentStore
from tract.models.erasure import TractErasureReceipt
from tract.store import TractStore
from tract.tract import AsyncTract

__all__ = ["TractSessionService"]

_STALE = "The session has been modified in storage since it was loaded. Load it again."


class TractSessionService(BaseSessionService):
    """A session service of ADK: an app's user is a tract, a session a branch of it, an event a commit.

    Args:
        store: an open store, which stays the caller's, or a path or URL, which is opened at the
            first use and can be used from any event loop. `close()` closes that.
    """

    def __init__(self, store: TractStore | str | os.PathLike[str] = ":memory:") -> None:
        super().__init__()
        self.calls: Calls = Calls()
        """The calls of models that a `TractPlugin` of this service has seen."""
        self._store = LentStore(store)
        self._turns: WeakValueDictionary[object, asyncio.Lock] = WeakValueDictionary()

    async def tract(self, session: Session) -> AsyncTract:
        """Return the branch that a session is, to compile, diff, watch, search or merge it."""
        return (await self._named(session)).tract

    async def create_session(
        self,
        *,
        app_name: str,
        user_id: str,
        state: dict[str, Any] | None = None,
        session_id: str | None = None,
    ) -> Session:
        """Create a session. Its state and what that changes for the app and the user are one write.

        Raises:
            AlreadyExistsError: there is a session of this id.
        """
        session_id = (session_id or "").strip() or platform_uuid.new_uuid()
        named = Named(await self._store.get(), app_name, user_id, session_id)
        given, now = split(state), platform_time.get_time()
        while True:
            try:
                async with named.store.transaction() as tx:
                    app = await updated(tx, named.app, APP, given.app)
                    user = await updated(tx, named.user, USER, given.user)
                    branch = tx.on(named.tract, expected_head=None)
                    made = Record(now, given.session).stage(branch, session_id)
            except HeadMovedError:
                if await named.tract.head() is not None:
                    raise AlreadyExistsError(
                        f"Session with id {session_id} already exists."
                    ) from None
                continue  # the state of the app or the user has changed meanwhile
            head = made.info.commit_hash
            found = Found(head, now, given.session)
            session = session_of_user(named, found, Scopes(app, user, given.session))
            set_marker(session, found.marker)
            return session

    async def get_session(
        self,
        *,
        app_name: str,
        user_id: str,
        session_id: str,
        config: GetSessionConfig | None = None,
    ) -> Session | None:
        """Return a session with its events, or None if there is none."""
        named = Named(await self._store.get(), app_name, user_id, session_id.strip())
        return await settled(partial(_read, named, config or GetSessionConfig()))

    async def list_sessions(
        self, *, app_name: str, user_id: str | None = None
    ) -> ListSessionsResponse:
        """Return the sessions of a user, or of all users, without events; the newest is last."""
        store = await self._store.get()
        users = [user_id] if user_id is not None else await users_of(store, app_name)
        _, app = await scope_state(Named(store, app_name, "", "").app)
        listed = await asyncio.gather(
            *(settled(partial(sessions_of, store, app_name, each, app)) for each in users)
        )
        sessions = [session for each in listed for session in each]
        sessions.sort(key=lambda each: (each.last_update_time, each.user_id, each.id))
        return ListSessionsResponse(sessions=sessions)

    async def delete_session(self, *, app_name: str, user_id: str, session_id: str) -> None:
        """Delete the branch. Its commits stay readable by hash, and `tract.reflog()` has its head."""
        named = Named(await self._store.get(), app_name, user_id, session_id.strip())
        try:
            await named.user.delete_branch(named.tract.branch, force=True)
        except BranchNotFoundError:
            pass

    async def get_user_state(self, *, app_name: str, user_id: str) -> dict[str, Any]:
        """Return the state of a user, without prefixes."""
        named = Named(await self._store.get(), app_name, user_id, "")
        return (await scope_state(named.user))[1]

    async def append_event(self, session: Session, event: Event) -> Event:
        """Commit an event, and what it changes in the state of session, user and app, in one write.

        Raises:
            StaleSessionError: others have written to the session since it was loaded.
            SessionNotFoundError: the session was deleted.
        """
        if event.partial:
            return event
        self._apply_temp_state(session, event)
        event = self._trim_temp_delta_state(event)
        named, stored = await self._named(session), stored_event(event)
        async with self._turn(session):  # of those that hold the same object
            found = await self._written(named, session, event, stored)
            session.last_update_time = event.timestamp
            set_marker(session, found.marker)
            return self._commit_event_to_session(session, event)

    async def _written(
        self, named: Named, session: Session, event: Event, stored: StoredEvent
    ) -> Found:
        """Write an event, and return what the session is then."""
        changes = split(event.actions.state_delta)
        marker = marker_of(session)
        found = await (_existing(named, marker) if marker else _unmarked(named, session))
        head = found.head
        record = Record(event.timestamp, found.state | changes.session, event.id, head)
        at = None if changes.session or found.at is None else found.at
        while True:
            try:
                async with named.store.transaction() as tx:
                    if changes.app:
                        await updated(tx, named.app, APP, changes.app)
                    if changes.user:
                        await updated(tx, named.user, USER, changes.user)
                    branch = tx.on(named.tract, expected_head=head)
                    self._stage(branch, event, stored)
                    made = record.stage(branch, named.session_id, at)
            except HeadMovedError:
                now = await named.tract.head()
                if now == head:
                    continue  # the state of the app or the user has changed meanwhile
                return await _delivered(named, now, head, stored)
            return Found(made.info.commit_hash, event.timestamp, record.state)

    def _stage(self, branch: StagedBranch, event: Event, stored: StoredEvent) -> None:
        call = self.calls.of(event)
        if call.usage is not None:
            branch.record_usage(call.usage)  # of the context that the event is the answer to
        stored.stage(branch, call.config)

    async def fork_session(
        self,
        *,
        app_name: str,
        user_id: str,
        session_id: str,
        new_session_id: str | None = None,
        before_invocation_id: str | None = None,
    ) -> Session:
        """Make a session that begins as another one is, or was before an invocation; it copies nothing.

        Raises:
            SessionNotFoundError: the user has no session of that id.
            InvocationNotFoundError: the session has no such invocation.
            AlreadyExistsError: there is a session of the new id.
        """
        named = Named(await self._store.get(), app_name, user_id, session_id.strip())
        new_id = (new_session_id or "").strip() or platform_uuid.new_uuid()
        new = Named(named.store, app_name, user_id, new_id)
        if await new.tract.head() is not None:
            raise AlreadyExistsError(f"Session with id {new_id} already exists.")
        while True:
            head, found = await settled(partial(_found_before, named, before_invocation_id))
            try:
                async with named.store.transaction() as tx:  # the session may be deleted meanwhile
                    branch = tx.on(named.tract, expected_head=head)
                    fork = branch.fork(new.tract.branch, at_commit=found.head)
                    Record(found.time, found.state).stage(fork, new_id)
            except HeadMovedError:
                continue
            return await self._loaded(new)

    async def rewind_session(
        self, *, app_name: str, user_id: str, session_id: str, before_invocation_id: str
    ) -> Session:
        """Move a session back to what it was before an invocation: its events and its own state.

        The states of the user and the app stay. What was left stays readable by hash, and
        `tract.reflog()` has its head.

        Raises:
            SessionNotFoundError: the user has no session of that id.
            InvocationNotFoundError: the session has no such invocation.
            StaleSessionError: others have written to it meanwhile.
        """
        named = Named(await self._store.get(), app_name, user_id, session_id.strip())
        head, found = await settled(partial(_found_before, named, before_invocation_id))
        try:
            async with named.store.transaction() as tx:
                branch = tx.on(named.tract, expected_head=head)
                branch.reset(found.head, reason=f"rewind before {before_invocation_id}")
                Record(found.time, found.state).stage(branch, named.session_id)
        except HeadMovedError:
            raise StaleSessionError(_STALE) from None
        return await self._loaded(named)

    async def erase_user(
        self, *, app_name: str, user_id: str, reason: str, vacuum: bool = False
    ) -> TractErasureReceipt:
        """Delete all sessions and the state of a user, for good; see `TractStore.erase_tract`."""
        named = Named(await self._store.get(), app_name, user_id, "")
        return await named.store.erase_tract(named.user.tract_id, reason=reason, vacuum=vacuum)

    async def close(self) -> None:
        """Close the store if the service opened it."""
        await self._store.aclose()

    async def __aenter__(self) -> TractSessionService:
        await self._store.get()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def opened(self) -> TractStore:
        """Return the store, opened if need be."""
        return await self._store.get()

    async def _named(self, session: Session) -> Named:
        return Named(await self._store.get(), session.app_name, session.user_id, session.id)

    async def _loaded(self, named: Named) -> Session:
        _, app_name, user_id, session_id = named
        session = await self.get_session(app_name=app_name, user_id=user_id, session_id=session_id)
        if session is None:
            raise SessionNotFoundError(f"Session {named.session_id} not found.")
        return session

    def _turn(self, session: Session) -> asyncio.Lock:
        key = asyncio.get_running_loop(), session.app_name, session.user_id, session.id
        return self._turns.setdefault(key, asyncio.Lock())


async def _read(named: Named, config: GetSessionConfig) -> Session | None:
    head = await named.tract.head()
    while head is not None:
        (_, app), (_, user) = await asyncio.gather(scope_state(named.app), scope_state(named.user))
        before, head = head, await named.tract.head()
        if head == before:
            break  # else the states may be those of a later event
    else:
        return None
    found, said = await asyncio.gather(
        find_state(named.tract, head),
        events(named.tract, head, config),
    )
    session = session_of_user(named, found, Scopes(app, user, found.state))
    session.events = said
    set_marker(session, found.marker)
    return session


async def _head(named: Named) -> str:
    head = await named.tract.head()
    if head is None:
        raise SessionNotFoundError(f"Session {named.session_id} not found.")
    return head


async def _found_before(named: Named, invocation_id: str | None) -> tuple[str, Found]:
    """Return the head of a session, and what that was before an invocation."""
    head = await _head(named)
    at = await before_invocation(named.tract, head, invocation_id)
    return head, await find_state(named.tract, at)


async def _existing(named: Named, marker: str) -> Found:
    """Return what a session is at the head that its object was loaded at."""
    try:
        return await find_marked(named.tract, marker)
    except CommitNotFoundError:  # it was erased, or is another store's
        await _head(named)
        raise StaleSessionError(_STALE) from None


async def _unmarked(named: Named, session: Session) -> Found:
    """Return what a session is whose object has no marker, such as one that was sent as JSON.

    Raises:
        StaleSessionError: the store has a newer one, with another last event.
    """
    found = await find_state(named.tract, await _head(named))
    if found.time > session.last_update_time:
        mine = session.events[-1].id if session.events else None
        if found.event != mine:
            raise StaleSessionError(_STALE)
    return found


async def _delivered(named: Named, now: str | None, expected: str, stored: StoredEvent) -> Found:
    """Return what a session is after an event that was written before, when nobody learnt of it.

    Raises:
        StaleSessionError: it was not, but others have written to the session.
        SessionNotFoundError: the session was deleted.
    """
    if now is None:
        raise SessionNotFoundError(f"Session {named.session_id} not found.")
    found = await find_state(named.tract, now)
    if found.after == expected:
        [entry] = await named.tract.entries(
            at_commit=now, include_skipped=True, newest=True, limit=1
        )
        if entry.metadata == stored.metadata:
            return found
    raise StaleSessionError(_STALE)
