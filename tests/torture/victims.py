"""Every public asynchronous call, ready to be cancelled, and what must hold of it afterwards."""

from __future__ import annotations

import asyncio
import inspect
import os
import shutil
import tempfile
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from support.opening import threads_left, threads_of_connections
from torture.cancellers import Call, Outcome
from torture.checks import COUNTER
from torture.model import Place
from tract import (
    AsyncTract,
    Batch,
    CommitInfo,
    CommitOperation,
    CompactionPolicy,
    CompactionRequest,
    DialogueContent,
    ErasedContent,
    LeftStream,
    Priority,
    QueryError,
    Retention,
    StoreClosedError,
    TokenUsage,
    ToolIOContent,
    TractConfig,
    TractStore,
    Transaction,
    config,
)

__all__ = [
    "ENGINE",
    "MEMORY",
    "NAMED",
    "VICTIMS",
    "WORK",
    "Prepare",
    "Scene",
    "Victim",
    "public_calls",
    "reading",
    "say",
]

WORK = "work"
NAMED, ENGINE, MEMORY = "named", "engine", "memory"
_LARGE = 2000  # times that a text is repeated to be work for a thread, not for the loop
_Settle = Callable[[Outcome], Awaitable[list[str]]]


@dataclass(slots=True)
class Scene:
    """Where a call is cancelled: a store that others use, and places to open more of them."""

    kind: str
    store: TractStore
    places: dict[str, Place]
    """Places by kind of store, this one's among them unless it is in memory."""
    engine: AsyncEngine
    """Of the place of its kind, with connections to spare."""
    acknowledged: dict[str, dict[str, list[str]]]
    """Commits that somebody was told of, by kind of store and by tract."""
    rng: Random
    entries: list[str] = field(default_factory=list)
    """Entries of the tract that all work on, to edit and annotate."""

    @property
    def work(self) -> AsyncTract:
        """The branch that all work on."""
        return self.store.tract(WORK)

    @property
    def borrows(self) -> int:
        """Connections that a store of the engine's may come to hold: on a server, when it needs them."""
        return 0 if self.engine.dialect.name == "sqlite" else 2 + TractConfig().readers

    @property
    def checked_out(self) -> int:
        """Connections that the engine's pool has lent."""
        checked_out: int = self.engine.pool.checkedout()  # type: ignore[attr-defined]  # a queue's
        return checked_out

    def entry(self) -> str:
        """Return some entry of the work."""
        return self.rng.choice(self.entries)

    def told(self, tract_id: str, hashes: list[str], kind: str = "") -> None:
        """Take down commits that must be there from now on."""
        ledger = self.acknowledged.setdefault(kind or self.kind, {})
        ledger.setdefault(tract_id, []).extend(hashes)


@dataclass(frozen=True, slots=True)
class Victim:
    """A call to be cancelled; `settle` then returns what is wrong with what it left."""

    call: Call
    settle: _Settle


Prepare = Callable[[Scene, str], Awaitable[Victim]]


def public_calls() -> set[str]:
    """Return the names of all public asynchronous calls, as `Class.method`."""
    return {
        f"{cls.__name__}.{name}"
        for cls in (AsyncTract, TractStore, Batch, Transaction)
        for base in cls.__mro__
        for name, member in vars(base).items()
        if _is_call(name, member)
    }


def _is_call(name: str, member: object) -> bool:
    function = member.__func__ if isinstance(member, classmethod) else member
    if not inspect.isfunction(function) or (name.startswith("_") and not name.endswith("__")):
        return False
    returned = inspect.get_annotations(function).get("return", "")
    return inspect.iscoroutinefunction(function) or returned.startswith("Opening")


# Writes


def say(text: str, *, large: bool = False) -> DialogueContent:
    """Return what a user says; where it is *large*, it is work for a thread."""
    return DialogueContent(role="user", text=f"{text} " * (_LARGE if large else 1))


