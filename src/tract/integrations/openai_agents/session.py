"""`TractSession`: a `Session` of the Agents SDK."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from agents.memory import SessionSettings
from agents.memory import session as sdk
from agents.memory.session_settings import coerce_session_settings, resolve_session_limit

from tract.exceptions import HeadMovedError, TractError
from tract.formats.openai_responses.contents import from_responses
from tract.integrations.authorship import is_by_a_model
from tract.integrations.lending import LentStore
from tract.integrations.openai_agents.entries import entries_of, items_of
from tract.integrations.openai_agents.hooks import Context, TractHooks
from tract.models.commit import EntryInfo
from tract.models.content import NativeContent
from tract.models.refs import quote_id
from tract.store import TractStore
from tract.tract import AsyncTract

if TYPE_CHECKING:
    from agents.items import TResponseInputItem

__all__ = ["TractSession"]


class TractSession:
    """A `Session` of the SDK: one branch of one tract.

    Args:
        session_id: the SDK's name of the session. The tract is called `quote_id(session_id)`.
        store: an open store, which stays the caller's, or a path or URL, which is opened at the
            first use and can be used from any event loop. `aclose()` closes that.
        branch: the branch that the session reads and writes.
        session_settings: the SDK's settings, such as a limit.

    `hooks` are run hooks that record how each item was made: give them to `Runner.run`.
    """

    def __init__(
        self,
        session_id: str,
        store: TractStore | str | os.PathLike[str] = ":memory:",
        *,
        branch: str = "main",
        session_settings: SessionSettings | dict[str, Any] | None = None,
    ) -> None:
        self.session_id: str = session_id
        self.session_settings: SessionSettings | None = (
            SessionSettings()
            if session_settings is None
            else coerce_session_settings(session_settings)
        )
        self.branch: str = branch
        self.hooks: TractHooks = TractHooks()
        self._store = LentStore(store)
        self._tract_id = quote_id(session_id)

    @property
    def tract(self) -> AsyncTract:
        """The branch that the session is on.

        Raises:
            TractError: the session has no open store: it was given a path and has not been used yet,
                or it is closed.
        """
        store = self._store.now
        if store is None:
            raise TractError(
                f"The session {self.session_id!r} has no open store. It opens one when it is first "
                "used, or by `await session.open()`."
            )
        return store.tract(self._tract_id, branch=self.branch)

    async def open(self) -> AsyncTract:
        """Open the store, unless it is open, and return the branch that the session is on."""
        await self._store.get()
        return self.tract

    async def get_items(
        self, limit: int | None = None, *, wrapper: Context | None = None
    ) -> list[TResponseInputItem]:
        """Return the newest *limit* items, or all, oldest first, as they were added.

        What others committed to the branch, in another API's form or as text, is translated.
        """
        limit = resolve_session_limit(limit, self.session_settings)
        if limit is not None and limit <= 0:
            return []
        return await self._store.run(self._get, limit)

    async def add_items(
        self, items: list[TResponseInputItem], *, wrapper: Context | None = None
    ) -> None:
        """Commit items, all of them in one transaction.

        With the run's *wrapper*, which the SDK gives, those that a model made get the config of that
        call, if `hooks` were given to the run.
        """
        if not items:
            return
        call = self.hooks.call(wrapper)
        given = [
            (content, call.options() if call is not None and is_by_a_model(item) else {})
            for content, item in zip(from_responses(items), items, strict=True)
        ]
        usage = None if call is None else call.usage
        usage = await self._store.run(self._add, given, usage)
        if call is not None:
            call.usage = usage

    async def pop_item(self, *, wrapper: Context | None = None) -> TResponseInputItem | None:
        """Take the newest item out of the session and return it; None if there is none."""
        return await self._store.run(self._pop)

    async def clear_session(self, *, wrapper: Context | None = None) -> None:
        """Empty the branch. Its commits stay readable by hash, and `tract.reflog()` has its head."""
        await self._store.run(self._clear)

    async def aclose(self) -> None:
        """Close the store if the session opened it."""
        await self._store.aclose()

    async def __aenter__(self) -> TractSession:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<TractSession {self.session_id!r} on {self.branch!r}>"

    # Each of these is one trip to the store's loop.

    def _on(self, store: TractStore) -> AsyncTract:
        return store.tract(self._tract_id, branch=self.branch)

    async def _get(self, store: TractStore, limit: int | None) -> list[Any]:
        tract = self._on(store)
        if limit is not None:
            newest = await entries_of(tract, limit)
            return [item for entry in newest for item in items_of(entry)][-limit:]
        context = await tract.compile(aggregate_same_role=False)
        items: list[Any] = context.to_responses(open_calls="keep")["input"]
        return items

    async def _add(
        self,
        store: TractStore,
        given: list[tuple[NativeContent, dict[str, Any]]],
        usage: dict[str, int] | None,
    ) -> dict[str, int] | None:
        """Commit contents with their options; return *usage* unless it was recorded."""
        tract = self._on(store)
        has_head = usage is not None and await tract.head() is not None
        async with tract.batch() as batch:
            for content, options in given:
                if options and has_head:
                    batch.record_usage(usage)  # of the context that what follows is the answer to
                    usage = None
                batch.commit(content, **options)
                has_head = has_head or usage is not None
        return usage

    async def _pop(self, store: TractStore) -> Any:
        tract = self._on(store)
        while True:
            head = await tract.head()
            newest = await entries_of(tract, 1)
            items = [item for entry in newest for item in items_of(entry)]
            if not items:
                return None
            try:
                await tract.edit_entries(
                    skip=[entry.commit_hash for entry in newest],
                    append=from_responses(items[:-1]),
                    reason="pop_item",
                    expected_head=head,
                )
            except HeadMovedError:
                continue  # two that pop at once each get an item of their own
            return items[-1]

    async def _clear(self, store: TractStore) -> None:
        tract = self._on(store)
        if await tract.head() is not None:
            await tract.reset(None, reason="clear_session")

    # What the SDK's compacting sessions look for; without it they replace items one by one.

    async def _atomic_replace_items(self, items: list[TResponseInputItem]) -> bool:
        tract = await self.open()
        head = await tract.head()
        entries = await entries_of(tract, None, head)
        return await _replaced(tract, head, entries, items)

    async def _get_compaction_snapshot(
        self,
        limit: int,
        *,
        prune_prefix: Callable[[TResponseInputItem], bool] | None = None,
    ) -> Any:
        snapshot = getattr(sdk, "_CompactionSnapshot", None)
        if snapshot is None:  # it is private, and not in every release
            return None
        tract = await self.open()
        head = await tract.head()
        entries = await entries_of(tract, None, head)
        items = [items_of(entry) for entry in entries]
        if any(len(some) != 1 for some in items):
            return None  # of others, so that items and entries do not correspond
        found = [item for [item] in items]
        kept = max(len(found) - limit, 0)

        async def replace_suffix(start: int, output: list[TResponseInputItem]) -> bool:
            if start >= len(found) - kept:
                return False
            expired = 0
            while prune_prefix and expired < kept + start and prune_prefix(found[expired]):
                expired += 1
            gone = [*entries[:expired], *entries[kept + start :]]
            return await _replaced(tract, head, gone, output)

        return snapshot(found[kept:], not kept, replace_suffix)


async def _replaced(
    tract: AsyncTract,
    head: str | None,
    entries: Sequence[EntryInfo],
    items: list[TResponseInputItem],
) -> bool:
    """Replace entries by items in one transaction; return False if the branch has moved."""
    try:
        await tract.edit_entries(
            skip=[entry.commit_hash for entry in entries],
            append=from_responses(items),
            reason="compaction",
            expected_head=head,
        )
    except HeadMovedError:
        return False
    return True
