"""Tokens of media by the providers' published formulas, with the examples that they give."""

from __future__ import annotations

from typing import Any

import pytest

from tract import (
    MediaPart,
    Message,
    Native,
    NativePart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)
from tract.engine.tokens.media import (
    Beside,
    anthropic_image,
    beside,
    google_image,
    media_tokens,
    openai_image,
)


@pytest.mark.parametrize(
    ("width", "height", "detail", "tokens"),
    [
        (1024, 1024, "high", 765),
        (2048, 4096, "high", 1105),
        (4096, 8192, "low", 85),
        (512, 512, None, 255),
        (513, 512, "auto", 425),
        (768, 768, None, 765),
        (2048, 768, None, 85 + 170 * 8),
        (1, 1, None, 255),
        (20_000, 10, None, 85 + 170 * 4),
        (1536, 1536, None, 765),
    ],
)
def test_openai_counts_tiles(width: int, height: int, detail: str | None, tokens: int) -> None:
    assert openai_image(width, height, detail) == tokens
    assert openai_image(height, width, detail) == tokens


@pytest.mark.parametrize(
    ("width", "height", "tokens"),
    [
        (1, 1, 1),
        (28, 28, 1),
        (29, 28, 2),
        (200, 200, 64),
        (1000, 1000, 1296),
        (1568, 728, 1456),
        (1920, 1080, 2691),
        (1928, 1928, 4761),
        (1932, 1932, 4761),
        (1933, 1933, 4761),
        (8000, 8000, 4761),
        (2576, 1449, 4784),
        (3840, 2160, 4784),
        (8000, 20, 92),
        (10**9, 1, 92),
    ],
)
def test_anthropic_counts_patches(width: int, height: int, tokens: int) -> None:
    assert anthropic_image(width, height) == tokens
    assert anthropic_image(height, width) == tokens


@pytest.mark.parametrize(
    ("width", "height", "tokens"),
    [(1, 1, 258), (384, 384, 258), (385, 10, 258), (769, 768, 516), (1536, 1536, 1032)],
)
def test_gemini_counts_tiles(width: int, height: int, tokens: int) -> None:
    assert google_image(width, height) == tokens


@pytest.mark.parametrize(
    ("api", "tokens"),
    [
        (None, 765),
        ("openai.chat", 765),
        ("openai.responses", 765),
        ("anthropic.messages", 1369),
        ("google.generate_content", 1032),
        ("someone.else", 765),
    ],
)
def test_the_api_chooses_the_formula(api: str | None, tokens: int) -> None:
    assert media_tokens(MediaPart(kind="image", url="x", width=1024, height=1024), api) == tokens


@pytest.mark.parametrize(
    ("part", "tokens"),
    [
        (MediaPart(kind="image", url="x"), None),
        (MediaPart(kind="image", url="x", width=5), None),
        (MediaPart(kind="image", url="x", width=0, height=0), None),
        (MediaPart(kind="image", url="x", detail="low"), 85),
        (MediaPart(kind="audio", url="x", width=5, height=5), None),
        (MediaPart(kind="video", url="x"), None),
        (MediaPart(kind="document", url="x"), None),
    ],
)
def test_what_has_no_formula_has_no_count(part: MediaPart, tokens: int | None) -> None:
    assert media_tokens(part) == tokens


def test_a_message_of_text_alone_holds_nothing_beside_it() -> None:
    assert beside(Message("user", "x")) == Beside(0, (), ())


def test_everything_beside_the_text_is_counted_or_named() -> None:
    native = Native("anthropic.messages", '{"type":"novelty"}')
    image: dict[str, Any] = {"kind": "image", "url": "x", "width": 200, "height": 200}
    parts = (
        TextPart(text="counted elsewhere"),
        MediaPart(**image),
        MediaPart(kind="audio", url="x"),
        ThinkingPart(text="hm", signature="not counted"),
        ThinkingPart(encrypted="abc"),
        ThinkingPart(text="sum", encrypted="abc"),
        ToolCallPart(id="1", name="counted elsewhere", arguments="{}"),
        ToolCallPart(id="2", name="search", arguments="[]", kind="server"),
        ToolResultPart(call_id="1", parts=(MediaPart(**image), MediaPart(kind="video", url="x"))),
        NativePart(native=native),
    )

    neutral = beside(Message.of("user", parts))
    found = beside(Message.of("user", parts, native=native))
    uncounted = ("audio", "thinking", "thinking", "video", "novelty")
    assert neutral == Beside(2 * 255, ("hm", "sum", "search", "[]"), uncounted)
    assert found == Beside(2 * 64, ("hm", "sum", "search", "[]"), uncounted)
