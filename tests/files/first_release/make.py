"""Make `agents.db`, a store as version 0.1.0 wrote it, and `agents.json`, what that version read in it.

It runs on the code of 0.1.0, not on this one:

    git archive 83bdb58 src | tar --extract --directory /tmp/first
    PYTHONPATH=/tmp/first/src python make.py
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
STORE = HERE / "agents.db"
TOOL = {"content_type": "tool_io", "tool_name": "weather", "call_id": "c1"}

tract: Any = import_module("tract")


async def plan(store: Any) -> None:
    """A conversation with a tool, edits, priorities, usage, and branches that meet again."""
    main = store.tract("planner")
    await main.system("You plan trips.")
    asked = await main.user("Plan a week in Norway. 🏔", name="anna")
    call = {**TOOL, "direction": "call", "payload": {"city": "Tromsø"}}
    await main.commit(call, metadata={"trace": "t-1", "cost": 0.25})
    await main.commit({**TOOL, "direction": "result", "payload": {"degrees": -3}})
    fast = await main.fork("fast")
    config = {"model": "large", "temperature": 0.7, "stop": ["END"]}
    await main.assistant("Oslo first.", generation_config=config)
    await main.record_usage(tract.TokenUsage(120, 8))
    await fast.assistant("Bergen first.", generation_config={**config, "model": "small"})
    longer = {"content_type": "dialogue", "role": "user", "text": "Plan two weeks in Norway."}
    edit = tract.CommitOperation.EDIT
    await main.commit(longer, operation=edit, edit_target=asked.commit_hash, message="longer")
    await main.annotate(asked.commit_hash, tract.Priority.PINNED, reason="the brief")
    await main.tag("before-merge")
    await main.merge("fast", message="both")
    await main.fork("dropped")
    await main.delete_branch("dropped", force=True)


async def write(store: Any) -> None:
    """A conversation of every other kind of content, streamed, reset and picked."""
    writer = store.tract("writer", branch="draft")
    async with writer.batch() as batch:
        for number in range(6):
            batch.commit({"content_type": "freeform", "payload": {"note": f"Number {number}"}})
    await writer.commit({"content_type": "artifact", "artifact_type": "code", "content": "x = 1\n"})
    await writer.commit({"content_type": "reasoning", "text": "Hm."})
    await writer.commit({"content_type": "output", "text": "Done.", "format": "text"})
    async with writer.stream(generation_config={"model": "small"}) as stream:
        for piece in ("Half ", "a reply", " and the rest."):
            await stream.write(piece)
    kept = await writer.head()
    taken = await writer.user("Taken back.")
    await writer.reset(kept, reason="a mistake")
    picked = await writer.fork("picked")
    await picked.cherry_pick(taken.commit_hash)


async def leave() -> None:
    """Stream a reply, and end this process in the midst of it."""
    async with (
        tract.TractStore.open(STORE) as store,
        store.tract("left").stream(metadata={"trace": "t-2"}) as stream,
    ):
        await store.tract("left").user("How long is the tunnel?")
        await stream.write("24 ")
        await asyncio.sleep(2)  # it is kept in the store from time to time
        os._exit(0)


async def read(store: Any) -> dict[str, Any]:
    """Return what this version says of a store: of each branch its commits, contents and contexts."""
    said: dict[str, Any] = {}
    for tract_id in await store.tract_ids():
        handle = store.tract(tract_id)
        branches = {}
        for info in await handle.branches():
            on = handle.on(info.name)
            branches[info.name] = [await commit(on, each) for each in await on.log(None)]
        said[tract_id] = {
            "branches": branches,
            "tags": {each.name: each.target_hash for each in await handle.tags()},
            "reflog": [
                [
                    each.branch,
                    each.old_hash,
                    each.new_hash,
                    each.action,
                    each.created_at.isoformat(),
                ]
                for each in await handle.reflog()
            ],
        }
    return said


async def commit(handle: Any, info: Any) -> dict[str, Any]:
    context = await handle.compile(at_commit=info.commit_hash)
    content = await handle.get_content(info.commit_hash)
    return {
        **info.model_dump(mode="json"),
        "content": content.model_dump(mode="json"),
        "messages": [
            {"role": each.role, "content": each.content, "name": each.name}
            for each in context.messages
        ],
        "context_tokens": context.token_count,
        "token_source": context.token_source,
    }


async def make() -> None:
    async with tract.TractStore.open(STORE) as store:
        await plan(store)
        await write(store)


async def read_copy(path: str) -> dict[str, Any]:
    async with tract.TractStore.open(path) as store:
        return await read(store)


def main() -> None:
    for each in HERE.glob("agents.db*"):
        each.unlink()
    asyncio.run(make())
    subprocess.run([sys.executable, __file__, "leave"], check=True)
    with closing(sqlite3.connect(STORE)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode=DELETE")  # which leaves one file
    copy = shutil.copy(STORE, STORE.with_suffix(".copy"))
    said = asyncio.run(read_copy(str(copy)))
    Path(copy).unlink()
    text = json.dumps(said, indent=1, ensure_ascii=False, sort_keys=True)
    (HERE / "agents.json").write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(leave()) if sys.argv[1:] == ["leave"] else main()
