"""What Anthropic's Messages API refuses of a request's messages, system prompt and tools.

The rules are from docs.claude.com (API reference of Messages, "How to implement tool use",
"Extended thinking", "Mid-conversation system messages") and from the API's own error messages,
which the comments quote. Recorded requests that were answered with success pass.

Two rules that are often told are not among them, since such requests are answered: messages of
one role may follow each other (they "will be combined into a single turn"), and the first message
may be the assistant's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from providers import anthropic_blocks as blocks
from providers.rules import (
    Json,
    at,
    broken,
    is_blank,
    items,
    json_object,
    key,
    matching,
    problem,
    unique,
)

# "tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'"
_TOOL_ID = re.compile(r"[a-zA-Z0-9_-]+")
# "server_tool_use.id: String should match pattern '^srvtoolu_[a-zA-Z0-9_]+$'"
_SERVER_ID = re.compile(r"srvtoolu_[a-zA-Z0-9_]+")
_IDS = {"tool_use": _TOOL_ID, "server_tool_use": _SERVER_ID, "mcp_tool_use": _TOOL_ID}
# "tools.0.custom.name: String should match pattern '^[a-zA-Z0-9_-]{1,128}$'"
_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")

# What the models from before Claude Opus 4.8 answer to `role: system` in messages is "messages:
# Unexpected role"; what those since 4.6 answer to a last message of the assistant's is "This model
# does not support assistant message prefill. The conversation must end with a user message."
_BEFORE_SYSTEM = re.compile(r"claude-(?:[23]|(?:opus|sonnet|haiku)-4(?:-[0-7])?(?:-\d{8})?$)")
_BEFORE_NO_PREFILL = re.compile(r"claude-(?:[23]|(?:opus|sonnet|haiku)-4(?:-[0-5])?(?:-\d{8})?$)")


class Turn(NamedTuple):
    """Messages of one role that follow each other, as one: their blocks with their paths."""

    path: str
    role: str
    blocks: list[tuple[str, Json]]

    def of(self, *types: str) -> list[tuple[str, Json]]:
        """Return the blocks of these types."""
        return [(path, block) for path, block in self.blocks if block.get("type") in types]


def problems(request: Json) -> list[str]:
    """Return what the API would refuse *request* for, each with its JSON path and rule."""
    return broken(request, _RULES)


def turns(request: Json) -> list[Turn]:
    """Return the messages but those of the system, joined where one role speaks again."""
    joined: list[Turn] = []
    for path, message in at("messages", request.get("messages")):
        content = message.get("content")
        if isinstance(content, str):
            content = [{"type": "text", "text": content}]
        found = at(f"{path}.content", content)
        if message.get("role") == "system":
            continue
        if joined and joined[-1].role == message.get("role"):
            joined[-1].blocks.extend(found)
        else:
            joined.append(Turn(path, str(message.get("role")), found))
    return joined


def current_loop(request: Json) -> list[Turn]:
    """Return the assistant's turns of the tool loop that the request goes on with, if it does."""
    sequence = turns(request)
    start = len(sequence)
    while start > 1 and sequence[start - 1].of("tool_result"):
        start -= 2
    return [turn for turn in sequence[start:] if turn.role == "assistant"]


def _shape(request: Json) -> Iterator[str]:
    messages = request.get("messages")
    if not isinstance(messages, list) or not messages:
        yield problem("messages", "not-empty", "at least one message is required")
    for path, message in at("messages", messages):
        role = message.get("role")
        if role not in ("user", "assistant", "system"):
            yield problem(f"{path}.role", "role", f"{role!r} is not a role of this API")
            continue
        # "messages: text content blocks must be non-empty", "all messages must have non-empty
        # content except for the optional final assistant message"
        last = path == f"messages[{len(messages or ()) - 1}]" and role == "assistant"
        if not message.get("content"):
            if not last:
                yield problem(f"{path}.content", "not-empty", "a message must have content")
        elif isinstance(message.get("content"), str):
            yield from blocks.text(path, "content", message["content"])
        else:
            yield from blocks.content(f"{path}.content", message.get("content"), role)
    for path, block in at("system", request.get("system")):
        yield from blocks.text(path, "text", block.get("text"))


def _system(request: Json) -> Iterator[str]:
    """A message of the system stands behind a user turn, and the assistant speaks next."""
    messages = items(request.get("messages"))
    roles = [None, *(message.get("role") for message in messages), None]
    for n, before, role, after in zip(
        range(len(messages)), roles, roles[1:], roles[2:], strict=False
    ):
        path = f"messages[{n}]"
        if role != "system":
            continue
        if _BEFORE_SYSTEM.match(str(request.get("model", ""))):
            yield problem(path, "system-model", "this model takes no system messages here")
        if before != "user":
            yield problem(path, "system-place", "a system message follows a user turn")
        if after not in (None, "assistant"):
            yield problem(path, "system-place", "the assistant speaks after a system message")


def _final(request: Json) -> Iterator[str]:
    messages = items(request.get("messages"))
    if not messages or messages[-1].get("role") != "assistant":
        return
    path, content = f"messages[{len(messages) - 1}]", messages[-1].get("content")
    blocks_of = items(content)
    last = content if isinstance(content, str) else blocks_of and blocks_of[-1].get("text")
    if isinstance(last, str) and last != last.rstrip():
        # "messages: final assistant content cannot end with trailing whitespace"
        yield problem(path, "trailing-whitespace", "the final assistant content ends with space")
    # A turn that the API paused (`pause_turn`) is sent back as the last message, to go on.
    paused = any(str(b.get("type")).endswith(("_tool_result", "_tool_use")) for b in blocks_of)
    if not paused and not _BEFORE_NO_PREFILL.match(str(request.get("model", "claude-3"))):
        yield problem(path, "prefill", "the conversation must end with a user message")


