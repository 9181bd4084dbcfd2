"""Uses the installed package as a program would; run with `python -I`, far from the sources."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import sysconfig
from importlib.metadata import version
from pathlib import Path

import tract
from tract.viewer import write_page


async def used(folder: Path) -> None:
    """Commit, fork, merge, search, erase; write a page; open a file of an earlier version."""
    path = folder / "agents.db"
    async with tract.TractStore.open(path) as store:
        planner = store.tract("planner")
        await planner.system("You plan trips.")
        asked = await planner.user("Plan a week in Norway.")
        fast = await planner.fork("fast")
        await planner.assistant("Oslo first.", generation_config={"temperature": 0.7})
        await fast.assistant("Bergen first.")
        await planner.merge("fast")
        await store.enable_search()
        (hit,) = await store.search("norway")
        assert hit.commit.commit_hash == asked.commit_hash
        context = await planner.compile()
        assert [each["role"] for each in context.to_openai()] == ["system", "user", "assistant"]
        assert context.token_source == "tiktoken:o200k_base"
        assert (await planner.verify()).faults == ()
        await write_page(store, folder / "agents.html")
    assert b"Bergen first." in (folder / "agents.html").read_bytes()


def command(*arguments: str) -> str:
    """Run the installed command `tract`."""
    program = Path(sysconfig.get_path("scripts")) / "tract"
    done = subprocess.run([program, *arguments], capture_output=True, encoding="utf-8", check=True)
    return done.stdout


def main() -> None:
    """Run all of it in the current folder, which has `first_release.db`."""
    folder = Path.cwd()
    assert Path(tract.__file__).is_relative_to(sysconfig.get_path("purelib")), tract.__file__
    asyncio.run(used(folder))
    assert "Bergen first." in command("log", "agents.db", "--graph")
    assert len(json.loads(command("compile", "agents.db", "--for", "openai"))["messages"]) == 3
    assert json.loads(command("migrate", "first_release.db", "--json"))["schema_before"] == 2
    assert "both" in command("log", "first_release.db", "--tract", "planner")
    assert "--tract" in command("mcp", "--help")
    print(f"asynctract {version('asynctract')} works on Python {sys.version.split()[0]}")


if __name__ == "__main__":
    main()
