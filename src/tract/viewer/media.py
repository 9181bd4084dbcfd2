"""Pictures as `data:` URLs: only raster formats that a browser draws, told by their first bytes."""

from __future__ import annotations

from base64 import b64encode

__all__ = ["picture"]

MOST = 4 * 2**20
"""How many bytes a picture has at most that the page shows."""


def picture(data: bytes) -> dict[str, str]:
    """Return `url` for a picture that may be shown, else `why` it is not.

    What an attachment says of itself does not count: SVG, HTML and all else can run or load.
    """
    kind = _raster(data)
    if kind is None:
        return {"why": f"{len(data):,} bytes, not a PNG, JPEG, GIF or WebP"}
    if len(data) > MOST:
        return {"why": f"{len(data):,} bytes, too large to be shown here"}
    return {"url": f"data:image/{kind};base64,{b64encode(data).decode()}"}


def _raster(data: bytes) -> str | None:
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    return None
