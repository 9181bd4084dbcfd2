"""Two tracts in one store: no call on one reaches anything of the other, whatever it is given.

Every public call is here, and every parameter that it takes; one that is added later fails
these tests until it is here too.
"""

from __future__ import annotations

import inspect
import itertools
import sqlite3
import unicodedata
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from support.opening import with_clock
from support.replies import drained, reply
from tract import (
    UNSET,
    AsyncTract,
    AttachmentNotFoundError,
    Batch,
    BranchNotFoundError,
    BudgetAction,
    CommitNotFoundError,
    CommitOperation,
    CompactionError,
    CompactionPlan,
    CompactionPolicy,
    CompactionRequest,
    ContentValidationError,
    EditTargetError,
    EntryInfo,
    Field,
    FreeformContent,
    HeadMovedError,
    MediaPart,
    MessageContent,
    NullTokenCounter,
    Priority,
    RefNameError,
    Retention,
    StagedCommit,
    Stream,
    TagNotFoundError,
    TokenBudgetConfig,
    TokenUsage,
    ToolIOContent,
    TractConfig,
    TractStore,
    Transaction,
    UnsetType,
    config,
    metadata,
)

EDIT = CommitOperation.EDIT
COUNTER = NullTokenCounter()
MARK = "of the other tract"
SAID = {"content_type": "dialogue", "role": "user", "text": "mine"}
ALWAYS = CompactionPolicy(trigger_tokens=1, target_tokens=0, clear_at_least=0)
KINDS = ("entry", "edit", "annotation", "head", "side")
BRANCHES = ("main", "side", "new")

Call = Callable[["World", str], Awaitable[Any]]


class World(NamedTuple):
    """A store with two tracts: a handle on mine, and what hashes name in the other."""

    store: TractStore
    path: Path
    mine: AsyncTract
    foreign: dict[str, str]


class Refused(NamedTuple):
    """A call that is to fail, and how."""

    error: type[Exception]
    call: Call


def tool(word: str) -> dict[str, Any]:
    """Return the definition of a tool that tells *word*."""
    return {"type": "function", "function": {"name": "look", "description": word, "parameters": {}}}


def call_of(word: str) -> ToolIOContent:
    """Return a tool call, open until there is a result of it."""
    return ToolIOContent(tool_name="look", direction="call", payload={"at": word}, call_id="open")


async def fill(tract: AsyncTract, word: str) -> dict[str, str]:
    """Commit everything that there is to commit; return its hashes by kind."""
    noted: dict[str, Any] = {
        "message": word,
        "metadata": {"by": word},
        "generation_config": {"model": word, "temperature": 0.5},
    }
    entry = await tract.user(word, **noted)
    edit = await tract.user(word, operation=EDIT, edit_target=entry.commit_hash, **noted)
    annotation = await tract.annotate(entry.commit_hash, Priority.PINNED, reason=word)
    await tract.tools([tool(word)], **noted)
    await tract.commit(call_of(word))
    head = await tract.assistant(word, **noted)
    await tract.attach(word.encode(), "text/plain")
    await tract.record_usage(TokenUsage(len(word), 5))
    return {
        "entry": entry.commit_hash,
        "edit": edit.commit_hash,
        "annotation": annotation.commit_hash,
        "head": head.commit_hash,
    }


