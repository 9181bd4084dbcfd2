"""Tracts as a whole, as callers list them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tract.models.base import Value

__all__ = ["TractInfo"]


class TractInfo(Value):
    """One tract. Its dict is the caller's own copy.

    `updated_at` is when the last commit was made, a branch or tag was made, moved or deleted, or
    the title or metadata were set; `created_at` is the first such time. `commits` counts those of
    all branches and of none, and `branches` the branches that exist. `prompt_tokens` and
    `completion_tokens` add up the usage that was reported. `cursor` is where the next page of
    `TractStore.tracts` begins.
    """

    tract_id: str
    title: str | None
    metadata: dict[str, Any] | None
    created_at: datetime
    updated_at: datetime
    commits: int
    branches: int
    prompt_tokens: int
    completion_tokens: int
    cursor: str
