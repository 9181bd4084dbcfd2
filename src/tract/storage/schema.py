"""The tables, in SQLAlchemy's terms and portable to PostgreSQL.

A commit's key is led by its tract; blobs are shared by all tracts and reached through
commits. Hashes are stored as 32 bytes, times as microseconds since 1970-01-01 UTC.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    String,
    Text,
    text,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator, TypeEngine

__all__ = [
    "Base",
    "BlobRow",
    "CommitRow",
    "HashType",
    "MetaRow",
    "OriginRow",
    "RefRow",
    "RunRow",
    "SpoolRow",
    "UsageRow",
]


class HashType(TypeDecorator[str]):
    """A SHA-256: 64 hexadecimal digits in Python, 32 bytes in the database."""

    impl: TypeEngine[Any] | type[TypeEngine[Any]] = LargeBinary(32)
    cache_ok: bool | None = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> bytes | None:
        """Return the 32 bytes of a hexadecimal hash."""
        return None if value is None else bytes.fromhex(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:
        """Return the hexadecimal form of 32 bytes."""
        return None if value is None else bytes(value).hex()


class Base(DeclarativeBase):
    """Base of all tables."""


_SMALL = {"sqlite_with_rowid": False}
"""For tables of short rows: one tree to write, where a rowid would make it two."""


class MetaRow(Base):
    """Facts about the database itself, such as its schema version."""

    __tablename__ = "_tract_meta"
    __table_args__: Any = _SMALL

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[str] = mapped_column(Text)


class BlobRow(Base):
    """Content, once per SHA-256, whoever commits it."""

    __tablename__ = "blobs"

    content_hash: Mapped[str] = mapped_column(HashType, primary_key=True)
    data: Mapped[bytes] = mapped_column(LargeBinary)


class CommitRow(Base):
    """One immutable commit.

    `segment` numbers the run of commits that one branch pointer made without being moved
    otherwise: an earlier commit of a segment is always an ancestor of a later one.
    """

    __tablename__ = "commits"

    tract_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    commit_hash: Mapped[str] = mapped_column(HashType, primary_key=True)
    parent_hash: Mapped[str | None] = mapped_column(HashType)
    content_hash: Mapped[str] = mapped_column(HashType, ForeignKey("blobs.content_hash"))
    content_type: Mapped[str] = mapped_column(String(255))
    operation: Mapped[str] = mapped_column(String(16))
    edit_target: Mapped[str | None] = mapped_column(HashType)
    message: Mapped[str | None] = mapped_column(Text)
    metadata_json: Mapped[Any | None] = mapped_column(JSON(none_as_null=True))
    generation_config_json: Mapped[Any | None] = mapped_column(JSON(none_as_null=True))
    token_count: Mapped[int] = mapped_column(BigInteger)
    token_source: Mapped[str] = mapped_column(String(255))
    segment: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[int] = mapped_column(BigInteger)
    merge_parent: Mapped[str | None] = mapped_column(HashType)

    __table_args__: Any = (
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
    )


class RefRow(Base):
    """A named pointer to a commit: a branch, `refs/heads/main`, or a tag, `refs/tags/v1`.

    A branch's row also tells how its present run began: at `start_hash` (None: with its first
    commit), by which `action` and why. What runs came before is in `RunRow`. A tag has the
    segment -1.
    """

    __tablename__ = "refs"

    tract_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    name: Mapped[str] = mapped_column(String(255), primary_key=True)
    commit_hash: Mapped[str] = mapped_column(HashType)
    segment: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[int] = mapped_column(BigInteger)
    updated_at: Mapped[int] = mapped_column(BigInteger)
    started_at: Mapped[int] = mapped_column(BigInteger)
    start_hash: Mapped[str | None] = mapped_column(HashType)
    action: Mapped[str] = mapped_column(String(16))
    note: Mapped[str | None] = mapped_column(Text)

    __table_args__: Any = (
        ForeignKeyConstraint(
            ["tract_id", "commit_hash"], ["commits.tract_id", "commits.commit_hash"]
        ),
        _SMALL,
    )


class RunRow(Base):
    """A run of a branch that has ended: where it was moved from, when and by what."""

    __tablename__ = "runs"

    tract_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    segment: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    name: Mapped[str] = mapped_column(String(255))
    start_hash: Mapped[str | None] = mapped_column(HashType)
    started_at: Mapped[int] = mapped_column(BigInteger)
    action: Mapped[str] = mapped_column(String(16))
    note: Mapped[str | None] = mapped_column(Text)
    end_hash: Mapped[str] = mapped_column(HashType)
    ended_at: Mapped[int] = mapped_column(BigInteger)
    ended_by: Mapped[str] = mapped_column(String(16))

    __table_args__: Any = _SMALL


class OriginRow(Base):
    """Where a commit's content came from: a squashed branch's head, or a commit picked."""

    __tablename__ = "origins"

    tract_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    commit_hash: Mapped[str] = mapped_column(HashType, primary_key=True)
    source_hash: Mapped[str] = mapped_column(HashType, primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))

    __table_args__: Any = (
        ForeignKeyConstraint(
            ["tract_id", "commit_hash"], ["commits.tract_id", "commits.commit_hash"]
        ),
        _SMALL,
    )


class UsageRow(Base):
    """What an API reported for the context of one commit; the last report holds."""

    __tablename__ = "usage"

    tract_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    commit_hash: Mapped[str] = mapped_column(HashType, primary_key=True)
    prompt_tokens: Mapped[int] = mapped_column(BigInteger)
    completion_tokens: Mapped[int] = mapped_column(BigInteger)
    total_tokens: Mapped[int] = mapped_column(BigInteger)
    raw_json: Mapped[Any] = mapped_column(JSON)
    created_at: Mapped[int] = mapped_column(BigInteger)

    __table_args__: Any = (
        ForeignKeyConstraint(
            ["tract_id", "commit_hash"], ["commits.tract_id", "commits.commit_hash"]
        ),
        _SMALL,
    )


class SpoolRow(Base):
    """A part of a stream that is still open, so that a killed process loses little of it.

    `data` is a list of fragments, `owner` names the process that writes the stream. The rows go
    in the transaction that commits what the stream became.
    """

    __tablename__ = "spool"

    tract_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    stream_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    branch: Mapped[str] = mapped_column(String(255))
    owner: Mapped[str] = mapped_column(Text)
    data: Mapped[Any] = mapped_column(JSON)
    updated_at: Mapped[int] = mapped_column(BigInteger)
