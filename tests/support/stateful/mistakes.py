"""Calls that must raise exactly the documented error and change nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

from support.model import Fault
from support.stateful.base import Machine, on_loop
from support.stateful.opened import Place
from support.stateful.same import same
from tract import (
    AnnotationContent,
    AsyncTract,
    CommitOperation,
    ContentValidationError,
    EditTargetError,
    Priority,
    QueryError,
    StagedCommit,
    TractError,
)

SAYING = {"content_type": "dialogue", "role": "user", "text": "hello"}
UNSTORABLE: list[Any] = [
    {"content_type": "dialogue", "role": "user"},
    {"content_type": "dialogue", "role": "tool", "text": "a"},
    {**SAYING, "text": 1},
    {**SAYING, "text": b"a"},
    {**SAYING, "text": "\ud800"},
    {**SAYING, "mood": "glad"},
    {"content_type": "freeform", "payload": float("nan")},
    {"content_type": "freeform", "payload": {1: "a"}},
    {"content_type": "freeform", "payload": ["\udfff"]},
    {"content_type": "freeform", "payload": {"\ud83d": 1}},
    {"content_type": "freeform", "payload": datetime(2026, 1, 1)},
    {"content_type": "output", "text": "a", "format": "html"},
    {"content_type": "nothing", "text": "a"},
    {"content_type": "annotation", "priority": "skip", "reason": None},
    {"text": "a"},
    AnnotationContent(priority="skip"),
    None,
    "hello",
]
OPTIONS: list[dict[str, Any]] = [
    {"message": "\ud800"},
    {"message": 1},
    {"message": "a\0"},
    {"metadata": ["a"]},
    {"metadata": {"a": float("inf")}},
    {"metadata": {"a": {2: 1}}},
    {"generation_config": {"a": "\udc00"}},
    {"generation_config": {"stop": {"a", "b"}}},
    {"generation_config": "hot"},
    {"operation": CommitOperation.ANNOTATE},
    {"operation": "merge"},
]
Call = Callable[[AsyncTract], Awaitable[Any]]
MISTAKES: list[tuple[str, type[Exception], Call]] = [
    (
        "at both",
        ValueError,
        lambda t: t.compile(at_commit="0" * 64, at_time=datetime.now().astimezone()),
    ),
    ("at a naive time", ValueError, lambda t: t.compile(at_time=datetime(2026, 1, 1))),
    ("log(-1)", ValueError, lambda t: t.log(-1)),
    ("query limit", ValueError, lambda t: t.query_by_config("a", "=", 1, limit=-1)),
    ("operator", QueryError, lambda t: t.query_by_config("a", "~", 1)),
    ("field", QueryError, lambda t: t.query_by_config("a..b", "=", 1)),
    ("value", QueryError, lambda t: t.query_by_config("a", ">", None)),
    ("values", QueryError, lambda t: t.query_by_config("a", "in", "abc")),
    ("NaN", QueryError, lambda t: t.query_by_config("a", "=", float("nan"))),
    ("usage", ContentValidationError, lambda t: t.record_usage({"tokens": 1})),
    (
        "negative",
        ContentValidationError,
        lambda t: t.record_usage({"prompt_tokens": -1, "completion_tokens": 0}),
    ),
    ("no target", EditTargetError, lambda t: t.commit(SAYING, operation=CommitOperation.EDIT)),
    ("a target for nothing", EditTargetError, lambda t: t.commit(SAYING, edit_target="0" * 64)),
]


class Mistakes(Machine):
    """Rules whose calls all fail."""

    @rule(data=st.data())
    @on_loop
    async def mistake(self, data: st.DataObject) -> None:
        """Make a call that cannot succeed."""
        place = self.place(data)
        mistakes = [self._unstorable, self._wrong_argument, self._no_priority, self._strange_batch]
        await data.draw(st.sampled_from(mistakes), "mistake")(data, place)
        await self.look_again(data, place)

    async def _unstorable(self, data: st.DataObject, place: Place) -> None:
        """What cannot be stored is refused alone, and in a batch of which nothing is left."""
        content, options = SAYING, {}
        if data.draw(st.booleans(), "content"):
            content = data.draw(st.sampled_from(UNSTORABLE), "which")
        else:
            options = data.draw(st.sampled_from(OPTIONS), "which")
        staged = data.draw(st.booleans(), "staged")
        call = (
            _batched(place, content, options) if staged else place.handle.commit(content, **options)
        )
        await self.refused(f"{content} {options}", Fault(ContentValidationError), call)

    async def _wrong_argument(self, data: st.DataObject, place: Place) -> None:
        name, kind, call = data.draw(st.sampled_from(MISTAKES), "which")
        await self.refused(name, Fault(kind), call(place.handle))

    async def _no_priority(self, data: st.DataObject, place: Place) -> None:
        target = self.a_target(data, place)
        loud: Any = "loud"
        fault = Fault(ContentValidationError)
        await self.refused("priority", fault, place.handle.annotate(target, loud))
        reason = place.handle.annotate(target, Priority.SKIP, reason="\ud800")
        await self.refused("reason", fault, reason)

    async def _strange_batch(self, data: st.DataObject, place: Place) -> None:
        """Batches are used once, inside their block, and only name commits that they staged."""
        foreign: list[StagedCommit] = []

        async def use() -> None:
            batch, other = place.handle.batch(), place.handle.batch()
            async with batch, other:
                foreign.append(other.commit(SAYING))
                batch.commit(SAYING)
                batch.annotate(foreign[0], Priority.SKIP)

        await self.refused("staged elsewhere", Fault(EditTargetError), use())
        batch = place.handle.batch()
        async with batch:
            pass
        same("empty batch", batch.commits, [])
        await self.refused("used twice", Fault(TractError), batch.__aenter__())


async def _batched(place: Place, content: Any, options: dict[str, Any]) -> None:
    async with place.handle.batch() as batch:
        batch.commit(SAYING)
        batch.commit(content, **options)
