"""Entries of transcripts of every kind, as Claude Code writes them."""

from __future__ import annotations

import base64
from typing import Any

from support.pictures import png

__all__ = ["ENTRIES", "KEY", "USAGE", "asked", "said", "subagent", "tag", "texts"]

KEY: Any = {"project_key": "-home-anna-libraries", "session_id": "0f2c"}
USAGE = {
    "input_tokens": 9,
    "cache_creation_input_tokens": 100,
    "cache_read_input_tokens": 20,
    "output_tokens": 7,
    "service_tier": "standard",
    "server_tool_use": {"web_search_requests": 0},
}


def subagent(name: str, **fields: str) -> Any:
    """Return the key of a subagent of the session."""
    return {**KEY, "subpath": f"subagents/agent-{name}", **fields}


def tag(name: str) -> Any:
    """Return an entry that has no uuid."""
    return {"type": "tag", "tag": name}


def _entry(kind: str, uuid: str | None, **fields: Any) -> Any:
    named = {} if uuid is None else {"uuid": uuid, "timestamp": "2026-01-02T03:04:05.678Z"}
    return {"parentUuid": None, "isSidechain": False, "type": kind, **named, **fields}


def asked(uuid: str, content: Any, **fields: Any) -> Any:
    """Return an entry in which the user says something."""
    return _entry("user", uuid, message={"role": "user", "content": content}, **fields)


def said(uuid: str, *blocks: Any, reply: str = "msg_1", **fields: Any) -> Any:
    """Return an entry in which the model says something, as a part of a reply."""
    message = {
        "id": reply,
        "type": "message",
        "role": "assistant",
        "model": "claude-opus-4-5",
        "content": list(blocks),
        "stop_reason": None,
        "stop_sequence": None,
        "usage": USAGE,
    }
    return _entry("assistant", uuid, message=message, requestId=f"req_{reply}", **fields)


def texts(entries: Any) -> list[str]:
    """Return what the users said in some entries."""
    return [each["message"]["content"] for each in entries if each["type"] == "user"]


def _result(call_id: str, content: Any) -> Any:
    return {"tool_use_id": call_id, "type": "tool_result", "content": content}


_IMAGE = {
    "type": "image",
    "source": {
        "type": "base64",
        "media_type": "image/png",
        "data": base64.b64encode(png(40, 30) + bytes(3_000)).decode(),
    },
}
ENTRIES: list[Any] = [
    {"type": "queue-operation", "operation": "enqueue", "content": "What is here?"},
    {"type": "file-history-snapshot", "messageId": "u1", "snapshot": {"trackedFileBackups": {}}},
    asked("u1", "What is here?", cwd="/home/anna", gitBranch="main", version="2.1.0"),
    said("a1", {"type": "thinking", "thinking": "I have to look.", "signature": "c2ln+/=="}),
    said("a2", {"type": "text", "text": "Let me look. ☂ \u2028"}),
    said("a3", {"type": "tool_use", "id": "t1", "name": "Bash", "input": {"z": 1.0, "a": None}}),
    said("a4", {"type": "tool_use", "id": "t2", "name": "Read", "input": {}}),
    asked("u2", [_result("t1", "a.py")], toolUseResult={"stdout": "a.py", "api_key": "kept"}),
    asked("u3", [_result("t2", [_IMAGE])], toolUseResult="text", sourceToolAssistantUUID="a4"),
    _entry("progress", "p1", data={"type": "hook_progress", "n": 2**70}),
    said("a5", {"type": "redacted_thinking", "data": "ZW5j"}, reply="msg_2"),
    said("a6", {"type": "new_kind", "of": ["a", {"later": "release"}]}, reply="msg_2"),
    said("a7", {"type": "text", "text": "One file."}, reply="msg_2", error=None),
    _entry("system", "s1", subtype="turn_duration", content="", durationMs=0.1),
    {"type": "summary", "summary": "Files", "leafUuid": "a7"},
    {"type": "custom-title", "customTitle": "Looking", "sessionId": "0f2c"},
    {"type": "tag", "tag": "done"},
    asked("u4", "cut off \ud83d", isMeta=True),
    asked("u5", [{"type": "text", "text": "nul \x00"}]),
    said("a8", {"type": "text", "text": "API Error"}, reply="e", isApiErrorMessage=True),
    asked("u6", "of a subagent", isSidechain=True),
    _entry("user", "u7", message={"role": "user"}),
    _entry("user", "u8", message="no message"),
    _entry("attachment", "x1", attachment={"$attachment": "f" * 64, "n": [1e300, -0.0, True]}),
    {"type": "no-uuid", "claude_agent": {"a": 1}, "claude_agent_json": "{}", "payload": None},
]