@pytest_asyncio.fixture(params=BRANCHES)
async def world(db_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """The handle is on a branch of each kind: the main one, a second one, one without commits."""
    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        await fill(store.tract("mine"), "of mine")
        await fill(store.tract("mine", branch="side"), "of mine")
        foreign = await fill(store.tract("other"), MARK)
        foreign["side"] = (await fill(store.tract("other", branch="side"), MARK))["entry"]
        await store.tract("mine").fork("kept")
        await store.tract("mine").tag("kept")
        yield World(store, db_path, store.tract("mine", branch=request.param), foreign)


def rows(path: Path, tract_id: str) -> list[tuple[Any, ...]]:
    """Return every row that the store has of a tract, the contents' among them."""
    connection = sqlite3.connect(path)
    found = [
        row
        for statement in (
            "SELECT * FROM commits JOIN blobs USING (content_hash) WHERE tract_id = ?",
            "SELECT * FROM refs WHERE tract_id = ?",
            "SELECT * FROM usage WHERE tract_id = ?",
            "SELECT * FROM runs WHERE tract_id = ?",
            "SELECT * FROM origins WHERE tract_id = ?",
            "SELECT * FROM attachments JOIN blobs ON content_hash = attachment_hash "
            "WHERE tract_id = ?",
        )
        for row in connection.execute(statement, (tract_id,))
    ]
    connection.close()
    return found


# each call, given a hash of the other tract wherever it takes one


async def in_batch(world: World, stage: Callable[[Batch], Any], **options: Any) -> Any:
    async with world.mine.batch(**options) as batch:
        stage(batch)
    return batch.commits


async def committed_in_batch(world: World, name: str) -> Any:
    async with world.mine.batch() as batch:
        staged = batch.commit(SAID, metadata={"given": name})
    return [staged.info, batch.commits]


async def referred_to_in_batch(world: World, name: str) -> Any:
    async with world.mine.batch() as batch:
        batch.state({"given": name, "seen": batch.commit(SAID).reference})
    return [await world.mine.get_content("main"), batch.commits]


async def in_transaction(world: World, name: str | UnsetType) -> Any:
    async with world.store.transaction() as tx:
        tx.on(world.mine, expected_head=name).user("x")
    return tx.commits


async def listed(world: World, name: str) -> Any:
    """Read and page through everything that a handle lists."""
    first = await world.mine.log(None)
    return [await world.mine.log(1, before=info.commit_hash) for info in first]


async def indexed(world: World, name: str) -> Any:
    await world.store.create_config_index("model")
    return await world.mine.query_by_config("model", "in", [MARK, "of mine"])


class Custom(FreeformContent):
    """A type that the whole store knows once any tract has registered it."""


async def registered(world: World, name: str) -> Any:
    world.mine.register_content_type("custom", Custom)
    world.store.register_content_type("custom", Custom)
    return await world.mine.log(None)


async def closed(world: World, name: str) -> Any:
    """A handle that is closed leaves the other tract's open."""
    await world.mine.aclose()
    await world.store.tract("other").head()


async def closed_store(world: World, name: str) -> Any:
    await world.store.aclose()


async def queried(world: World, name: str) -> Any:
    found = [
        await world.mine.query_by_config("model", operator, value)
        for operator, value in [
            *(("=", MARK), ("!=", "x"), (">", ""), ("<=", MARK), ("in", [MARK]), ("not in", [])),
        ]
    ]
    return [*found, await world.mine.query_by_config("temperature", ">", 0, limit=10**6)]


async def asked(world: World, name: str) -> Any:
    model = config("model")
    return [
        await world.mine.query(),
        await world.mine.query(model == MARK),
        await world.mine.query(metadata("of").exists(), newest=True, contents=True),
        await world.mine.query(Field.message.contains(MARK)),
        await world.mine.query(model.in_([MARK, "of mine"]), model.exists(), branch_only=True),
    ]


async def searched(world: World, name: str) -> Any:
    await world.store.enable_search()
    return [
        await world.mine.search(MARK),
        await world.mine.search("mine", limit=None),
        await world.mine.search(f"{MARK} mine", branch_only=True),
    ]


async def unsearched(world: World, name: str) -> Any:
    await world.store.enable_search()
    await world.store.disable_search()


async def watched(world: World, name: str) -> Any:
    found = []
    async with world.mine.watch() as watch:
        for _ in await world.mine.log(None):
            found.append(await anext(watch))  # noqa: PERF401 - as it comes
    return found


async def compiled(world: World, name: str) -> Any:
    contexts = [
        await world.mine.compile(),
        await world.mine.compile(at_time=datetime.now(UTC)),
        await world.mine.compile(include_edit_annotations=True, aggregate_same_role=False),
        await world.mine.compile(include_erased=True),
    ]
    return [
        (
            *(c.to_dicts(), c.commit_hashes, c.generation_configs, c.token_source, c.head_hash),
            *(c.tools, c.open_calls),
        )
        for c in contexts
    ]


def shown(entries: list[EntryInfo]) -> list[Any]:
    """Return all that entries tell."""
    return [
        (
            *(entry.commit_hash, entry.edited_by, entry.created_at, entry.priority, entry.message),
            *(entry.content_type, entry.content, entry.generation_config, entry.metadata),
            entry.token_count,
        )
        for entry in entries
    ]


async def entered(world: World, name: str) -> Any:
    """List the entries of every way to list them, and the contents of all that there is."""
    mine = world.mine
    own = [info for info in await mine.log(None) if info.content_type != "annotation"]
    return [
        shown(await mine.entries()),
        shown(await mine.entries(include_skipped=True, limit=10**6, newest=True)),
        shown(await mine.entries(at_commit=None)),
        await mine.get_contents([info.commit_hash for info in own]),
        await mine.get_contents([]),
        await mine.log(None, contents=True),
    ]


async def settled(world: World, name: str) -> Any:
    """The call of the other tract stays open, though one of the same id is answered here."""
    await world.mine.commit(call_of("mine"))
    answers = await world.mine.settle(reason=name)
    [call] = (await world.store.tract("other").compile()).open_calls

    assert answers
    assert (call.id, (await world.mine.compile()).open_calls) == ("open", [])
    return answers


async def by_keys(world: World, name: str) -> Any:
    """A key of the other tract names nothing here, and may be given here, too."""
    other = world.store.tract("keyed")
    await other.user("theirs", key="k", on_key="replace")
    before = await world.mine.get_by_keys(["k", name]), await world.mine.keys()
    mine = await world.mine.user("mine", key="k")

    assert before == ({}, [])
    assert [each.commit_hash for each in await world.mine.keys()] == [mine.commit_hash]
    return mine


async def checked(world: World, name: str) -> Any:
    report = await world.mine.verify()
    connection = sqlite3.connect(world.path)
    counting = "SELECT count(*) FROM commits WHERE tract_id = 'mine'"
    [commits] = connection.execute(counting).fetchone()
    connection.close()

    assert (report.checked, report.faults) == (commits, ())
    return report


async def recorded(world: World, name: str) -> Any:
    await world.mine.user("mine")
    return (await world.mine.record_usage(TokenUsage(1, 1))).token_source


REPLY: dict[str, Any] = {
    "choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": "Hi"}}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1},
}


async def replied(world: World, name: str) -> Any:
    await world.mine.user("mine")
    return len(await world.mine.record(REPLY))


async def fresh_handles(world: World, name: str) -> Any:
    """A hash for a name makes a tract or a branch of that name, with nothing in it."""
    handles = [world.store.tract(name), world.store.tract("mine", branch=name)]
    return [(await handle.compile()).to_dicts() for handle in handles]


async def opened(world: World, name: str) -> Any:
    for kind in (AsyncTract, TractStore):
        async with kind.open(world.path, tokenizer=COUNTER) as another:
            handle = another.tract("mine") if isinstance(another, TractStore) else another
            assert await handle.get_commit(name) is None


