"""The hashes that name contents and commits."""

from __future__ import annotations

import hashlib

from tract.canonical import canonical_bytes

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

    It is the SHA-256 of the canonical JSON of an object with these arguments as keys; `target`
    and `merge_parent` are left out where they are None. `timestamp` counts microseconds since
    1970-01-01 UTC. Message, metadata and generation config are no part of it.
    """
    named: dict[str, str | int | None] = {
        "content_hash": content_hash,
        "content_type": content_type,
        "operation": operation,
        "parent": parent,
        "timestamp": timestamp,
    }
    if target is not None:
        named["target"] = target
    if merge_parent is not None:
        named["merge_parent"] = merge_parent
    return hashlib.sha256(canonical_bytes(named)).hexdigest()
