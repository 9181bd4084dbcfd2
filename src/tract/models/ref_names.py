"""Names of branches and tags, by git's rules, so that every name here is valid in git too."""

from __future__ import annotations

import re

from tract.exceptions import RefNameError

__all__ = ["MAX_REF_NAME", "check_ref_name", "check_storable"]

MAX_REF_NAME = 255
"""The most characters that a name may have."""

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


def check_ref_name(name: object) -> None:
    """Raise unless git would accept *name* for a branch or a tag.

    A name also has at most `MAX_REF_NAME` characters, can be encoded as UTF-8, and does not look
    like a commit's hash. Letters of any script are fine, and `/` groups names.

    Raises:
        RefNameError: it breaks a rule; `problem` says which, and how to mend it.
    """
    if not isinstance(name, str):
        raise RefNameError(name, f"a {type(name).__name__} is not a string. Give a string.")
    check_storable(name)
    for rule, problem in _RULES:
        if rule.search(name):
            raise RefNameError(name, problem)


def check_storable(name: str) -> None:
    """Raise if *name* could not be stored.

    Raises:
        RefNameError: it is empty, longer than `MAX_REF_NAME`, or cannot be encoded as UTF-8.
    """
    if not 0 < len(name) <= MAX_REF_NAME:
        raise RefNameError(name, f"it has {len(name)} characters. Use from 1 to {MAX_REF_NAME}.")
    if re.search(r"[\ud800-\udfff]", name):
        raise RefNameError(name, "it contains a lone surrogate. Remove it.")
