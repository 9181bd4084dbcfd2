"""The hashes that name contents and commits."""

from __future__ import annotations

import hashlib
from functools import lru_cache

from tract.history.canonical import canonical_json

__all__ = ["commit_hash", "content_hash"]


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
    merged = "" if merge_parent is None else f'"merge_parent":{_json(merge_parent)},'
    aimed = "" if target is None else f',"target":{_json(target)}'
    text = (
        f'{{"content_hash":{_json(content_hash)},"content_type":{_type_json(content_type)},{merged}'
        f'"operation":{_json(operation)},"parent":{_json(parent)}{aimed},"timestamp":{timestamp}}}'
    )
    return hashlib.sha256(text.encode()).hexdigest()


def _json(name: str | None) -> str:
    """Return a hash or an operation as JSON; from a damaged store it may be any string."""
    if name is None:
        return "null"
    return f'"{name}"' if name.isalnum() and name.isascii() else canonical_json(name)


@lru_cache(maxsize=256)
def _type_json(content_type: str) -> str:
    return canonical_json(content_type)
