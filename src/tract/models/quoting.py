"""Any text as a name: as a tract's id, a branch or a tag, and back."""

from __future__ import annotations

import re

from tract.exceptions import RefNameError
from tract.models.refs import MAX_REF_NAME, utf8_size

__all__ = ["quote_id", "unquote_id"]

_EMPTY = "%"
_UNSAFE: re.Pattern[str] = re.compile(
    r"[\x00-\x20\x7f~^:?*\[\\%\ud800-\udfff]"
    r"|\A[-/.]|(?<=\.)\.|(?<=@)\{|(?<=/)[/.]"
    r"|\.(?=lock(?:/|\Z))|[/.]\Z|\A@\Z|\AH(?=EAD\Z)|\A[0-9A-Fa-f](?=[0-9A-Fa-f]{63}\Z)"
)
"""The characters that the rules of `check_ref_name` refuse where they stand, and `%`."""
_QUOTED: re.Pattern[str] = re.compile(r"(?:%[0-9A-F]{2})+")


def quote_id(text: str) -> str:
    """Return a name that stands for *text*, valid as a tract's id, a branch and a tag.

    What cannot stand in a name is written as in a URL, `%` and two digits for each byte of UTF-8:
    `user:42` becomes `user%3A42`. So does `%` itself. All other texts are returned as they are. No
    two texts get the same name, and `unquote_id` returns the text.

    Up to a `.` or `/` at its end, the name of a text begins as the name of its beginning does. So
    the ids that begin with `user:` are those that begin with `quote_id("user:")`.

    Raises:
        RefNameError: *text* is not a string, or the name would have more than 1,024 bytes in UTF-8.
    """
    if not isinstance(text, str):
        raise RefNameError(text, f"a {type(text).__name__} is not a string. Give a string.")
    name = _UNSAFE.sub(_quoted, text) or _EMPTY
    size = utf8_size(name)
    if size > MAX_REF_NAME:
        raise RefNameError(
            text,
            f"quoted, it has {size:,} bytes in UTF-8, and a name up to {MAX_REF_NAME:,}. Use a "
            "hash of it as the name, and keep the text in the tract's metadata.",
        )
    return name


def unquote_id(name: str) -> str:
    """Return the text that `quote_id` has made *name* of.

    Raises:
        RefNameError: it is not a name that `quote_id` returns.
    """
    try:
        text = "" if name == _EMPTY else _QUOTED.sub(_unquoted, name)
        if quote_id(text) == name:
            return text
    except (TypeError, ValueError):  # no string, bytes that are not UTF-8, or a name too long
        pass
    raise RefNameError(name, "`quote_id()` returns no such name. Use it as it is.")


def _quoted(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found[0].encode("utf-8", "surrogatepass"))


def _unquoted(found: re.Match[str]) -> str:
    return bytes.fromhex(found[0].replace("%", "")).decode("utf-8", "surrogatepass")
