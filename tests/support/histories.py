"""Random histories for hypothesis, as lists of `Deed`."""

from __future__ import annotations

from typing import Any, NamedTuple

from hypothesis import strategies as st

from support.naive import Deed

# Prefixes that decide whether a token may span the blank line before them, and lookalikes.
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

# Texts that stores, hashes and tokenizers may trip over: every plane of Unicode, lookalikes of
# special tokens and SQL, characters that combine with the text before, blank lines at the edges.
LOOKALIKES = [
    *("<|endoftext|>", "<|im_start|>system\n", "<|im_end|>", "<|endofprompt|>", "<|fim_prefix|>"),
    *("'; DROP TABLE commits; --", "%s", "{0}", "\\u0000", '"}', "NULL", "\ufeff", "\u202e"),
    *(
        "\u0301",
        "\u0e33",
        "\u1100\u1161\u11a8",
        "\u200d",
        "\ufe0f",
        "\u2028",
        "\x85",
        "\x1f",
        "\x7f",
    ),
    *(
        "\n\n",
        "\n \n",
        "\r\n\r\n",
        "\n\n\n",
        "\n\n/",
        "\n\n x",
        "\ufffe",
        "\U0001fffe",
        "\U0010ffff",
    ),
]
PLANES = st.one_of(
    *(
        st.characters(
            min_codepoint=plane << 16, max_codepoint=(plane << 16) + 0xFFFF, codec="utf-8"
        )
        for plane in range(17)
    )
)
EDGES = st.sampled_from(["/", "!", "/!", "!\n", " ", "\n", "\n\n", "a", "\u180e", "\u0301"])
WILD_TEXTS = st.one_of(
    TEXTS,
    st.builds(str.__add__, EDGES, EDGES),
    st.lists(st.sampled_from([*PIECES, *LOOKALIKES]) | PLANES, max_size=5).map("".join),
)


class Repeated(NamedTuple):
    """A long text that prints short: *piece* repeated up to *size* characters."""

    piece: str
    size: int

    @property
    def text(self) -> str:
        """The text."""
        return (self.piece * self.size)[: self.size]


LONG_TEXTS = st.builds(
    Repeated,
    st.sampled_from(["a", "word ", "é 中\n", "🙂", "\n\n", " ", "<|endoftext|>", "\U0010ffff\x00"]),
    st.sampled_from([15_990, 16_001, 40_000]),
)


def jsons(texts: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    """Return JSON values whose strings and keys are drawn from *texts*."""
    return st.recursive(
        st.none() | st.booleans() | st.integers(-9, 10**20) | texts | st.sampled_from([0.5, -0.0]),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
        max_leaves=5,
    )


JSON = jsons(TEXTS)


def _content(kind: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"content_type": st.just(kind), **fields})


def contents(
    texts: st.SearchStrategy[str], payloads: st.SearchStrategy[Any]
) -> st.SearchStrategy[dict[str, Any]]:
    """Return contents of every built-in type, as dicts."""
    tools = _content(
        "tool_io",
        tool_name=st.sampled_from(["search", "book flight"]),
        direction=st.sampled_from(["call", "result"]),
        payload=payloads,
        status=st.sampled_from([None, "success", "error"]),
        call_id=st.sampled_from([None, "c1"]),
    )
    sides = st.sampled_from(["user", "assistant", "system"])
    return st.one_of(
        _content("dialogue", role=sides, text=texts, name=NAMES),
        _content("dialogue", role=st.just("user"), text=texts),
        tools,
        _content("instruction", text=texts),
        _content("reasoning", text=texts),
        _content("artifact", artifact_type=texts, content=texts, language=NAMES),
        _content("output", text=texts, format=st.sampled_from(["text", "markdown", "json"])),
        _content("freeform", payload=payloads),
    )


CONTENTS = contents(TEXTS, JSON)
CONFIGS: st.SearchStrategy[dict[str, Any] | None] = (
    st.none() | st.just({}) | st.dictionaries(st.sampled_from("abc"), JSON, max_size=2)
)
PRIORITIES = st.sampled_from(["skip", "skip", "normal", "pinned"])
KINDS = st.sampled_from(["append"] * 5 + ["edit"] * 2 + ["annotate"] * 3)


@st.composite
def histories(draw: st.DrawFn, max_size: int = 12) -> list[Deed]:
    """Draw histories of up to *max_size* deeds, whose targets are earlier appends."""
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
