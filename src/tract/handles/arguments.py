"""Checks of callers' arguments by their real type; `isinstance` would ask the value itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal, TypeVar, cast

from tract.engine.compaction.planning import Aims
from tract.engine.pruning import Boundary
from tract.exceptions import (
    CommitNotFoundError,
    ContentValidationError,
    EditTargetError,
    RefNameError,
    shown,
)
from tract.history.canonical import plain_text
from tract.models.commit import microseconds
from tract.models.compaction import CompactionPlan, CompactionPolicy, Strategy, Summariser
from tract.models.refs import MAX_REF_NAME, check_ref_name, check_storable, utf8_size
from tract.protocols import UNSET, UnsetType
from tract.storage.repositories import Position, TractOrder

__all__ = [
    "checked_aims",
    "checked_boundary",
    "checked_commit",
    "checked_count",
    "checked_demands",
    "checked_end",
    "checked_hash",
    "checked_head",
    "checked_limit",
    "checked_name",
    "checked_new_name",
    "checked_order",
    "checked_plan",
    "checked_position",
    "checked_ref",
    "checked_several",
    "checked_summariser",
    "checked_target",
    "checked_text",
    "checked_title",
    "checked_tract_order",
    "checked_tracts",
    "said",
]

T = TypeVar("T")

_MOST = 2**62  # SQL counts in 64 bits


def checked_summariser(value: Summariser | None) -> Summariser | None:
    """Return what summarises.

    Raises:
        TypeError: it cannot be called.
    """
    if value is None or callable(value):
        return value
    named = " Give a policy as `policy=`." if type(value) is CompactionPolicy else ""
    raise TypeError(
        f"summarise must be a function of a CompactionRequest, async or not, or None; "
        f"{shown(value)} cannot be called.{named}"
    )


def checked_name(name: str, value: object) -> str:
    """Return the name of a tract or a branch.

    Raises:
        ValueError: it is not a string that UTF-8 can encode in 1 to 1,024 bytes, or has a NUL.
    """
    text = _text(value)
    if not text or utf8_size(text) > MAX_REF_NAME:
        raise ValueError(
            f"{name} must be a string of 1 to {MAX_REF_NAME:,} bytes in UTF-8, not {shown(value)}"
        )
    return plain_text(text, name)


def checked_ref(value: object) -> str:
    """Return the name of a branch or a tag that may exist already.

    Only new names have to follow the stricter rules.

    Raises:
        RefNameError: it is not a string, or no release could ever store it.
    """
    text = _text(value)
    if text is None:
        raise RefNameError(value, f"a {type(value).__name__} is not a string. Give a string.")
    check_storable(text)
    return text


def checked_new_name(value: object) -> str:
    """Return the name of a new branch or tag.

    Raises:
        RefNameError: it breaks a rule.
    """
    name = checked_ref(value)
    check_ref_name(name)
    return name


def checked_text(name: str, value: object) -> str:
    """Return a text.

    Raises:
        ContentValidationError: it is not a string that UTF-8 can encode, or has a NUL.
    """
    text = _text(value)
    if text is None:
        raise ContentValidationError(f"a {type(value).__name__} is not a string", name)
    return plain_text(text, name)


def checked_title(title: str | UnsetType | None, metadata: object) -> str | UnsetType | None:
    """Return a title that is to be set, with metadata or alone; None and UNSET stay.

    Raises:
        ContentValidationError: it cannot be stored.
        ValueError: neither was given.
    """
    if title is UNSET and metadata is UNSET:
        raise ValueError("give title or metadata, or both")
    if title is UNSET or title is None:
        return title
    return checked_text("title", title)


def checked_hash(value: object) -> str:
    """Return a hash or name of a commit.

    Raises:
        CommitNotFoundError: it is not a string.
    """
    text = _text(value)
    if text is None:
        raise CommitNotFoundError(shown(value))
    return text


def checked_end(value: object) -> str | None:
    """Return a hash or name of a commit; None is returned as it is.

    Raises:
        CommitNotFoundError: it is not a string.
    """
    return None if value is None else checked_hash(value)


def checked_commit(value: object) -> str | UnsetType | None:
    """Return a hash or name of a commit; None and UNSET are returned as they are.

    Raises:
        CommitNotFoundError: it is not a string.
    """
    return value if value is None or value is UNSET else checked_hash(value)


def checked_tracts(value: object) -> dict[str, str | UnsetType | None] | None:
    """Return which tracts to export, each with a commit, or UNSET if it is meant whole.

    Raises:
        ValueError: it is neither ids of tracts nor a mapping from them.
        CommitNotFoundError: a commit is not a string.
    """
    if value is None:
        return None
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ValueError(
            f"tracts must be ids of tracts, or a mapping from them, not {shown(value)}"
        )
    given = value if isinstance(value, Mapping) else dict.fromkeys(value, UNSET)
    return {checked_name("tracts", name): checked_commit(at) for name, at in given.items()}


def checked_position(at_commit: object, at_time: object) -> Position:
    """Return the position for `compile`: a commit, a time, or the head if neither is given.

    Raises:
        CommitNotFoundError: *at_commit* is not a string.
        ValueError: both are given, or *at_time* is not a datetime with a time zone.
    """
    if at_time is None:
        return Position(checked_commit(at_commit))
    if at_commit is not UNSET:
        raise ValueError("give at_commit or at_time, not both")
    if not issubclass(type(at_time), datetime) or _is_naive(at_time):
        raise ValueError(
            "at_time must be a datetime with a time zone; use datetime.now(UTC), or .astimezone()"
        )
    return Position(at_time=microseconds(cast(datetime, at_time)))


def checked_head(value: object, name: str = "expected_head") -> str | UnsetType | None:
    """Return the head passed as argument *name*; None and UNSET are returned as they are.

    Raises:
        ContentValidationError: it is not a string.
    """
    if value is None or value is UNSET:
        return value
    text = _text(value)
    if text is None:
        raise ContentValidationError(
            f"{shown(value)} is not a commit hash. Give a string, such as `info.commit_hash`, or "
            "None",
            name,
        )
    return text


def checked_boundary(before: object, keep: object) -> Boundary:
    """Return where a prune ends.

    Raises:
        ContentValidationError: *before* is a string that UTF-8 cannot encode.
        ValueError: neither is given, *before* is not a datetime with a time zone or a string, or
            *keep* is not an integer from 0 up.
    """
    if before is None and keep is None:
        raise ValueError("give before, keep, or both")
    count = checked_limit(keep, "keep")
    if before is None or issubclass(type(before), str):
        return Boundary(None if before is None else checked_hash(before), count)
    if not issubclass(type(before), datetime) or _is_naive(before):
        raise ValueError(
            "before must be a commit or a datetime with a time zone; use datetime.now(UTC)"
        )
    return Boundary(microseconds(cast(datetime, before)), count)


def checked_limit(limit: object, name: str = "limit") -> int | None:
    """Return a limit that fits SQL's integers; None for all.

    Raises:
        ValueError: it is not an integer from 0 up.
    """
    if limit is None:
        return None
    kind = type(limit)
    count = -1
    if issubclass(kind, int) and kind is not bool:
        count = int.__index__(cast(int, limit))
    if count < 0:
        raise ValueError(f"{name} must be an integer from 0 up, or None, not {shown(limit)}")
    return count if count < _MOST else None


def checked_count(name: str, value: object) -> int:
    """Return a number of things.

    Raises:
        ValueError: it is not an integer from 0 up.
    """
    count = checked_limit(value, name)
    if value is None or count is None:
        raise ValueError(f"{name} must be an integer from 0 up, not {shown(value)}")
    return count


def checked_several(name: str, values: Iterable[T]) -> tuple[T, ...]:
    """Return some things as a tuple.

    Raises:
        ContentValidationError: it is one string, which would be taken for its letters.
    """
    if isinstance(values, (str, re.Pattern)):
        raise ContentValidationError(f"give a list, not {shown(values)} alone", name)
    return (*values,)


def checked_demands(values: Iterable[str | re.Pattern[str]]) -> tuple[str | re.Pattern[str], ...]:
    """Return what a summary must hold.

    Raises:
        ContentValidationError: it is one alone, or one of them is neither a text nor a pattern for texts.
    """
    found = checked_several("must_keep", values)
    for each in found:
        if not isinstance(each.pattern if isinstance(each, re.Pattern) else each, str):
            raise ContentValidationError(
                f"give texts, or patterns for texts, not {shown(each)}", "must_keep"
            )
    return found


def checked_plan(plan: CompactionPlan | None) -> CompactionPlan | None:
    """Return a plan.

    Raises:
        TypeError: it is something else.
    """
    if plan is None or isinstance(plan, CompactionPlan):
        return plan
    raise TypeError(f"plan must be what plan_compaction() returns, not {shown(plan)}")


def checked_aims(
    target_tokens: object,
    summary_tokens: object,
    keep_recent: object,
    keep: Any,
    strategy: Strategy | None,
    *,
    roll_up: bool,
) -> Aims:
    """Return what a compaction is asked for.

    Raises:
        ContentValidationError: *keep* is a string.
        CommitNotFoundError: one of *keep* is not a string.
        ValueError: a number is not an integer from 0 up.
    """
    return Aims(
        checked_limit(target_tokens, "target_tokens"),
        checked_limit(summary_tokens, "summary_tokens"),
        checked_count("keep_recent", keep_recent),
        keep if callable(keep) else frozenset(map(checked_hash, checked_several("keep", keep))),
        roll_up,
        strategy,
    )


def checked_order(order: object) -> Literal["time", "context"]:
    """Return the order of a log.

    Raises:
        ValueError: it is neither `time` nor `context`.
    """
    text = _text(order)
    if text == "time":
        return "time"
    if text == "context":
        return "context"
    raise ValueError(f"order must be 'time' or 'context', not {shown(order)}")


def checked_tract_order(order: object) -> TractOrder:
    """Return what tracts are sorted by.

    Raises:
        ValueError: it is not one of the orders.
    """
    text = _text(order)
    if text is None or text not in [*TractOrder]:
        raise ValueError(f"order_by must be 'updated', 'created' or 'id', not {shown(order)}")
    return TractOrder(text)


def checked_target(edit_target: object) -> str:
    """Return the target of an edit.

    Raises:
        EditTargetError: it is not a string.
    """
    text = _text(edit_target)
    if text is None:
        raise EditTargetError(
            shown(edit_target), "is not a commit hash. Give a string, such as `info.commit_hash`."
        )
    return text


def said(role: Literal["user", "assistant"], text: str, name: str | None) -> dict[str, Any]:
    """Return the content of a message."""
    return {"content_type": "dialogue", "role": role, "text": text, "name": name}


def _text(value: object) -> str | None:
    return str.__str__(value) if issubclass(type(value), str) else None


def _is_naive(moment: object) -> bool:
    assert isinstance(moment, datetime)
    try:
        return moment.utcoffset() is None
    except Exception:  # raised by a caller's own time zone class
        return True
