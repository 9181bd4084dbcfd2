"""Random histories of all that a prune looks at, and everything that its contexts show."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from random import Random
from typing import Any

from pydantic import BaseModel

from tract import (
    AsyncTract,
    BranchNotMergedError,
    CommitInfo,
    DialogueContent,
    Priority,
    TractError,
    TractStore,
)

__all__ = ["Growing", "grow", "held", "shown"]

View = tuple[Any, ...]
_EDITS = 60


class Growing:
    """A tract that grows by random steps; every text in it is unlike all others, or common."""

    def __init__(self, store: TractStore, tract_id: str, seed: int) -> None:
        self.store = store
        self.main: AsyncTract = store.tract(tract_id)
        self._random = Random(seed)
        self._names = ["main"]
        self._count = 0

    async def grow(self, steps: int) -> None:
        """Take *steps* steps of any kind."""
        calm = (self._say, self._say, self._say, self._edit, self._edit, self._merge, self._config)
        back = (self._annotate, self._annotate, self._fork, self._fork, self._pick, self._tag)
        for _ in range(steps):
            doing = self._random.choice([*calm, *back, self._reset, self._delete, self._state])
            await doing(self._some())

    async def go_on(self, steps: int) -> None:
        """Take *steps* steps that bring back nothing of what no context shows."""
        calm = (self._say, self._edit, self._edit, self._skip, self._merge, self._merge)
        for _ in range(steps):
            await self._random.choice(calm)(self._some())

    def _some(self) -> AsyncTract:
        return self.store.tract(self.main.tract_id, branch=self._random.choice(self._names))

    def _text(self) -> str:
        self._count += 1
        return self._random.choice(["common", f"text {self._count}", f"text {self._count}"])

    async def _entry(self, tract: AsyncTract) -> str | None:
        entries = await tract.entries(include_skipped=True)
        return self._random.choice(entries).commit_hash if entries else None

    async def _say(self, tract: AsyncTract) -> None:
        key = self._random.choice([None, None, f"key {self._random.randrange(4)}"])
        await tract.user(self._text(), key=key, on_key="replace", metadata={"n": self._count})

    async def _config(self, tract: AsyncTract) -> None:
        await tract.user(self._text(), generation_config={"n": self._count})

    async def _edit(self, tract: AsyncTract) -> None:
        entry = await self._entry(tract)
        if entry is not None:
            config = self._random.choice([None, {"n": self._count}])
            content = DialogueContent(role="user", text=self._text())
            await tract.commit(
                content, operation="edit", edit_target=entry, generation_config=config
            )

    async def _annotate(self, tract: AsyncTract) -> None:
        entry = await self._entry(tract)
        if entry is not None:
            priority = self._random.choice([Priority.SKIP, Priority.SKIP, *Priority])
            reason = self._random.choice([None, self._text()])
            await tract.annotate(entry, priority, reason=reason)

    async def _skip(self, tract: AsyncTract) -> None:
        entry = await self._entry(tract)
        if entry is not None:
            await tract.annotate(entry, Priority.SKIP)

    async def _fork(self, tract: AsyncTract) -> None:
        name = f"b{len(self._names)}-{self._count}-{self._random.randrange(10**6)}"
        log = await tract.log(None)
        at = self._random.choice(log).commit_hash if log else None
        await tract.fork(name, at_commit=at)
        self._names.append(name)

    async def _merge(self, tract: AsyncTract) -> None:
        other = self._random.choice(self._names)
        if other != tract.branch:
            way: Any = self._random.choice(["ours", "theirs"])
            await tract.merge(other, on_conflict=way)

    async def _pick(self, tract: AsyncTract) -> None:
        entry = await self._entry(self._some())
        if entry is not None:
            try:
                await tract.cherry_pick(entry)
            except TractError:  # of an erased one
                return

    async def _tag(self, tract: AsyncTract) -> None:
        if await tract.head() is not None:
            await tract.tag(f"t{self._random.randrange(10**9)}")

    async def _reset(self, tract: AsyncTract) -> None:
        log = await tract.log(6)
        if log:
            await tract.reset(self._random.choice(log).commit_hash)

    async def _delete(self, tract: AsyncTract) -> None:
        if tract.branch == "main":
            return
        self._names.remove(tract.branch)
        try:
            await self.main.delete_branch(tract.branch, force=self._random.random() < 0.8)
        except BranchNotMergedError:
            self._names.append(tract.branch)

    async def _state(self, tract: AsyncTract) -> None:
        key = self._random.choice([None, f"state {self._random.randrange(3)}"])
        await tract.state({"of": self._text()}, key=key, on_key="replace")


async def shown(tract: AsyncTract, since: datetime | None = None) -> Mapping[str, View]:
    """Return all that the contexts of branches and tags show, and of their commits *since* then."""
    branches = [branch.name for branch in await tract.branches()]
    heads = [*branches, *(tag.name for tag in await tract.tags())]
    found = {head: await _view(tract, head) for head in heads}
    if since is None:
        return found
    for head in heads:
        for info in await tract.log(None, before=head):
            if info.created_at >= since and info.commit_hash not in found:
                found[info.commit_hash] = await _view(tract, info.commit_hash)
    return found


async def _view(tract: AsyncTract, at: str) -> View:
    context = await tract.compile(at_commit=at)
    return (
        context.messages,
        context.commit_hashes,
        context.generation_configs,
        context.token_count,
        context.head_hash,
        (await tract.compile(at_commit=at, include_edit_annotations=True)).messages,
    )


async def held(tract: AsyncTract) -> dict[str, tuple[CommitInfo, BaseModel]]:
    """Return all commits that branches and tags reach, with their contents."""
    found: dict[str, tuple[CommitInfo, BaseModel]] = {}
    names = [branch.name for branch in await tract.branches() if branch.head_hash is not None]
    for name in [*names, *(tag.name for tag in await tract.tags())]:
        head = await tract.get_commit(name)
        assert head is not None
        found[head.commit_hash] = head, await tract.get_content(name)
        for info, content in await tract.log(None, before=name, contents=True):
            found[info.commit_hash] = info, content
    return found


async def grow(tract: AsyncTract, name: str) -> None:
    """Add an entry that is edited over and over, and a branch that is then deleted."""
    async with tract.batch() as batch:
        entry = batch.commit(DialogueContent(role="user", text=f"{name} first"))
        for number in range(_EDITS):
            text = f"{name} {number}" if number < _EDITS - 1 else name
            content = DialogueContent(role="user", text=text)
            batch.commit(content, operation="edit", edit_target=entry)
    side = await tract.fork(name)
    async with side.batch() as batch:
        for number in range(200):
            batch.commit(DialogueContent(role="user", text=f"{name} lost {number}"))
    await tract.delete_branch(name, force=True)
