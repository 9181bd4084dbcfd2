"""How conversations, entries and what was left are called in the tract."""

from __future__ import annotations

from hashlib import sha256

from tract.exceptions import RefNameError
from tract.models.quoting import quote_id

__all__ = ["JOURNAL", "branch_of", "entry_key", "left_of", "record_key", "records"]

JOURNAL = "main"
"""The branch that moves with each fork, branch and delete, so that none overtakes another."""

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
    return _key("entry", entry_id)


def record_key(conversation_id: str) -> str:
    """Return the key of a conversation's newest record."""
    return _key("conversation", conversation_id)


records = "conversation/"
"""How the keys of records begin."""


def _name(text: str) -> str:
    """Return a piece of a branch's name, which no other text has."""
    try:
        name = quote_id(text).replace("/", "%2F")
    except RefNameError:
        name = ""
    if 0 < len(name) <= _MOST:
        return name
    return f"%sha256-{_digest(text)}"  # `quote_id` writes two digits after a `%`


def _key(kind: str, text: str) -> str:
    if len(text) <= _LONGEST_KEY:
        return f"{kind}/{text}"
    return f"{kind}/{text[:200]}…{_digest(text)}"


def _digest(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
