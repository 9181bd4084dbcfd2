"""Checks of what callers pass, before it is taken for something that it is not."""

from __future__ import annotations

from datetime import datetime

from tract.canonical import canonical_json
from tract.exceptions import CommitNotFoundError, EditTargetError

__all__ = ["check_hash", "check_name", "check_target", "check_time", "checked_limit"]

_MAX_NAME = 255
_MOST = 2**62  # SQL counts in 64 bits


def check_name(name: str, value: object) -> None:
    """Refuse what is no name for a tract or a branch.

    Raises:
        ValueError: it is no string of 1 to 255 characters that UTF-8 can hold.
    """
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_NAME:
        raise ValueError(f"{name} must be a string of 1 to {_MAX_NAME} characters, not {value!r}")
    canonical_json(value, name)


def check_time(moment: object) -> None:
    """Refuse what is no moment.

    Raises:
        ValueError: it is no datetime, or a naive one.
    """
    if not isinstance(moment, datetime) or moment.utcoffset() is None:
        raise ValueError(
            "at_time must be a datetime with a time zone; use datetime.now(UTC), or .astimezone()"
        )


def check_hash(value: object, *, may_be_none: bool = True) -> None:
    """Refuse what callers without a type checker may give, before it is taken for something.

    Raises:
        CommitNotFoundError: it is no string.
    """
    if not isinstance(value, str) and not (may_be_none and value is None):
        raise CommitNotFoundError(value)  # type: ignore[arg-type]  # that is the point


def checked_limit(limit: int | None) -> int | None:
    """Return a limit that SQL can count to.

    Raises:
        ValueError: it is no integer from 0 up.
    """
    if limit is None:
        return None
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 0:
        raise ValueError(f"limit must be an integer from 0 up, or None, not {limit!r}")
    return limit if limit < _MOST else None


def check_target(edit_target: object) -> None:
    """Refuse an edit target that is no hash.

    Raises:
        EditTargetError: it is no string.
    """
    if not isinstance(edit_target, str):
        raise EditTargetError(
            repr(edit_target), "is no commit hash. Give a string, such as `info.commit_hash`."
        )