def _commits(size: int, call: Callable[[Scene, str], Awaitable[list[CommitInfo]]]) -> Prepare:
    """Return the victim of *call*, which makes *size* commits with its mark in their metadata."""

    async def prepare(scene: Scene, mark: str) -> Victim:
        async def settle(outcome: Outcome) -> list[str]:
            log = await scene.work.log(200)
            made = [info for info in reversed(log) if (info.metadata or {}).get("mark") == mark]
            hashes = [info.commit_hash for info in made]
            scene.told(WORK, hashes)
            if outcome.finished and outcome.value != made:
                return [f"it returned {outcome.value}, and {made} is there"]
            follow = [info.parent_hash for info in made[1:]] == hashes[:-1]
            return [] if len(made) in (0, size) and follow else [f"half of it is there: {made}"]

        return Victim(lambda: call(scene, mark), settle)

    return prepare


def _marked(mark: str) -> dict[str, Any]:
    return {"metadata": {"mark": mark}, "generation_config": {"mark": mark}}


async def _commit(scene: Scene, mark: str) -> list[CommitInfo]:
    return [await scene.work.commit(say(mark), **_marked(mark))]


async def _commit_large(scene: Scene, mark: str) -> list[CommitInfo]:
    return [await scene.work.commit(say(mark, large=True), **_marked(mark))]


async def _edit(scene: Scene, mark: str) -> list[CommitInfo]:
    edit, target = CommitOperation.EDIT, scene.entry()
    return [await scene.work.commit(say(mark), operation=edit, edit_target=target, **_marked(mark))]


async def _system(scene: Scene, mark: str) -> list[CommitInfo]:
    return [await scene.work.system(mark, metadata={"mark": mark})]


async def _user(scene: Scene, mark: str) -> list[CommitInfo]:
    return [await scene.work.user(mark, metadata={"mark": mark})]


async def _assistant(scene: Scene, mark: str) -> list[CommitInfo]:
    return [await scene.work.assistant(mark, metadata={"mark": mark})]


async def _state(scene: Scene, mark: str) -> list[CommitInfo]:
    return [await scene.work.state({"a": b"bytes"}, key=mark, **_marked(mark))]


async def _state_of_bytes(scene: Scene, mark: str) -> list[CommitInfo]:
    payload = [mark.encode() * 2_000, "text " * 10_000]
    return [await scene.work.state(payload, key=mark, on_key="keep", **_marked(mark))]


async def _batch(scene: Scene, mark: str) -> list[CommitInfo]:
    async with scene.work.batch() as batch:
        first = batch.commit(say(mark), **_marked(mark))
        await asyncio.sleep(0)
        edit = CommitOperation.EDIT
        batch.commit(say(mark), operation=edit, edit_target=first, metadata={"mark": mark})
        batch.commit(say(mark), metadata={"mark": mark})
    return batch.commits


async def _batch_large(scene: Scene, mark: str) -> list[CommitInfo]:
    async with scene.work.batch() as batch:
        batch.commit(say(mark), metadata={"mark": mark})
        batch.commit(say(mark, large=True), metadata={"mark": mark})
    return batch.commits


async def _transaction(scene: Scene, mark: str) -> list[CommitInfo]:
    async with scene.store.transaction() as tx:
        work = tx.on(scene.work)
        first = work.user(mark, **_marked(mark))
        await asyncio.sleep(0)
        work.state({"seen": [first]}, key=mark, metadata={"mark": mark})
        work.record_usage({"prompt_tokens": 1, "completion_tokens": 1}, head_hash=first)
        work.tag(f"of-{mark}", first)
        work.delete_tag(f"of-{mark}")
    return tx.commits


