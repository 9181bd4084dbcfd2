"""What the Messages API refuses of single blocks, left out or mended."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from tract.formats.anthropic_messages.kinds import (
    KNOWN,
    THINKING,
    is_misplaced,
    kind_of,
)
from tract.formats.common.sides import Block, Side
from tract.formats.common.values import is_blank, without
from tract.formats.format import Json, Writing

__all__ = ["MOST_CACHE_POINTS", "mended_blocks", "without_cache_points"]

MOST_CACHE_POINTS = 4
"""Blocks with `cache_control` that a request may have."""

_IN_RESULTS = frozenset(
    {"browser_state", "document", "image", "search_result", "text", "tool_reference"}
)
_NO_OUTPUT = "The tool gave no output."


def mended_blocks(blocks: Iterable[Block], side: Side, writing: Writing) -> list[Block]:
    """Return the blocks that the API takes on a side, in their order."""
    kept = []
    for block in blocks:
        why = _refused(block.json, side)
        if why is None:
            kept.append(_mended(block, writing))
        elif block.json.get("text") != "":
            writing.lose(block.sent, kind_of(block.json) or "native", why)
    return kept


def _refused(block: Json, side: Side) -> str | None:
    """Return why the API refuses a block, or None if it takes it."""
    kind = kind_of(block)
    if is_misplaced(block, side):
        return f"the API does not take it on the side of the {side}"
    if kind == "text" and is_blank(block.get("text")):
        return "the API does not take blank texts"
    if kind == "thinking" and is_blank(block.get("signature")):
        return "its signature did not arrive"
    if kind == "redacted_thinking" and is_blank(block.get("data")):
        return "its data did not arrive"
    return None


def _mended(block: Block, writing: Writing) -> Block:
    kind = kind_of(block.json)
    if kind in THINKING and "cache_control" in block.json:
        writing.lose(block.sent, "cache_control", "thinking does not take it")
        return block._replace(json=without(block.json, "cache_control"))
    return _mended_result(block, writing) if kind == "tool_result" else block


def _mended_result(block: Block, writing: Writing) -> Block:
    result = block.json
    content = result.get("content")
    if isinstance(content, list):
        kept = [each for each in content if not _is_refused_in_result(each)]
        if len(kept) < len(content):
            if any(each not in kept and not _is_empty(each) for each in content):
                writing.lose(block.sent, "tool_result", "the API does not take all of its content")
            result = {**result, "content": kept or ""}
    if result.get("is_error") and not result.get("content"):
        # "content cannot be empty if `is_error` is true"
        writing.lose(block.sent, "tool_result", "an error must say something")
        result = {**result, "content": _NO_OUTPUT}
    return block._replace(json=result)


def _is_refused_in_result(block: Any) -> bool:
    kind = kind_of(block)
    if kind == "text":
        return is_blank(block.get("text"))
    return not isinstance(block, dict) or (kind in KNOWN and kind not in _IN_RESULTS)


def _is_empty(block: Any) -> bool:
    return kind_of(block) == "text" and block.get("text") == ""


def without_cache_points(blocks: Sequence[Block], most: int, writing: Writing) -> list[Block]:
    """Return *blocks* of which only the last *most* have `cache_control`."""
    spare = sum(len(list(_cached(block.json))) for block in blocks) - max(most, 0)
    kept = []
    for block in blocks:
        cached = len(list(_cached(block.json)))
        if cached and spare > 0:
            writing.lose(block.sent, "cache_control", f"a request may have {MOST_CACHE_POINTS}")
            spare -= cached
            block = block._replace(json=_uncached(block.json))
        kept.append(block)
    return kept


def _cached(block: Json) -> Iterator[Json]:
    """Yield a block, and those in it, that have a cache point."""
    content = block.get("content")
    for each in (block, *(content if isinstance(content, list) else ())):
        if isinstance(each, dict) and each.get("cache_control"):
            yield each


def _uncached(block: Json) -> Json:
    rest = without(block, "cache_control")
    if isinstance(rest.get("content"), list):
        rest["content"] = [
            without(each, "cache_control") if isinstance(each, dict) else each
            for each in rest["content"]
        ]
    return rest
