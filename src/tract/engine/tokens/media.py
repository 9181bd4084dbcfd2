"""Tokens of media and thinking: what a message costs beside its text and tool calls.

Images cost what their provider's published formula says. Media without a formula or of unknown size
are named, not guessed. Base64 is never tokenised.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from math import ceil
from typing import NamedTuple

from tract.protocols import Message
from tract.protocols.parts import (
    MediaPart,
    NativePart,
    Part,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)

__all__ = [
    "Beside",
    "anthropic_image",
    "beside",
    "google_image",
    "media_tokens",
    "openai_image",
]

_NEUTRAL = "openai.chat"
_PATCH = 28  # pixels of a side, with Anthropic
_LONGEST = 2576  # pixels of a longer side
_MOST = 4784  # patches


class Beside(NamedTuple):
    """What a message holds beside its text and tool calls: media tokens, texts, and the rest."""

    tokens: int
    texts: tuple[str, ...]
    """Thinking, and calls of a provider's own tools."""
    uncounted: tuple[str, ...]
    """Kinds of parts that have no count."""


def openai_image(width: int, height: int, detail: str | None = None) -> int:
    """Return the tokens of an image in OpenAI's tiles: 85, and 170 for each of 512 by 512 pixels.

    Before, it is scaled down to fit into 2048 by 2048, and then to a shorter side of 768. With the
    detail `low` it costs 85. This is the rule for GPT-4o and GPT-4.1; smaller and newer models have
    other factors. https://platform.openai.com/docs/guides/images-vision#calculating-costs
    """
    if detail == "low":
        return 85
    longer, shorter = max(width, height), min(width, height)
    part, whole = min((1, 1), (2048, longer), (768, shorter), key=_ratio)
    # In integers, rounded up: an error of a float could add a row of tiles.
    across, down = (-(-side * part // (whole * 512)) for side in (width, height))
    return 85 + 170 * across * down


def anthropic_image(width: int, height: int) -> int:
    """Return the tokens of an image for Claude: one for each patch of 28 by 28 pixels, begun or whole.

    Before, it is scaled down, in its proportions, to the largest size of at most 2,576 pixels on
    the longer side and 4,784 tokens. These are the limits of the newest models, from Opus 4.7 and
    Sonnet 5 on; earlier ones and Haiku 4.5 scale down to 1,568 pixels and 1,568 tokens.
    https://platform.claude.com/docs/en/build-with-claude/vision
    """
    longer, shorter = max(width, height), min(width, height)

    def patches(side: int) -> int:
        """Return the tokens with a longer side of *side* pixels."""
        other = max(1, (2 * shorter * side + longer) // (2 * longer))  # rounded
        return ceil(side / _PATCH) * ceil(other / _PATCH)

    sides = range(1, min(longer, _LONGEST) + 1)
    return patches(bisect_right(sides, _MOST, key=patches))


def google_image(width: int, height: int) -> int:
    """Return the tokens of an image for Gemini: 258 for each tile of 768 by 768 pixels.

    An image of at most 384 by 384 costs 258. https://ai.google.dev/gemini-api/docs/tokens
    """
    if width <= 384 and height <= 384:
        return 258
    return 258 * ceil(width / 768) * ceil(height / 768)


def media_tokens(part: MediaPart, api: str | None = None) -> int | None:
    """Return the tokens of media that go to *api*, OpenAI's if None; None if there is no formula.

    Formulas are for images whose size is known; with the detail `low`, OpenAI's needs no size.
    """
    if part.kind != "image":
        return None
    api = api or _NEUTRAL
    if api.startswith("openai.") and part.detail == "low":
        return openai_image(1, 1, "low")
    if not part.width or not part.height:
        return None
    if api.startswith("anthropic."):
        return anthropic_image(part.width, part.height)
    if api.startswith("google."):
        return google_image(part.width, part.height)
    return openai_image(part.width, part.height, part.detail)


def beside(
    message: Message, count: Callable[[MediaPart, str | None], int | None] = media_tokens
) -> Beside:
    """Return what *message* holds beside its text and tool calls; *count* counts its media."""
    if message.given is None:
        return Beside(0, (), ())
    api = message.native.api if message.native else None
    tokens = 0
    texts: list[str] = []
    uncounted: list[str] = []
    for part in _flat(message.given):
        if isinstance(part, MediaPart):
            cost = count(part, part.native.api if part.native else api)
            if cost is None:
                uncounted.append(part.kind)
            else:
                tokens += cost
        elif isinstance(part, ThinkingPart):
            texts.append(part.text)
            if part.encrypted is not None:
                uncounted.append("thinking")
        elif isinstance(part, ToolCallPart) and part.kind == "server":
            texts += (part.name, part.arguments)
        elif isinstance(part, NativePart):
            uncounted.append(part.kind)
    return Beside(tokens, tuple(filter(None, texts)), tuple(uncounted))


def _flat(parts: Sequence[Part]) -> Iterator[Part]:
    for part in parts:
        yield part
        if isinstance(part, ToolResultPart):
            yield from _flat(part.parts)


def _ratio(part: tuple[int, int]) -> float:
    return part[0] / part[1]
