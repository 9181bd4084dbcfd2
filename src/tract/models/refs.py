"""Branches and tags: what names they may have, and what callers learn of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from tract.exceptions import RefNameError
from tract.models.annotations import Priority
from tract.models.base import Value
from tract.protocols import Message, TokenUsage

__all__ = [
    "MAX_REF_NAME",
    "BranchComparison",
    "BranchInfo",
    "BranchReset",
    "BranchStats",
    "ContextDiff",
    "EntryChange",
    "EntryDiff",
    "ReflogEntry",
    "TagInfo",
    "check_ref_name",
    "check_storable",
    "quote_id",
    "unquote_id",
    "utf8_size",
]

MAX_REF_NAME = 1_024
"""The most bytes that a name may have in UTF-8. PostgreSQL has room for two such in an index."""

_Rule = tuple[re.Pattern[str], str]

# What git-check-ref-format(1) refuses after refs/heads/ or refs/tags/, and what git-branch(1) and
# git-tag(1) refuse besides. The last two keep a name from meaning something else.
_RULES: tuple[_Rule, ...] = (
    (re.compile(r"[\x00-\x1f\x7f]"), "it contains a control character. Remove it."),
    (re.compile(r" "), "it contains a space. Use '-' or '_' instead."),
    (re.compile(r"[~^:?*\[\\]"), "it contains one of ~ ^ : ? * [ \\. Use '-' or '_' instead."),
    (re.compile(r"\.\."), "it contains '..'. Use one dot."),
    (re.compile(r"@\{"), "it contains '@{'. Remove one of the two."),
    (re.compile(r"\A-"), "it begins with '-'. Begin it with a letter."),
    (re.compile(r"\A/|/\Z|//"), "it has an empty part. Put a single '/' between two names."),
    (re.compile(r"(?:\A|/)\."), "a part of it begins with a dot. Begin each part with a letter."),
    (re.compile(r"\.lock(?:\Z|/)"), "a part of it ends with '.lock'. Choose another ending."),
    (re.compile(r"\.\Z"), "it ends with a dot. Remove it."),
    (re.compile(r"\A@\Z"), "git reads '@' as HEAD. Use a longer name."),
    (
        re.compile(r"\AHEAD\Z"),
        "git reads it as the current commit. Choose another word.",
    ),
    (re.compile(r"\A[0-9A-Fa-f]{64}\Z"), "it would be read as a commit's hash. Shorten it."),
)


class BranchInfo(Value):
    """One branch; `head_hash` is None while it has no commits."""

    name: str
    head_hash: str | None
    created_at: datetime
    updated_at: datetime


class TagInfo(Value):
    """One tag: a name for the commit `target_hash`."""

    name: str
    target_hash: str
    created_at: datetime


class ReflogEntry(Value):
    """One move of a branch from `old_hash` to `new_hash`; None means without commits.

    `action` names what moved it, such as `commit`, `fork`, `reset` or `merge`; `note` adds detail.
    """

    branch: str
    old_hash: str | None
    new_hash: str | None
    action: str
    note: str | None
    created_at: datetime


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


class EntryChange(StrEnum):
    """How an entry differs between two contexts."""

    ADDED = "added"
    """Only the second context has it."""
    REMOVED = "removed"
    """Only the first context has it."""
    EDITED = "edited"
    """Its message differs."""
    REPRIORITISED = "reprioritised"
    CONFIG_CHANGED = "config_changed"
    COMPACTED = "compacted"
    """It is the summary of a compaction that is in force only in the second context."""
    EXPANDED = "expanded"
    """It is the summary of a compaction that is in force only in the first context."""


class EntryDiff(Value):
    """One entry that differs, named by the APPEND commit that made it.

    Values of a context that lacks the entry are None. A config is `{}` if none was set, and its
    dict is the caller's own copy. Tokens are those of the entry's message alone; 0 if its priority
    leaves it out. A compaction shows as one entry, its summary, and `hides` are those that it hides
    in one context alone; they are not listed themselves unless they differ otherwise.
    """

    commit_hash: str
    changes: tuple[EntryChange, ...]
    message_before: Message | None
    message_after: Message | None
    priority_before: Priority | None
    priority_after: Priority | None
    config_before: dict[str, Any] | None
    config_after: dict[str, Any] | None
    tokens_before: int | None
    tokens_after: int | None
    hides: tuple[str, ...]


class ContextDiff(Value):
    """How two contexts differ: the entries, and how many more tokens the second has.

    Entries are in the order of the second context; a removed one follows the entry that it
    followed in the first.
    """

    entries: tuple[EntryDiff, ...]
    token_difference: int


class BranchComparison(Value):
    """One branch among those that `compare()` was given.

    `entries` and `token_count` are those of its compiled context. Usage is the sum of the reports
    on the branch: over its whole history, and since the newest commit that all compared branches
    share. `generation_configs` lists those used since then, each once, in order of first use.
    """

    branch: str
    head_hash: str | None
    entries: int
    token_count: int
    usage: TokenUsage
    usage_since_fork: TokenUsage
    generation_configs: tuple[dict[str, Any], ...]
    last_message: Message | None


class BranchStats(Value):
    """How much one branch holds: the commits of its history, their blobs, and the blobs' bytes.

    `entries` and `tokens` are those of its compiled context. `attachments` and `attachment_bytes`
    are those that its commits refer to, and are not in `blobs` and `bytes`. A blob or attachment
    counts once, however many commits share it.

    `compiled_tokens` are those of all contexts that this store, since it was opened, has compiled at
    the branch's heads, and `stable_tokens` those in their `stable_prefix`: what prompt caches could
    serve.
    """

    commits: int
    entries: int
    tokens: int
    blobs: int
    bytes: int
    attachments: int
    attachment_bytes: int
    compiled_tokens: int
    stable_tokens: int


def check_ref_name(name: object) -> None:
    """Raise unless git would accept *name* for a branch or a tag.

    A name also has at most `MAX_REF_NAME` bytes in UTF-8, and does not look like a commit's hash.
    Letters of any script are fine, and `/` groups names.

    Raises:
        RefNameError: it breaks a rule; `problem` says which, and how to mend it.
    """
    if not isinstance(name, str):
        raise RefNameError(name, f"a {type(name).__name__} is not a string. Give a string.")
    check_storable(name)
    for rule, problem in _RULES:
        if rule.search(name):
            raise RefNameError(name, problem)


def utf8_size(text: str) -> int:
    """Return the number of bytes that a text has in UTF-8."""
    return len(text.encode("utf-8", "surrogatepass"))


def check_storable(name: str) -> None:
    """Raise if *name* could not be stored.

    Raises:
        RefNameError: it is empty, has more than `MAX_REF_NAME` bytes, or cannot be encoded as UTF-8.
    """
    if not name:
        raise RefNameError(name, "it is empty. Use at least one character.")
    size = utf8_size(name)
    if size > MAX_REF_NAME:
        raise RefNameError(name, f"it has {size:,} bytes in UTF-8. Use up to {MAX_REF_NAME:,}.")
    if re.search(r"[\ud800-\udfff]", name):
        raise RefNameError(name, "it contains a lone surrogate. Remove it.")


_EMPTY = "%"
_UNSAFE: re.Pattern[str] = re.compile(
    r"[\x00-\x20\x7f~^:?*\[\\%\ud800-\udfff]"
    r"|\A[-/.]|(?<=\.)\.|(?<=@)\{|(?<=/)[/.]"
    r"|\.(?=lock(?:/|\Z))|[/.]\Z|\A@\Z|\AH(?=EAD\Z)|\A[0-9A-Fa-f](?=[0-9A-Fa-f]{63}\Z)"
)
"""The characters that the rules of `check_ref_name` refuse where they stand, and `%`."""
_QUOTED: re.Pattern[str] = re.compile(r"(?:%[0-9A-F]{2})+")


def quote_id(text: str) -> str:
    """Return a name that stands for *text*, valid as a tract's id, a branch and a tag.

    What cannot stand in a name is written as in a URL, `%` and two digits for each byte of UTF-8:
    `user:42` becomes `user%3A42`. That is:

    - everywhere: `%` itself, spaces, control characters, `~ ^ : ? * [` and the backslash, and what
      is not valid Unicode;
    - where git gives it a meaning: the second dot of `..`, the `{` of `@{`, a `-` at the beginning,
      a dot at the beginning or a `.lock` at the end of what stands between slashes, a dot at the
      end, and a `/` at the beginning, at the end or after another;
    - the first character of a text that would mean something else as a whole: `HEAD`, `@`, and 64
      hexadecimal digits, which would be a commit's hash.

    The empty text is `%`. All other texts are returned as they are. No two texts get the same name,
    and `unquote_id` returns the text.

    The ids that begin with `user:` are those that begin with `quote_id("user:")`. So it is with
    each beginning that does not end with `.`, `/` or `.lock` and is none of the last three: those
    are quoted only where they end a text, or are all of it.

    Raises:
        RefNameError: *text* is not a string, or the name would have more than 1,024 bytes in UTF-8.
    """
    if not isinstance(text, str):
        raise RefNameError(text, f"a {type(text).__name__} is not a string. Give a string.")
    name = _UNSAFE.sub(_quoted, text) or _EMPTY
    size = utf8_size(name)
    if size > MAX_REF_NAME:
        raise RefNameError(
            text,
            f"quoted, it has {size:,} bytes in UTF-8, and a name up to {MAX_REF_NAME:,}. Use a "
            "hash of it as the name, and keep the text in the tract's metadata.",
        )
    return name


def unquote_id(name: str) -> str:
    """Return the text that `quote_id` has made *name* of.

    Raises:
        RefNameError: it is not a name that `quote_id` returns.
    """
    try:
        text = "" if name == _EMPTY else _QUOTED.sub(_unquoted, name)
        if quote_id(text) == name:
            return text
    except (TypeError, ValueError):  # no string, bytes that are not UTF-8, or a name too long
        pass
    raise RefNameError(name, "`quote_id()` returns no such name. Use it as it is.")


def _quoted(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found[0].encode("utf-8", "surrogatepass"))


def _unquoted(found: re.Match[str]) -> str:
    return bytes.fromhex(found[0].replace("%", "")).decode("utf-8", "surrogatepass")