async def forked(world: World, name: str) -> Any:
    """Fork, tag, move and delete; a branch without commits has nothing to fork."""
    tract = world.mine
    if await tract.head() is None:
        return await tract.branches()
    fork = await tract.fork("forked")
    await fork.user("mine")
    told = [await fork.tag("tagged"), await tract.tags(), await tract.branches()]
    told += [await tract.merge("forked", message=name), await tract.diff("tagged", tract.branch)]
    told += [await fork.reset("tagged", reason="mine"), await tract.compare(["forked"])]
    await tract.delete_branch("forked", force=True)
    await tract.delete_tag("tagged")
    return [*told, await tract.reflog(), await tract.reflog(name), await tract.stats()]


async def merged(world: World, name: str) -> Any:
    """Merge what there is, squash, pick, and list where it came from."""
    side = world.store.tract("mine", branch="side")
    info = await side.user("mine")
    squash = {"content_type": "freeform", "payload": name}
    told: list[Any] = [
        await world.mine.merge("side", squash=squash),
        await world.mine.merge("side"),
    ]
    told += await world.mine.cherry_pick(info.commit_hash)
    return [*told, await world.mine.origins(), await world.mine.log(None)]


ATTACHED = sha256(MARK.encode()).hexdigest()
NAMING = MessageContent(role="user", parts=(MediaPart(kind="document", attachment=ATTACHED),))

CHUNKS: list[dict[str, Any]] = [
    {"choices": [{"index": 0, "delta": {"content": "mine"}, "finish_reason": None}]},
    {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}},
]
EVENTS: list[dict[str, Any]] = [
    {"type": "message_start", "message": {"usage": {"input_tokens": 1, "output_tokens": 1}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "mine"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}},
    {"type": "message_stop"},
]


async def said(stream: Stream) -> None:
    async with stream:
        await stream.write("mine")


async def streamed(world: World, name: str) -> Any:
    """A stream, and both kinds of recordings: kept, and left behind for nobody else."""
    async with world.mine.stream(role="user", on_interrupt="discard") as stream:
        await stream.write("mine")
    return [
        stream.commit_info,
        await drained(world.mine.record_openai(reply(*CHUNKS), on_interrupt="keep")),
        await drained(world.mine.record_anthropic(reply(*EVENTS))),
        await world.store.recover_streams(),
    ]


def planned(name: str) -> CompactionPlan:
    """Return a plan that hides a commit of the other tract."""
    return CompactionPlan(
        head_hash=name,
        hides=(name,),
        tokens_before=1,
        tokens_hidden=1,
        floor=0,
        target_tokens=None,
        summary_tokens=None,
    )


async def compacted(world: World, name: str) -> Any:
    """Shorten, list and undo; nothing of the other tract is summarised."""
    asked: list[CompactionRequest] = []

    async def summarise(request: CompactionRequest) -> str:
        asked.append(request)
        return name

    await world.mine.user("mine")
    done = await world.mine.compact(summarise, keep_recent=0, must_keep=[name])
    assert done is not None
    told = [done, await world.mine.compactions(), [each.context.to_dicts() for each in asked]]
    return [*told, await world.mine.expand(done.commit_hash, reason=name)]


