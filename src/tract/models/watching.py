"""What a watcher gets besides commits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

__all__ = ["BranchReset"]


@dataclass(frozen=True, slots=True)
class BranchReset:
    """A branch is not what a watch has yielded any more: it has other commits, or another order.

    `old_hash` is the last commit that was yielded. What was yielded up to `new_hash` is still how the
    branch begins; it is None where nothing is. The commits that come next follow on that one, those
    that were yielded before included. `created_at` is the time, in UTC, at which the watch noticed.
    """

    branch: str
    old_hash: str | None
    new_hash: str | None
    created_at: datetime
