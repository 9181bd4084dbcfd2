"""One database file, the stores that are open on it, and the model of its contents."""

from __future__ import annotations

import asyncio
import sqlite3
import time
import warnings
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import UTC, datetime, timedelta, timezone
from functools import update_wrapper
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Concatenate, ParamSpec, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine

from support.customs import CUSTOM
from support.model import EPOCH, MICROSECOND, Commit, Draft, Fault, Setup, Tract, View
from support.stateful.opened import BRANCHES, GARBAGE, TRACTS, VIEWS, OpenStore, Place
from support.stateful.same import same, same_annotations, same_content, same_context, same_infos
from tract import (
    UNSET,
    BudgetAction,
    CommitInfo,
    CommitNotFoundError,
    ContentValidationError,
    TokenBudgetWarning,
)

P = ParamSpec("P")
T = TypeVar("T")
M = TypeVar("M", bound="Machine")

FAR = [datetime(1971, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)]
ZONES = st.sampled_from(
    [UTC, timezone(timedelta(hours=5, minutes=45)), timezone(-timedelta(hours=9))]
)


def on_loop(
    rule: Callable[Concatenate[M, P], Coroutine[Any, Any, None]],
) -> Callable[Concatenate[M, P], None]:
    """Let hypothesis call an async rule by running it on the machine's event loop."""

    def run(machine: M, /, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            machine.loop.run_until_complete(rule(machine, *args, **kwargs))
        except BaseException:
            machine.failed = True
            raise

    return update_wrapper(run, rule)


class Machine(RuleBasedStateMachine):
    """Holds the database and the model, and compares them at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.failed = False
        self.flooded = False
        self.folder = TemporaryDirectory()
        self.path = Path(self.folder.name, "context.db")
        self.runner = asyncio.Runner()
        self.loop = self.runner.get_loop()
        self.stores: list[OpenStore] = []
        self.tracts = {tract_id: Tract(tract_id) for tract_id in TRACTS}

    async def open(self, setup: Setup, only: str | None = None) -> None:
        """Open the database once more."""
        store = OpenStore(setup, only)
        await store.open(self.path)
        self.stores.append(store)

    def teardown(self) -> None:
        """Compare everything unless a rule has failed already; close the stores in any case."""
        try:
            self.loop.run_until_complete(self._finish())
        finally:
            self.runner.close()
            self.folder.cleanup()

    async def _finish(self) -> None:
        try:
            if self.stores and not self.failed:
                await self.open(Setup())
                await self._compare_all()
        finally:
            for store in self.stores:
                await store.opened.aclose()
        if self.stores and not self.failed:
            same("tasks left", len(asyncio.all_tasks()), 1)
            self._compare_rows()

    async def _compare_all(self) -> None:
        for tract in self.tracts.values():
            for branch in tract.heads:
                await self._compare_branch(Place(self.stores[-1], tract, branch))
            handle = Place(self.stores[-1], tract, "main").handle
            for commit in _some(list(tract.commits.values())):
                content = await handle.get_content(commit.commit_hash)
                same_content("get_content", content, commit.content)
            report = await handle.verify()
            same("verify", (report.checked, report.faults), (len(tract.commits), ()))

    async def _compare_branch(self, place: Place) -> None:
        same("head", await place.handle.head(), place.head)
        same_infos("log", await place.handle.log(None), place.history[::-1])
        for view in VIEWS:
            context = await place.handle.compile(**view._asdict())
            same_context("compile", context, place.tract, place.head, place.store.setup, view)
        annotated = {c.edit_target or "" for c in place.history if c.operation == "annotate"}
        for entry in (*sorted(annotated), *_some(place.entries)):
            wanted = place.tract.annotations(place.branch, entry)
            same_annotations("get_annotations", await place.handle.get_annotations(entry), wanted)

    def _compare_rows(self) -> None:
        """Check that the file holds what the model does and nothing else, once all is closed."""
        commits = [c for tract in self.tracts.values() for c in tract.commits.values()]
        wanted: dict[str, set[tuple[Any, ...]]] = {
            "SELECT lower(hex(content_hash)) FROM blobs": {(c.content_hash,) for c in commits},
            "SELECT tract_id, lower(hex(commit_hash)) FROM commits": {
                (c.tract_id, c.commit_hash) for c in commits
            },
            "SELECT tract_id, name, lower(hex(commit_hash)) FROM refs": {
                (tract.tract_id, f"refs/heads/{branch}", head)
                for tract in self.tracts.values()
                for branch, head in tract.heads.items()
            },
            "SELECT tract_id, lower(hex(commit_hash)), prompt_tokens, completion_tokens, "
            "total_tokens FROM usage": {
                (tract.tract_id, head, *usage)
                for tract in self.tracts.values()
                for head, usage in tract.usages.items()
            },
        }
        connection = sqlite3.connect(self.path)
        for query, rows in wanted.items():
            same(query, sorted(connection.execute(query)), sorted(rows))
        connection.close()

    def place(self, data: st.DataObject, *, bounded: bool = True) -> Place:
        """Draw where a call goes: usually to the first tract's main branch."""
        stores = self.stores if bounded else self.unbounded()
        store = data.draw(st.sampled_from(range(len(stores))), "store")
        chosen = stores[store]
        if chosen.only is not None:
            return Place(chosen, self.tracts[chosen.only], "main")
        number = data.draw(st.sampled_from([*[0] * 18, *range(1, len(TRACTS))]), "tract")
        tract = self.tracts[TRACTS[number]]
        branches = [*["main"] * 8, *BRANCHES, *list(tract.heads)[1:] * 2]
        branch = branches[data.draw(st.sampled_from(range(len(branches))), "branch")]
        return Place(chosen, tract, branch)

    def any_hash(self, data: st.DataObject, place: Place) -> str:
        """Draw a hash: of the branch, its tract, another tract, or of nothing."""
        own = list(place.tract.commits)
        here = {commit.commit_hash for commit in place.history}
        elsewhere = [commit_hash for commit_hash in own if commit_hash not in here]
        others = [h for t in self.tracts.values() if t is not place.tract for h in t.commits]
        blobs = [c.content_hash for c in place.tract.commits.values()]
        strange = [*GARBAGE, *(f"{h}0" for h in own)]
        pools = [p for p in (own, own, elsewhere, elsewhere, others, strange, blobs) if p]
        pool = pools[data.draw(st.sampled_from(range(len(pools))), "kind of hash")]
        return str(pool[data.draw(st.sampled_from(range(len(pool))), "hash")])

    def a_target(self, data: st.DataObject, place: Place, *, strange: bool = False) -> str:
        """Draw the target of a change: an early entry, one of another branch, or anything."""
        kind = (
            "stranger"
            if strange
            else data.draw(st.sampled_from(["entry"] * 6 + ["stranger"] * 2 + ["any"]), "target")
        )
        entries = place.entries
        if kind == "stranger":
            known = {commit.commit_hash for commit in place.history}
            appended = [c for c in place.tract.commits.values() if c.operation == "append"]
            entries = [c.commit_hash for c in appended if c.commit_hash not in known]
        if not entries or kind == "any":
            return self.any_hash(data, place)
        early = [*range(min(3, len(entries)))] * 3
        return str(entries[data.draw(st.sampled_from([*early, *range(len(entries))]), "entry")])

    def an_expected_head(self, data: st.DataObject, place: Place) -> Any:
        """Draw an expected head: usually none, else the head or something else."""
        kind = data.draw(
            st.sampled_from(["unset"] * 6 + ["head", "head", "None", "any"]), "expected"
        )
        if kind == "any":
            return self.any_hash(data, place)
        return {"unset": UNSET, "head": place.head, "None": None}[kind]

    async def refused(self, what: str, fault: Fault, call: Awaitable[Any]) -> None:
        """Await a call that must raise *fault*."""
        try:
            result = await call
        except fault.kind as error:
            same(f"{what}: error", type(error), fault.kind)
            for name, value in fault.facts.items():
                same(f"{what}: error.{name}", getattr(error, name), value)
        else:
            raise AssertionError(f"{what}: gave {result!r} instead of {fault}")

    async def write(
        self,
        what: str,
        place: Place,
        drafts: Sequence[Draft],
        call: Callable[[], Awaitable[Sequence[CommitInfo]]],
        expected: Any = UNSET,
    ) -> list[Commit]:
        """Make a call that commits *drafts*; compare its result or error with the model's."""
        tract, setup = place.tract, place.store.setup
        fault = tract.refusal(place.branch, drafts, expected, setup)
        over = None
        if fault is None:
            over = tract.over_budget(place.branch, drafts, setup)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            before = time.time_ns() // 1000
            if fault is not None:
                await self.refused(what, fault, call())
                infos: Sequence[CommitInfo] = []
            else:
                infos = await call()
        self._check_budget(what, place.store, over, caught)
        if fault is not None:
            return []
        return self.landed(what, place, drafts, infos, before)

    def landed(
        self,
        what: str,
        place: Place,
        drafts: Sequence[Draft],
        infos: Sequence[CommitInfo],
        before: int,
    ) -> list[Commit]:
        """Commit *drafts* in the model, and compare with the result of a call made at *before*."""
        same(f"{what}: commits", len(infos), len(drafts))
        times = [info.created_at for info in infos]
        self._check_times(what, place.tract, times, before)
        made = place.tract.land(place.branch, drafts, times, place.store.setup)
        same_infos(what, infos, made)
        return made

    def _check_times(self, what: str, tract: Tract, times: Sequence[datetime], before: int) -> None:
        """Check that times are the clock's, or one microsecond later than the previous commit's."""
        now = time.time_ns() // 1000
        last = max(
            ((c.created_at - EPOCH) // MICROSECOND for c in tract.commits.values()), default=0
        )
        for moment in times:
            stamp = (moment - EPOCH) // MICROSECOND
            if not max(before, last + 1) <= stamp <= max(now, last + 1):
                raise AssertionError(f"{what}: time {stamp} after {last}, {before} to {now}")
            last = stamp

    def _check_budget(
        self,
        what: str,
        store: OpenStore,
        over: int | None,
        caught: Sequence[warnings.WarningMessage],
    ) -> None:
        setup = store.setup
        told = [(over, setup.max_tokens)] if over is not None else []
        called = told if setup.budget_action is BudgetAction.CALLBACK else []
        same(f"{what}: callback", store.called, called)
        store.called.clear()
        warned = [str(warning.message) for warning in caught]
        wanted = [
            f"the compiled context will have {tokens} tokens, over the budget of {max_tokens}"
            for tokens, max_tokens in told
            if setup.budget_action is BudgetAction.WARN
        ]
        same(f"{what}: warnings", warned, wanted)
        same(f"{what}: kinds", {w.category for w in caught} - {TokenBudgetWarning}, set())

    def unbounded(self) -> list[OpenStore]:
        """Return the open stores that have neither a budget nor a bound on contents."""
        return [
            store
            for store in self.stores
            if store.setup.max_tokens is None and store.setup.max_content_bytes > 1000
        ]

    def cannot_show(self, place: Place, head: str | None) -> bool:
        """Return True if a history has contents of types that the store does not know."""
        return not place.store.setup.registered and any(
            commit.content_type in CUSTOM for commit in place.tract.history(head)
        )

    def view(self, data: st.DataObject) -> View:
        """Draw the options of a context; usually the defaults."""
        return VIEWS[data.draw(st.sampled_from([0, 0, 1, 2, 3]), "view")]

    async def look_again(self, data: st.DataObject, place: Place) -> None:
        """Compare a branch's head, newest commits and context, read through any open store."""
        seen = self.reader_of(data, place)
        view = self.view(data)
        same("head", await seen.handle.head(), seen.head)
        same_infos("log", await seen.handle.log(2), seen.history[:-3:-1])
        await self.compile(seen, seen.head, view, {})

    def reader_of(self, data: st.DataObject, place: Place) -> Place:
        """Draw a store that can show the branch of *place*."""
        stores = [
            store
            for store in self.stores
            if store.only is None or (store.only, "main") == (place.tract.tract_id, place.branch)
        ]
        if not stores:
            return place
        return place._replace(
            store=stores[data.draw(st.sampled_from(range(len(stores))), "seen by")]
        )

    async def compile(
        self, place: Place, head: str | None, view: View, where: dict[str, Any]
    ) -> Any:
        """Compare the context at *head*, selected by the arguments *where*; return it."""
        call = place.handle.compile(**where, **view._asdict())
        if self.cannot_show(place, head):
            await self.refused("compile", Fault(ContentValidationError), call)
            return None
        context = await call
        same_context(f"compile({where})", context, place.tract, head, place.store.setup, view)
        return context

    async def travel(self, data: st.DataObject, place: Place) -> None:
        """Compile at a commit of the tract or a missing one, or around the time of one."""
        how = data.draw(st.integers(0, 5), "how")
        if how == 2:
            await self.compile(place, None, self.view(data), {"at_commit": None})
            return
        if how < 2:
            commit_hash = self.any_hash(data, place)
            if commit_hash in place.tract.commits:
                await self.compile(place, commit_hash, self.view(data), {"at_commit": commit_hash})
            else:
                fault = Fault(CommitNotFoundError, {"commit_hash": commit_hash})
                await self.refused("at_commit", fault, place.handle.compile(at_commit=commit_hash))
            return
        times = [commit.created_at for commit in place.tract.commits.values()]
        times = [*times[-3:] * 4, *times, *FAR]
        moment = times[data.draw(st.sampled_from(range(len(times))), "time")]
        moment += data.draw(st.sampled_from([-1, 0, 0, 1]), "offset") * MICROSECOND
        head = place.tract.at_time(place.branch, moment)
        moment = moment.astimezone(data.draw(ZONES, "zone"))
        await self.compile(place, head, self.view(data), {"at_time": moment})


def _some(items: Sequence[T]) -> Sequence[T]:
    """Return all items if they are few, and some of them otherwise."""
    return items[:: max(1, len(items) // 20)]
