"""Attachments on their way in: given by a caller, or moved out of contents before they are hashed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tract.engine.contents.attachments import AttachmentReader
from tract.engine.contents.provided import media_result
from tract.engine.contents.registry import Fields
from tract.engine.threads import Threads
from tract.exceptions import AttachmentNotFoundError, ContentValidationError, shown
from tract.history.image_sizes import image_size
from tract.history.media import attachments_in, reference, take_out, take_out_bytes
from tract.models.content import Attachment
from tract.storage.repositories import Attached, AttachmentRepository

__all__ = ["AttachmentEngine", "Split", "split"]

_HASH = re.compile(r"[0-9a-f]{64}")
_SOURCES = ("data", "attachment", "url", "file_id")
_MEDIA_TYPE_KEYS = ("media_type", "mime_type", "mimeType")
_LONGEST_TYPE = 255


class AttachmentEngine:
    """Keeps the attachments of one store; each method is that of `AsyncTract`."""

    def __init__(
        self,
        attachments: AttachmentRepository,
        reader: AttachmentReader,
        threads: Threads,
        max_bytes: int,
    ) -> None:
        self._attachments = attachments
        self._reader = reader
        self._threads = threads
        self._max_bytes = max_bytes

    async def attach(self, tract_id: str, data: object, media_type: object) -> Attachment:
        given, named = self._checked(data), _checked_media_type(media_type)
        made = await self._threads.run_if_long(len(given), _attachment_of, given, named)
        await self._attachments.add(tract_id, Attached(made.sha256, given, named))
        return made

    async def attachment(self, tract_id: str, sha256: object) -> bytes:
        if not isinstance(sha256, str):
            raise AttachmentNotFoundError(shown(sha256))
        found = await self._reader.fresh(tract_id, sha256.lower())
        if found is None:
            raise AttachmentNotFoundError(sha256)
        return found

    def _checked(self, data: object) -> bytes:
        if isinstance(data, bytearray | memoryview):  # which the caller may change
            data = bytes(data)
        return _checked_bytes(data, self._max_bytes, "data")


class Split(NamedTuple):
    """The fields of a content without its media, and what they refer to."""

    fields: Fields
    attachments: tuple[Attached, ...]


def split(content_type: str, fields: Fields, longest: int) -> Split:
    """Return a content's fields with references in place of its media.

    Raises:
        ContentValidationError: an attachment is empty or has more than *longest* bytes, or a part
            does not say in one way where its media are.
    """
    if content_type == "native":
        return _with_references(fields, "item", longest)
    if content_type == "state":
        return _without_bytes(fields, longest)
    if content_type == "tool_io":
        has_media = media_result(fields) is not None
        return _with_references(fields, "payload", longest) if has_media else Split(fields, ())
    if content_type == "message":
        parts = _parts(fields["parts"], "parts", longest)
        named = {sha256: Attached(sha256) for sha256 in attachments_in(content_type, parts.fields)}
        named |= {each.sha256: each for each in parts.attachments}
        return Split({**fields, **parts.fields}, tuple(named.values()))
    return Split(fields, ())


def _checked_bytes(data: object, longest: int, path: str) -> bytes:
    """Return the bytes of an attachment.

    Raises:
        ContentValidationError: they are not bytes, empty, or more than *longest*.
    """
    if not isinstance(data, bytes):
        raise ContentValidationError(f"a {type(data).__name__} is not bytes", path)
    if not data:
        raise ContentValidationError("is empty: there is nothing to attach", path)
    if len(data) > longest:
        raise ContentValidationError(
            f"the attachment has {len(data)} bytes, more than max_content_bytes ({longest}). "
            "Make it smaller, or raise TractConfig.max_content_bytes.",
            path,
        )
    return data


def _checked_media_type(media_type: object) -> str:
    """Return a media type, which is kept as it is given.

    Raises:
        ContentValidationError: it is not printable text of up to 255 characters.
    """
    if not isinstance(media_type, str) or not media_type.isprintable() or not media_type:
        raise ContentValidationError(
            f"{shown(media_type)} is not a media type. Give one such as 'image/png'", "media_type"
        )
    if len(media_type) > _LONGEST_TYPE:
        raise ContentValidationError(
            f"the media type has {len(media_type)} characters, more than {_LONGEST_TYPE}",
            "media_type",
        )
    return str.__str__(media_type)


def _attachment_of(data: bytes, media_type: str) -> Attachment:
    """Return what a caller gets for bytes of a tract."""
    size = image_size(data) or (None, None)
    return Attachment(hashlib.sha256(data).hexdigest(), media_type, len(data), *size)


def _with_references(fields: Fields, name: str, longest: int) -> Split:
    try:
        item, media = take_out(fields[name], image_size)
    except RecursionError:  # nested too deeply to be stored, which is told with its path later
        return Split(fields, ())
    types = dict(_media_types(item))
    attached = tuple(
        Attached(sha256, _checked_bytes(data, longest, name), _plain(types.get(sha256)))
        for sha256, data in media.items()
    )
    return Split({**fields, name: item}, attached)


def _without_bytes(fields: Fields, longest: int) -> Split:
    try:
        payload, media = take_out_bytes(fields["payload"])
    except RecursionError:  # told with its path later, as above
        return Split(fields, ())
    except Exception as error:  # a dict of the caller's own class may raise anything
        raise ContentValidationError(
            f"could not be read ({type(error).__name__}); give a dict", "payload"
        ) from error
    attached = tuple(
        Attached(sha256, _checked_bytes(data, longest, "payload")) for sha256, data in media.items()
    )
    return Split({**fields, "payload": payload}, attached)


def _media_types(item: Any) -> Iterator[tuple[str, str]]:
    """Yield the attachments of an item whose media types it tells, with these."""
    if isinstance(item, list):
        for each in item:
            yield from _media_types(each)
    elif isinstance(item, dict):
        beside = next((item[key] for key in _MEDIA_TYPE_KEYS if key in item), None)
        for each in item.values():
            found = reference(each)
            if found is None:
                yield from _media_types(each)
                continue
            named = beside or found.media_type
            if isinstance(named, str):
                yield found.sha256, named


def _parts(parts: Sequence[Mapping[str, Any]], path: str, longest: int) -> Split:
    made = [_part(part, f"{path}[{number}]", longest) for number, part in enumerate(parts)]
    attached = [each for one in made for each in one.attachments]
    return Split({"parts": [one.fields for one in made]}, tuple(attached))


def _part(part: Mapping[str, Any], path: str, longest: int) -> Split:
    if part["type"] == "media":
        return _media(dict(part), path, longest)
    if "parts" in part:
        inner = _parts(part["parts"], f"{path}.parts", longest)
        return Split({**part, **inner.fields}, inner.attachments)
    return Split(dict(part), ())


def _media(part: Fields, path: str, longest: int) -> Split:
    given = [name for name in _SOURCES if name in part]
    if len(given) != 1:
        told = " and ".join(f"`{name}`" for name in given) or "nothing"
        raise ContentValidationError(
            f"a media part has one of `data`, `attachment`, `url` and `file_id`, not {told}", path
        )
    if "attachment" in part and _HASH.fullmatch(part["attachment"]) is None:
        raise ContentValidationError(
            f"{shown(part['attachment'])} is not a SHA-256 in lower case, as `attach()` returns it",
            f"{path}.attachment",
        )
    if "data" not in part:
        return Split(part, ())
    data = _checked_bytes(part.pop("data"), longest, f"{path}.data")
    found = _attachment_of(data, part.get("media_type", ""))
    part["attachment"] = found.sha256
    if found.width is not None and "width" not in part and "height" not in part:
        part |= {"width": found.width, "height": found.height}
    return Split(part, (Attached(found.sha256, data, _plain(part.get("media_type"))),))


def _plain(media_type: str | None) -> str | None:
    """Return a media type if it can be one; the content keeps it, whatever it is."""
    try:
        return None if media_type is None else _checked_media_type(media_type)
    except ContentValidationError:
        return None
