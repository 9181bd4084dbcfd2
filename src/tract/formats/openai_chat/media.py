"""Images, sounds, films and documents in Chat Completions messages, in and out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tract.formats.common.media import (
    IMAGES,
    PDF,
    attached,
    bytes_of,
    decoded,
    kind_of_media,
)
from tract.formats.format import Json
from tract.history.media import in_base64, reference
from tract.protocols.parts import MediaPart

__all__ = ["media_block", "read_blob", "read_media"]

_SOUNDS = {"mp3": "audio/mpeg", "wav": "audio/wav"}
_FORMATS = {
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
    "audio/wav": "wav",
    "audio/wave": "wav",
    "audio/x-wav": "wav",
}
_DETAILS = frozenset({"auto", "low", "high", "original"})
_FILES = frozenset({PDF, "text/plain"})


def read_media(block: Json) -> MediaPart | None:
    """Return the medium of a part of a message's content; None if the part is something else."""
    reader = _READERS.get(str(block.get("type")))
    return None if reader is None else reader(block)


def read_blob(value: Any) -> MediaPart | None:
    """Return the medium that a text was, if it was taken out; None if it is something else."""
    where = attached(value)
    if where is None:
        return None
    return MediaPart(kind=kind_of_media(where["media_type"]), **where)


def _image(block: Json) -> MediaPart | None:
    image = _object(block.get("image_url"))
    where = _where(image.get("url"))
    return None if where is None else MediaPart(kind="image", **where, detail=_str(image, "detail"))


def _sound(block: Json) -> MediaPart | None:
    sound = _object(block.get("input_audio"), "data")
    where = _where(sound.get("data"), bare=True)
    if where is None:
        return None
    named = _str(sound, "format")
    if named is not None:
        where["media_type"] = _SOUNDS.get(named, f"audio/{named}")
    return MediaPart(kind="audio", **where)


def _file(block: Json) -> MediaPart | None:
    file = _object(block.get("file"), "file_id")
    name, file_id = _str(file, "filename"), _str(file, "file_id")
    where = _where(file.get("file_data"), bare=True)
    if where is None and file_id:
        where = {"file_id": file_id}
    return None if where is None else MediaPart(kind="document", **where, name=name)


def _document(block: Json) -> MediaPart | None:
    where = _where(_object(block.get("document_url")).get("url"))
    name = _str(block, "document_name")
    return None if where is None else MediaPart(kind="document", **where, name=name)


def _video(block: Json) -> MediaPart | None:
    where = _where(_object(block.get("video_url")).get("url"))
    return None if where is None else MediaPart(kind="video", **where)


def _object(value: Any, key: str = "url") -> Json:
    """Return *value*, which some dialects shorten to what its only key holds."""
    if isinstance(value, dict) and reference(value) is None:
        return value
    return {key: value}


def _str(item: Json, key: str) -> str | None:
    value = item.get(key)
    return value if isinstance(value, str) else None


def _where(value: Any, *, bare: bool = False) -> dict[str, Any] | None:
    """Return what says where the bytes are; *bare* base64 may stand without a data URL."""
    found = attached(value)
    if found is not None:
        return found
    if not isinstance(value, str) or not value:
        return None
    if value.startswith("data:"):
        head, _, rest = value.partition(",")
        media_type, _, encoding = head.removeprefix("data:").partition(";")
        data = decoded(rest) if encoding.endswith("base64") else None
        return None if data is None else {"data": data, "media_type": media_type or None}
    if "://" in value[:16] or not bare:
        return {"url": value}
    data = decoded(value)
    return None if data is None else {"data": data}


_READERS: dict[str, Callable[[Json], MediaPart | None]] = {
    "document_url": _document,
    "file": _file,
    "image_url": _image,
    "input_audio": _sound,
    "video_url": _video,
}


def media_block(part: MediaPart, load: Callable[[str], bytes], *, own_files: bool) -> Json | str:
    """Return the part of a user's message that shows a medium, or why there is none.

    *own_files* says that `file_id` names a file of OpenAI's.
    """
    writer = _WRITERS.get(part.kind)
    if writer is None:
        return f"Chat Completions takes no {part.kind}"
    if part.file_id is not None:
        # Those that its own APIs tell of have any id; others begin so, and nobody else's do.
        if not (own_files or part.file_id.startswith("file-")):
            return "another provider keeps the file"
        if part.kind != "document":
            return f"Chat Completions takes no {part.kind} by the id of a file"
        return {"type": "file", "file": {"file_id": part.file_id}}
    return writer(part, load)


def _write_image(part: MediaPart, load: Callable[[str], bytes]) -> Json | str:
    if part.url is not None:
        if not part.url.startswith(("https://", "http://")):
            return "the address of an image must be of the web"
        url = part.url
    elif part.media_type not in IMAGES:
        return f"an image must be PNG, JPEG, WebP or GIF, not {part.media_type}"
    else:
        url = _data_url(part, load)
    image = {"url": url}
    if part.detail in _DETAILS:
        image["detail"] = part.detail
    return {"type": "image_url", "image_url": image}


def _write_sound(part: MediaPart, load: Callable[[str], bytes]) -> Json | str:
    named = _FORMATS.get(part.media_type or "")
    if part.url is not None or named is None:
        return "a sound must be given as WAV or MP3"
    return {
        "type": "input_audio",
        "input_audio": {"data": in_base64(bytes_of(part, load)), "format": named},
    }


def _write_document(part: MediaPart, load: Callable[[str], bytes]) -> Json | str:
    if part.url is not None:
        return "a document must be given as bytes or as a file of the API's"
    if part.media_type not in _FILES:
        return f"a document must be PDF or plain text, not {part.media_type}"
    suffix = "pdf" if part.media_type == PDF else "txt"
    name = part.name or f"document.{suffix}"
    return {"type": "file", "file": {"filename": name, "file_data": _data_url(part, load)}}


def _data_url(part: MediaPart, load: Callable[[str], bytes]) -> str:
    return f"data:{part.media_type};base64,{in_base64(bytes_of(part, load))}"


_WRITERS: dict[str, Callable[[MediaPart, Callable[[str], bytes]], Json | str]] = {
    "audio": _write_sound,
    "document": _write_document,
    "image": _write_image,
}
