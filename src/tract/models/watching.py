"""What a watcher gets besides commits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

__all__ = ["BranchReset"]


@dataclass(frozen=True, slots=True)
class BranchReset:
    """A branch no longer has all the commits that a watcher was given.

    `old_hash` is the last of these. `new_hash` is the newest that the branch still has, or None
    where it has none; the commits that come next follow on it. `created_at` is the time, in UTC,
    at which the watcher was told.
    """

    branch: str
    old_hash: str | None
    new_hash: str | None
    created_at: datetime
