"""The tables, declared with SQLAlchemy and portable to PostgreSQL.

A commit's key begins with its tract; all tracts share blobs, which are reached through commits.
Hashes are stored as 32 bytes, times as microseconds since 1970-01-01 UTC.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    text,
)
from sqlalchemy.types import TypeEngine

__all__ = [
    "METADATA",
    "attachment_uses",
    "attachments",
    "blobs",
    "commits",
    "keys",
    "meta",
    "origins",
    "refs",
    "runs",
    "spool",
    "tracts",
    "usage",
]


METADATA: MetaData = MetaData()

_HASH = LargeBinary(32)
"""A SHA-256."""
_SMALL: dict[str, Any] = {"sqlite_with_rowid": False}
"""For tables of short rows: one B-tree to write, where a rowid would need two."""


def _key(name: str, kind: TypeEngine[Any] | type[TypeEngine[Any]]) -> Column[Any]:
    return Column(name, kind, primary_key=True)


def _needed(
    name: str, kind: TypeEngine[Any] | type[TypeEngine[Any]], *constraints: ForeignKey
) -> Column[Any]:
    return Column(name, kind, *constraints, nullable=False)


def _counted(name: str) -> Column[Any]:
    return Column(name, BigInteger, nullable=False, server_default="0")


def _of_a_commit() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(
        ["tract_id", "commit_hash"], ["commits.tract_id", "commits.commit_hash"]
    )


meta: Table = Table(
    "_tract_meta",
    METADATA,
    _key("key", String(64)),
    _needed("value", Text),
    **_SMALL,
)
"""Facts about the database itself, such as its schema version.

Rows `erasing/…` say of tracts that are being erased up to which time their commits go.
"""

blobs: Table = Table(
    "blobs",
    METADATA,
    _key("content_hash", _HASH),
    _needed("data", LargeBinary),
)
"""Contents and attachments, once per SHA-256, whichever tracts commit them."""

attachments: Table = Table(
    "attachments",
    METADATA,
    _key("tract_id", String(255)),
    Column("attachment_hash", _HASH, ForeignKey("blobs.content_hash"), primary_key=True),
    Column("media_type", Text),
    _needed("size", BigInteger),
    _needed("created_at", BigInteger),
    Index("ix_attachments_attachment_hash", "attachment_hash"),
    **_SMALL,
)
"""The bytes that each tract was given, and may refer to; `media_type` is null if nobody said.

`created_at` is when they were given last; -1 says that the tract is being erased, and has lost them.

Blobs are shared, so without this a tract could read another's bytes if it knew their hash.
"""

attachment_uses: Table = Table(
    "attachment_uses",
    METADATA,
    Column("content_hash", _HASH, ForeignKey("blobs.content_hash"), primary_key=True),
    Column("attachment_hash", _HASH, ForeignKey("blobs.content_hash"), primary_key=True),
    Index("ix_attachment_uses_attachment_hash", "attachment_hash"),
    **_SMALL,
)
"""Which contents refer to which bytes."""

commits: Table = Table(
    "commits",
    METADATA,
    _key("tract_id", String(255)),
    _key("commit_hash", _HASH),
    Column("parent_hash", _HASH),
    _needed("content_hash", _HASH, ForeignKey("blobs.content_hash")),
    _needed("content_type", String(255)),
    _needed("operation", String(16)),
    Column("edit_target", _HASH),
    Column("message", Text),
    Column("metadata_json", JSON(none_as_null=True)),
    Column("generation_config_json", JSON(none_as_null=True)),
    _needed("token_count", BigInteger),
    _needed("token_source", String(255)),
    _needed("segment", BigInteger),
    _needed("created_at", BigInteger),
    Column("merge_parent", _HASH),
    Column("key", Text),
    Column("erased_as", _HASH),
    Index("ix_commits_created_at", "tract_id", "created_at", unique=True),
    Index(
        "ix_commits_edit_target",
        "tract_id",
        "edit_target",
        sqlite_where=text("edit_target IS NOT NULL"),
    ),
    Index(
        "ix_commits_merge_parent",
        "tract_id",
        "created_at",
        "merge_parent",
        sqlite_where=text("merge_parent IS NOT NULL"),
    ),
    Index(
        "ix_commits_erased_as",
        "erased_as",
        sqlite_where=text("erased_as IS NOT NULL"),
    ),
    Index("ix_commits_compact", "tract_id", sqlite_where=text("operation = 'compact'")),
)
"""Immutable commits.