async def _edit_entries(scene: Scene, mark: str) -> Victim:
    """Skip an entry and say something in its place."""
    target = (await scene.work.user(mark)).commit_hash
    scene.told(WORK, [target])

    async def settle(outcome: Outcome) -> list[str]:
        # One read: a write that a cancelled call had begun may land between two.
        log = [*reversed(await scene.work.log(200, contents=True))]
        skips = [info.commit_hash for info, _ in log if info.edit_target == target]
        said = [info.commit_hash for info, content in log if content == say(f"for {mark}")]
        there = [*skips, *said]
        scene.told(WORK, there)
        if outcome.finished:
            fine = there == [info.commit_hash for info in outcome.value]
        else:
            fine = (len(skips), len(said)) in ((0, 0), (1, 1))
        return [] if fine else [f"it returned {outcome.value}, and {there} is there"]

    return Victim(
        lambda: scene.work.edit_entries(skip=[target], append=[say(f"for {mark}")], reason=mark),
        settle,
    )


async def _annotate(scene: Scene, mark: str) -> Victim:
    target = scene.entry()
    priority = scene.rng.choice([*Priority])

    async def settle(outcome: Outcome) -> list[str]:
        there = [item for item in await scene.work.get_annotations(target) if item.reason == mark]
        scene.told(WORK, [item.commit_hash for item in there])
        wrong = there != [outcome.value] if outcome.finished else len(there) > 1
        return [f"it returned {outcome.value}, and {there} is there"] if wrong else []

    return Victim(lambda: scene.work.annotate(target, priority, reason=mark), settle)


async def _record_usage(scene: Scene, mark: str) -> Victim:
    tract = scene.store.tract(f"usage {scene.rng.randrange(5)}")  # nobody else moves its head
    head = (await tract.user(mark)).commit_hash
    before = (await tract.compile()).token_source
    counts = TokenUsage(scene.rng.randrange(1, 10**6), 7)

    async def settle(outcome: Outcome) -> list[str]:
        context = await tract.compile()
        reported = f"api:{counts.prompt_tokens}+7"
        allowed = {reported} if outcome.finished else {reported, before}
        scene.told(tract.tract_id, [head])
        right = context.token_source in allowed and context.head_hash == head
        return [] if right else [f"the usage is {context.token_source}, not of {allowed}"]

    return Victim(lambda: tract.record_usage(counts, head_hash=head), settle)


async def _erase(scene: Scene, mark: str) -> Victim:
    tract = scene.store.tract(f"erased {mark}")
    made = [await tract.user(f"{mark} {number}", message=mark) for number in range(3)]
    hashes = [info.commit_hash for info in made]

    async def settle(outcome: Outcome) -> list[str]:
        scene.told(tract.tract_id, hashes)
        log = await tract.log(None, contents=True)
        gone = [
            isinstance(content, ErasedContent) and info.message is None for info, content in log
        ]
        if outcome.finished and not all(gone):
            return [f"it returned {outcome.value}, and {log} is there"]
        return [] if len(set(gone)) == 1 else [f"half is erased: {log}"]

    return Victim(lambda: tract.erase(hashes, reason="asked"), settle)


async def _erase_tract(scene: Scene, mark: str) -> Victim:
    name = f"gone {mark}"
    for number in range(3):
        await scene.store.tract(name).user(f"{mark} {number}")

    async def settle(outcome: Outcome) -> list[str]:
        left = name in await scene.store.tract_ids()
        await scene.store.erase_tract(name, reason="asked")
        again = name in await scene.store.tract_ids()
        return ["the tract is there"] if again or (outcome.finished and left) else []

    return Victim(lambda: scene.store.erase_tract(name, reason="asked"), settle)


async def _prune(scene: Scene, mark: str) -> Victim:
    tract = scene.store.tract(f"pruned {mark}")
    made = [await tract.user(f"{mark} {number}") for number in range(3)]
    for entry in made:
        await tract.annotate(entry.commit_hash, "skip")

    async def settle(_: Outcome) -> list[str]:
        await tract.prune(keep=0, reason="old")
        faults = (await tract.verify()).faults
        shown = (await tract.compile()).messages
        scene.told(tract.tract_id, [info.commit_hash for info in await tract.log(None)])
        return [*map(str, faults), *map(str, shown)]

    return Victim(lambda: tract.prune(keep=0, reason="old"), settle)


