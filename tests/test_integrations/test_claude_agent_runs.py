"""Runs of the Claude Agent SDK over a command line that needs no network, mirrored and resumed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("claude_agent_sdk", reason="it bundles 400 MB: an environment of its own")

from claude_agent_sdk import ClaudeAgentOptions, ResultMessage, project_key_for_directory, query

from tract.integrations.claude_agent import TractSessionStore

SESSION = "3f0c8e9a-1b2c-4d5e-8f90-a1b2c3d4e5f6"
COMMAND_LINE = f"""#!{sys.executable}
# Answers each prompt, says what it was resumed with, and mirrors what it writes.
import glob, json, os, sys, uuid

def tell(message):
    print(json.dumps(message), flush=True)

home = os.environ["CLAUDE_CONFIG_DIR"]
resumed = [json.loads(line) for path in glob.glob(f"{{home}}/projects/*/*.jsonl") for line in open(path)]
for line in sys.stdin:
    asked = json.loads(line)
    if asked["type"] == "control_request":
        told = {{"subtype": "success", "request_id": asked["request_id"], "response": {{}}}}
        tell({{"type": "control_response", "response": told}})
    if asked["type"] != "user":
        continue
    reply = {{"id": f"msg_{{len(resumed)}}", "type": "message", "role": "assistant", "model": "claude-x",
             "content": [{{"type": "text", "text": f"after {{len(resumed)}}"}}],
             "usage": {{"input_tokens": 5, "output_tokens": 2}}}}
    entries = [{{"type": "user", "uuid": str(uuid.uuid4()), "message": asked["message"]}},
               {{"type": "assistant", "uuid": str(uuid.uuid4()), "message": reply}}]
    path = f"{{home}}/projects/{{os.environ['PROJECT']}}/{SESSION}.jsonl"
    tell({{"type": "transcript_mirror", "filePath": path, "entries": entries}})
    tell({{"type": "result", "subtype": "success", "duration_ms": 1, "duration_api_ms": 1, "is_error": False,
          "num_turns": 1, "session_id": "{SESSION}", "result": reply["content"][0]["text"]}})
    break
"""


async def test_a_session_is_mirrored_and_resumes_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLAUDE_AGENT_SDK_SKIP_VERSION_CHECK", "1")
    command_line = tmp_path / "claude"
    command_line.write_text(COMMAND_LINE)
    command_line.chmod(0o755)
    project = project_key_for_directory(tmp_path)

    async def ask(store: TractSessionStore, home: str, prompt: str, **more: Any) -> Any:
        env = {"CLAUDE_CONFIG_DIR": str(tmp_path / home), "PROJECT": project}
        options = ClaudeAgentOptions(
            cli_path=command_line, cwd=tmp_path, session_store=store, env=env, **more
        )
        told = [each async for each in query(prompt=prompt, options=options)]
        [result] = [each for each in told if isinstance(each, ResultMessage)]
        return result.result

    async with TractSessionStore(tmp_path / "s.db") as store:
        assert await ask(store, "one", "first") == "after 0"
    async with TractSessionStore(tmp_path / "s.db") as store:
        assert await ask(store, "two", "second", resume=SESSION) == "after 2"
        assert await ask(store, "three", "third", continue_conversation=True) == "after 4"

        tract = await store.tract({"project_key": project, "session_id": SESSION})
        said = [message.content for message in (await tract.compile()).messages]
        assert said == ["first", "after 0", "second", "after 2", "third", "after 4"]
        info = await tract.info()
        assert info is not None
        assert (info.prompt_tokens, info.completion_tokens) == (15, 6)
