"""Reads of several trips, which an erasure or a prune may overtake."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from tract.exceptions import (
    AttachmentNotFoundError,
    BlobNotFoundError,
    CommitNotFoundError,
    StoreCorruptError,
)

__all__ = ["settled"]

T = TypeVar("T")


async def settled(read: Callable[[], Awaitable[T]]) -> T:
    """Return what *read* returns, which reads once more if something is missing.

    It may have been deleted since the first trip. Another look tells that from damage.
    """
    try:
        return await read()
    except (
        AttachmentNotFoundError,
        BlobNotFoundError,
        CommitNotFoundError,
        StoreCorruptError,
    ):
        return await read()