CALLS: dict[str, list[Call | Refused]] = {
    "AsyncTract.aclose": [closed],
    "AsyncTract.attach": [lambda w, name: w.mine.attach(name.encode(), "text/plain")],
    "AsyncTract.attachment": [
        Refused(AttachmentNotFoundError, lambda w, name: w.mine.attachment(name)),
        Refused(AttachmentNotFoundError, lambda w, name: w.mine.attachment(ATTACHED)),
    ],
    "AsyncTract.annotate": [
        Refused(CommitNotFoundError, lambda w, name: w.mine.annotate(name, Priority.SKIP)),
        Refused(CommitNotFoundError, lambda w, name: w.mine.annotate(name, Priority.NORMAL)),
        Refused(
            HeadMovedError,
            lambda w, name: w.mine.annotate("main", Priority.SKIP, expected_head=name),
        ),
    ],
    "AsyncTract.assistant": [
        lambda w, name: w.mine.assistant(name, name=name, message=name, metadata={name: name}),
        Refused(
            EditTargetError,
            lambda w, name: w.mine.assistant("x", operation=EDIT, edit_target=name),
        ),
        Refused(HeadMovedError, lambda w, name: w.mine.assistant("x", expected_head=name)),
    ],
    "AsyncTract.batch": [
        Refused(
            HeadMovedError,
            lambda w, name: in_batch(w, lambda batch: batch.commit(SAID), expected_head=name),
        ),
        Refused(HeadMovedError, lambda w, name: in_batch(w, bool, expected_head=name)),
    ],
    "AsyncTract.branch": [],
    "AsyncTract.branches": [forked],
    "AsyncTract.cherry_pick": [
        merged,
        Refused(CommitNotFoundError, lambda w, name: w.mine.cherry_pick(name)),
        Refused(HeadMovedError, lambda w, name: w.mine.cherry_pick("main", expected_head=name)),
    ],
    "AsyncTract.commit": [
        Refused(ContentValidationError, lambda w, name: w.mine.commit(NAMING)),
        lambda w, name: w.mine.commit(SAID, generation_config={"model": name}),
        Refused(
            EditTargetError, lambda w, name: w.mine.commit(SAID, operation=EDIT, edit_target=name)
        ),
        Refused(HeadMovedError, lambda w, name: w.mine.commit(SAID, expected_head=name)),
    ],
    "AsyncTract.plan_compaction": [
        lambda w, name: w.mine.plan_compaction(keep=["kept"], keep_recent=0),
        Refused(CommitNotFoundError, lambda w, name: w.mine.plan_compaction(keep=[name])),
    ],
    "AsyncTract.compact": [
        compacted,
        Refused(CompactionError, lambda w, name: w.mine.compact(None, plan=planned(name))),
        Refused(CommitNotFoundError, lambda w, name: w.mine.compact(None, keep=[name])),
    ],
    "AsyncTract.clear_tool_results": [
        lambda w, name: w.mine.clear_tool_results(keep=0, placeholder=name)
    ],
    "AsyncTract.expand": [
        compacted,
        Refused(CommitNotFoundError, lambda w, name: w.mine.expand(name)),
    ],
    "AsyncTract.compactions": [
        compacted,
        Refused(CommitNotFoundError, lambda w, name: w.mine.compactions(at_commit=name)),
    ],
    "AsyncTract.compile": [
        compiled,
        Refused(CommitNotFoundError, lambda w, name: w.mine.compile(at_commit=name)),
    ],
    "AsyncTract.compare": [
        forked,
        Refused(RefNameError, lambda w, name: w.mine.compare([name])),
    ],
    "AsyncTract.delete_branch": [
        forked,
        Refused(RefNameError, lambda w, name: w.mine.delete_branch(name, force=True)),
        Refused(HeadMovedError, lambda w, name: w.mine.delete_branch("kept", expected_head=name)),
    ],
    "AsyncTract.delete_tag": [
        forked,
        Refused(RefNameError, lambda w, name: w.mine.delete_tag(name)),
        Refused(HeadMovedError, lambda w, name: w.mine.delete_tag("kept", expected_head=name)),
    ],
    "AsyncTract.diff": [
        forked,
        Refused(CommitNotFoundError, lambda w, name: w.mine.diff(name, "main")),
        Refused(CommitNotFoundError, lambda w, name: w.mine.diff("main", name)),
    ],
    "AsyncTract.edit_entries": [
        lambda w, name: w.mine.edit_entries(append=[SAID]),
        Refused(CommitNotFoundError, lambda w, name: w.mine.edit_entries(skip=[name])),
        Refused(HeadMovedError, lambda w, name: w.mine.edit_entries(expected_head=name)),
    ],
    "AsyncTract.entries": [
        entered,
        Refused(CommitNotFoundError, lambda w, name: w.mine.entries(at_commit=name)),
    ],
    "AsyncTract.fork": [
        forked,
        Refused(CommitNotFoundError, lambda w, name: w.mine.fork("forked", at_commit=name)),
        Refused(RefNameError, lambda w, name: w.mine.fork(name)),
        Refused(HeadMovedError, lambda w, name: w.mine.fork("forked", expected_head=name)),
    ],
    "AsyncTract.get_annotations": [
        Refused(CommitNotFoundError, lambda w, name: w.mine.get_annotations(name))
    ],
    "AsyncTract.get_commit": [lambda w, name: w.mine.get_commit(name)],
    "AsyncTract.get_content": [
        Refused(CommitNotFoundError, lambda w, name: w.mine.get_content(name))
    ],
    "AsyncTract.get_contents": [
        entered,
        Refused(CommitNotFoundError, lambda w, name: w.mine.get_contents([name])),
        Refused(CommitNotFoundError, lambda w, name: w.mine.get_contents(["kept", name])),
    ],
    "AsyncTract.prune": [
        Refused(CommitNotFoundError, lambda w, name: w.mine.prune(before=name, reason="asked")),
    ],
    "AsyncTract.erase": [
        Refused(CommitNotFoundError, lambda w, name: w.mine.erase([name], reason="asked")),
        Refused(CommitNotFoundError, lambda w, name: w.mine.erase(["kept", name], reason="asked")),
    ],
    "AsyncTract.head": [lambda w, name: w.mine.head()],
    "AsyncTract.get_by_keys": [by_keys],
    "AsyncTract.keys": [
        by_keys,
        Refused(CommitNotFoundError, lambda w, name: w.mine.keys(newest=True, before=name)),
    ],
    "AsyncTract.info": [lambda w, name: w.mine.info()],
    "AsyncTract.log": [
        listed,
        Refused(CommitNotFoundError, lambda w, name: w.mine.log(before=name)),
        Refused(CommitNotFoundError, lambda w, name: w.mine.log(before=name, contents=True)),
    ],
    "AsyncTract.merge": [
        merged,
        Refused(RefNameError, lambda w, name: w.mine.merge(name)),
        Refused(HeadMovedError, lambda w, name: w.mine.merge("kept", expected_head=name)),
    ],
    "AsyncTract.on": [Refused(RefNameError, lambda w, name: w.mine.on(name).head())],
    "AsyncTract.open": [opened],
    "AsyncTract.query": [
        asked,
        Refused(CommitNotFoundError, lambda w, name: w.mine.query(after=name)),
        Refused(CommitNotFoundError, lambda w, name: w.mine.query(before=name, contents=True)),
    ],
    "AsyncTract.search": [
        searched,
        Refused(ValueError, lambda w, name: w.mine.search("mine", after=name)),
    ],
    "AsyncTract.count": [
        lambda w, name: w.mine.count(Field.message.exists()),
        Refused(CommitNotFoundError, lambda w, name: w.mine.count(after=name)),
        Refused(CommitNotFoundError, lambda w, name: w.mine.count(before=name, branch_only=True)),
    ],
    "AsyncTract.origins": [
        merged,
        Refused(CommitNotFoundError, lambda w, name: w.mine.origins(name)),
    ],
    "AsyncTract.query_by_config": [queried],
    "AsyncTract.reached_by": [
        lambda w, name: w.mine.reached_by(["kept"]),
        Refused(CommitNotFoundError, lambda w, name: w.mine.reached_by(["kept", name])),
    ],
    "AsyncTract.set_info": [
        lambda w, name: w.mine.set_info(title=name, metadata={"a": name}, expected_metadata=None)
    ],
    "AsyncTract.record_anthropic": [
        streamed,
        Refused(
            CommitNotFoundError,
            lambda w, name: drained(w.mine.record_anthropic(reply(*EVENTS), head_hash=name)),
        ),
        Refused(
            HeadMovedError,
            lambda w, name: drained(w.mine.record_anthropic(reply(*EVENTS), expected_head=name)),
        ),
    ],
    "AsyncTract.record": [
        replied,
        Refused(CommitNotFoundError, lambda w, name: w.mine.record(REPLY, head_hash=name)),
        Refused(HeadMovedError, lambda w, name: w.mine.record(REPLY, expected_head=name)),
    ],
    "AsyncTract.record_openai": [
        streamed,
        Refused(
            CommitNotFoundError,
            lambda w, name: drained(w.mine.record_openai(reply(*CHUNKS), head_hash=name)),
        ),
        Refused(
            HeadMovedError,
            lambda w, name: drained(w.mine.record_openai(reply(*CHUNKS), expected_head=name)),
        ),
    ],
    "AsyncTract.record_stream": [
        streamed,
        Refused(
            CommitNotFoundError,
            lambda w, name: drained(w.mine.record_stream(reply(*CHUNKS), head_hash=name)),
        ),
        Refused(
            HeadMovedError,
            lambda w, name: drained(w.mine.record_stream(reply(*CHUNKS), expected_head=name)),
        ),
    ],
    "AsyncTract.record_usage": [
        recorded,
        Refused(
            CommitNotFoundError, lambda w, name: w.mine.record_usage(TokenUsage(1), head_hash=name)
        ),
    ],
    "AsyncTract.reflog": [forked],
    "AsyncTract.register_content_type": [registered],
    "AsyncTract.reset": [
        forked,
        Refused(CommitNotFoundError, lambda w, name: w.mine.reset(name)),
        Refused(HeadMovedError, lambda w, name: w.mine.reset(None, expected_head=name)),
    ],
    "AsyncTract.maintain": [lambda w, name: w.mine.maintain(policy=ALWAYS)],
    "AsyncTract.settle": [
        Refused(HeadMovedError, lambda w, name: w.mine.settle(expected_head=name)),
        settled,
        Refused(HeadMovedError, lambda w, name: w.mine.settle(expected_head=name)),
    ],
    "AsyncTract.stats": [forked],
    "AsyncTract.stream": [
        streamed,
        Refused(HeadMovedError, lambda w, name: said(w.mine.stream(expected_head=name))),
    ],
    "AsyncTract.sync": [],  # the same calls, which block
    "AsyncTract.system": [
        lambda w, name: w.mine.system(name),
        Refused(
            EditTargetError, lambda w, name: w.mine.system("x", operation=EDIT, edit_target=name)
        ),
        Refused(HeadMovedError, lambda w, name: w.mine.system("x", expected_head=name)),
    ],
    "AsyncTract.tag": [
        forked,
        Refused(CommitNotFoundError, lambda w, name: w.mine.tag("tagged", name)),
        Refused(HeadMovedError, lambda w, name: w.mine.tag("tagged", expected_head=name)),
    ],
    "AsyncTract.tags": [forked],
    "AsyncTract.tools": [
        lambda w, name: w.mine.tools([tool(name)], message=name, metadata={name: name}),
        Refused(
            EditTargetError,
            lambda w, name: w.mine.tools([tool("x")], operation=EDIT, edit_target=name),
        ),
        Refused(HeadMovedError, lambda w, name: w.mine.tools([], expected_head=name)),
    ],
    "AsyncTract.tract_id": [],
    "AsyncTract.state": [
        lambda w, name: w.mine.state({"named": name}),
        Refused(HeadMovedError, lambda w, name: w.mine.state({}, expected_head=name)),
    ],
    "AsyncTract.user": [
        lambda w, name: w.mine.user(name),
        Refused(
            EditTargetError, lambda w, name: w.mine.user("x", operation=EDIT, edit_target=name)
        ),
        Refused(HeadMovedError, lambda w, name: w.mine.user("x", expected_head=name)),
    ],
    "AsyncTract.verify": [checked],
    "AsyncTract.watch": [
        watched,
        Refused(CommitNotFoundError, lambda w, name: anext(w.mine.watch(name))),
    ],
    "Batch.annotate": [
        Refused(
            CommitNotFoundError,
            lambda w, name: in_batch(w, lambda batch: batch.annotate(name, Priority.SKIP)),
        )
    ],
    "Batch.assistant": [
        lambda w, name: in_batch(w, lambda batch: batch.assistant(name)),
        Refused(
            EditTargetError,
            lambda w, name: in_batch(
                w, lambda batch: batch.assistant("x", operation=EDIT, edit_target=name)
            ),
        ),
        Refused(
            HeadMovedError,
            lambda w, name: in_batch(w, lambda batch: batch.assistant("x", expected_head=name)),
        ),
    ],
    "Batch.commit": [
        committed_in_batch,
        Refused(
            EditTargetError,
            lambda w, name: in_batch(
                w, lambda batch: batch.commit(SAID, operation=EDIT, edit_target=name)
            ),
        ),
        Refused(
            HeadMovedError,
            lambda w, name: in_batch(w, lambda batch: batch.commit(SAID, expected_head=name)),
        ),
    ],
    "Batch.delete_branch": [
        Refused(
            BranchNotFoundError,
            lambda w, name: in_batch(w, lambda batch: batch.delete_branch("theirs")),
        ),
    ],
    "Batch.delete_tag": [
        Refused(
            TagNotFoundError, lambda w, name: in_batch(w, lambda batch: batch.delete_tag("theirs"))
        ),
    ],
    "Batch.erase": [
        Refused(
            CommitNotFoundError,
            lambda w, name: in_batch(w, lambda batch: batch.erase([name], reason="x")),
        ),
    ],
    "Batch.fork": [
        Refused(
            CommitNotFoundError,
            lambda w, name: in_batch(w, lambda batch: batch.fork("x", at_commit=name)),
        ),
    ],
    "Batch.record_usage": [
        Refused(
            CommitNotFoundError,
            lambda w, name: in_batch(
                w, lambda batch: batch.record_usage(TokenUsage(1), head_hash=name)
            ),
        ),
    ],
    "Batch.reset": [
        Refused(CommitNotFoundError, lambda w, name: in_batch(w, lambda batch: batch.reset(name))),
    ],
    "Batch.set_info": [
        lambda w, name: in_batch(w, lambda batch: batch.set_info(title=name, metadata={"a": name}))
    ],
    "Batch.state": [
        lambda w, name: in_batch(w, lambda batch: batch.state({"named": name})),
        Refused(
            HeadMovedError,
            lambda w, name: in_batch(w, lambda batch: batch.state({}, expected_head=name)),
        ),
    ],
    "Batch.system": [
        lambda w, name: in_batch(w, lambda batch: batch.system(name)),
        Refused(
            EditTargetError,
            lambda w, name: in_batch(
                w, lambda batch: batch.system("x", operation=EDIT, edit_target=name)
            ),
        ),
        Refused(
            HeadMovedError,
            lambda w, name: in_batch(w, lambda batch: batch.system("x", expected_head=name)),
        ),
    ],
    "Batch.tag": [
        Refused(
            CommitNotFoundError, lambda w, name: in_batch(w, lambda batch: batch.tag("x", name))
        ),
    ],
    "Batch.user": [
        lambda w, name: in_batch(w, lambda batch: batch.user(name)),
        Refused(
            EditTargetError,
            lambda w, name: in_batch(
                w, lambda batch: batch.user("x", operation=EDIT, edit_target=name)
            ),
        ),
        Refused(
            HeadMovedError,
            lambda w, name: in_batch(w, lambda batch: batch.user("x", expected_head=name)),
        ),
    ],
    "StagedCommit.info": [committed_in_batch],
    "StagedCommit.reference": [referred_to_in_batch],
    "TractStore.aclose": [closed_store],
    "TractStore.backup": [],  # writes all tracts, which the caller has
    "TractStore.copy_tract": [
        Refused(CommitNotFoundError, lambda w, name: w.store.copy_tract("mine", "copied", at=name)),
    ],
    "TractStore.export": [
        Refused(
            CommitNotFoundError,
            lambda w, name: w.store.export(f"{w.path}.out", tracts={"mine": name}),
        ),
    ],
    "TractStore.import_": [],  # takes a file, no name of a commit
    "TractStore.cache_info": [],  # what all tracts together use of the cache, in numbers
    "TractStore.collect": [lambda w, name: w.store.collect()],
    "TractStore.info": [],  # numbers of all tracts together
    "TractStore.vacuum": [lambda w, name: w.store.vacuum()],
    "TractStore.retain": [
        lambda w, name: w.store.retain(Retention(keep=0), tract_ids=["a third"], reason=name)
    ],
    "TractStore.create_config_index": [indexed],
    "TractStore.erase_tract": [lambda w, name: w.store.erase_tract("a third", reason=name)],
    "TractStore.from_engine": [],  # gives a store, whose calls are here
    "TractStore.open": [opened],
    "TractStore.recover_streams": [streamed],
    "TractStore.register_content_type": [registered],
    "TractStore.sync": [],  # the same calls, which block
    "TractStore.tract": [fresh_handles],
    "TractStore.tract_ids": [],  # tells the names of tracts, and nothing in them
    "TractStore.enable_search": [searched],
    "TractStore.disable_search": [unsearched],
    "TractStore.search": [
        Refused(ValueError, lambda w, name: w.store.search("mine", after=name))
    ],  # finds what all tracts say
    "TractStore.transaction": [],  # its calls are those of a batch, and `on`
    "TractStore.tracts": [
        lambda w, name: w.store.tracts(prefix="mine"),
        Refused(ValueError, lambda w, name: w.store.tracts(after=name)),
    ],
    "Transaction.on": [
        lambda w, name: in_transaction(w, UNSET),
        Refused(HeadMovedError, in_transaction),
    ],
}

