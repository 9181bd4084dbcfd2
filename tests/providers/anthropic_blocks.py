"""What Anthropic's Messages API refuses of single content blocks, and which role has which."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from providers.rules import (
    Json,
    among,
    at,
    base64_text,
    is_blank,
    json_object,
    media_type,
    media_url,
    problem,
)

THINKING = ("thinking", "redacted_thinking")

# As the SDK's types have them (`anthropic.types.beta`: BetaContentBlockParam and its neighbours).
_ON_BOTH_SIDES = {"text", "image", "document", "search_result", "container_upload"}
_BY_ROLE = {
    "user": _ON_BOTH_SIDES | {"tool_result"},
    "assistant": _ON_BOTH_SIDES
    | {"thinking", "redacted_thinking", "tool_use", "server_tool_use", "compaction", "fallback"}
    | {"mcp_tool_use", "mcp_tool_result", "mcp_tool_listing", "advisor_tool_result"}
    | {"web_search_tool_result", "web_fetch_tool_result", "tool_search_tool_result"}
    | {"code_execution_tool_result", "bash_code_execution_tool_result"}
    | {"text_editor_code_execution_tool_result"},
    "system": {"text", "tool_addition", "tool_removal"},
    "result": {"text", "image", "document", "search_result", "tool_reference", "browser_state"},
}

# docs.claude.com, "Vision" and "PDF support".
_IMAGES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_DOCUMENTS = frozenset({"application/pdf"})


def content(path: str, given: Any, role: str) -> Iterator[str]:
    """Report the blocks of a message, or of a tool result (whose role is `result`)."""
    if not isinstance(given, list):
        yield problem(path, "content", "content is a string or a list of blocks")
    for where, block in at(path, given):
        kind = block.get("type")
        if not among(kind, _BY_ROLE[role]):
            yield problem(where, "block-type", f"{kind!r} is not a block of a {role} message")
        yield from _CHECKS.get(str(kind), _nothing)(where, block)
        if kind in THINKING and "cache_control" in block:
            yield problem(where, "cache-points", "thinking blocks take no cache_control")


def text(path: str, key: str, given: Any) -> Iterator[str]:
    """Report text that is empty, or all whitespace.

    "text content blocks must be non-empty", "text content blocks must contain non-whitespace
    text". The second was seen to be let pass where the same message has other text, too; what is
    refused in most places is refused here in all.
    """
    if is_blank(given):
        yield problem(f"{path}.{key}", "blank-text", "text must hold more than whitespace")


def _text(path: str, block: Json) -> Iterator[str]:
    yield from text(path, "text", block.get("text"))


def _thinking(path: str, block: Json) -> Iterator[str]:
    # The text may be empty: models whose thinking is not displayed send a signature alone.
    if not isinstance(block.get("thinking"), str):
        yield problem(f"{path}.thinking", "thinking-text", "Field required")
    if is_blank(block.get("signature")):
        # "messages.1.content.0.thinking.signature: Field required"
        yield problem(f"{path}.signature", "signature", "thinking without its signature")
    else:
        yield from base64_text(f"{path}.signature", block["signature"])


def _redacted(path: str, block: Json) -> Iterator[str]:
    if is_blank(block.get("data")):
        yield problem(f"{path}.data", "signature", "redacted thinking without its data")


def _result(path: str, block: Json) -> Iterator[str]:
    given = block.get("content")
    if block.get("is_error") and not given:
        # "content cannot be empty if `is_error` is true"
        yield problem(path, "error-content", "an error result says what went wrong")
    if isinstance(given, list):
        yield from content(f"{path}.content", given, "result")
    elif not isinstance(given, str | None):
        yield problem(path, "content", "content is a string or a list of blocks")


def _source(path: str, block: Json, accepted: frozenset[str]) -> Iterator[str]:
    source = json_object(block.get("source"))
    kind, where = source.get("type"), f"{path}.source"
    if kind == "base64":
        yield from media_type(where, source.get("media_type"), accepted)
        yield from base64_text(f"{where}.data", source.get("data"))
    elif kind == "url":
        yield from media_url(where, source.get("url"), frozenset())
    elif kind == "text":
        yield from media_type(where, source.get("media_type"), frozenset({"text/plain"}))
    elif kind not in ("file", "content"):
        yield problem(where, "media-source", f"{kind!r} is not a kind of source")


def _image(path: str, block: Json) -> Iterator[str]:
    yield from _source(path, block, _IMAGES)


def _document(path: str, block: Json) -> Iterator[str]:
    yield from _source(path, block, _DOCUMENTS)


def _nothing(path: str, block: Json) -> Iterator[str]:
    yield from ()


_CHECKS: dict[str, Callable[[str, Json], Iterator[str]]] = {
    "text": _text,
    "thinking": _thinking,
    "redacted_thinking": _redacted,
    "tool_result": _result,
    "image": _image,
    "document": _document,
}