`segment` is the number of a run. An earlier commit of a segment is always an ancestor of a later
one. `key` is the name that the caller committed it under. An erased commit keeps its
`content_hash`, which its own hash covers, and `erased_as` is the hash of the content that stands in
its place.
"""

keys: Table = Table(
    "keys",
    METADATA,
    _key("tract_id", String(255)),
    _key("key", Text),
    _needed("commit_hash", _HASH),
    _needed("created_at", BigInteger),
    Index("ix_keys_created_at", "tract_id", "created_at"),
    _of_a_commit(),
    **_SMALL,
)
"""Callers' own names for commits, with the times of these; a name can go over to another commit."""

tracts: Table = Table(
    "tracts",
    METADATA,
    _key("tract_id", String(255)),
    Column("title", Text),
    Column("metadata_json", JSON(none_as_null=True)),
    _counted("created_at"),
    _counted("updated_at"),
    _counted("commits"),
    _counted("erasures"),
    Index("ix_tracts_updated_at", "updated_at"),
    **_SMALL,
)
"""What is known of tracts as a whole, so that they can be listed.

`commits` is the number of commits up to `updated_at`. `erasures` is the time of the last erasure, 0
without one; each has a later one.
"""

refs: Table = Table(
    "refs",
    METADATA,
    _key("tract_id", String(255)),
    _key("name", String(255)),
    Column("commit_hash", _HASH),
    _needed("segment", BigInteger),
    _needed("created_at", BigInteger),
    _needed("updated_at", BigInteger),
    _needed("started_at", BigInteger),
    Column("start_hash", _HASH),
    _needed("action", String(16)),
    Column("note", Text),
    _of_a_commit(),
    **_SMALL,
)
"""Named pointers to commits: branches, `refs/heads/main`, and tags, `refs/tags/v1`.

An empty branch has no `commit_hash`. A branch's row also says how its present run began: at
`start_hash`, by which `action`, and why. A run without a `start_hash` began with its first commit
if the action is `create`, and empty otherwise. Earlier runs are in `runs`. A tag's segment is -1.
"""

runs: Table = Table(
    "runs",
    METADATA,
    _key("tract_id", String(255)),
    _key("segment", BigInteger),
    _needed("name", String(255)),
    Column("start_hash", _HASH),
    _needed("started_at", BigInteger),
    _needed("action", String(16)),
    Column("note", Text),
    Column("end_hash", _HASH),
    _needed("ended_at", BigInteger),
    _needed("ended_by", String(16)),
    **_SMALL,
)
"""Runs of branches that have ended: where each was moved away from, when, and by what.

A run that ended empty has no `end_hash`.
"""

origins: Table = Table(
    "origins",
    METADATA,
    _key("tract_id", String(255)),
    _key("commit_hash", _HASH),
    _key("source_hash", _HASH),
    _needed("kind", String(16)),
    _of_a_commit(),
    **_SMALL,
)
"""Where commits' contents came from: a squashed branch's head, or a picked commit."""

usage: Table = Table(
    "usage",
    METADATA,
    _key("tract_id", String(255)),
    _key("commit_hash", _HASH),
    _needed("prompt_tokens", BigInteger),
    _needed("completion_tokens", BigInteger),
    _needed("total_tokens", BigInteger),
    _needed("raw_json", JSON),
    _needed("created_at", BigInteger),
    _of_a_commit(),
    **_SMALL,
)
"""What APIs reported for the contexts of commits; the last report counts."""

spool: Table = Table(
    "spool",
    METADATA,
    _key("tract_id", String(255)),
    _key("stream_id", String(64)),
    _key("number", BigInteger),
    _needed("branch", String(255)),
    _needed("owner", Text),
    _needed("data", JSON),
    _needed("updated_at", BigInteger),
)
"""Parts of open streams, so that a killed process loses little of them.

`data` is a list of fragments; `owner` names the process that writes the stream. The transaction
that lands a stream deletes its rows.
"""
