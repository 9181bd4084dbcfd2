"""The promises of the design, by number."""

from __future__ import annotations

import asyncio
import copy
import hashlib
import inspect
import itertools
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from blockbuster import BlockBuster

from support.opening import with_clock
from tract import (
    AsyncTract,
    BudgetAction,
    CommitInfo,
    CommitNotFoundError,
    CommitOperation,
    CompiledContext,
    DialogueContent,
    EditTargetError,
    FreeformContent,
    HeadMovedError,
    Priority,
    TokenBudgetConfig,
    TokenUsage,
    TractConfig,
    TractError,
    TractStore,
)

BOTH = ["sqlite", "postgres"] if os.environ.get("TRACT_TEST_ENGINE", "sqlite") == "sqlite" else None
"""Any run holds the promises on both engines; one that names an engine, on that."""
EDIT = CommitOperation.EDIT
FIELDS = ("head_hash", "token_count", "token_source", "commit_count", "commit_hashes")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "target" in metafunc.fixturenames and BOTH is not None:
        metafunc.parametrize("target", BOTH, indirect=True)


def say(text: str = "x") -> DialogueContent:
    return DialogueContent(role="user", text=text)


def dump(path: Path) -> dict[str, list[str]]:
    connection = sqlite3.connect(path)
    tables = [r[0] for r in connection.execute("SELECT name FROM sqlite_schema WHERE type='table'")]
    rows = {t: sorted(map(repr, connection.execute(f"SELECT * FROM {t}"))) for t in tables}
    connection.close()
    return rows


def everything(context: CompiledContext) -> dict[str, Any]:
    return {
        **{name: getattr(context, name) for name in FIELDS},
        "messages": context.to_dicts(),
        "configs": context.generation_configs,
        "openai": context.to_openai(),
        "anthropic": context.to_anthropic(),
    }


async def random_step(tract: AsyncTract, dice: random.Random, entries: list[str]) -> None:
    """Append, edit or annotate; *entries* gathers what can be edited."""
    config = dice.choice([None, {}, {"temperature": dice.random(), "stop": ["a"]}])
    text = dice.choice(["", "a", "two words", "éß🧵", "<|endoftext|>", "\n\n"]) * dice.randint(1, 3)
    content: Any = dice.choice(
        [
            say(text),
            {"content_type": "instruction", "text": text},
            {"content_type": "dialogue", "role": "assistant", "text": text},
            {
                "content_type": "tool_io",
                "tool_name": "f",
                "direction": dice.choice(["call", "result"]),
                "payload": text,
                "call_id": "c",
            },
            {"content_type": "freeform", "payload": {"k": text}},
        ]
    )
    kind = dice.random()
    if not entries or kind < 0.5:
        entries.append((await tract.commit(content, generation_config=config)).commit_hash)
    elif kind < 0.75:
        target = dice.choice(entries)
        await tract.commit(content, operation=EDIT, edit_target=target, generation_config=config)
    else:
        await tract.annotate(dice.choice(entries), dice.choice([*Priority]))


# 1


@pytest.mark.parametrize("seed", range(6))
async def test_promise_1_a_head_names_a_context(seed: int, target: Path | str) -> None:
    """However it is reached: step by step, from nothing, later, elsewhere."""
    dice, entries = random.Random(seed), list[str]()
    seen: list[dict[str, Any]] = []
    async with AsyncTract.open(target, tract_id="t") as tract:
        for _ in range(40):
            await random_step(tract, dice, entries)
            seen.append(everything(await tract.compile()))
        for context in seen:
            assert everything(await tract.compile(at_commit=context["head_hash"])) == context
    uncached = TractConfig(cache_max_bytes=0)
    async with AsyncTract.open(target, tract_id="t", config=uncached) as tract:
        for context in seen:
            assert everything(await tract.compile(at_commit=context["head_hash"])) == context


async def test_promise_1_usage_replaces_count_and_source_and_nothing_else(
    target: Path | str,
) -> None:
    async with AsyncTract.open(target) as tract:
        await tract.assistant("a", generation_config={"t": 1})
        before = everything(await tract.compile())
        after = everything(await tract.record_usage(TokenUsage(99, 1)))

    assert after == {**before, "token_count": 99, "token_source": "api:99+1"}


# 2


