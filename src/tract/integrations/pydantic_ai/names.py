"""How conversations, entries and what was left are called in the tract."""

from __future__ import annotations

import re
from hashlib import sha256

from tract.exceptions import RefNameError
from tract.models.refs import quote_id

__all__ = ["JOURNAL", "LISTED", "branch_of", "entry_key", "left_of", "record_key", "safe"]

JOURNAL = "main"
"""The branch that moves with each fork, branch and delete, so that none overtakes another."""

LISTED = "conversation/"
"""How the keys of records begin."""

_UNSAFE = re.compile("[\0\ud800-\udfff]")
_MOST = 100  # characters of an id in a name; a name takes 255, and some have two
_LONGEST_KEY = 1_000


def branch_of(conversation_id: str) -> str:
    """Return the branch of a conversation."""
    return f"conversation/{_name(conversation_id)}"


def left_of(conversation_id: str, entry_id: str) -> str:
    """Return the branch of a history that a conversation has left, by its last entry."""
    return f"left/{_name(conversation_id)}/{_name(entry_id)}"


def entry_key(entry_id: str) -> str:
    """Return the key of an entry's commit."""
    return f"entry/{safe(entry_id)}"


def record_key(conversation_id: str) -> str:
    """Return the key of a conversation's newest record."""
    return f"{LISTED}{safe(conversation_id)}"


def _name(text: str) -> str:
    """Return a piece of a branch's name, which no other text has."""
    try:
        name = quote_id(text).replace("/", "%2F")
    except RefNameError:
        name = ""
    if 0 < len(name) <= _MOST:
        return name
    return f"%sha256-{_digest(text)}"  # `quote_id` writes two digits after a `%`


def safe(text: str) -> str:
    """Return a text as it can be stored in a key or in metadata."""
    if len(text) <= _LONGEST_KEY and not _UNSAFE.search(text):
        return text
    return f"sha256-{_digest(text)}"


def _digest(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
