"""Drafts of commits as the engine makes them, for tests that call the storage directly."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from tract.history.canonical import canonical_bytes
from tract.history.hashing import content_hash
from tract.storage.repositories import BranchName, CommitDraft

MAIN = BranchName("agent", "main")
OTHER_BRANCH = BranchName("agent", "other")
OTHER_TRACT = BranchName("rival", "main")


def draft(
    text: str = "hello",
    *,
    operation: str = "append",
    target: str | int | None = None,
    config: str | None = None,
) -> CommitDraft:
    """Return the draft of a dialogue commit with *text*; its 7 tokens were counted by `tests`."""
    fields = {"content_type": "dialogue", "role": "user", "text": text}
    data = canonical_bytes(fields)
    return CommitDraft(
        content_type="dialogue",
        operation=operation,
        content_hash=content_hash(data),
        data=data,
        target=target,
        message=f"says {text}",
        metadata_json='{"a":1}',
        generation_config_json=config,
        token_count=7,
        token_source="tests",
    )


def edit(text: str, target: str | int) -> CommitDraft:
    """Return the draft of an EDIT."""
    return draft(text, operation="edit", target=target)


def annotation(target: str | int, text: str = "skip") -> CommitDraft:
    """Return the draft of an ANNOTATE."""
    return draft(text, operation="annotate", target=target)


def ticking(start: int = 1_000, step: int = 1_000) -> Callable[[], int]:
    """Return a clock that starts at *start* and advances by *step* microseconds at every look."""
    times = iter(range(start, 2**62, step))
    return partial(next, times)
