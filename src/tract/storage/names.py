"""Names of refs, and what they and hashes stand for, on the connection's thread."""

from __future__ import annotations

import sqlite3

from tract.exceptions import BranchNotFoundError
from tract.storage import statements as sql
from tract.storage.repositories import BranchName

__all__ = ["BRANCHES", "TAGS", "digest", "key_of", "missing_branch", "ref_name", "tag_name"]

BRANCHES = "refs/heads/"
TAGS = "refs/tags/"


def ref_name(branch: str) -> str:
    """Return the name of a branch's ref."""
    return f"{BRANCHES}{branch}"


def tag_name(tag: str) -> str:
    """Return the name of a tag's ref."""
    return f"{TAGS}{tag}"


def digest(commit_hash: object) -> bytes | None:
    """Return the bytes of a hash; None for None, and for what is no hash at all."""
    if not issubclass(type(commit_hash), str):
        return None
    name = str.__str__(commit_hash)
    if len(name) != 64:
        return None
    try:
        key = bytes.fromhex(name)
    except ValueError:
        return None
    return key if key.hex() == name else None  # capitals and spaces name nothing


def key_of(connection: sqlite3.Connection, tract_id: str, named: object) -> bytes | None:
    """Return the bytes of the hash that a hash, a tag or a branch stands for, in this order.

    None where it stands for nothing. A hash is taken as it is, whether there is such a commit.
    """
    key = digest(named)
    if key is not None or not issubclass(type(named), str):
        return key
    name = str.__str__(named)
    for ref in (tag_name(name), ref_name(name)):
        row = sql.BRANCH.one(connection, tract_id=tract_id, name=ref)
        if row is not None:
            found: bytes = row[0]
            return found
    return None


def missing_branch(branch: BranchName) -> None:
    """Raise where a branch that is not there has to be; an empty `main` is there."""
    if branch.must_exist:
        raise BranchNotFoundError(branch.branch)
