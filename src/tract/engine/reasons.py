"""Why a stream was left, in words that may be kept."""

from __future__ import annotations

import re

from tract.formats.assembly import mended

__all__ = ["reason_of", "without_secrets"]

_LONGEST = 300
_SCHEME = r"(?:bearer|basic|digest|token|negotiate|api-?key)\s+"
_VALUE = rf"""(?:b?"[^"]*"?|b?'[^']*'?|(?:{_SCHEME})?[^\s,;&'"]+)"""
_SECRETS = (
    (re.compile(r"(?i)\b(bearer|basic)\s+[^\s,;'\"]+"), r"\1 ***"),
    (
        re.compile(
            r"(?i)([\w-]*"
            r"(?:api[-_ ]?key|token|secret|password|passwd|pwd|authorization|credential|cookie)"
            rf"[\w-]*[\"']?\s*(?:provided)?\s*[=:]\s*){_VALUE}"
        ),
        r"\1***",
    ),
    (re.compile(r"(?i)([?&](?:key|sig|signature|auth)=)[^\s&'\"]+"), r"\1***"),
    (re.compile(r"\beyJ[\w-]+(?:\.[\w-]+)*"), "***"),
    (re.compile(r"(?i)\b(?:sk|pk|rk|ghp|gho|xai|gsk|hf|AIza|AKIA)[-_]?[\w*-]{8,}"), "***"),
    (re.compile(r"(?<=://)[^\s/@]+@"), "***@"),
    (re.compile(r"\b(?=[\w+-]*[0-9])(?=[\w+-]*[A-Za-z])[\w+-]{32,}={0,2}"), "***"),
)


def reason_of(error: BaseException) -> str:
    """Return an error's name and text, shortened and without what looks like a secret."""
    text = " ".join(without_secrets(_text(error)).split())
    name = type(error).__name__
    return f"{name}: {text}" if text else name


def without_secrets(text: str) -> str:
    """Return *text*, shortened, with `***` for keys, tokens and passwords as far as they show."""
    text = text[: 4 * _LONGEST]
    for pattern, shown in _SECRETS:
        text = pattern.sub(shown, text)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _text(error: BaseException) -> str:
    try:
        return mended(str(error))
    except Exception:  # whatever a foreign class raises
        return ""
