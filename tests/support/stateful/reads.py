"""Questions to a store: contexts, current and past, commits, contents, queries."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

from support.configs import Query, places, queries
from support.customs import CUSTOM
from support.model import Fault, Setup
from support.stateful.base import Machine, on_loop
from support.stateful.drafts import DEGREES
from support.stateful.opened import SETUPS, TRACTS, Place
from support.stateful.same import same, same_annotations, same_content, same_infos, same_sent
from tract import (
    UNSET,
    CommitNotFoundError,
    ContentValidationError,
    QueryError,
    TractStore,
)

LIMITS = st.sampled_from([None, 0, 1, 2, 3, 5, 64, 2**70])


def temperature_queries(stored: list[Any]) -> st.SearchStrategy[Query]:
    """Return queries for values that are *stored*, or that may be confused with them."""
    known = [*stored, *stored, *DEGREES]
    values = st.sampled_from(known)
    ordinals = st.sampled_from([value for value in known if type(value) in (int, float, str)])
    field = st.sampled_from(["temperature", ("temperature",)])
    return st.one_of(
        st.builds(Query, field, st.sampled_from(["=", "!="]), values),
        st.builds(Query, field, st.sampled_from([">", ">=", "<", "<="]), ordinals),
        st.builds(Query, field, st.sampled_from(["in", "not in"]), st.lists(values, max_size=2)),
    )


class Reads(Machine):
    """Rules that read, and rules that open and close stores."""

    @rule(data=st.data())
    @on_loop
    async def see(self, data: st.DataObject) -> None:
        """Compare a branch's context, now and at two other moments, and what providers are sent."""
        place = self.place(data)
        context = await self.compile(place, place.head, self.view(data), {})
        if context is not None:
            same_sent("see", context)
        await self.travel(data, place)
        await self.travel(data, place)

    @rule(data=st.data())
    @on_loop
    async def look(self, data: st.DataObject) -> None:
        """Compare two pages of the log, and everything about two hashes."""
        place = self.place(data)
        for _ in range(2):
            await self._log(data, place)
            await self._look_up(self.any_hash(data, place), place)

    async def _log(self, data: st.DataObject, place: Place) -> None:
        """Read a page, newest first, of the branch or from any commit of the tract."""
        limit = data.draw(LIMITS, "limit")
        before: Any = data.draw(st.sampled_from([UNSET, None, "any"]), "before")
        if before == "any":
            before = self.any_hash(data, place)
        call = place.handle.log(limit, before=before)
        if isinstance(before, str) and before not in place.tract.commits:
            await self.refused("log", Fault(CommitNotFoundError, {"commit_hash": before}), call)
            return
        wanted = place.history if before is UNSET else place.tract.history(before)[:-1]
        same_infos(f"log({limit}, {before})", await call, wanted[::-1][:limit])

    async def _look_up(self, commit_hash: str, place: Place) -> None:
        """Read everything about a hash, which may be another tract's or unknown."""
        commit = place.tract.commits.get(commit_hash)
        found = await place.handle.get_commit(commit_hash)
        same_infos("get_commit", [found] if found else [], [commit] if commit else [])
        if commit is None:
            fault = Fault(CommitNotFoundError, {"commit_hash": commit_hash})
            await self.refused("get_content", fault, place.handle.get_content(commit_hash))
            await self.refused("get_annotations", fault, place.handle.get_annotations(commit_hash))
            return
        annotations = await place.handle.get_annotations(commit_hash)
        wanted = place.tract.annotations(place.branch, commit_hash)
        same_annotations("get_annotations", annotations, wanted)
        call = place.handle.get_content(commit_hash)
        if commit.content_type in CUSTOM and not place.store.setup.registered:
            await self.refused("get_content", Fault(ContentValidationError), call)
        else:
            same_content("get_content", await call, commit.content)

    @rule(data=st.data())
    @on_loop
    async def query(self, data: st.DataObject) -> None:
        """Compare queries by config with a plain filter; other tracts' commits are never found."""
        place = self.place(data)
        stored = [c.generation_config for t in self.tracts.values() for c in t.commits.values()]
        own = [c.generation_config or {} for c in place.tract.commits.values()]
        warm = temperature_queries([c["temperature"] for c in own if "temperature" in c])
        strategies = [queries(stored), warm, warm]
        if data.draw(st.booleans(), "index first"):
            await self._index(data)
            strategies += [warm, warm]
        for strategy in strategies:
            await self._query(data, place, data.draw(strategy, "query"))

    async def _query(self, data: st.DataObject, place: Place, query: Query) -> None:
        limit = data.draw(LIMITS, "limit")
        found = await place.handle.query_by_config(*query, limit=limit)
        same_infos(f"{query}, limit={limit}", found, place.tract.matching(query)[:limit])

    async def _index(self, data: st.DataObject) -> None:
        """Create an index, which changes no result; keys that JSON escapes cannot be indexed."""
        stores = [s.opened for s in self.stores if isinstance(s.opened, TractStore)]
        stored = [
            c.generation_config or {} for t in self.tracts.values() for c in t.commits.values()
        ]
        paths: list[tuple[str | int, ...]] = [("temperature",)]
        if data.draw(st.booleans(), "any field"):
            paths += [path for config in stored for path, _ in places(config)]
        if not stores:
            return
        path = paths[data.draw(st.sampled_from(range(len(paths))), "path")]
        call = stores[0].create_config_index(path)
        if any(isinstance(part, str) and _is_escaped(part) for part in path):
            await self.refused("index", Fault(QueryError), call)
        else:
            await call

    @rule(data=st.data())
    @on_loop
    async def overview(self, data: st.DataObject) -> None:
        """Compare the list of tracts, and check that all is sound."""
        place = self.place(data)
        if isinstance(place.store.opened, TractStore):
            store = place.store.opened
            wanted = {name for name, tract in self.tracts.items() if tract.commits}
            listed = await store.tracts(limit=None)
            same("tract_ids", await store.tract_ids(), sorted(each.tract_id for each in listed))
            same("tracts", wanted <= {each.tract_id for each in listed}, True)
            for each in listed:
                made = len(self.tracts[each.tract_id].commits)
                same("commits", (each.tract_id, each.commits), (each.tract_id, made))
            info = place.store.opened.cache_info()
            same("cache", info.bytes <= info.max_bytes, True)
        report = await place.handle.verify()
        same("verify", (report.checked, report.faults), (len(place.tract.commits), ()))

    @rule(setup=SETUPS, kind=st.sampled_from(["another", "another", "alone", "again"]))
    @on_loop
    async def open_it(self, setup: Setup, kind: str) -> None:
        """Open the same file again, perhaps with other options; or close all stores, and reopen."""
        if kind == "again" or len(self.stores) == 3:
            for store in self.stores:
                await store.opened.aclose()
            self.stores.clear()
            await self.open(setup)
        else:
            await self.open(setup, TRACTS[0] if kind == "alone" else None)


def _is_escaped(key: str) -> bool:
    return any(sign in '"\\' or ord(sign) < 32 for sign in key)
