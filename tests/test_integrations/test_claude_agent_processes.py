"""Transcripts of the Claude Agent SDK that several processes write, and that a killed one leaves."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

pytest.importorskip("claude_agent_sdk", reason="it bundles 400 MB: an environment of its own")

from claude_agent_sdk import InMemorySessionStore
from claude_agent_sdk._internal.transcript_mirror_batcher import TranscriptMirrorBatcher

from support.claude import ENTRIES, KEY, asked, subagent, texts
from support.killing import started
from support.opening import COUNTER
from tract import TractStore
from tract.integrations.claude_agent import TractSessionStore

ENGINES = pytest.mark.parametrize("target", ["sqlite", "postgres"], indirect=True)

APPENDING = """
import asyncio, sys
from support.claude import KEY, asked
from tract.integrations.claude_agent import TractSessionStore

async def main(target, name, turns):
    async with TractSessionStore(target) as store:
        for turn in range(int(turns)):
            batch = [asked(f"{name}-{turn}-{part}", f"{name}:{turn}:{part}") for part in range(3)]
            await store.append(KEY, [*batch, {"type": "last-prompt", "lastPrompt": f"{name}:{turn}"}])
            print("appended", flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


def turns(found: list[str]) -> list[str]:
    """Return the turns of texts, which are there with all of their parts in a row."""
    batches = [found[start : start + 3] for start in range(0, len(found), 3)]
    for batch in batches:
        name = batch[0].rpartition(":")[0]
        assert batch == [f"{name}:{part}" for part in range(3)]
    return [batch[0].rpartition(":")[0] for batch in batches]


async def checked(store: TractSessionStore) -> list[str]:
    """Return the turns of the session, whose summary is that of its entries."""
    entries = await store.load(KEY)
    theirs = InMemorySessionStore()
    await theirs.append(KEY, entries or [])
    project = KEY["project_key"]
    [ours], [summary] = [await each.list_session_summaries(project) for each in (store, theirs)]
    assert ours["data"] == summary["data"]
    assert (await (await store.tract(KEY)).verify()).faults == ()
    return turns(texts(entries))


@ENGINES
async def test_two_processes_that_append_lose_nothing(target: Path | str) -> None:
    running = await started(APPENDING, target, "one", 8)
    async with TractSessionStore(target) as store:
        for turn in range(8):
            batch = [asked(f"two-{turn}-{part}", f"two:{turn}:{part}") for part in range(3)]
            await store.append(KEY, batch)
        assert await running.ended() == 0

        found = await checked(store)
        assert sorted(found) == sorted(
            f"{name}:{turn}" for name in ("one", "two") for turn in range(8)
        )
        for name in ("one", "two"):
            own = [turn for turn in found if turn.startswith(name)]
            assert own == [f"{name}:{turn}" for turn in range(8)]


@ENGINES
async def test_a_killed_process_leaves_whole_batches(target: Path | str) -> None:
    running = await started(APPENDING, target, "one", 10_000)
    await asyncio.sleep(0.3)
    await running.kill()

    async with TractSessionStore(target) as store:
        found = await checked(store)
        assert found == [f"one:{turn}" for turn in range(len(found))]
        last = len(found) - 1
        batch = [asked(f"one-{last}-{part}", f"one:{last}:{part}") for part in range(3)]
        await store.append(KEY, batch)
        assert await checked(store) == found


async def test_a_cancelled_append_lands_whole_or_not_at_all(target: Path | str) -> None:
    async with TractStore.open(target, tokenizer=COUNTER) as opened:
        store = TractSessionStore(opened)
        await store.append(KEY, [asked("first", "x")])
        for number in range(20):
            batch = [asked(f"{number}-{part}", f"c:{number}:{part}") for part in range(3)]
            task = asyncio.create_task(store.append(KEY, batch))
            for _ in range(number):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        found = texts(await store.load(KEY))[1:]
        turns(found)
        assert (await store.list_session_summaries(KEY["project_key"]))[0]["mtime"] > 1e12


async def test_many_appends_at_once_are_all_there_and_appended_once(target: Path | str) -> None:
    async with TractStore.open(target, tokenizer=COUNTER) as opened:
        stores = [TractSessionStore(opened) for _ in range(2)]
        batches = [
            [asked(f"{number}-{part}", f"c:{number}:{part}") for part in range(3)]
            for number in range(20)
        ]
        keys = [KEY, subagent("1")]
        await asyncio.gather(
            *(store.append(key, each) for each in batches for store in stores for key in keys)
        )

        for key in keys:
            assert sorted(turns(texts(await stores[0].load(key)))) == sorted(
                f"c:{number}" for number in range(20)
            )


async def test_the_sdks_batcher_mirrors_a_session_and_its_subagent(tmp_path: Path) -> None:
    """With retries, after an append that landed and whose end it did not learn of."""

    class Losing(TractSessionStore):
        lost = 0

        async def append(self, key, entries):  # type: ignore[no-untyped-def]  # as above
            await super().append(key, entries)
            if not self.lost:
                self.lost += 1
                raise ConnectionError("lost")

    async def never(key: object, error: str) -> None:
        raise AssertionError(error)

    projects = tmp_path / "projects"
    main = projects / KEY["project_key"] / f"{KEY['session_id']}.jsonl"
    agent = projects / KEY["project_key"] / KEY["session_id"] / "subagents" / "agent-1.jsonl"
    async with Losing(tmp_path / "s.db") as store:
        batcher = TranscriptMirrorBatcher(store=store, projects_dir=str(projects), on_error=never)
        for entry in ENTRIES[2:]:
            batcher.enqueue(str(main), [entry])
        batcher.enqueue(str(agent), ENTRIES[3:6])
        await batcher.flush()

        assert store.lost == 1
        assert await store.load(KEY) == ENTRIES[2:]
        assert await store.load(subagent("1")) == ENTRIES[3:6]
