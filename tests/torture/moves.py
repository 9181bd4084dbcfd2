"""The calls on branches, tags and merges, ready to be cancelled; see `victims`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from torture.cancellers import Outcome
from torture.victims import VICTIMS, Prepare, Scene, Victim, reading, say
from tract import AsyncTract, CommitOperation, MergeConflict, Priority

__all__ = ["CALLS"]


@dataclass(frozen=True, slots=True)
class _Move:
    """A call on the branch `work` of a tract that nobody else uses, and the moves that it makes."""

    call: Callable[[AsyncTract, str], Awaitable[Any]]
    actions: tuple[str, ...]
    """As `reflog()` names them, newest first; of a tag there is none."""


async def _moves(scene: Scene, mark: str, move: _Move) -> Victim:
    """Return the victim of a call that moves branches: all of its moves are there, or none."""
    main = scene.store.tract(f"moves {mark}")
    first, second = [await main.user(f"{mark} {number}") for number in range(2)]
    work, side = await main.fork("work"), await main.fork("side")
    edit = CommitOperation.EDIT
    for tract in (work, side):
        await tract.user(tract.branch, operation=edit, edit_target=first.commit_hash)
        await tract.annotate(second.commit_hash, _PRIORITIES[tract.branch])
    await main.tag("old", first.commit_hash)
    before = len(await main.reflog())

    async def settle(outcome: Outcome) -> list[str]:
        await main.user("what was on its way has landed before this")
        told = [entry.action for entry in await main.reflog() if entry.branch != "main"]
        made = told[: len(told) + len(await main.log(None)) - 1 - before]
        tags = len(await main.tags())
        compiled = (await work.compile()).head_hash == await work.head()
        sound = compiled and not (await main.verify()).faults
        scene.told(main.tract_id, [first.commit_hash, second.commit_hash])
        done = tuple(made) == move.actions if move.actions else tags != 1
        nothing = not made and tags == 1
        right = sound and (done or (nothing and not outcome.finished))
        return [] if right else [f"{made} and {tags} tags are there, not {move.actions}"]

    return Victim(lambda: move.call(work, mark), settle)


_PRIORITIES = {"work": Priority.PINNED, "side": Priority.SKIP}


def _moving(call: Callable[[AsyncTract, str], Awaitable[Any]], *actions: str) -> Prepare:
    return partial(_moves, move=_Move(call, actions))


async def _decided(conflict: MergeConflict) -> Any:
    await asyncio.sleep(0)
    return Priority.NORMAL if conflict.kind == "priority" else say("decided")


async def _tags(scene: Scene, _: str) -> bool:
    return not await scene.work.tags()


async def _origins(scene: Scene, entry: str) -> bool:
    return not await scene.work.origins(entry)


CALLS: dict[str, tuple[Prepare, ...]] = {
    **VICTIMS,
    "AsyncTract.fork": (
        _moving(lambda tract, mark: tract.fork("new"), "fork"),
        _moving(lambda tract, mark: tract.fork("new", at_commit=None), "fork"),
    ),
    "AsyncTract.branches": (reading(lambda scene, entry: scene.work.branches()),),
    "AsyncTract.delete_branch": (
        _moving(lambda tract, mark: tract.delete_branch("side", force=True), "delete"),
    ),
    "AsyncTract.reset": (
        _moving(lambda tract, mark: tract.reset("old", reason=mark), "reset"),
        _moving(lambda tract, mark: tract.reset(None, reason=mark), "reset"),
    ),
    "AsyncTract.reflog": (reading(lambda scene, entry: scene.work.reflog()),),
    "AsyncTract.tag": (_moving(lambda tract, mark: tract.tag("new")),),
    "AsyncTract.tags": (reading(_tags),),
    "AsyncTract.delete_tag": (_moving(lambda tract, mark: tract.delete_tag("old")),),
    "AsyncTract.diff": (reading(lambda scene, entry: scene.work.diff(entry, "main")),),
    "AsyncTract.compare": (reading(lambda scene, entry: scene.work.compare(["main"])),),
    "AsyncTract.stats": (reading(lambda scene, entry: scene.work.stats()),),
    "AsyncTract.merge": (
        _moving(
            lambda tract, mark: tract.merge("side", on_conflict=_decided),
            *("annotate", "edit", "merge"),
        ),
        _moving(lambda tract, mark: tract.merge("side", squash=say(mark)), "append"),
    ),
    "AsyncTract.cherry_pick": (
        _moving(lambda tract, mark: tract.cherry_pick("old", "old"), "append", "append"),
    ),
    "AsyncTract.origins": (reading(_origins),),
}
"""Every public asynchronous call, each in several ways where it has several."""