HARMLESS = {
    "exact",
    "vacuum",
    # what is committed, and how
    *("summarise", "target_tokens", "keep_recent", "must_keep", "roll_up", "summary_tokens"),
    *("exclude_tools", "placeholder"),
    *("content", "text", "operation", "message", "metadata", "generation_config", "name", "reason"),
    *("policy", "strategy", "summarise"),
    *("priority", "usage", "options", "as_", "redact", "reply", "tools", "api"),
    # what is looked for, and how it is shown; no value of these names a commit
    *(
        "at_time",
        "include_edit_annotations",
        "aggregate_same_role",
        "include_erased",
        "limit",
        "field",
        "operator",
    ),
    *("value", "as_", "order", "resets", "include_skipped", "newest", "contents", "progress"),
    "rebuild",
    # stores themselves
    *("target", "config", "conditions", "branch_only", "tokenizer", "compiler", "engine", "model"),
    *("own_loop", "append", "tract", "telemetry"),
    *("path", "progress", "source"),
    *("data", "media_type"),
    # names of their own for commits, of which each tract has its own; and state
    *("key", "keys", "on_key", "prefix", "payload", "content_types", "state"),
    # how branches are moved
    *("force", "fast_forward", "on_conflict", "squash"),
    # how tracts are called and listed
    *("title", "expected_metadata", "prefix", "order_by", "descending"),
    # how much is kept
    *("keep", "retention", "tract_ids"),
    # what comes bit by bit
    *("role", "response", "on_interrupt", "wait"),
}
NAMES = {"tract_id", "branch", "names"}
HASHES = {
    "plan",
    "sha256",
    "at_commit",
    "before",
    "commit_hash",
    "edit_target",
    "expected_head",
    "head_hash",
    "at",
    "tracts",
} | {*("target_hash", "to_hash", "hashes", "a", "b", "after", "skip")}