def _pairs(request: Json) -> Iterator[str]:
    """Every call is answered in the next user turn, before all else there."""
    sequence = turns(request)
    empty = Turn("", "", [])
    for turn, after in zip(sequence, [*sequence[1:], empty], strict=False):
        results = {key(block.get("tool_use_id")) for _, block in after.of("tool_result")}
        for path, call in turn.of("tool_use"):
            if after.role != "user" or key(call.get("id")) not in results:
                # "`tool_use` ids were found without `tool_result` blocks immediately after"
                yield problem(path, "call-without-result", f"{call.get('id')!r} has no tool_result")
    for before, turn in zip([empty, *sequence], sequence, strict=False):
        calls = {key(block.get("id")) for _, block in before.of("tool_use")}
        for path, result in turn.of("tool_result"):
            if key(result.get("tool_use_id")) not in calls:
                # "unexpected `tool_use_id` found in `tool_result` blocks"
                yield problem(path, "result-without-call", "no tool_use in the message before")


def _results_first(request: Json) -> Iterator[str]:
    """Tool results "must come first in the content array; any text must come after"."""
    for turn in turns(request):
        kinds = [block.get("type") == "tool_result" for _, block in turn.blocks]
        if True in kinds and kinds != sorted(kinds, reverse=True):
            yield problem(turn.path, "results-first", "tool_result blocks come before all others")


def _unique_ids(request: Json) -> Iterator[str]:
    # "`tool_use` ids must be unique", "each tool_use must have a single result".
    of = [turn.of(*_IDS) for turn in turns(request)]
    yield from unique(((path, b.get("id")) for each in of for path, b in each), "duplicate-id")
    results = [turn.of("tool_result") for turn in turns(request)]
    found = ((path, b.get("tool_use_id")) for each in results for path, b in each)
    yield from unique(found, "duplicate-result")


def _ids_and_names(request: Json) -> Iterator[str]:
    for turn in turns(request):
        for path, block in turn.of(*_IDS):
            yield from matching(f"{path}.id", "id-pattern", block.get("id"), _IDS[block["type"]])
            yield from matching(f"{path}.name", "tool-name", block.get("name"), _TOOL_NAME)
            if not isinstance(block.get("input"), dict):
                yield problem(f"{path}.input", "tool-input", "the input is a JSON object")
    named = [
        (f"{path}.name", tool) for path, tool in at("tools", request.get("tools")) if "name" in tool
    ]
    for path, tool in named:
        yield from matching(path, "tool-name", tool["name"], _TOOL_NAME)
    # "tools: Tool names must be unique."
    yield from unique(((path, tool["name"]) for path, tool in named), "duplicate-tool")


def _server_tools(request: Json) -> Iterator[str]:
    """A server tool's result stands behind its call, and no finished turn lacks one."""
    called: dict[Any, str] = {}
    sequence = turns(request)
    for turn in sequence:
        opened: dict[Any, str] = {}
        for path, block in turn.blocks:
            kind = str(block.get("type"))
            if kind in ("server_tool_use", "mcp_tool_use"):
                opened[key(block.get("id"))] = path
            elif kind.endswith("_tool_result"):
                # "Each `advisor_tool_result` block must have a corresponding `server_tool_use`
                # block before it."
                if key(block.get("tool_use_id")) not in {**called, **opened}:
                    yield problem(path, "result-without-call", f"no call before this {kind}")
                opened.pop(key(block.get("tool_use_id")), None)
        called.update(opened)
        # "… was found without a corresponding `web_search_tool_result` block"; code that waits
        # for a client's tool, and a paused turn, go on later.
        if turn is not sequence[-1] and not turn.of("tool_use"):
            for path in opened.values():
                yield problem(path, "call-without-result", "this server tool has no result")


def _thinking(request: Json) -> Iterator[str]:
    """With thinking on, the assistant's turn in a tool loop starts with its thinking."""
    for path, message in at("messages", request.get("messages")):
        last = at(f"{path}.content", message.get("content"))[-1:]
        if last and last[0][1].get("type") in blocks.THINKING:
            # "The final block in an assistant message cannot be `thinking`."
            yield problem(last[0][0], "thinking-last", "the last block is thinking")
    enabled = json_object(request.get("thinking")).get("type") == "enabled"
    first = current_loop(request)[:1] if enabled else []
    if first and first[0].blocks and first[0].blocks[0][1].get("type") not in blocks.THINKING:
        # "When `thinking` is enabled, a final `assistant` message must start with a thinking block
        # (preceeding the lastmost set of `tool_use` and `tool_result` blocks)."
        yield problem(first[0].blocks[0][0], "thinking-first", "thinking comes first in a loop")


def _cache_points(request: Json) -> Iterator[str]:
    # "A maximum of 4 blocks with cache_control may be provided."
    found = [*items(request.get("system")), *items(request.get("tools"))]
    for message in items(request.get("messages")):
        found += items(message.get("content"))
    if sum(1 for block in found if block.get("cache_control")) > 4:
        yield problem("messages", "cache-points", "more than 4 blocks have cache_control")
    for path, text in at("system", request.get("system")):
        if text.get("cache_control") and is_blank(text.get("text")):
            yield problem(path, "cache-points", "cache_control cannot be set for empty text")


_RULES = (
    _shape,
    _system,
    _final,
    _pairs,
    _results_first,
    _unique_ids,
    _ids_and_names,
    _server_tools,
    _thinking,
    _cache_points,
)
