"""What every error builds on: the base of all, and how values are named in a text."""

from __future__ import annotations

__all__ = [
    "SHOWN",
    "_LISTED",
    "TokenBudgetWarning",
    "TractError",
    "UnknownKindWarning",
    "bare",
    "listed",
    "shown",
    "times",
]

SHOWN = 200  # characters of a path or a value in an error text

_LISTED = 5  # items listed in an error text


def shown(value: object) -> str:
    """Return a short repr of *value* for error messages, whatever it is."""
    try:
        text = repr(value)
    except Exception:  # an integer of too many digits, or a class with a broken repr
        return f"(a {type(value).__name__})"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def bare(name: str | None) -> str:
    """Return a hash for an error text: without quotes, unless it cannot be a hash."""
    return name if name is not None and name.isalnum() and len(name) <= SHOWN else shown(name)


def listed(items: list[str]) -> str:
    """Return the first of some items for an error text, and how many more there are."""
    more = len(items) - _LISTED
    return ", ".join(items[:_LISTED]) + (f", and {more} more" if more > 0 else "")


def times(count: int) -> str:
    """Return how often for an error text."""
    return "once" if count == 1 else f"{count} times"


class TractError(Exception):
    """Base of all errors of this library; raised itself where no subclass fits."""


class TokenBudgetWarning(UserWarning):
    """A commit makes the context exceed a token budget whose action is `warn`."""


class UnknownKindWarning(UserWarning):
    """A reply holds events, deltas, blocks or items of kinds that this release does not know.

    They are kept as the provider sent them.
    """