async def _retain(scene: Scene, _: str) -> bool:
    report = await scene.store.retain(Retention(keep=10**9), reason="old")
    return not report.receipts


async def _short(request: CompactionRequest) -> str:
    await asyncio.sleep(0)
    return "the summary"


def _shortens(
    call: Callable[[AsyncTract, str], Awaitable[Any]], after: list[str], *, undone: bool = False
) -> Prepare:
    """Return the victim of a compaction, or of undoing one; *after* is what the tract then shows.

    It is called with a tract and the hash of what is to be undone.
    """

    async def prepare(scene: Scene, mark: str) -> Victim:
        tract = scene.store.tract(f"shortened {mark}")
        for direction, payload in (("call", {}), ("result", "found a lot")):
            await tract.commit(
                ToolIOContent(
                    tool_name="f",
                    direction=direction,  # type: ignore[arg-type]  # one of the two
                    payload=payload,
                    call_id=mark,
                )
            )
        done = await tract.compact(_short, keep_recent=0) if undone else None
        before = await tract.compile()
        head = "" if done is None else done.commit_hash

        async def settle(outcome: Outcome) -> list[str]:
            context = await tract.compile()
            shown = [message.content or "" for message in context.messages]
            log = await tract.log(None)
            scene.told(tract.tract_id, [info.commit_hash for info in reversed(log)])
            if outcome.finished or context.head_hash != before.head_hash:
                return [] if shown == after else [f"it shows {shown} after {outcome.value}"]
            return [] if context.messages == before.messages else [f"half is there: {shown}"]

        return Victim(lambda: call(tract, head), settle)

    return prepare


async def _collect(scene: Scene, _: str) -> bool:
    return (await scene.store.collect()).nbytes >= 0


async def _settle(scene: Scene, mark: str) -> Victim:
    tract = scene.store.tract(f"calls {mark}")
    call = ToolIOContent(tool_name="f", direction="call", payload="{}", call_id=mark)
    called = await tract.commit(call)

    async def settle(outcome: Outcome) -> list[str]:
        context = await tract.compile()  # at one moment: a cancelled write may land in the next
        left = [each.id for each in context.open_calls]
        log = await tract.log(None)
        scene.told(tract.tract_id, [info.commit_hash for info in reversed(log)])
        if outcome.finished and (left or outcome.value != log[:1] or log[1:] != [called]):
            return [f"it returned {outcome.value}, and {left} are open"]
        whole = (context.commit_count, left) in ((1, [mark]), (2, []))
        return [] if whole else [f"half is there: {log}, and {left} are open"]

    return Victim(tract.settle, settle)


async def _maintain(scene: Scene, mark: str) -> Victim:
    tract = scene.store.tract(f"long {mark}")
    named: dict[str, Any] = {"tool_name": "f", "call_id": mark}
    await tract.commit(ToolIOContent(**named, direction="call", payload="{}"))
    await tract.commit(ToolIOContent(**named, direction="result", payload=mark))
    await tract.record_usage({"prompt_tokens": 9, "completion_tokens": 0})
    made = [info.commit_hash for info in reversed(await tract.log(None))]
    policy = CompactionPolicy(trigger_tokens=9, target_tokens=0, keep_results=0, clear_at_least=0)

    async def settle(outcome: Outcome) -> list[str]:
        log = [info.commit_hash for info in reversed(await tract.log(None))]
        scene.told(tract.tract_id, log)
        if outcome.finished and log != [*made, outcome.value.commit_hash]:
            return [f"it returned {outcome.value}, and {log} is there"]
        return [] if log[:2] == made and len(log) < 4 else [f"half is there: {log}"]

    return Victim(lambda: tract.maintain(policy=policy), settle)