def public_calls() -> dict[str, Any]:
    """Return every public method and property of the facades."""
    return {
        f"{kind.__name__}.{name}": inspect.getattr_static(kind, name)
        for kind in (AsyncTract, Batch, StagedCommit, TractStore, Transaction)
        for name in dir(kind)
        if not name.startswith("_")
    }


def parameters(call: Any) -> set[str]:
    function = call.__func__ if isinstance(call, (classmethod, staticmethod)) else call
    if isinstance(call, property):
        return set()
    return set(inspect.signature(function).parameters) - {"self", "cls"}


def test_every_public_call_is_here() -> None:
    assert sorted(CALLS) == sorted(public_calls())


def test_every_parameter_of_a_public_call_is_known_for_what_it_takes() -> None:
    """`target` of a batch's annotation is a hash by another name."""
    known = HARMLESS | NAMES | HASHES
    unknown = {
        f"{name}({parameter})"
        for name, call in public_calls().items()
        for parameter in parameters(call) - known
    }

    assert unknown == set()


def test_every_parameter_that_takes_a_hash_is_given_a_foreign_one() -> None:
    taking = {
        name
        for name, call in public_calls().items()
        if parameters(call) & HASHES or "options" in parameters(call)
    }
    given = {name for name, calls in CALLS.items() if calls}

    assert taking - given == set()
    for name in taking - {"AsyncTract.get_commit"}:
        there = parameters(public_calls()[name])
        takes = there & HASHES
        if "options" in there:
            takes |= {"head_hash" if "response" in there else "edit_target", "expected_head"}
        refusals = [call for call in CALLS[name] if isinstance(call, Refused)]
        assert len(refusals) >= len(takes), name


