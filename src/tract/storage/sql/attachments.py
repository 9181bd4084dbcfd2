"""Attachments: checked and written in a transaction, and read back."""

from __future__ import annotations

from collections.abc import Sequence

from tract.exceptions import ContentValidationError
from tract.storage.repositories import Attached, CommitDraft
from tract.storage.sql.naming import digest
from tract.storage.sql.port import Connection
from tract.storage.sql.rows import as_bytes
from tract.storage.sql.statements import commits as sql

__all__ = ["add", "add_used", "check", "load", "uses"]


def check(connection: Connection, tract_id: str, drafts: Sequence[CommitDraft]) -> None:
    """Check that a tract was given what *drafts* refer to, or is given it by one of them.

    Raises:
        ContentValidationError: it was not.
    """
    given: set[str] = set()
    for draft in drafts:
        given.update(each.sha256 for each in draft.attachments if each.data is not None)
        for each in draft.attachments:
            if each.sha256 in given:
                continue
            key = bytes.fromhex(each.sha256)
            if connection.one(sql.IS_ATTACHED, tract_id=tract_id, hash=key) is None:
                raise ContentValidationError(
                    f"this tract was never given the bytes of the attachment {each.sha256}. "
                    "`attach()` them first, or commit them as `data`.",
                    "attachment",
                )
            given.add(each.sha256)


def add(
    connection: Connection, tract_id: str, attached: Attached, now: int, *, known: bool = False
) -> None:
    """Store bytes and give them to a tract; with *known*, a media type given before stays."""
    data = attached.data
    assert data is not None
    key = bytes.fromhex(attached.sha256)
    connection.run(sql.ADD_BLOB, content_hash=key, data=data)
    connection.run(
        sql.ADD_ATTACHMENT if known else sql.SET_ATTACHMENT,
        tract_id=tract_id,
        attachment_hash=key,
        media_type=attached.media_type,
        size=len(data),
        created_at=now,
    )


def add_used(connection: Connection, tract_id: str, draft: CommitDraft, now: int) -> None:
    """Store the attachments of a draft whose content is stored, and that it refers to them."""
    content_hash = bytes.fromhex(draft.content_hash)
    for each in draft.attachments:
        if each.data is not None:
            add(connection, tract_id, each, now, known=True)
        key = bytes.fromhex(each.sha256)
        connection.run(sql.ADD_USE, content_hash=content_hash, attachment_hash=key)


def load(connection: Connection, *, tract_id: str, hashes: Sequence[str]) -> dict[str, bytes]:
    """See `AttachmentRepository.load`."""
    found: dict[str, bytes] = {}
    keys = [key for each in hashes if (key := digest(each)) is not None]
    for key, data in connection.find(sql.ATTACHMENTS, keys, tract_id=tract_id):
        data = as_bytes(data)
        if isinstance(data, bytes):
            found[key.hex()] = data
    return found


def uses(connection: Connection, *, content_hashes: Sequence[str]) -> dict[str, frozenset[str]]:
    """See `AttachmentRepository.uses`."""
    found: dict[str, set[str]] = {each: set() for each in content_hashes}
    keys = [key for each in found if (key := digest(each)) is not None]
    for content, attachment in connection.find(sql.USES, keys):
        found[content.hex()].add(attachment.hex())
    return {content: frozenset(attachments) for content, attachments in found.items()}