async def _tools(scene: Scene, mark: str) -> list[CommitInfo]:
    tool = {"type": "function", "name": mark, "parameters": {"type": "object"}}
    return [await scene.work.tools([tool], metadata={"mark": mark})]


async def _record(scene: Scene, mark: str) -> list[CommitInfo]:
    message = {"role": "assistant", "content": mark}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    reply = {"object": "chat.completion", "id": mark, "choices": [choice]}
    return await scene.work.record(reply, metadata={"mark": mark})


async def _attachment(scene: Scene, entry: str) -> bytes:
    made = await scene.work.attach(b"an image", "image/png")
    return await scene.work.attachment(made.sha256)


async def _entries(scene: Scene, entry: str) -> list[str]:
    return [each.commit_hash for each in await scene.work.entries(include_skipped=True)]


async def _create_config_index(scene: Scene, mark: str) -> Victim:
    name = f"field-{scene.rng.randrange(8)}"

    async def settle(outcome: Outcome) -> list[str]:
        await scene.store.create_config_index((name, mark) if outcome.finished else name)
        found = await scene.work.query_by_config(name, "=", 1)
        return [f"{name} finds {found}"] if found else []

    return Victim(lambda: scene.store.create_config_index(name), settle)


async def _copy_tract(scene: Scene, mark: str) -> Victim:
    copied = f"{mark}-copied"

    async def settle(outcome: Outcome) -> list[str]:
        found = [copied] if copied in await scene.store.tract_ids() else []
        if outcome.finished and not found:
            return [f"{copied} is not there"]
        faults = (await scene.store.tract(copied).verify()).faults if found else ()
        return [f"{copied} has {fault}" for fault in faults]

    return Victim(lambda: scene.store.copy_tract(WORK, copied), settle)


def _to_file(verb: str) -> Prepare:
    """Return the victim of a verb that writes a file, which must be whole or not there."""

    async def prepare(scene: Scene, mark: str) -> Victim:
        folder = tempfile.mkdtemp()
        path = Path(folder, "out.db")
        on_server = "://" in str(scene.places[NAMED])

        async def call() -> object:
            if verb == "backup" and not on_server:
                await scene.store.backup(path)
                return None
            return await scene.store.export(path)

        async def settle(outcome: Outcome) -> list[str]:
            left = set(os.listdir(folder))
            shutil.rmtree(folder)
            return [f"{verb} left {sorted(left)}"] if left - {"out.db"} else []

        return Victim(call, settle)

    return prepare


async def _import(scene: Scene, mark: str) -> Victim:
    folder = tempfile.mkdtemp()
    path = Path(folder, "in.db")
    async with TractStore.open(tokenizer=COUNTER) as other:
        head = await other.tract(f"{mark}-imported").user("from a file")
        await other.export(path)

    async def settle(outcome: Outcome) -> list[str]:
        await scene.store.import_(path)
        shutil.rmtree(folder)
        found = await scene.store.tract(f"{mark}-imported").head()
        return [] if found == head.commit_hash else [f"{mark}-imported has the head {found}"]

    return Victim(lambda: scene.store.import_(path), settle)


# Reads


def reading(call: Callable[[Scene, str], Awaitable[Any]]) -> Prepare:
    """Return the victim of a *call* on an entry that changes nothing, and works afterwards."""

    async def prepare(scene: Scene, mark: str) -> Victim:
        entry = scene.entry()

        async def settle(outcome: Outcome) -> list[str]:
            found = await call(scene, entry)
            return [f"then it gave {found!r}"] if not found else []

        return Victim(lambda: call(scene, entry), settle)

    return prepare


async def _compactions(scene: Scene, _: str) -> bool:
    return await scene.work.compactions() == []


async def _verify(scene: Scene, _: str) -> bool:
    return not (await scene.work.verify()).faults


