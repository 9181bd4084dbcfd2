"""Names of branches and tags: git's rules, so that what is named here can be named there."""

from __future__ import annotations

import re

from tract.exceptions import RefNameError

__all__ = ["MAX_REF_NAME", "check_ref_name", "check_storable"]

MAX_REF_NAME = 255
"""The most characters of a name."""

_Rule = tuple[re.Pattern[str], str]

# What git-check-ref-format(1) refuses after refs/heads/ or refs/tags/, or for a branch or a tag
# as git-branch(1) and git-tag(1) take it; the last two so that a name is never another thing.
_RULES: tuple[_Rule, ...] = (
    (re.compile(r"[\x00-\x1f\x7f]"), "it holds a control character. Leave that out."),
    (re.compile(r" "), "it holds a space. Use '-' or '_' instead."),
    (re.compile(r"[~^:?*\[\\]"), "it holds one of ~ ^ : ? * [ \\. Use '-' or '_' instead."),
    (re.compile(r"\.\."), "it holds '..'. Use one dot."),
    (re.compile(r"@\{"), "it holds '@{'. Leave out one of the two."),
    (re.compile(r"\A-"), "it begins with '-'. Begin it with a letter."),
    (re.compile(r"\A/|/\Z|//"), "it has an empty part. Put a single '/' between two names."),
    (re.compile(r"(?:\A|/)\."), "a part of it begins with a dot. Begin each with a letter."),
    (re.compile(r"\.lock(?:\Z|/)"), "a part of it ends with '.lock'. Choose another ending."),
    (re.compile(r"\.\Z"), "it ends with a dot. Leave that out."),
    (re.compile(r"\A@\Z"), "git reads '@' as HEAD. Add to it."),
    (re.compile(r"\AHEAD\Z"), "git reads it as where one is. Use another word, or small letters."),
    (re.compile(r"\A[0-9A-Fa-f]{64}\Z"), "it would be read as a commit's hash. Shorten it."),
)


def check_ref_name(name: object) -> None:
    """Refuse what git would not take as the name of a branch or a tag.

    Besides, a name has at most `MAX_REF_NAME` characters, all of which UTF-8 can hold, and does
    not look like a commit's hash. Letters of any script will do, and `/` groups names.

    Raises:
        RefNameError: it breaks a rule; `problem` says which, and how to mend it.
    """
    if not isinstance(name, str):
        raise RefNameError(name, f"a {type(name).__name__} is no string. Give a string.")
    check_storable(name)
    for rule, problem in _RULES:
        if rule.search(name):
            raise RefNameError(name, problem)


def check_storable(name: str) -> None:
    """Refuse what could not even be stored.

    Raises:
        RefNameError: it is empty, longer than `MAX_REF_NAME`, or nothing that UTF-8 can hold.
    """
    if not 0 < len(name) <= MAX_REF_NAME:
        raise RefNameError(
            name, f"it has {len(name)} characters. Take from 1 to {MAX_REF_NAME} of them."
        )
    if re.search(r"[\ud800-\udfff]", name):
        raise RefNameError(name, "it holds half a surrogate pair. Leave that out.")
