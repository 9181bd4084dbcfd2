"""The hashes that name contents and commits."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache

from tract.history.canonical import canonical_json

__all__ = ["commit_hash", "content_hash"]

_quoted = '"{}"'.format
"""Returns a name of letters and digits as JSON."""


def content_hash(data: bytes) -> str:
    """Return the SHA-256 of a blob's bytes as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def commit_hash(
    *,
    parent: str | None,
    content_hash: str,
    content_type: str,
    operation: str,
    timestamp: int,
    target: str | None = None,
    merge_parent: str | None = None,
) -> str:
    """Return the name of a commit as 64 hexadecimal digits.

    It is the SHA-256 of the canonical JSON of an object with these arguments as keys; `target` and
    `merge_parent` are left out if None. `timestamp` is in microseconds since 1970-01-01 UTC. The
    message, metadata and generation config are not hashed.
    """
    # Written by hand, because every commit waits for it; the keys are in canonical order.
    names = "".join(filter(None, (content_hash, operation, parent, target, merge_parent)))
    json: Callable[[str], str] = _quoted
    if not (names.isalnum() and names.isascii()):  # from a damaged store it may be any string
        json = canonical_json
    merged = "" if merge_parent is None else f'"merge_parent":{json(merge_parent)},'
    above = "null" if parent is None else json(parent)
    aimed = "" if target is None else f',"target":{json(target)}'
    text = (
        f'{{"content_hash":{json(content_hash)},"content_type":{_type_json(content_type)},{merged}'
        f'"operation":{json(operation)},"parent":{above}{aimed},"timestamp":{timestamp}}}'
    )
    return hashlib.sha256(text.encode()).hexdigest()


@lru_cache(maxsize=256)
def _type_json(content_type: str) -> str:
    return canonical_json(content_type)