async def _by_keys(scene: Scene, _: str) -> bool:
    found = await scene.work.get_by_keys(["1", "2"])
    return all(info.key == key for key, info in found.items())


async def _keys(scene: Scene, _: str) -> bool:
    found = await scene.work.keys("1", newest=True)
    return all((info.key or "").startswith("1") for info in found)


async def _count(scene: Scene, entry: str) -> bool:
    return await scene.work.count(before=entry) >= 0


async def _tracts(scene: Scene, entry: str) -> bool:
    some = await scene.store.tracts(prefix="w", metadata={"no": entry})
    return not some and len(await scene.store.tracts(limit=5)) <= 5


async def _set_info(scene: Scene, entry: str) -> bool:
    info = await scene.work.set_info(title=entry, metadata={"entry": entry})
    return info.title is not None


async def _query(scene: Scene, entry: str) -> bool:
    return not await scene.work.query_by_config("nothing", "=", entry)


async def _query_conditions(scene: Scene, entry: str) -> bool:
    nothing = config("nothing")
    return not await scene.work.query(nothing == entry, nothing.exists())


async def _search(scene: Scene, entry: str) -> bool:
    await scene.store.enable_search()
    try:
        hits = await scene.work.search("entry", limit=5, branch_only=True)
        hits += await scene.store.search("entry", limit=5)
    except QueryError:
        return True  # another has switched it off
    return all(hit.rank > 0 for hit in hits)


async def _disable_search(scene: Scene, entry: str) -> bool:
    await scene.store.disable_search()
    return True


async def _annotations(scene: Scene, entry: str) -> bool:
    return isinstance(await scene.work.get_annotations(entry), list)


# Opening and closing


def _opens(opening: Callable[[Scene, str], Awaitable[Any]], kind: str, commits: int) -> Prepare:
    """Return the victim of *opening*, which makes so many *commits* and leaves nothing open."""

    async def prepare(scene: Scene, mark: str) -> Victim:
        threads = threads_of_connections()

        async def settle(outcome: Outcome) -> list[str]:
            if outcome.finished and not commits:
                await outcome.value.aclose()
            wrong = await _left(threads)
            if kind in scene.places:
                place = scene.places[kind]
                async with AsyncTract.open(place, tract_id=mark, tokenizer=COUNTER) as tract:
                    log = await tract.log()
                scene.told(mark, [info.commit_hash for info in log], kind)
                allowed = {commits} if outcome.finished else {0, commits}
                wrong += [] if len(log) in allowed else [f"{len(log)} commits are there"]
            return wrong

        return Victim(lambda: opening(scene, mark), settle)

    return prepare


async def _left(threads: set[threading.Thread]) -> list[str]:
    """Return what is left of a store that is closed; an engine has all its threads beforehand."""
    left = await threads_left(threads)
    return [f"threads are left: {left}"] if left else []


async def _open_tract(scene: Scene, mark: str) -> AsyncTract:
    return await AsyncTract.open(scene.places[NAMED], tract_id=mark, tokenizer=COUNTER)


async def _open_store(scene: Scene, mark: str) -> TractStore:
    return await TractStore.open(scene.places[NAMED], tokenizer=COUNTER)


async def _left_streams(scene: Scene, entry: str) -> tuple[str, list[LeftStream]]:
    return "left", await scene.store.recover_streams()


async def _open_memory(scene: Scene, mark: str) -> TractStore:
    return await TractStore.open(tokenizer=COUNTER)


async def _from_engine(scene: Scene, mark: str) -> TractStore:
    return await TractStore.from_engine(scene.engine, tokenizer=COUNTER)


async def _enter_tract(scene: Scene, mark: str) -> CommitInfo:
    async with AsyncTract.open(scene.places[NAMED], tract_id=mark, tokenizer=COUNTER) as tract:
        return await tract.user(mark)


