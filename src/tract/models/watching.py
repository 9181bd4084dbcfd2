"""What a watch yields besides commits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

__all__ = ["BranchReset"]


@dataclass(frozen=True, slots=True)
class BranchReset:
    """The branch no longer matches what its watch has yielded: other commits, or another order.

    `old_hash` is the last commit that was yielded. `new_hash` is the last one up to which the
    branch still begins as it was yielded; None if there is none. The watch goes on after
    `new_hash`, repeating commits yielded before if they follow it. `created_at` is when the watch
    noticed, in UTC.
    """

    branch: str
    old_hash: str | None
    new_hash: str | None
    created_at: datetime
