"""Tags: names for commits, taken by every call that takes a hash."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from support.probes import probe
from support.replies import drained, reply
from support.rows import add_twin, row_counts
from tract import (
    AmbiguousHashError,
    AsyncTract,
    Batch,
    BranchExistsError,
    BranchNotFoundError,
    BudgetAction,
    BudgetExceededError,
    CommitInfo,
    CommitNotFoundError,
    CommitOperation,
    EditTargetError,
    HeadMovedError,
    NullTokenCounter,
    Priority,
    TagExistsError,
    TagNotFoundError,
    TokenBudgetConfig,
    TokenUsage,
    ToolIOContent,
    TractConfig,
    TractError,
    TractStore,
)

COUNTER = NullTokenCounter()
EDIT = CommitOperation.EDIT
SAID = {"content_type": "freeform", "payload": 1}


@pytest_asyncio.fixture(params=["cached", "budgeted"])
async def main(target: Path | str, request: pytest.FixtureRequest) -> AsyncIterator[AsyncTract]:
    budget = TokenBudgetConfig(max_tokens=10**9, action=BudgetAction.REJECT)
    config = TractConfig(token_budget=budget if request.param == "budgeted" else None)
    async with AsyncTract.open(target, tract_id="t", tokenizer=COUNTER, config=config) as tract:
        yield tract


# making, listing, deleting


async def test_a_tag_names_the_head_or_any_commit(main: AsyncTract) -> None:
    a = await main.user("a")
    b = await main.user("b")
    at_head, at_a = await main.tag("v1"), await main.tag("v0", a.commit_hash)

    assert (at_head.name, at_head.target_hash) == ("v1", b.commit_hash)
    assert (at_a.name, at_a.target_hash) == ("v0", a.commit_hash)
    assert await main.tags() == [at_a, at_head]
    assert at_a.created_at > b.created_at


async def test_a_tag_stays_where_it_is_when_branches_move(main: AsyncTract) -> None:
    a = await main.user("a")
    await main.tag("v1")
    await main.user("b")
    await main.reset("v1")
    await main.user("c")

    [tag] = await main.tags()
    assert tag.target_hash == a.commit_hash
    assert (await main.compile(at_commit="v1")).commit_hashes == [a.commit_hash]


async def test_a_tag_is_one_row_and_no_commit(main: AsyncTract, db_path: Path) -> None:
    a = await main.user("a")
    before = row_counts(db_path)
    await main.tag("v1")

    assert row_counts(db_path) == {**before, "refs": before["refs"] + 1}
    assert await main.head() == a.commit_hash
    assert [branch.name for branch in await main.branches()] == ["main"]
    assert {entry.action for entry in await main.reflog()} == {"append"}


async def test_a_name_that_is_taken_stays_with_its_commit(main: AsyncTract) -> None:
    a = await main.user("a")
    await main.tag("v1")
    await main.user("b")

    with pytest.raises(TagExistsError, match="delete_tag") as told:
        await main.tag("v1")
    assert told.value.name == "v1"
    assert [tag.target_hash for tag in await main.tags()] == [a.commit_hash]


async def test_a_deleted_tag_is_no_name_any_more(main: AsyncTract) -> None:
    a = await main.user("a")
    await main.tag("v1")
    await main.delete_tag("v1")

    assert await main.tags() == []
    assert await main.get_commit("v1") is None
    assert await main.get_commit(a.commit_hash) == a
    with pytest.raises(TagNotFoundError, match="No tag 'v1'") as told:
        await main.delete_tag("v1")
    assert told.value.name == "v1"
    await main.tag("v1")


async def test_what_is_not_there_cannot_be_tagged(main: AsyncTract) -> None:
    with pytest.raises(TractError, match="no commit yet"):
        await main.tag("v1")
    await main.user("a")
    for unknown in ("0" * 64, "nothing", "", "\ud800", "x" * 5000):
        with pytest.raises(CommitNotFoundError):
            await main.tag("v1", unknown)

    assert await main.tags() == []


async def test_a_tag_in_place_of_a_branch_is_called_one(main: AsyncTract) -> None:
    await main.user("a")
    await main.tag("v1")
    for wrong in (
        main.merge("v1"),
        main.compare(["main", "v1"]),
        main.delete_branch("v1"),
        main.on("v1").compile(),
        main.on("v1").log(),
        main.on("v1").user("b"),
    ):
        with pytest.raises(BranchNotFoundError, match="'v1' is a tag of this tract") as told:
            await wrong
        assert told.value.is_tag
    await main.fork("of-v1", at_commit="v1")
    await main.user("b")

    assert (await main.merge("of-v1")).kind == "up-to-date"
    with pytest.raises(BranchNotFoundError, match="No branch 'v2'"):
        await main.merge("v2")


async def test_the_error_of_a_moved_tag_names_that_tag(main: AsyncTract) -> None:
    a = await main.user("a")
    b = await main.user("b")
    await main.tag("v1")
    with pytest.raises(HeadMovedError, match="The tag 'v1' names") as told:
        await main.delete_tag("v1", expected_head=a.commit_hash)

    error = told.value
    assert (error.tag, error.expected, error.actual) == ("v1", a.commit_hash, b.commit_hash)
    assert [tag.name for tag in await main.tags()] == ["v1"]


async def test_tags_of_other_tracts_are_others(target: Path | str) -> None:
    async with TractStore.open(target, tokenizer=COUNTER) as store:
        one, other = store.tract("one"), store.tract("other")
        await one.user("a")
        await other.user("b")
        await one.tag("v1")

        assert await other.tags() == []
        assert await other.get_commit("v1") is None
        with pytest.raises(TagNotFoundError):
            await other.delete_tag("v1")
        await other.tag("v1")
        assert (await one.compile(at_commit="v1")).to_dicts()[0]["content"] == "a"


async def test_tags_are_there_after_reopening(target: Path | str) -> None:
    async with AsyncTract.open(target, tract_id="t", tokenizer=COUNTER) as tract:
        await tract.user("a")
        tag = await tract.tag("release/1.0-é")
    async with AsyncTract.open(target, tract_id="t", tokenizer=COUNTER) as again:
        assert await again.tags() == [tag]
        assert (await again.get_content("release/1.0-é")).model_dump()["text"] == "a"


# a name wherever a hash is taken


def staged_expecting(call: str, given: Any) -> Call:
    return lambda t, name: batched(t, lambda batch: getattr(batch, call)(given, expected_head=name))


async def batched(tract: AsyncTract, stage: Callable[[Batch], Any]) -> Any:
    async with tract.batch() as batch:
        stage(batch)
    return batch.commits


async def expecting(tract: AsyncTract, name: str) -> Any:
    async with tract.batch(expected_head=name) as batch:
        batch.commit(SAID)
    return batch.commits


async def without_branch(tract: AsyncTract, name: str) -> Any:
    with suppress(BranchExistsError):
        await tract.fork("gone")
    await tract.delete_branch("gone", expected_head=name)


async def without_tag(tract: AsyncTract, name: str) -> Any:
    with suppress(TagExistsError):
        await tract.tag("gone")
    await tract.delete_tag("gone", expected_head=name)


async def merged(tract: AsyncTract, name: str) -> Any:
    with suppress(BranchExistsError):
        await (await tract.fork("brought")).user("x")
    return await tract.merge("brought", expected_head=name)


async def streamed(tract: AsyncTract, name: str) -> Any:
    async with tract.stream(expected_head=name) as stream:
        await stream.write("x")


async def watched(tract: AsyncTract, name: str) -> Any:
    return await anext(aiter(tract.watch(name)))


CHUNK: dict[str, Any] = {
    "choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1},
}
EVENTS: tuple[dict[str, Any], ...] = (
    {"type": "message_start", "message": {"usage": {"input_tokens": 1, "output_tokens": 1}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "hi"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}},
    {"type": "message_stop"},
)
REPLY: dict[str, Any] = {
    "choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": "hi"}}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1},
}
TOOL = {"type": "function", "function": {"name": "look", "parameters": {}}}


Call = Callable[[AsyncTract, str], Awaitable[Any]]
ENTRY: dict[tuple[str, str], Call] = {
    ("annotate", "target_hash"): lambda t, name: t.annotate(name, Priority.PINNED),
    ("assistant", "edit_target"): lambda t, name: t.assistant(
        "x", operation=EDIT, edit_target=name
    ),
    ("user", "edit_target"): lambda t, name: t.user("x", operation=EDIT, edit_target=name),
    ("tools", "edit_target"): lambda t, name: t.tools([TOOL], operation=EDIT, edit_target=name),
    ("system", "edit_target"): lambda t, name: t.system("x", operation=EDIT, edit_target=name),
    ("commit", "edit_target"): lambda t, name: t.commit(SAID, operation=EDIT, edit_target=name),
    ("Batch.commit", "edit_target"): lambda t, name: batched(
        t, lambda batch: batch.commit(SAID, operation=EDIT, edit_target=name)
    ),
    ("Batch.annotate", "target"): lambda t, name: batched(
        t, lambda batch: batch.annotate(name, Priority.SKIP)
    ),
    ("Batch.user", "edit_target"): lambda t, name: batched(
        t, lambda batch: batch.user("x", operation=EDIT, edit_target=name)
    ),
    ("Batch.assistant", "edit_target"): lambda t, name: batched(
        t, lambda batch: batch.assistant("x", operation=EDIT, edit_target=name)
    ),
    ("Batch.system", "edit_target"): lambda t, name: batched(
        t, lambda batch: batch.system("x", operation=EDIT, edit_target=name)
    ),
    ("Batch.fork", "at_commit"): lambda t, name: batched(
        t, lambda batch: batch.fork("new", at_commit=name)
    ),
    ("Batch.tag", "target_hash"): lambda t, name: batched(t, lambda batch: batch.tag("new", name)),
    ("Batch.reset", "to_hash"): lambda t, name: batched(t, lambda batch: batch.reset(name)),
    ("Batch.record_usage", "head_hash"): lambda t, name: batched(
        t, lambda batch: batch.record_usage(TokenUsage(1), head_hash=name)
    ),
    ("edit_entries", "skip"): lambda t, name: t.edit_entries(skip=[name]),
    ("compactions", "at_commit"): lambda t, name: t.compactions(at_commit=name),
    ("compile", "at_commit"): lambda t, name: t.compile(at_commit=name),
    ("entries", "at_commit"): lambda t, name: t.entries(at_commit=name),
    ("cherry_pick", "hashes"): lambda t, name: t.cherry_pick(name, name),
    ("diff", "a"): lambda t, name: t.diff(name, "main"),
    ("diff", "b"): lambda t, name: t.diff("main", name),
    ("fork", "at_commit"): lambda t, name: t.fork("new", at_commit=name),
    ("get_annotations", "target_hash"): lambda t, name: t.get_annotations(name),
    ("get_commit", "commit_hash"): lambda t, name: t.get_commit(name),
    ("get_content", "commit_hash"): lambda t, name: t.get_content(name),
    ("get_contents", "hashes"): lambda t, name: t.get_contents([name, name]),
    ("log", "before"): lambda t, name: t.log(before=name),
    ("reached_by", "hashes"): lambda t, name: t.reached_by([name, name]),
    ("query", "after"): lambda t, name: t.query(after=name),
    ("query", "before"): lambda t, name: t.query(before=name, branch_only=True),
    ("count", "after"): lambda t, name: t.count(after=name, branch_only=True),
    ("count", "before"): lambda t, name: t.count(before=name),
    ("origins", "commit_hash"): lambda t, name: t.origins(name),
    ("reset", "to_hash"): lambda t, name: t.reset(name),
    ("tag", "target_hash"): lambda t, name: t.tag("new", name),
    ("prune", "before"): lambda t, name: t.prune(before=name, reason="asked"),
    ("erase", "hashes"): lambda t, name: t.erase(
        [name, name], reason="asked"
    ),  # last: it changes what the others see
    ("Batch.erase", "hashes"): lambda t, name: batched(
        t, lambda batch: batch.erase([name], reason="asked")
    ),
    ("watch", "after"): lambda t, name: watched(t, name),
    ("record_openai", "head_hash"): lambda t, name: drained(
        t.record_openai(reply(CHUNK), head_hash=name)
    ),
    ("record_anthropic", "head_hash"): lambda t, name: drained(
        t.record_anthropic(reply(*EVENTS), head_hash=name)
    ),
    ("record_stream", "head_hash"): lambda t, name: drained(
        t.record_stream(reply(CHUNK), head_hash=name)
    ),
    ("record", "head_hash"): lambda t, name: t.record(REPLY, head_hash=name),
    ("record_usage", "head_hash"): lambda t, name: t.record_usage(TokenUsage(1), head_hash=name),
}
"""Calls that take the hash of any entry, by parameter."""
HEAD: dict[tuple[str, str], Call] = {
    ("assistant", "expected_head"): lambda t, name: t.assistant("x", expected_head=name),
    ("user", "expected_head"): lambda t, name: t.user("x", expected_head=name),
    ("tools", "expected_head"): lambda t, name: t.tools([TOOL], expected_head=name),
    ("system", "expected_head"): lambda t, name: t.system("x", expected_head=name),
    ("commit", "expected_head"): lambda t, name: t.commit(SAID, expected_head=name),
    ("batch", "expected_head"): expecting,
    ("edit_entries", "expected_head"): lambda t, name: t.edit_entries(
        append=[SAID], expected_head=name
    ),
    **{
        (f"Batch.{call}", "expected_head"): staged_expecting(call, given)
        for call, given in {
            "commit": SAID,
            "state": {},
            "user": "x",
            "system": "x",
            "assistant": "x",
        }.items()
    },
    ("annotate", "expected_head"): lambda t, name: t.annotate(
        "v1", Priority.PINNED, expected_head=name
    ),
    ("cherry_pick", "expected_head"): lambda t, name: t.cherry_pick("v1", expected_head=name),
    ("delete_branch", "expected_head"): without_branch,
    ("delete_tag", "expected_head"): without_tag,
    ("fork", "expected_head"): lambda t, name: t.fork("new", expected_head=name),
    ("merge", "expected_head"): merged,
    ("record_anthropic", "expected_head"): lambda t, name: drained(
        t.record_anthropic(reply(*EVENTS), expected_head=name)
    ),
    ("record", "expected_head"): lambda t, name: t.record(REPLY, expected_head=name),
    ("record_stream", "expected_head"): lambda t, name: drained(
        t.record_stream(reply(CHUNK), expected_head=name)
    ),
    ("record_openai", "expected_head"): lambda t, name: drained(
        t.record_openai(reply(CHUNK), expected_head=name)
    ),
    ("reset", "expected_head"): lambda t, name: t.reset("v1", expected_head=name),
    ("settle", "expected_head"): lambda t, name: t.settle(expected_head=name),
    ("state", "expected_head"): lambda t, name: t.state({}, expected_head=name),
    ("stream", "expected_head"): streamed,
    ("tag", "expected_head"): lambda t, name: t.tag("new", expected_head=name),
}
"""Calls that take the hash of the head."""
NO_HASH = {
    *("summarise", "plan", "target_tokens", "keep_recent", "must_keep", "roll_up"),
    *("summary_tokens", "exclude_tools", "placeholder"),
    *("title", "expected_metadata"),
    *("content", "text", "operation", "message", "metadata", "generation_config", "name", "reason"),
    *("priority", "usage", "at_time", "include_edit_annotations", "aggregate_same_role", "limit"),
    *("field", "operator", "value", "tract_id", "config", "tokenizer", "compiler", "as_"),
    *(
        "model",
        "branch",
        "names",
        "force",
        "on_conflict",
        "fast_forward",
        "squash",
        "self",
        "append",
    ),
    *("conditions", "branch_only", "role", "on_interrupt", "response"),
    *(
        "order",
        "resets",
        "redact",
        "vacuum",
        "reply",
        "include_skipped",
        "include_erased",
        "keep",
        "progress",
        "newest",
        "tools",
        "api",
        "contents",
    ),
    *("policy", "strategy", "summarise"),
    *("payload", "key", "keys", "on_key", "prefix", "content_types", "state"),
    *("data", "media_type", "sha256"),  # bytes, which are named by a hash of their own
}


def parameters() -> set[tuple[str, str]]:
    """Return every parameter of the public calls that is not known to be something else."""
    found = set()
    for kind, prefix in ((AsyncTract, ""), (Batch, "Batch.")):
        for name in dir(kind):
            call = getattr(kind, name)
            if name.startswith("_") or not inspect.isroutine(call):
                continue
            there = set(inspect.signature(call).parameters)
            if name.startswith("record_") and "options" in there:
                there = there - {"options"} | {"expected_head", "head_hash"}
            elif "options" in there:
                there = there - {"options"} | {"edit_target", "expected_head"}
            found |= {(prefix + name, parameter) for parameter in there - NO_HASH}
    others = {("open", "target"), ("open", "telemetry"), ("keys", "before"), ("search", "after")}
    return found - others - {("expand", "commit_hash")}  # of compactions alone, below


def test_every_parameter_that_takes_a_hash_is_given_a_tag() -> None:
    assert parameters() == ENTRY.keys() | HEAD.keys()


@pytest.mark.parametrize("naming", ["tag", "short hash", "capitals"])
async def test_a_tag_or_a_short_hash_stands_for_a_compaction_and_for_what_it_keeps(
    main: AsyncTract, naming: str
) -> None:
    a, b = await main.user("a"), await main.user("b")
    await main.tag("v1", a.commit_hash)
    done = await main.compact(None, keep_recent=0, keep=[NAMINGS[naming](a.commit_hash)])
    assert done is not None
    assert done.hidden == (b.commit_hash,)
    await main.delete_tag("v1")
    await main.tag("v1", done.commit_hash)

    await main.expand(NAMINGS[naming](done.commit_hash))

    assert [each.undone for each in await main.compactions()] == [True]


async def picked(tract: AsyncTract) -> str:
    """Pick a commit, and return a tag of what came of it."""
    await tract.cherry_pick("v1")
    return (await tract.tag("picked")).name


NAMINGS: dict[str, Callable[[str], str]] = {
    "tag": lambda commit_hash: "v1",
    "short hash": lambda commit_hash: commit_hash[:12],
    "capitals": str.upper,
}
"""What stands for a commit of that hash, which has the tag `v1`."""
every_naming = pytest.mark.parametrize("naming", NAMINGS)


async def forget(tract: AsyncTract) -> None:
    """Delete what a call may have named `new`."""
    if "new" in {branch.name for branch in await tract.branches()}:
        await tract.delete_branch("new", force=True)
    if "new" in {tag.name for tag in await tract.tags()}:
        await tract.delete_tag("new")


@every_naming
async def test_a_tag_or_a_short_hash_stands_for_an_entry(
    main: AsyncTract, naming: str, subtests: pytest.Subtests
) -> None:
    a = await main.user("a")
    await main.annotate(a.commit_hash, Priority.PINNED)
    await main.user("b")
    await main.tag("v1", a.commit_hash)
    for call, run in ENTRY.items():
        with subtests.test(call="-".join(call)):
            tract = await main.fork("-".join(call))
            trips = probe(main).trips
            by_name = await run(tract, NAMINGS[naming](a.commit_hash))

            assert probe(main).trips > trips
            await check_entry(tract, call, by_name, a)
            await forget(main)
    assert (await main.verify()).faults == ()


async def check_entry(
    tract: AsyncTract, call: tuple[str, str], by_name: Any, a: CommitInfo
) -> None:
    """Check that a call did to *a* what it was to do to its name."""
    for info in by_name if isinstance(by_name, list) else [by_name]:
        assert getattr(info, "edit_target", None) in (None, a.commit_hash)
        assert getattr(info, "target_hash", a.commit_hash) == a.commit_hash
    if call[0] == "reset":
        assert await tract.head() == a.commit_hash
    elif call[0] in ("fork", "tag"):
        assert await tract.get_commit("new") == a
    elif call == ("compile", "at_commit"):
        assert by_name.commit_hashes == [a.commit_hash]
    elif call[0] == "entries":
        assert [entry.commit_hash for entry in by_name] == [a.commit_hash]
    elif call[0] == "get_contents":
        assert by_name == [await tract.get_content(a.commit_hash)] * 2
    elif call[0] == "reached_by":
        assert all("main" in branches for branches in by_name.values())
    elif call[0] == "prune":
        assert by_name.before == a.created_at
    elif call[0] == "erase":
        assert by_name.commits == (a.commit_hash,)
    elif call[0] == "get_commit":
        assert by_name == a
    elif call[0] == "origins":
        assert by_name == []
        assert len(await tract.origins(await picked(tract))) == 1
    elif call[0] == "get_annotations":
        assert len(by_name) == 1
    elif call[0] == "log":
        assert by_name == []
    elif call[0] == "diff":
        assert len(by_name.entries) == 2  # b, and the priority of a


ONE_TRIP = {
    *("annotate", "user", "commit", "compile", "fork", "get_annotations", "get_commit"),
    *("get_content", "get_contents", "log", "reset", "tag", "tools"),
}


@every_naming
@pytest.mark.sqlite  # at a server looking a name up takes trips of its own
async def test_a_name_is_looked_up_in_the_same_trip(db_path: Path, naming: str) -> None:
    async with AsyncTract.open(db_path, tract_id="t", tokenizer=COUNTER) as main:
        a = await main.user("a")
        await main.tag("v1")
        await main.compile()
        costs = {}
        for call, run in (ENTRY | HEAD).items():
            if call[0] in ONE_TRIP:
                named = NAMINGS[naming](a.commit_hash)
                if call in HEAD:
                    head = str(await main.head())
                    named = "main" if naming == "tag" else NAMINGS[naming](head)
                trips = probe(main).trips
                await run(main, named)
                costs[call] = probe(main).trips - trips
            if call[0] in ("fork", "tag"):
                await (main.delete_tag("new") if call[0] == "tag" else main.delete_branch("new"))

    assert costs == dict.fromkeys(costs, 1)
    assert len(costs) >= len(ONE_TRIP)
    assert a.commit_hash


@every_naming
async def test_a_tag_or_a_short_hash_stands_for_the_head_while_it_is_there(
    main: AsyncTract, naming: str, subtests: pytest.Subtests
) -> None:
    a = await main.user("a")
    await main.tag("v1")
    named = NAMINGS[naming](a.commit_hash)
    for call, run in HEAD.items():
        with subtests.test(call="-".join(call)):
            tract = await main.fork("-".join(call))
            await run(tract, named)
            await tract.user("b")
            head = await tract.head()

            with pytest.raises(HeadMovedError) as told:
                await run(tract, named)
            assert told.value.actual == head
            assert await tract.head() == head
            with pytest.raises(HeadMovedError):
                await run(tract, "nothing")
            await forget(main)


@every_naming
async def test_open_calls_are_settled_while_the_head_has_that_name(
    main: AsyncTract, naming: str
) -> None:
    call = ToolIOContent(tool_name="look", direction="call", payload={}, call_id="c")
    info = await main.commit(call)
    await main.tag("v1")
    named = NAMINGS[naming](info.commit_hash)
    other = await main.fork("other")
    last = await other.user("b")
    with pytest.raises(HeadMovedError) as told:
        await other.settle(expected_head=named)
    [answer] = await main.settle(expected_head=named)

    assert told.value.actual == last.commit_hash == await other.head()
    assert answer.parent_hash == info.commit_hash
    assert [each.id for each in (await other.compile()).open_calls] == ["c"]
    assert (await main.compile()).open_calls == []


async def test_a_short_hash_of_several_commits_is_refused_with_their_hashes(
    main: AsyncTract, db_path: Path, subtests: pytest.Subtests
) -> None:
    """By every call that takes a hash, which then writes nothing; what was streamed is kept apart."""
    a = await main.user("a")
    await main.user("b")
    await main.tag("v1", a.commit_hash)
    await (await main.fork("brought")).user("x")
    await main.fork("gone")
    await main.tag("gone")
    twin = add_twin(db_path, a.commit_hash)
    before = {**row_counts(db_path), "spool": 0}
    for call, run in (ENTRY | HEAD).items():
        with subtests.test(call="-".join(call)):
            with pytest.raises(AmbiguousHashError, match="Give more digits") as told:
                await run(main, a.commit_hash[:8])
            assert told.value.short_hash == a.commit_hash[:8]
            assert told.value.candidates == tuple(sorted([a.commit_hash, twin]))
            assert {**row_counts(db_path), "spool": 0} == before


async def test_a_name_of_nothing_is_not_the_head_of_an_empty_branch(main: AsyncTract) -> None:
    for unknown in ("nothing", "", "0" * 64, "0" * 8):
        with pytest.raises(HeadMovedError):
            await main.user("a", expected_head=unknown)

    assert await main.head() is None


async def test_a_tag_goes_before_a_branch_and_a_full_hash_before_both(main: AsyncTract) -> None:
    a = await main.user("a")
    b = await main.user("b")
    await main.fork("x")
    assert await main.get_commit("x") == b

    await main.tag("x", a.commit_hash)
    assert await main.get_commit("x") == a
    assert await main.get_commit(b.commit_hash) == b
    await main.delete_tag("x")
    assert await main.get_commit("x") == b


async def test_a_tag_of_what_is_no_entry_is_no_target(main: AsyncTract) -> None:
    a = await main.user("a")
    await main.annotate(a.commit_hash, Priority.PINNED)
    await main.tag("v1")

    with pytest.raises(EditTargetError, match="v1"):
        await main.user("x", operation=EDIT, edit_target="v1")
    with pytest.raises(EditTargetError, match="v1"):
        await main.annotate("v1", Priority.SKIP)


class Letters(NullTokenCounter):
    """Counts letters."""

    def count_text(self, text: str) -> int:
        return len(text)


@every_naming
@pytest.mark.parametrize("way", ["edit", "expected"])
async def test_a_name_is_no_way_around_a_budget(target: Path | str, way: str, naming: str) -> None:
    budget = TokenBudgetConfig(max_tokens=50, action=BudgetAction.REJECT)
    config = TractConfig(token_budget=budget)
    async with AsyncTract.open(target, tract_id="t", tokenizer=Letters(), config=config) as tract:
        a = await tract.user("a")
        await tract.tag("v1")
        named = NAMINGS[naming](a.commit_hash)
        options: dict[str, Any] = {"expected_head": named}
        if way == "edit":
            options = {"operation": EDIT, "edit_target": named}

        with pytest.raises(BudgetExceededError):
            await tract.user("a" * 100, **options)
        await tract.user("b", **options)