ONCE = {call: name for name, calls in CALLS.items() for call in calls}
"""Each call once, however many methods it is for, with the name of one of them."""
IN_ORDER = sorted(ONCE, key=lambda call: call in (closed, closed_store))
"""Those that close come last."""


@pytest.mark.parametrize(
    ("world", "kind"),
    [*(("main", kind) for kind in KINDS), *((branch, "entry") for branch in BRANCHES[1:])],
    indirect=["world"],
)
async def test_no_call_reaches_the_other_tract(
    world: World, kind: str, subtests: pytest.Subtests
) -> None:
    other = world.store.tract("other")
    before, log = await other.compile(), await other.log(None)
    for number, call in enumerate(IN_ORDER):
        with subtests.test(f"{ONCE[call]} #{number}"):
            if call is closed:
                assert await other.compile() == before
                assert await other.log(None) == log
                assert (await other.verify()).faults == ()
            await reaches_nothing_else(world, call, world.foreign[kind])


async def reaches_nothing_else(world: World, call: Call | Refused, given: str) -> None:
    """Check that a call neither changes nor tells anything of the other tract."""
    others, mine = rows(world.path, "other"), rows(world.path, "mine")
    if isinstance(call, Refused):
        with pytest.raises(call.error) as caught:
            await call.call(world, given)
        told = str(caught.value)

        assert rows(world.path, "mine") == mine
    else:
        told = repr(await call(world, given))
    told = told.replace(given, "")  # what it was given itself

    assert rows(world.path, "other") == others
    assert MARK not in told
    assert [digest for digest in world.foreign.values() if digest in told] == []


async def test_a_commit_staged_for_one_tract_is_no_target_in_another(world: World) -> None:
    other = world.store.tract("other")
    async with other.batch() as theirs:
        staged = theirs.commit(SAID)
    before = rows(world.path, "mine")
    with pytest.raises(EditTargetError):
        async with world.mine.batch() as batch:
            batch.commit(SAID, operation=EDIT, edit_target=staged)
    with pytest.raises(CommitNotFoundError):
        async with world.mine.batch() as batch:
            batch.annotate(staged, Priority.SKIP)
    async with other.batch() as unlanded:
        waiting = unlanded.commit(SAID)
        with pytest.raises(EditTargetError):
            async with world.mine.batch() as batch:
                batch.commit(SAID, operation=EDIT, edit_target=waiting)

    assert rows(world.path, "mine") == before


async def test_tract_ids_name_tracts_and_the_cache_tells_numbers(world: World) -> None:
    assert await world.store.tract_ids() == ["mine", "other"]
    assert MARK not in repr(world.store.cache_info())
    assert MARK not in repr([world.mine, world.mine.tract_id, world.mine.branch])


async def test_a_budget_counts_its_own_tract_alone(target: Path | str) -> None:
    budget = TokenBudgetConfig(max_tokens=20, action=BudgetAction.REJECT)
    config = TractConfig(token_budget=budget)
    async with TractStore.open(target, config=config, tokenizer=_Words()) as store:
        for number in range(30):
            await store.tract(f"tract {number}").user("a word or two")

        assert len(await store.tract_ids()) == 30


class _Words(NullTokenCounter):
    """Counts words, so that budgets have something to count."""

    def count_text(self, text: str) -> int:
        return len(text.split())

    def count_messages(self, messages: Any) -> int:
        return sum(self.count_text(message["content"]) for message in messages)


# tracts whose commits have the very same hashes


@pytest_asyncio.fixture
async def twins(target: Path | str) -> AsyncIterator[tuple[AsyncTract, AsyncTract, str]]:
    """Two tracts with one commit each, of one hash: they say the same at the same time."""
    store = await with_clock(target, lambda: 1_700_000_000_000_000)
    async with store:
        one, two = store.tract("one"), store.tract("two")
        first = await one.user("same", message="one", generation_config={"of": "one"})
        second = await two.user("same", message="two", generation_config={"of": "two"})

        assert first.commit_hash == second.commit_hash
        yield one, two, first.commit_hash


