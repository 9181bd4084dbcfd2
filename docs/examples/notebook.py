"""Sessions of the Claude Agent SDK in one store: resumed elsewhere, forked, for many users, deleted.

    pip install "asynctract[claude-agent]"
    python docs/examples/notebook.py [sessions.db]

A script stands in for the command line that the SDK runs: leave `cli_path` out to run Claude Code.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from claude_agent_sdk import (
    ClaudeAgentOptions,
    ResultMessage,
    fork_session_via_store,
    project_key_for_directory,
    query,
)

from tract import config
from tract.integrations.claude_agent import TractSessionStore

STAND_IN = """
import glob, json, os, sys, uuid

def tell(**message):
    print(json.dumps(message), flush=True)

folder = os.path.join(os.environ["CLAUDE_CONFIG_DIR"], "projects", os.environ["PROJECT"])
session = os.environ["SESSION"]
resumed = [json.loads(line) for path in glob.glob(f"{folder}/*.jsonl") for line in open(path)]
notes = [each["message"]["content"] for each in resumed if each["type"] == "user"]
for line in sys.stdin:
    given = json.loads(line)
    if given["type"] == "control_request":
        response = {"subtype": "success", "request_id": given["request_id"], "response": {}}
        tell(type="control_response", response=response)
    if given["type"] == "user":
        notes.append(given["message"]["content"])
        text = f"{len(notes)} noted, the first: {notes[0]}"
        reply = {"id": f"msg_{uuid.uuid4()}", "type": "message", "role": "assistant", "model": "noter-1",
                 "content": [{"type": "text", "text": text}], "usage": {"input_tokens": 9, "output_tokens": 5}}
        messages = {"user": given["message"], "assistant": reply}
        entries = [{"type": kind, "uuid": str(uuid.uuid4()), "sessionId": session, "message": message}
                   for kind, message in messages.items()]
        tell(type="transcript_mirror", filePath=f"{folder}/{session}.jsonl", entries=entries)
        tell(type="result", subtype="success", duration_ms=1, duration_api_ms=1, is_error=False,
             num_turns=1, session_id=session, result=text)
        break
"""


def session_of(number: int) -> str:
    """Return the id of a user's session, which the SDK wants to be a UUID."""
    return f"00000000-0000-4000-8000-{number:012}"


class Desk:
    """Where the stand-in is, and what it is told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.project = project_key_for_directory(folder)
        self.command_line = folder / "stand-in"
        self.command_line.write_text(f"#!{sys.executable} -IS\n{STAND_IN}", encoding="utf-8")
        self.command_line.chmod(0o755)

    def key(self, session: str) -> Any:
        """Return the key of a session in the store."""
        return {"project_key": self.project, "session_id": session}

    async def note(self, store: TractSessionStore, session: str, text: str, **more: Any) -> str:
        """Say something in a session, and return the reply; each has an empty machine to itself."""
        with TemporaryDirectory() as home:
            env = {"CLAUDE_CONFIG_DIR": home, "PROJECT": self.project, "SESSION": session}
            options = ClaudeAgentOptions(
                cli_path=self.command_line,
                cwd=self.folder,
                session_store=store,
                env=env,
                **more,
            )
            told = [each async for each in query(prompt=text, options=options)]
        return next(str(each.result) for each in told if isinstance(each, ResultMessage))


async def main(path: str) -> None:
    """Run all of it."""
    os.environ["CLAUDE_AGENT_SDK_SKIP_VERSION_CHECK"] = "1"  # a script has none
    with TemporaryDirectory() as folder:
        desk, anna = Desk(Path(folder)), session_of(0)
        async with TractSessionStore(path) as store:
            print(await desk.note(store, anna, "milk"))
        async with TractSessionStore(path) as store:  # as another process, on another machine
            print(await desk.note(store, anna, "bread", resume=anna))

            fork = await fork_session_via_store(store, anna, directory=folder)
            print("fork:", await desk.note(store, fork.session_id, "wine", resume=fork.session_id))
            tract = await store.tract(desk.key(anna))
            print("anna:", [message.content for message in (await tract.compile()).messages][::2])
            made = await tract.query(config("model") == "noter-1")
            print(f"{len(made)} replies of noter-1")

            users = [session_of(number) for number in range(1, 31)]
            await asyncio.gather(*(desk.note(store, user, "eggs") for user in users))
            print(f"{len(await store.list_sessions(desk.project))} sessions")
            await store.delete(desk.key(users[0]))
            print(f"left of one: {await store.load(desk.key(users[0]))}")
            print(f"faults: {len((await tract.verify()).faults)}")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:] or ["sessions.db"]))
