"""Ready strategies for `compact()` and `CompactionPolicy`: what to hide first.

A strategy is a pure function over the message groups of a context that may be hidden, oldest first. It
returns them in the order in which to hide them, without those that are to stay. Two need none: a
sliding window is `compact(None, keep_recent=20)`, and tool results are trimmed by
`clear_tool_results()`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate

from tract.models.compaction import MessageGroup, Strategy
from tract.protocols import Message

__all__ = ["by_importance", "head_and_tail"]


def head_and_tail(steps: int) -> Strategy:
    """Return a strategy that keeps the first *steps* steps, with what led to them.

    The tail is what `keep_recent` keeps.
    """

    def strategy(groups: Sequence[MessageGroup]) -> list[MessageGroup]:
        before = accumulate((group.is_step for group in groups), initial=0)
        return [group for group, number in zip(groups, before, strict=False) if number >= steps]

    return strategy


def by_importance(score: Callable[[Message], float]) -> Strategy:
    """Return a strategy that hides first what has the lowest score, and the oldest of equals.

    A group has the score of its most important message. Pins are no matter of strategy: they stay.
    """

    def strategy(groups: Sequence[MessageGroup]) -> list[MessageGroup]:
        return sorted(groups, key=lambda group: max(map(score, group.messages)))

    return strategy