async def _enter_store(scene: Scene, mark: str) -> CommitInfo:
    async with TractStore.open(scene.places[NAMED], tokenizer=COUNTER) as store:
        return await store.tract(mark).user(mark)


async def _enter_engine(scene: Scene, mark: str) -> CommitInfo:
    async with TractStore.from_engine(scene.engine, tokenizer=COUNTER) as store:
        return await store.tract(mark).user(mark)


def _closes(opening: Callable[[Scene, str], Awaitable[Any]], kind: str) -> Prepare:
    """Return the victim of closing what *opening* gives, with calls of others under way."""

    async def prepare(scene: Scene, mark: str) -> Victim:
        threads = threads_of_connections()
        opened = await opening(scene, mark)
        tract: AsyncTract = opened if isinstance(opened, AsyncTract) else opened.tract(mark)
        others = [asyncio.create_task(tract.user(f"{mark} {number}")) for number in range(5)]
        for _ in range(scene.rng.randrange(3)):
            await asyncio.sleep(0)

        async def settle(outcome: Outcome) -> list[str]:
            ended = await asyncio.gather(*others, return_exceptions=True)
            if not outcome.finished:
                await opened.aclose()
            wrong = [repr(item) for item in ended if not isinstance(item, _ENDED)]
            made = [item.commit_hash for item in ended if isinstance(item, CommitInfo)]
            scene.told(mark, made, kind)
            [closed] = await asyncio.gather(tract.head(), return_exceptions=True)
            if not isinstance(closed, StoreClosedError):
                wrong.append(f"after closing, a call gave {closed!r}")
            return wrong + await _left(threads)

        return Victim(opened.aclose, settle)

    return prepare


_ENDED = (CommitInfo, StoreClosedError)


async def _close_handle(scene: Scene, mark: str) -> Victim:
    handle = scene.store.tract(WORK)

    async def settle(outcome: Outcome) -> list[str]:
        return [] if await scene.work.head() else ["the store is closed with a handle"]

    return Victim(handle.aclose, settle)


