"""Attachments as callers see them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tract.parts import MediaPart

__all__ = ["Attachment"]

_Kind = Literal["image", "audio", "video", "document"]
_KINDS: dict[str, _Kind] = {"image": "image", "audio": "audio", "video": "video"}


@dataclass(frozen=True, slots=True)
class Attachment:
    """Bytes that a tract was given; contents refer to them by their hash.

    `size` is in bytes. `width` and `height` are in pixels, for images whose header says them.
    """

    sha256: str
    media_type: str
    size: int
    width: int | None = None
    height: int | None = None

    def part(
        self,
        kind: Literal["image", "audio", "video", "document"] | None = None,
        *,
        name: str | None = None,
    ) -> MediaPart:
        """Return a part of a message that refers to the bytes; the media type implies the *kind*.

        Args:
            kind: what the bytes are; what is neither image, audio nor video is a document.
            name: a file name or a title.
        """
        implied: _Kind = _KINDS.get(self.media_type.partition("/")[0].lower(), "document")
        return MediaPart(
            kind=kind or implied,
            media_type=self.media_type,
            attachment=self.sha256,
            name=name,
            width=self.width,
            height=self.height,
        )
