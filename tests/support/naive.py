"""The compiled context as the design words it: a second, plain implementation to compare with.

Nothing is kept between calls, and nothing is shared with the package: histories are lists of
`Deed`, entries are dicts, and every answer is worked out from the beginning.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Deed:
    """One thing done to a history; `target` is the index of an earlier deed.

    `kind` is `append`, `edit` or `annotate`. `content` is the content's dict, or the priority.
    """

    kind: str
    content: Any
    target: int | None = None
    config: dict[str, Any] | None = None


def entries(deeds: Sequence[Deed]) -> list[dict[str, Any]]:
    """Return every entry after *deeds*: `at` (its deed's number), content, config, priority, edited."""
    found: dict[int, dict[str, Any]] = {}
    for number, deed in enumerate(deeds):
        if deed.kind == "append":
            kind = deed.content["content_type"]
            found[number] = {
                "at": number,
                "content": deed.content,
                "config": deed.config or {},
                "priority": "pinned" if kind == "instruction" else "normal",
                "edited": False,
            }
            continue
        assert deed.target is not None
        entry = found[deed.target]
        if deed.kind == "annotate":
            entry["priority"] = deed.content
        else:
            entry.update(content=deed.content, edited=True)
            if deed.config is not None:
                entry["config"] = deed.config
    return list(found.values())


def shown(deeds: Sequence[Deed]) -> list[dict[str, Any]]:
    """Return the entries that are not SKIP."""
    return [entry for entry in entries(deeds) if entry["priority"] != "skip"]


def rendered(content: dict[str, Any]) -> dict[str, Any]:
    """Return the message of one content."""
    kind = content["content_type"]
    if kind == "tool_io":
        return _tool_message(content)
    role = {"instruction": "system", "dialogue": content.get("role")}.get(kind, "assistant")
    text = content.get("text", content.get("content", content.get("payload")))
    message = {"role": role, "content": as_text(text)}
    if content.get("name") is not None:
        message["name"] = content["name"]
    return message


def messages(
    deeds: Sequence[Deed],
    *,
    include_edit_annotations: bool,
    aggregate_same_role: bool,
    render: Callable[[dict[str, Any]], dict[str, Any]] = rendered,
) -> list[dict[str, Any]]:
    """Return what `CompiledContext.to_dicts()` must return."""
    out: list[dict[str, Any]] = []
    for entry in shown(deeds):
        message = render(entry["content"])
        if include_edit_annotations and entry["edited"] and message["content"] is not None:
            message["content"] += " [edited]"
        if aggregate_same_role and out and _join(out[-1], message):
            continue
        out.append(message)
    return out


def _tool_message(content: dict[str, Any]) -> dict[str, Any]:
    text = as_text(content["payload"])
    call_id = content.get("call_id")
    if content["direction"] == "call":
        function = {"name": content["tool_name"], "arguments": text}
        call = {"id": call_id, "type": "function", "function": function}
        return {"role": "assistant", "content": None, "tool_calls": [call]}
    message = {"role": "tool", "content": text}
    return message if call_id is None else {**message, "tool_call_id": call_id}


def _join(last: dict[str, Any], message: dict[str, Any]) -> bool:
    """Join *message* to *last* if they can be joined; return True if they were."""
    if last["role"] != message["role"] or message["role"] == "tool":
        return False
    if "tool_calls" in message:
        last["tool_calls"] = last.get("tool_calls", []) + message["tool_calls"]
        return True
    if "tool_calls" in last or last.get("name") != message.get("name"):
        return False
    last["content"] += "\n\n" + message["content"]
    return True


def as_text(value: Any) -> str:
    """Return a string as it is, and anything else as canonical JSON."""
    return value if isinstance(value, str) else canonical(value)


def canonical(value: Any) -> str:
    """Return canonical JSON as the design words it."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