VICTIMS: dict[str, tuple[Prepare, ...]] = {
    "AsyncTract.open": (_opens(_open_tract, NAMED, 0),),
    "AsyncTract.commit": (_commits(1, _commit), _commits(1, _commit_large), _commits(1, _edit)),
    "AsyncTract.system": (_commits(1, _system),),
    "AsyncTract.user": (_commits(1, _user),),
    "AsyncTract.assistant": (_commits(1, _assistant),),
    "AsyncTract.compile": (
        reading(lambda scene, entry: scene.work.compile()),
        reading(lambda scene, entry: scene.work.compile(at_commit=entry)),
        reading(lambda scene, entry: scene.work.compile(include_edit_annotations=True)),
    ),
    "AsyncTract.head": (reading(lambda scene, entry: scene.work.head()),),
    "AsyncTract.get_commit": (reading(lambda scene, entry: scene.work.get_commit(entry)),),
    "AsyncTract.get_content": (reading(lambda scene, entry: scene.work.get_content(entry)),),
    "AsyncTract.get_contents": (
        reading(lambda scene, entry: scene.work.get_contents([entry, entry])),
    ),
    "AsyncTract.entries": (reading(_entries),),
    "AsyncTract.attach": (reading(lambda scene, entry: scene.work.attach(b"a", "image/png")),),
    "AsyncTract.attachment": (reading(_attachment),),
    "AsyncTract.maintain": (_maintain,),
    "AsyncTract.settle": (_settle,),
    "AsyncTract.erase": (_erase,),
    "AsyncTract.prune": (_prune,),
    "AsyncTract.tools": (_commits(1, _tools),),
    "AsyncTract.plan_compaction": (reading(lambda scene, entry: scene.work.plan_compaction()),),
    "AsyncTract.compact": (
        _shortens(lambda tract, _: tract.compact(_short, keep_recent=0), ["the summary"]),
    ),
    "AsyncTract.clear_tool_results": (
        _shortens(
            lambda tract, _: tract.clear_tool_results(keep=0, placeholder="gone"), ["", "gone"]
        ),
    ),
    "AsyncTract.expand": (
        _shortens(lambda tract, done: tract.expand(done), ["", "found a lot"], undone=True),
    ),
    "AsyncTract.compactions": (reading(_compactions),),
    "AsyncTract.record": (_commits(1, _record),),
    "AsyncTract.get_by_keys": (reading(_by_keys),),
    "AsyncTract.keys": (reading(_keys),),
    "AsyncTract.state": (_commits(1, _state), _commits(1, _state_of_bytes)),
    "AsyncTract.edit_entries": (_edit_entries,),
    "AsyncTract.log": (
        reading(lambda scene, entry: scene.work.log(None)),
        reading(lambda scene, entry: scene.work.log(None, contents=True)),
    ),
    "AsyncTract.annotate": (_annotate,),
    "AsyncTract.get_annotations": (reading(_annotations),),
    "AsyncTract.query": (
        reading(_query_conditions),
        reading(lambda scene, entry: scene.work.query(branch_only=True)),
        reading(lambda scene, entry: scene.work.query(newest=True, limit=9, contents=True)),
    ),
    "AsyncTract.search": (reading(_search),),
    "AsyncTract.count": (reading(_count),),
    "AsyncTract.query_by_config": (reading(_query),),
    "AsyncTract.reached_by": (reading(lambda scene, entry: scene.work.reached_by([entry])),),
    "AsyncTract.info": (reading(lambda scene, entry: scene.work.info()),),
    "AsyncTract.set_info": (reading(_set_info),),
    "AsyncTract.record_usage": (_record_usage,),
    "AsyncTract.verify": (reading(_verify),),
    "AsyncTract.aclose": (_close_handle, _closes(_open_tract, NAMED)),
    "AsyncTract.__aenter__": (_opens(_enter_tract, NAMED, 1),),
    "AsyncTract.__aexit__": (_opens(_enter_tract, NAMED, 1),),
    "TractStore.open": (_opens(_open_store, NAMED, 0), _opens(_open_memory, MEMORY, 0)),
    "TractStore.from_engine": (_opens(_from_engine, ENGINE, 0),),
    "TractStore.tract_ids": (reading(lambda scene, entry: scene.store.tract_ids()),),
    "TractStore.erase_tract": (_erase_tract,),
    "TractStore.collect": (reading(_collect),),
    "TractStore.info": (reading(lambda scene, entry: scene.store.info(exact=True)),),
    "TractStore.vacuum": (reading(lambda scene, entry: scene.store.vacuum()),),
    "TractStore.retain": (reading(_retain),),
    "TractStore.copy_tract": (_copy_tract,),
    "TractStore.export": (_to_file("export"),),
    "TractStore.import_": (_import,),
    "TractStore.backup": (_to_file("backup"),),
    "TractStore.enable_search": (reading(_search),),
    "TractStore.disable_search": (reading(_disable_search),),
    "TractStore.search": (reading(_search),),
    "TractStore.tracts": (reading(_tracts),),
    "TractStore.create_config_index": (_create_config_index,),
    "TractStore.recover_streams": (reading(_left_streams),),
    "TractStore.aclose": (
        _closes(_open_store, NAMED),
        _closes(_from_engine, ENGINE),
        _closes(_open_memory, MEMORY),
    ),
    "TractStore.__aenter__": (_opens(_enter_store, NAMED, 1),),
    "TractStore.__aexit__": (_opens(_enter_engine, ENGINE, 1),),
    "Transaction.__aenter__": (_commits(2, _transaction),),
    "Transaction.__aexit__": (_commits(2, _transaction),),
    "Batch.__aenter__": (_commits(3, _batch),),
    "Batch.__aexit__": (_commits(3, _batch), _commits(2, _batch_large)),
}
"""By the names of the calls; each in several ways where it has several."""
