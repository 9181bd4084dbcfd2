"""What is wrong with rows of another store by themselves, where no hash would tell."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from pydantic_core import from_json

from tract.models.refs import MAX_REF_NAME, utf8_size

__all__ = ["flaw_of"]

_LAST_TIME = 253_402_300_799_999_999
"""The last microsecond that a datetime can have."""
_MOST = 2**62
_NAME = re.compile(r"refs/(?:heads|tags)/(?s:(.+))")


def _is_hash(value: object) -> bool:
    return isinstance(value, bytes) and len(value) == 32


def _is_time(value: object) -> bool:
    return type(value) is int and 0 <= value <= _LAST_TIME


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value <= _MOST


def _is_segment(value: object) -> bool:
    return type(value) is int and -1 <= value <= _MOST


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_id(value: object) -> bool:
    return isinstance(value, str) and 0 < utf8_size(value) <= MAX_REF_NAME


def _is_key(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 1_024


def _is_object(value: object) -> bool:
    return isinstance(_read(value), dict)


def _is_list(value: object) -> bool:
    return isinstance(_read(value), list)


def _is_name(value: object) -> bool:
    found = _NAME.fullmatch(value) if isinstance(value, str) else None
    return found is not None and utf8_size(found[1]) <= MAX_REF_NAME


def _read(text: object) -> object:
    """Return what JSON says that every database can store; None for anything else."""
    if not isinstance(text, (str, bytes)):
        return None
    try:
        found: object = from_json(text, allow_inf_nan=False)
        return found
    except ValueError:
        pass
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def _each(test: Callable[[object], bool], names: str) -> dict[str, Callable[[object], bool]]:
    return dict.fromkeys(names.split(), test)


_TESTS: Mapping[str, Callable[[object], bool]] = {
    **_each(_is_hash, "commit_hash content_hash attachment_hash parent_hash merge_parent"),
    **_each(_is_hash, "edit_target start_hash end_hash erased_as source_hash"),
    **_each(_is_time, "created_at updated_at started_at ended_at erasures"),
    **_each(_is_count, "size token_count prompt_tokens completion_tokens total_tokens number"),
    **_each(_is_text, "message note title media_type content_type operation action kind"),
    **_each(_is_text, "ended_by token_source stream_id branch owner"),
    **_each(_is_object, "metadata_json generation_config_json raw_json"),
    **{
        "segment": _is_segment,
        "key": _is_key,
        "tract_id": _is_id,
        "name": _is_name,
        "data": _is_list,
    },
}
"""What each column of the tables must hold, whichever table it is of."""
_MAY_LACK = frozenset(
    "parent_hash merge_parent edit_target start_hash end_hash erased_as key message note title "
    "media_type metadata_json generation_config_json".split()
)


def flaw_of(row: Mapping[str, Any], *, may_lack: str = "") -> str | None:
    """Return what is wrong with a row; None if it can go into any store.

    Without it, one row of a file could make lists of a whole store fail. *may_lack* names one more
    column that may be null.
    """
    for name, value in row.items():
        test = _TESTS.get(name)
        if test is None or (value is None and (name in _MAY_LACK or name == may_lack)):
            continue
        if not test(value):
            return f"its {_WORDS.get(name, name)} cannot be read"
        if isinstance(value, str) and "\0" in value:
            return (
                f"its {_WORDS.get(name, name)} has a NUL character, which not every database can "
                "store as text"
            )
    return None


_WORDS = {
    "metadata_json": "metadata",
    "generation_config_json": "generation_config",
    "raw_json": "usage",
    "tract_id": "id",
}
