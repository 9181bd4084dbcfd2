"""Random plans for several branches; they pick from what exists when they are carried out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from support.histories import CONTENTS

__all__ = ["Plan", "plans"]

_WORDS: list[dict[str, Any]] = [
    *({"content_type": "dialogue", "role": "user", "text": text} for text in ("a", "b", "a b")),
    {"content_type": "instruction", "text": "a"},
    {"content_type": "freeform", "payload": {"a": [1, 0.5]}},
]
_CONTENTS: st.SearchStrategy[dict[str, Any]] = st.sampled_from(_WORDS) | CONTENTS
_CONFIGS: st.SearchStrategy[dict[str, Any] | None] = st.sampled_from([None, {}, {"t": 0}, {"t": 1}])
_KINDS = [
    *["append"] * 4,
    *["edit"] * 4,
    *["annotate"] * 3,
    *["fork"] * 3,
    *["merge"] * 6,
    *["reset", "squash", "pick", "delete", "cross"],
]
WAYS = ["raise", "ours", "theirs", "function", "function"]


@dataclass(frozen=True)
class Plan:
    """One thing to do. `branch`, `other` and `number` are indexes that wrap around."""

    kind: str
    branch: int
    other: int
    number: int
    content: dict[str, Any]
    config: dict[str, Any] | None
    priority: str
    way: str
    fast_forward: bool


plans: st.SearchStrategy[list[Plan]] = st.lists(
    st.builds(
        Plan,
        kind=st.sampled_from(_KINDS),
        branch=st.integers(0, 3),
        other=st.integers(0, 3),
        number=st.integers(0, 2) | st.integers(0, 20),
        content=_CONTENTS,
        config=_CONFIGS,
        priority=st.sampled_from(["skip", "normal", "pinned"]),
        way=st.sampled_from(WAYS),
        fast_forward=st.booleans(),
    ),
    max_size=22,
)