async def seen(tract: AsyncTract, name: str) -> Any:
    """Return all that a tract shows of a commit and its history."""
    context = await tract.compile()
    return (
        await tract.get_commit(name),
        await tract.get_content(name),
        await tract.get_contents([name]),
        await tract.reached_by([name]),
        shown(await tract.entries(include_skipped=True)),
        shown(await tract.entries(at_commit=name)),
        await tract.get_annotations(name),
        await tract.log(None),
        await tract.log(None, contents=True),
        await tract.query_by_config("of", "!=", None),
        (context.to_dicts(), context.token_source, context.generation_configs),
        await tract.compile(at_commit=name),
        await tract.verify(),
    )


async def test_one_hash_in_two_tracts_is_two_commits(
    twins: tuple[AsyncTract, AsyncTract, str],
) -> None:
    one, two, name = twins
    first, second = await one.get_commit(name), await two.get_commit(name)

    assert first is not None
    assert second is not None
    assert (first.message, first.generation_config) == ("one", {"of": "one"})
    assert (second.message, second.generation_config) == ("two", {"of": "two"})


async def test_one_head_in_two_tracts_is_two_contexts(
    twins: tuple[AsyncTract, AsyncTract, str],
) -> None:
    """Not even the cache takes one for the other."""
    for _ in range(2):
        for tract in twins[:2]:
            contexts = [await tract.compile(), await tract.compile(at_commit=twins[2])]
            entries = [*await tract.entries(), *await tract.entries(at_commit=twins[2])]

            assert [c.generation_configs for c in contexts] == [[{"of": tract.tract_id}]] * 2
            assert [entry.generation_config for entry in entries] == [{"of": tract.tract_id}] * 2


async def test_the_same_change_in_two_tracts_is_one_in_each(
    twins: tuple[AsyncTract, AsyncTract, str],
) -> None:
    one, two, name = twins
    first = await one.annotate(name, Priority.SKIP, reason="r")
    second = await two.annotate(name, Priority.SKIP, reason="r")

    assert first == second
    assert await one.get_annotations(name) == [first]
    assert await two.get_annotations(name) == [second]
    assert len(await one.log(None)) == len(await two.log(None)) == 2


CHANGES: dict[str, Callable[[AsyncTract, str], Awaitable[Any]]] = {
    "annotate": lambda tract, name: tract.annotate(name, Priority.SKIP, reason="r"),
    "edit": lambda tract, name: tract.user(
        "edited", operation=EDIT, edit_target=name, generation_config={"of": "edit"}
    ),
    "usage": lambda tract, name: tract.record_usage(TokenUsage(1, 2), head_hash=name),
    "commit": lambda tract, name: tract.user("more", expected_head=name),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_what_is_done_to_a_hash_is_done_in_its_own_tract(
    twins: tuple[AsyncTract, AsyncTract, str], change: str
) -> None:
    one, two, name = twins
    before, own = await seen(one, name), await seen(two, name)
    await CHANGES[change](two, name)

    assert await seen(one, name) == before
    assert await seen(two, name) != own


# names that are nearly the same


LOOKALIKES = [
    *(("a", "main"), ("A", "main"), ("a ", "main"), (" a", "main"), ("a", "Main"), ("a", "main_")),
    *(("a/b", "c"), ("a", "b/c"), ("a", "heads/main"), ("a", "refs/heads/main"), ("a", "main%")),
    *(("a%", "main"), ("a_", "main"), ("ab", "main"), ("'a'", "main"), ("a\1", "main")),
    *(("a\1b", "main"), ("", "main"), ("a", "é"), ("a*", "main"), ("1", "main"), ("01", "main")),
    ("1.0", "main"),
    (unicodedata.normalize("NFC", "é"), "main"),
    (unicodedata.normalize("NFD", "é"), "main"),
]


async def test_names_that_look_alike_are_different_tracts_and_branches(target: Path | str) -> None:
    named = [pair for pair in LOOKALIKES if all(pair)]
    async with TractStore.open(target, tokenizer=COUNTER) as store:
        for number, (tract_id, branch) in enumerate(named):
            await store.tract(tract_id, branch=branch).user(f"said {number}")
        heads = [await store.tract(t, branch=b).head() for t, b in named]
        said = [await store.tract(t, branch=b).compile() for t, b in named]
        ids = await store.tract_ids()

    assert len(set(heads)) == len(named)
    assert [context.to_dicts() for context in said] == [
        [{"role": "user", "content": f"said {number}"}] for number in range(len(named))
    ]
    assert ids == sorted({tract_id for tract_id, _ in named})


async def test_branches_of_one_tract_share_commits_and_change_none_of_each_other(
    target: Path | str,
) -> None:
    """A hash of another branch can be read here, and neither edited nor annotated."""
    async with TractStore.open(target, tokenizer=COUNTER) as store:
        branches = [store.tract("t", branch=name) for name in ("main", "side")]
        hashes = [await fill(branch, branch.branch) for branch in branches]
        before = [await branch.compile() for branch in branches]
        for (here, _), (_, there) in itertools.permutations(zip(branches, hashes, strict=True), 2):
            for call in (
                here.user("x", operation=EDIT, edit_target=there["entry"]),
                here.annotate(there["entry"], Priority.SKIP),
            ):
                with pytest.raises(EditTargetError):
                    await call
            with pytest.raises(HeadMovedError):
                await here.user("x", expected_head=there["head"])

            assert await here.get_commit(there["entry"]) is not None
            assert await here.get_annotations(there["entry"]) == []
            assert there["entry"] not in {info.commit_hash for info in await here.log(None)}

        assert [await branch.compile() for branch in branches] == before
