"""Calls that make several commits: batches, budgets, concurrent calls."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from support.model import Draft, Fault, View
from support.stateful.base import Machine, on_loop
from support.stateful.drafts import (
    alone,
    appends,
    changes,
    make,
    note,
    stage,
)
from support.stateful.opened import ACTIONS, Place
from support.stateful.same import same, spoil
from tract import (
    UNSET,
    Batch,
    CommitInfo,
    ContentValidationError,
    HeadMovedError,
    Priority,
    StagedCommit,
    TractError,
)

COUNTS = st.integers(0, 9) | st.integers(0, 2**53)


class _Stop(Exception):
    """Raised in the body of a batch."""


class Together(Machine):
    """Rules that make several commits."""

    @rule(data=st.data())
    @on_loop
    async def batch(self, data: st.DataObject) -> None:
        """Make a batch, which lands whole or not at all, after what others commit meanwhile."""
        place = self.place(data)
        drafts = self._batch_drafts(data, place)
        expected = self.an_expected_head(data, place)
        meanwhile = data.draw(st.none() | st.none() | appends(), "meanwhile")
        fails = data.draw(st.integers(0, 6), "the body fails") == 5
        as_model = data.draw(st.booleans(), "as models")
        batch = place.handle.batch(expected_head=expected)
        staged: list[StagedCommit] = []
        error: Exception | None = _Stop() if fails else None
        await batch.__aenter__()
        try:
            self._stage(batch, drafts, staged, as_model=as_model)
        except ContentValidationError as refused:
            error = refused
        if meanwhile is not None:
            first, other = meanwhile, self.reader_of(data, place)
            await self.write("meanwhile", other, [first], lambda: alone(make(other.handle, first)))

        async def leave() -> Sequence[CommitInfo]:
            await batch.__aexit__(type(error) if error else None, error, None)
            if error is not None:
                raise error
            return batch.commits

        if fails and isinstance(error, _Stop):
            await self.refused("batch", Fault(_Stop), leave())
        else:
            await self.write("batch", place, drafts, leave, expected)
        self._check_staged(staged, batch.commits)
        await self.look_again(data, place)

    def _stage(
        self, batch: Batch, given: Sequence[Draft], staged: list[StagedCommit], *, as_model: bool
    ) -> None:
        """Stage drafts, and change the arguments afterwards."""
        for draft in map(deepcopy, given):  # each by itself, since two may hold the same list
            staged.append(stage(batch, draft, staged, as_model=as_model))
            spoil(draft.metadata, draft.config)

    @precondition(lambda self: self.unbounded())
    @rule(data=st.data())
    @on_loop
    async def budgeted(self, data: st.DataObject) -> None:
        """Write near a budget: below, at or above it, or where it was passed before."""
        place = self.place(data, bounded=False)
        drafts = self._batch_drafts(data, place) or [data.draw(appends(), "draft")]
        kind = data.draw(st.sampled_from(["any", "change", "harmless", "harmless"]), "kind")
        if kind == "change":
            drafts = [data.draw(changes(self.a_target(data, place)), "draft")]
        if kind == "harmless":
            drafts = [note((place.entries or ["none"])[0], Priority.NORMAL)]
        setup = place.store.setup._replace(registered=True)
        limits = [1, place.tract.tokens(place.branch, [], setup)]
        if kind != "harmless" and place.tract.refusal(place.branch, drafts, UNSET, setup) is None:
            after = place.tract.tokens(place.branch, drafts, setup)
            limits = [*limits, after - 1, after, after]
        max_tokens = max(1, data.draw(st.sampled_from(limits), "budget"))
        action = data.draw(ACTIONS, "action")
        await self.open(setup._replace(max_tokens=max_tokens, budget_action=action))
        place = place._replace(store=self.stores[-1])

        async def call() -> Sequence[CommitInfo]:
            if len(drafts) == 1:
                return [await make(place.handle, drafts[0])]
            async with place.handle.batch() as batch:
                self._stage(batch, drafts, [], as_model=False)
            return batch.commits

        try:
            await self.write("budgeted", place, drafts, call)
            await self.look_again(data, place)
        finally:
            await self.stores.pop().opened.aclose()

    def _check_staged(self, staged: Sequence[StagedCommit], landed: Sequence[CommitInfo]) -> None:
        for index, item in enumerate(staged):
            try:
                same("staged.info", item.info, landed[index])
            except TractError:
                same("landed", list(landed), [])

    def _batch_drafts(self, data: st.DataObject, place: Place) -> list[Draft]:
        drafts: list[Draft] = []
        kinds = st.sampled_from(["append"] * 3 + ["staged"] * 3 + ["stored"])
        for kind in data.draw(st.lists(kinds, max_size=5), "kinds"):
            appended = [at for at, draft in enumerate(drafts) if draft.operation == "append"]
            if kind == "stored":
                drafts.append(data.draw(changes(self.a_target(data, place)), "draft"))
            elif kind == "staged" and appended:
                staged = st.sampled_from([*appended * 3, *range(len(drafts))])
                drafts.append(data.draw(changes(data.draw(staged, "staged")), "draft"))
            else:
                drafts.append(data.draw(appends(), "draft"))
        return drafts

    @precondition(lambda self: self.unbounded())
    @rule(data=st.data())
    @on_loop
    async def at_once(self, data: st.DataObject) -> None:
        """Commit to several branches concurrently; each call gets its own result or error."""
        before = time.time_ns() // 1000
        work: list[tuple[Place, Draft, Any]] = []
        places = self._places_at_once(data)
        for place in places:
            strange = place == places[0] and len(work) == len(places) - 1
            target = self.a_target(data, place, strange=strange)
            draft = data.draw(appends() | changes(target) if place.entries else appends(), "draft")
            moved = draft.operation != "annotate" and data.draw(st.integers(0, 5), "moved") == 4
            work.append((place, draft, "0" * 64 if moved else UNSET))
        calls = [make(place.handle, draft, expected=moved) for place, draft, moved in work]
        results = await asyncio.gather(*calls, return_exceptions=True)
        landed: list[tuple[CommitInfo, Place, Draft]] = []
        faults: list[tuple[Fault, Any]] = []
        for (place, draft, moved), result in zip(work, results, strict=True):
            if isinstance(result, CommitInfo):
                landed.append((result, place, draft))
            else:
                fault = self._fault_at_once(place, draft, moved)
                if fault is None:
                    raise result
                faults.append((fault, result))
        same("refused", len(faults), sum(self._fault_at_once(*item) is not None for item in work))
        for fault, error in faults:
            await self.refused("at once", fault, _raised(error))
        for info, place, draft in sorted(landed, key=lambda item: item[0].created_at):
            self.landed("at once", place, [draft], [info], before)
        for place, _, _ in work[-3:]:
            await self.look_again(data, place)
            for info, _, _ in landed:  # none of them may return another branch's commits
                head = place.tract.at_time(place.branch, info.created_at)
                await self.compile(place, head, View(), {"at_time": info.created_at})

    def _places_at_once(self, data: st.DataObject) -> list[Place]:
        """Draw several places: any, the same one repeatedly, or new branches of a tract."""
        size = data.draw(st.integers(2, 5), "calls")
        first = self.place(data, bounded=False)
        kind = data.draw(st.sampled_from(["any", "one", "new", "new"]), "places")
        if kind == "new" and first.store.only is None:
            taken = len(first.tract.heads)
            return [first._replace(branch=f"new-{taken + at % 3}") for at in range(max(4, size))]
        if kind == "one":
            return [first] * max(3, size)
        return [first, *(self.place(data, bounded=False) for _ in range(size - 1))]

    def _fault_at_once(self, place: Place, draft: Draft, moved: Any) -> Fault | None:
        fault = place.tract.refusal(place.branch, [draft], moved, place.store.setup)
        if fault is not None and fault.kind is HeadMovedError:
            return Fault(HeadMovedError, {"expected": moved})  # the head depends on the others
        return fault


async def _raised(error: BaseException) -> None:
    raise error