async def test_promise_2_hashes_can_be_recomputed_from_the_stored_rows(db_path: Path) -> None:
    dice, entries = random.Random(1), list[str]()
    async with AsyncTract.open(db_path, tract_id="t") as tract:
        for _ in range(30):
            await random_step(tract, dice, entries)
        infos = await tract.log(None)
    connection = sqlite3.connect(db_path)
    blobs = {key.hex(): data for key, data in connection.execute("SELECT * FROM blobs")}
    connection.close()

    for info in infos:
        moment = (info.created_at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
        named = {
            "parent": info.parent_hash,
            "content_hash": info.content_hash,
            "content_type": info.content_type,
            "operation": info.operation.value,
            "timestamp": moment,
        }
        if info.edit_target is not None:
            named["target"] = info.edit_target
        text = json.dumps(named, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert hashlib.sha256(text.encode()).hexdigest() == info.commit_hash
        assert hashlib.sha256(blobs[info.content_hash]).hexdigest() == info.content_hash


@pytest.mark.parametrize(
    "tampering",
    [
        'UPDATE blobs SET data = CAST(\'{"content_type":"freeform","payload":9}\' AS BLOB)',
        "UPDATE commits SET created_at = created_at + 1",
        "UPDATE commits SET content_type = 'output'",
        "UPDATE commits SET parent_hash = randomblob(32) WHERE parent_hash IS NOT NULL",
        "UPDATE commits SET operation = 'edit'",
        "DELETE FROM blobs",
    ],
)
async def test_promise_2_what_was_changed_behind_its_back_is_found(
    db_path: Path, tampering: str
) -> None:
    async with AsyncTract.open(db_path, tract_id="t") as tract:
        for n in range(3):
            await tract.commit(FreeformContent(payload=n))
        assert (await tract.verify()).faults == ()
    connection = sqlite3.connect(db_path)
    connection.execute(tampering)
    connection.commit()
    connection.close()
    async with AsyncTract.open(db_path, tract_id="t") as tract:
        assert (await tract.verify()).faults != ()


# 3


async def test_promise_3_no_call_changes_a_config(target: Path | str) -> None:
    config = {
        "model": "m",
        "logit_bias": {"50256": -100},
        "stop": ["a", "b"],
        "response_format": {"type": "json_schema", "schema": {"deep": [None, True, 1.5]}},
    }
    async with AsyncTract.open(target, tract_id="t") as tract:
        info = await tract.assistant("a", generation_config=config)
        await tract.assistant(
            "b", operation=EDIT, edit_target=info.commit_hash, generation_config={"model": "n"}
        )
        await tract.annotate(info.commit_hash, Priority.SKIP)
        await tract.record_usage({"prompt_tokens": 1, "completion_tokens": 1, "model": "o"})
    async with AsyncTract.open(target, tract_id="t") as tract:
        stored = await tract.get_commit(info.commit_hash)

    assert stored == info
    assert info.generation_config == config


# 4


async def test_promise_4_a_failed_commit_leaves_neither_commit_nor_blob_nor_head(
    db_path: Path,
) -> None:
    async with AsyncTract.open(db_path, tract_id="t") as tract:
        await tract.user("a")
        before = dump(db_path)
        for attempt in (
            tract.commit(say("new"), operation=EDIT, edit_target="0" * 64),
            tract.commit(say("new"), expected_head="0" * 64),
            tract.commit({"content_type": "dialogue"}),
        ):
            with pytest.raises(TractError):
                await attempt

    assert dump(db_path) == before


# 5

ONE_OF_SEVERAL = """
import asyncio, sys
from tract import AsyncTract
async def main():
    async with AsyncTract.open(sys.argv[1], tract_id="t") as tract:
        await asyncio.gather(*(tract.user(f"{sys.argv[2]} {n}") for n in range(60)))
        for n in range(20):
            await tract.user(f"{sys.argv[2]} single {n}")
asyncio.run(main())
"""


def linear(newest_first: list[CommitInfo]) -> bool:
    parents = [info.parent_hash for info in newest_first]
    return parents == [info.commit_hash for info in newest_first[1:]] + [None]


async def test_promise_5_tasks_handles_and_processes_make_one_chain(db_path: Path) -> None:
    async with TractStore.open(db_path) as store, TractStore.open(db_path) as second:
        children = [
            await asyncio.create_subprocess_exec(
                sys.executable, "-c", ONE_OF_SEVERAL, str(db_path), f"process {n}"
            )
            for n in range(2)
        ]
        handles = [store.tract("t"), store.tract("t"), second.tract("t")]
        infos = await asyncio.gather(*(handles[n % 3].user(f"task {n}") for n in range(64)))
        while any(child.returncode is None for child in children):
            await handles[0].user("meanwhile")
            await asyncio.sleep(0.02)
        codes = [await child.wait() for child in children]
        log = await store.tract("t").log(None)
        report = await second.tract("t").verify()
        contexts = [await handle.compile() for handle in handles]

    assert codes == [0, 0]
    assert linear(log)
    assert {info.commit_hash for info in infos} <= {info.commit_hash for info in log}
    assert len(log) >= 64 + 2 * 80
    assert (report.checked, report.faults) == (len(log), ())
    assert contexts[0].commit_hashes == [info.commit_hash for info in log[::-1]]
    assert contexts[0] == contexts[1] == contexts[2]


async def test_promise_5_commits_of_one_task_stay_in_order(target: Path | str) -> None:
    async with AsyncTract.open(target) as tract:

        async def worker(name: int) -> None:
            for n in range(10):
                await tract.commit(FreeformContent(payload=[name, n]))

        await asyncio.gather(*(worker(name) for name in range(8)))
        log = await tract.log(None)
        contents = [await tract.get_content(info.commit_hash) for info in log[::-1]]

    for name in range(8):
        mine = [
            c.payload for c in contents if isinstance(c, FreeformContent) and c.payload[0] == name
        ]
        assert mine == [[name, n] for n in range(10)]


@pytest.mark.parametrize("heads", ["none", "some"])
async def test_promise_5_exactly_one_wins_a_compare_and_swap(
    target: Path | str, heads: str
) -> None:
    async with TractStore.open(target) as store, TractStore.open(target) as second:
        head = None
        if heads == "some":
            head = (await store.tract("t").user("first")).commit_hash
        handles = [store.tract("t"), second.tract("t")]
        results = await asyncio.gather(
            *(handles[n % 2].user(str(n), expected_head=head) for n in range(30)),
            return_exceptions=True,
        )
        winners = [result for result in results if isinstance(result, CommitInfo)]
        losers = [result for result in results if isinstance(result, HeadMovedError)]

        assert (len(winners), len(losers)) == (1, 29)
        assert await store.tract("t").head() == winners[0].commit_hash
    assert {error.actual for error in losers} == {winners[0].commit_hash}


async def test_promise_5_retrying_a_compare_and_swap_counts_right(target: Path | str) -> None:
    """The usual loop: read, decide, write; try again if somebody was faster."""
    async with AsyncTract.open(target) as tract:

        async def increment() -> None:
            while True:
                context = await tract.compile(aggregate_same_role=False)
                number = len(context.messages)
                try:
                    await tract.user(str(number), expected_head=context.head_hash)
                except HeadMovedError:
                    continue
                return

        await asyncio.gather(*(increment() for _ in range(12)))
        context = await tract.compile(aggregate_same_role=False)

    assert [message.content for message in context.messages] == [str(n) for n in range(12)]


# 6

Call = Callable[[AsyncTract, CommitInfo], Awaitable[object]]
HEAVY = "many words " * 4000


async def batch_of_three(tract: AsyncTract, entry: CommitInfo) -> None:
    async with tract.batch() as batch:
        for n in range(3):
            batch.commit(say(str(n)))


async def heavy_batch(tract: AsyncTract, entry: CommitInfo) -> None:
    async with tract.batch() as batch:
        batch.commit(say("small"))
        batch.commit(say(HEAVY))


WRITES: dict[str, tuple[Call, int]] = {
    "commit": (lambda tract, entry: tract.commit(say()), 1),
    "system": (lambda tract, entry: tract.system("x"), 1),
    "user": (lambda tract, entry: tract.user("x"), 1),
    "assistant": (lambda tract, entry: tract.assistant("x"), 1),
    "heavy": (lambda tract, entry: tract.user(HEAVY), 1),
    "edit": (
        lambda tract, entry: tract.commit(say(), operation=EDIT, edit_target=entry.commit_hash),
        1,
    ),
    "annotate": (lambda tract, entry: tract.annotate(entry.commit_hash, Priority.PINNED), 1),
    "batch": (batch_of_three, 3),
    "heavy batch": (heavy_batch, 2),
}
READS: dict[str, Call] = {
    "compile": lambda tract, entry: tract.compile(),
    "marked": lambda tract, entry: tract.compile(include_edit_annotations=True),
    "at_commit": lambda tract, entry: tract.compile(at_commit=entry.commit_hash),
    "head": lambda tract, entry: tract.head(),
    "log": lambda tract, entry: tract.log(),
    "get_commit": lambda tract, entry: tract.get_commit(entry.commit_hash),
    "get_content": lambda tract, entry: tract.get_content(entry.commit_hash),
    "get_annotations": lambda tract, entry: tract.get_annotations(entry.commit_hash),
    "query_by_config": lambda tract, entry: tract.query_by_config("a", "=", 1),
    "verify": lambda tract, entry: tract.verify(),
}
STEPS = 13


async def pause(steps: int) -> None:
    """Let the event loop turn *steps* times; the later ones take time for the threads."""
    for step in range(steps):
        await asyncio.sleep(0 if step < 7 else 0.0003)


async def by_task(work: Awaitable[object], steps: int) -> bool:
    task = asyncio.ensure_future(work)
    await pause(steps)
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()
    return not task.cancelled()


async def by_scope(work: Awaitable[object], steps: int) -> bool:
    finished = False
    async with anyio.create_task_group() as group:
        with anyio.CancelScope() as scope:

            async def cancel_later() -> None:
                await pause(steps)
                scope.cancel()

            group.start_soon(cancel_later)
            await work
            finished = True
    return finished


async def by_moving_on(work: Awaitable[object], steps: int) -> bool:
    finished = False
    with anyio.move_on_after(steps * 0.0003):
        await work
        finished = True
    return finished


async def by_timeout(work: Awaitable[object], steps: int) -> bool:
    try:
        async with asyncio.timeout(steps * 0.0003):
            await work
    except TimeoutError:
        return False
    return True


CANCELLERS = [by_task, by_scope, by_moving_on, by_timeout]
Canceller = Callable[[Awaitable[object], int], Awaitable[bool]]
every_way = pytest.mark.parametrize("cancel", CANCELLERS, ids=lambda how: how.__name__)


@pytest.mark.parametrize("budgeted", [False, True], ids=["plain", "budgeted"])
@pytest.mark.parametrize(
    ("name", "cancel"),
    [
        *((name, by_task) for name in WRITES),
        *((name, cancel) for name in ("user", "heavy batch") for cancel in CANCELLERS[1:]),
    ],
)
async def test_promise_6_a_cancelled_write_has_done_all_or_nothing(
    name: str, cancel: Canceller, budgeted: bool, target: Path | str
) -> None:
    call, size = WRITES[name]
    budget = TokenBudgetConfig(max_tokens=10**9, action=BudgetAction.REJECT) if budgeted else None
    config = TractConfig(token_budget=budget)
    async with AsyncTract.open(target, tract_id="t", config=config) as tract:
        entry = await tract.user("entry")
        head = entry.commit_hash
        for steps in range(STEPS):
            finished = await cancel(call(tract, entry), steps)
            sentinel = await asyncio.wait_for(tract.user(f"after {steps}"), 20)
            new = []
            for info in await tract.log(size + 2):
                if info.commit_hash == head:
                    break
                new.append(info)
            assert new[0] == sentinel
            assert len(new) - 1 in ({size} if finished else {0, size})
            head = sentinel.commit_hash
        report = await tract.verify()

    assert report.faults == ()


@every_way
async def test_promise_6_cancelled_usage_is_recorded_or_not(
    cancel: Canceller, target: Path | str
) -> None:
    async with AsyncTract.open(target, tract_id="t") as tract:
        for steps in range(STEPS):
            await tract.user(str(steps))
            finished = await cancel(tract.record_usage(TokenUsage(1234, steps)), steps)
            await tract.annotate((await tract.log(1))[0].commit_hash, Priority.NORMAL)
            before = (await tract.log(2))[1].commit_hash
            source = (await tract.compile(at_commit=before)).token_source
            recorded = f"api:1234+{steps}"
            assert source in ({recorded} if finished else {recorded, "tiktoken:o200k_base"})


@pytest.mark.parametrize(
    ("name", "cancel"),
    [
        *((name, by_task) for name in READS),
        *(("compile", cancel) for cancel in CANCELLERS[1:]),
    ],
)
async def test_promise_6_a_cancelled_read_disturbs_nobody(
    name: str, cancel: Canceller, target: Path | str
) -> None:
    async with TractStore.open(target) as store:
        tract = store.tract("t")
        entry = await tract.user("entry", generation_config={"a": 1})
        for steps in range(STEPS):
            await tract.user(str(steps), operation=EDIT, edit_target=entry.commit_hash)
            await cancel(READS[name](tract, entry), steps)
            context = await asyncio.wait_for(tract.compile(), 20)
            assert context.to_dicts() == [{"role": "user", "content": str(steps)}]
            await asyncio.wait_for(READS[name](tract, entry), 20)
        await store.tract_ids()


@every_way
async def test_promise_6_one_of_many_waiting_for_a_compile_may_leave(
    cancel: Canceller, target: Path | str
) -> None:
    async with AsyncTract.open(target, tract_id="t") as tract:
        async with tract.batch() as batch:
            for n in range(300):
                batch.commit(FreeformContent(payload=n))
        for steps in range(STEPS):
            await tract.user(str(steps))
            others = [asyncio.create_task(tract.compile()) for _ in range(3)]
            await cancel(tract.compile(), steps)
            contexts = await asyncio.gather(*others)
            assert {context.commit_count for context in contexts} == {301 + steps}


async def test_promise_6_a_cancelled_writer_takes_no_other_along(target: Path | str) -> None:
    async with AsyncTract.open(target, tract_id="t") as tract:
        for steps in range(STEPS):
            tasks = [asyncio.create_task(tract.user(f"{steps} {n}")) for n in range(20)]
            await pause(steps)
            for task in tasks[::2]:
                task.cancel()
            await asyncio.wait(tasks)
            stored = {info.commit_hash for info in await tract.log(None)}
            assert {task.result().commit_hash for task in tasks[1::2]} <= stored
        log = await tract.log(None)

        assert linear(log)
        assert (await tract.verify()).faults == ()


async def test_promise_6_no_task_is_left_behind(target: Path | str) -> None:
    before = asyncio.all_tasks()
    async with AsyncTract.open(target, tract_id="t") as tract:
        entry = await tract.user("entry")
        for steps in range(STEPS):
            for call in (WRITES["batch"][0], WRITES["annotate"][0], READS["compile"]):
                await by_task(call(tract, entry), steps)

    assert asyncio.all_tasks() == before


# 7


async def test_promise_7_what_is_done_to_a_result_stays_with_it(target: Path | str) -> None:
    config = {"stop": ["a"], "deep": {"k": [1]}}
    async with AsyncTract.open(target, tract_id="t") as tract:
        info = await tract.assistant("a", generation_config=config, metadata=config)
        await tract.commit(
            {
                "content_type": "tool_io",
                "tool_name": "f",
                "direction": "call",
                "payload": {"a": [1]},
            }
        )
        wanted = everything(await tract.compile())
        for _ in range(2):
            context = await tract.compile()
            context.commit_hashes.append("x")
            context.generation_configs[0]["stop"].append("b")
            context.generation_configs[0]["deep"]["k"][0] = 2
            for message in (*context.to_openai(), *context.to_dicts()):
                message["content"] = "changed"
                for call in message.get("tool_calls", []):
                    call["function"]["arguments"] = "changed"
            context.to_anthropic()["messages"][0]["content"] = "changed"
            context.messages.clear()
            for found in (info, await tract.get_commit(info.commit_hash), (await tract.log())[1]):
                assert found is not None
                assert found.generation_config == config
                found.generation_config["stop"].append("c")
                assert found.metadata is not None
                found.metadata["deep"]["k"].append(3)
                info = await tract.get_commit(info.commit_hash)  # type: ignore[assignment]
            content: Any = await tract.get_content((await tract.head()) or "")
            content.payload["a"].append(2)
            content = await tract.get_content((await tract.head()) or "")
            assert content.payload == {"a": [1]}
        assert everything(await tract.compile()) == wanted
    async with AsyncTract.open(target, tract_id="t") as tract:
        assert everything(await tract.compile()) == wanted


async def test_promise_7_one_context_read_twice_gives_the_same(target: Path | str) -> None:
    """What was done to its lists does not show in the context that they came from."""
    async with AsyncTract.open(target) as tract:
        await tract.assistant("a", generation_config={"stop": ["a"]})
        context = await tract.compile()
        before = copy.deepcopy(everything(context))
        context.messages.clear()
        context.generation_configs[0]["stop"].clear()
        context.generation_configs.clear()

        assert everything(context) == before


@pytest.mark.parametrize("size", [1, 20_000], ids=["small", "large"])
async def test_promise_7_what_is_done_to_an_argument_later_stays_outside(
    size: int, target: Path | str
) -> None:
    payload = {"list": [1], "filler": "x" * size}
    config, metadata = {"stop": ["a"]}, {"k": {"n": [1]}}
    usage = {"prompt_tokens": 5, "completion_tokens": 1, "details": {"a": 1}}
    async with AsyncTract.open(target) as tract:
        model = FreeformContent(payload=payload)
        options: dict[str, Any] = {"generation_config": config, "metadata": metadata}
        tasks = [
            asyncio.create_task(tract.commit(model, **options)),
            asyncio.create_task(
                tract.commit({"content_type": "freeform", "payload": payload}, **options)
            ),
        ]
        await asyncio.sleep(0)
        payload["list"].append(2)  # type: ignore[attr-defined]
        config["stop"].append("b")
        metadata["k"]["n"].append(2)
        infos = await asyncio.gather(*tasks)
        context = await tract.record_usage(usage)
        usage["prompt_tokens"] = 6

        for info in infos:
            content: Any = await tract.get_content(info.commit_hash)
            assert content.payload["list"] == [1]
            assert (info.generation_config, info.metadata) == ({"stop": ["a"]}, {"k": {"n": [1]}})
        assert context.generation_configs == [{"stop": ["a"]}] * 2
        assert (await tract.compile()).token_count == 5


# 8


async def test_promise_8_time_strictly_increases(target: Path | str) -> None:
    """Across tasks, handles, branches, batches, annotations and reopening."""
    for _ in range(2):
        async with TractStore.open(target) as store, TractStore.open(target) as second:
            main, side = store.tract("t"), second.tract("t", branch="side")
            await asyncio.gather(*((main, side)[n % 2].user(str(n)) for n in range(40)))
            async with main.batch() as batch:
                for n in range(200):
                    batch.commit(FreeformContent(payload=n))
            await main.annotate(batch.commits[0].commit_hash, Priority.SKIP)
    async with TractStore.open(target) as store:
        logs = [await store.tract("t", branch=name).log(None) for name in ("main", "side")]

    for log in logs:
        times = [info.created_at for info in log[::-1]]
        assert times == sorted(set(times))
        assert all(moment.utcoffset() == timedelta(0) for moment in times)
    assert len({info.created_at for log in logs for info in log}) == sum(map(len, logs))


@pytest.mark.parametrize(
    "ticks",
    [lambda n: 0, lambda n: 10**15 - n, lambda n: 10**15 + n // 3, lambda n: 10**15 * (n % 2)],
    ids=["standing", "backwards", "coarse", "jumping"],
)
async def test_promise_8_time_strictly_increases_whatever_the_clock_does(
    ticks: Callable[[int], int], target: Path | str
) -> None:
    count = itertools.count()
    for _ in range(2):
        clocked = await with_clock(target, lambda: ticks(next(count)), tokenizer=None)
        async with clocked as store:
            tract = store.tract("t")
            entry = await tract.user("a")
            await asyncio.gather(*(tract.user(str(n)) for n in range(10)))
            async with tract.batch() as batch:
                batch.commit(say("b"))
                batch.commit(say("c"))
            await tract.annotate(entry.commit_hash, Priority.SKIP)
            times = [info.created_at for info in await tract.log(None)]

            assert times == sorted(set(times), reverse=True)
            for moment in times:
                head = (await tract.compile(at_time=moment)).head_hash
                found = await tract.get_commit(head or "")
                assert found is not None
                assert found.created_at == moment


# 9


async def test_promise_9_another_tracts_hash_is_no_hash_here(db_path: Path) -> None:
    async with TractStore.open(db_path) as store:
        mine, other = store.tract("mine"), store.tract("other")
        head = (await mine.user("a", generation_config={"t": 1})).commit_hash
        foreign = (await other.user("b", generation_config={"t": 1})).commit_hash
        before = dump(db_path)
        lookups = [
            mine.get_content(foreign),
            mine.compile(at_commit=foreign),
            mine.log(before=foreign),
            mine.annotate(foreign, Priority.SKIP),
            mine.get_annotations(foreign),
        ]
        for lookup in lookups:
            with pytest.raises(CommitNotFoundError):
                await lookup
        with pytest.raises(EditTargetError):
            await mine.user("c", operation=EDIT, edit_target=foreign)
        with pytest.raises(HeadMovedError):
            await mine.user("c", expected_head=foreign)
        with pytest.raises(CommitNotFoundError):
            await mine.record_usage(TokenUsage(1), head_hash=foreign)

        assert await mine.get_commit(foreign) is None
        assert [info.commit_hash for info in await mine.log()] == [head]
        assert [i.commit_hash for i in await mine.query_by_config("t", "=", 1)] == [head]
        assert (await mine.verify()).checked == 1
        assert dump(db_path) == before


async def test_promise_9_equal_histories_of_two_tracts_do_not_mix(target: Path | str) -> None:
    """Not even in the cache, whatever their hashes."""
    async with TractStore.open(target) as store:
        names = [f"tract {n}" for n in range(10)]
        for name in names:
            await store.tract(name).user("same", generation_config={"name": name})
        contexts = [await store.tract(name).compile() for name in names]
        again = [await store.tract(name).compile() for name in names]

    assert [context.generation_configs for context in contexts] == [[{"name": n}] for n in names]
    assert again == contexts


# 10


def test_promise_10_every_test_watches_the_event_loop(blockbuster: BlockBuster) -> None:
    blocking = [name for name, function in blockbuster.functions.items() if function.activated]

    assert {"time.sleep", "os.stat", "io.TextIOWrapper.read"} <= set(blocking)


async def test_promise_10_large_contents_leave_the_loop_free(target: Path | str) -> None:
    text = "A sentence of some words, again and again. " * 60_000  # 2.6 MB
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        last = time.thread_time()  # what other processes take of the machine is not counted
        while True:
            await asyncio.sleep(0.001)
            now = time.thread_time()
            longest, last = max(longest, now - last), now

    async with AsyncTract.open(target) as tract:
        await tract.user("loads the vocabulary")
        watching = asyncio.create_task(watch())
        began = time.process_time()
        await tract.user(text, generation_config={"filler": text[:500_000]})
        await tract.user(text[:-1])
        await tract.compile()
        async with tract.batch() as batch:
            batch.commit(say(text[:-2]))
        took = time.process_time() - began
        watching.cancel()
        await asyncio.wait([watching])

    assert longest < max(0.1, took / 4)


# 11

OFFLINE = """
import asyncio, socket, sys
from tract import AsyncTract
async def main():
    async with AsyncTract.open(sys.argv[1], tract_id="t") as tract:
        await tract.system("You are offline.")
        await tract.user("Hello")
        context = await tract.compile()
        print(context.token_count, context.token_source)
asyncio.run(main())
"""


def test_promise_11_works_with_no_network(db_path: Path) -> None:
    """In a network namespace with nothing in it where that is permitted, else behind dead proxies."""
    unshare = shutil.which("unshare")
    isolated = [unshare, "--map-root-user", "--net"] if unshare else []
    if isolated and subprocess.run([*isolated, "true"], capture_output=True).returncode != 0:
        isolated = []
    with tempfile.TemporaryDirectory() as empty:
        environment = {
            **os.environ,
            "TIKTOKEN_CACHE_DIR": empty,
            "https_proxy": "http://127.0.0.1:9",
            "http_proxy": "http://127.0.0.1:9",
        }
        done = subprocess.run(
            [*isolated, sys.executable, "-c", OFFLINE, str(db_path)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
        )

    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(3 + 1 + 4 + 3 + 1 + 1 + 3), "tiktoken:o200k_base"]


def test_the_promises_are_all_here() -> None:
    names = [name for name in globals() if name.startswith("test_promise_")]

    assert {int(name.split("_")[2]) for name in names} == set(range(1, 12))
    assert all(inspect.isfunction(globals()[name]) for name in names)
