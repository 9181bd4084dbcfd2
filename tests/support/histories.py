"""Random histories for hypothesis, as lists of `Deed`."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from support.naive import Deed

# Beginnings that decide whether a token may span the blank line before them, and lookalikes.
PIECES = [
    *("", " ", "\n", "\t", "\r\n", "\u00a0", "\u3000", "/", "//", "\u180e", "'s", "!", "?!", "-"),
    *("hello", "Hello world", "12345", "  x", "\n\n", "\n\nend\n", "<|endoftext|>", "<|im_start|>"),
    *(
        "é",
        "e\u0301",
        "中文",
        "🙂",
        "👩‍👩‍👧",
        "\x00",
        "\u200b",
        "\U0010ffff",
        "ǅ",
        "{}",
        "[edited]",
    ),
]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=4).map("".join) | st.text(max_size=6)
NAMES = st.none() | st.sampled_from(["Ann", "Bob", "ann b"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 10**20) | TEXTS | st.sampled_from([0.5, -0.0]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)


def _content(kind: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"content_type": st.just(kind), **fields})


DIALOGUES = _content(
    "dialogue", role=st.sampled_from(["user", "assistant", "system"]), text=TEXTS, name=NAMES
)
USER_TEXTS = _content("dialogue", role=st.just("user"), text=TEXTS)
TOOLS = _content(
    "tool_io",
    tool_name=st.sampled_from(["search", "book flight"]),
    direction=st.sampled_from(["call", "result"]),
    payload=JSON,
    status=st.sampled_from([None, "success", "error"]),
    call_id=st.sampled_from([None, "c1"]),
)
CONTENTS = st.one_of(
    DIALOGUES,
    USER_TEXTS,
    TOOLS,
    _content("instruction", text=TEXTS),
    _content("reasoning", text=TEXTS),
    _content("artifact", artifact_type=TEXTS, content=TEXTS, language=NAMES),
    _content("output", text=TEXTS, format=st.sampled_from(["text", "markdown", "json"])),
    _content("freeform", payload=JSON),
)
CONFIGS: st.SearchStrategy[dict[str, Any] | None] = (
    st.none() | st.just({}) | st.dictionaries(st.sampled_from("abc"), JSON, max_size=2)
)
PRIORITIES = st.sampled_from(["skip", "skip", "normal", "pinned"])
KINDS = st.sampled_from(["append"] * 5 + ["edit"] * 2 + ["annotate"] * 3)


@st.composite
def histories(draw: st.DrawFn, max_size: int = 12) -> list[Deed]:
    """Histories of up to *max_size* deeds, whose targets are earlier appends."""
    deeds: list[Deed] = []
    appends: list[int] = []
    for number, kind in enumerate(draw(st.lists(KINDS, max_size=max_size))):
        if kind == "append" or not appends:
            appends.append(number)
            deeds.append(Deed("append", draw(CONTENTS), None, draw(CONFIGS)))
            continue
        target = draw(st.sampled_from(appends))
        if kind == "edit":
            deeds.append(Deed("edit", draw(CONTENTS), target, draw(CONFIGS)))
        else:
            deeds.append(Deed("annotate", draw(PRIORITIES), target))
    return deeds
