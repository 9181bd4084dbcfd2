"""Media of other APIs as image and document blocks."""

from __future__ import annotations

from collections.abc import Callable

from tract.formats.common.media import IMAGES, PDF, held, is_text
from tract.formats.format import Json
from tract.history.media import in_base64
from tract.protocols.parts import MediaPart

__all__ = ["media_block"]


def media_block(part: MediaPart, load: Callable[[str], bytes]) -> Json | str:
    """Return the block that shows a medium, or else why there is none."""
    if part.kind not in ("image", "document"):
        return f"the API takes no {part.kind}"
    source = _source(part, load)
    if isinstance(source, str):
        return source
    media_type = source.get("media_type") or (part.media_type if "url" in source else None)
    kind = part.kind
    if media_type is not None:
        kind = "image" if media_type in IMAGES else "document"
    block: Json = {"type": kind, "source": source}
    if part.name is not None and part.name.strip() and kind == "document":
        block["title"] = part.name
    return block


def _source(part: MediaPart, load: Callable[[str], bytes]) -> Json | str:
    if part.file_id is not None:
        # Anthropic's begin so, and nobody else's: OpenAI's begin with `file-`, Gemini's with `files/`.
        if part.file_id.startswith("file_"):
            return {"type": "file", "file_id": part.file_id}
        return "another provider keeps the file"
    found = held(part, load)
    if isinstance(found, str):
        return found
    return _of_url(part.url or "", part.media_type) if found is None else _of_bytes(*found)


def _of_url(url: str, media_type: str | None) -> Json | str:
    if not url.startswith(("https://", "http://")):
        return "the API takes no such URL"
    if media_type is not None and media_type not in IMAGES | {PDF}:
        return f"the API takes no {media_type}"
    return {"type": "url", "url": url}


def _of_bytes(data: bytes, media_type: str) -> Json | str:
    if media_type in IMAGES or media_type == PDF:
        return {"type": "base64", "media_type": media_type, "data": in_base64(data)}
    try:
        text = data.decode() if is_text(media_type) else ""
    except UnicodeDecodeError:
        text = ""
    if not text.strip():
        return f"the API takes no {media_type}" if media_type else "its media type is not known"
    return {"type": "text", "media_type": "text/plain", "data": text}
