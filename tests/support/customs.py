"""Content types of an application, the text that a model sees of each, and examples."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from pydantic import BaseModel

from support.histories import WILD_TEXTS
from support.naive import canonical


class Ticket(BaseModel):
    """Has neither a method nor a field for its text, so all of it is shown."""

    title: str
    tags: list[str] = []
    urgent: bool = False


class Memo(BaseModel):
    """Shown by its field `text`."""

    text: str
    to: str | None = None


class Note(BaseModel):
    """Renders itself, and knows its own type."""

    content_type: str = "note"
    author: str
    text: str

    def to_text(self) -> str:
        return f"{self.author}: {self.text}"


CUSTOM: dict[str, type[BaseModel]] = {"ticket": Ticket, "memo": Memo, "note": Note}
CUSTOM_DEFAULTS: dict[str, dict[str, Any]] = {
    "ticket": {"tags": [], "urgent": False},
    "memo": {"to": None},
    "note": {},
}


def custom_text(content: dict[str, Any]) -> str:
    """Return the text that a model sees of a custom content, all of whose fields are set."""
    if content["content_type"] == "ticket":
        return canonical({name: content[name] for name in ("title", "tags", "urgent")})
    if content["content_type"] == "memo":
        return str(content["text"])
    return f"{content['author']}: {content['text']}"


CUSTOM_CONTENTS: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.fixed_dictionaries(
        {"content_type": st.just("ticket"), "title": WILD_TEXTS},
        optional={"tags": st.lists(WILD_TEXTS, max_size=2), "urgent": st.booleans()},
    ),
    st.fixed_dictionaries(
        {"content_type": st.just("memo"), "text": WILD_TEXTS}, optional={"to": WILD_TEXTS}
    ),
    st.fixed_dictionaries(
        {"content_type": st.just("note"), "author": WILD_TEXTS, "text": WILD_TEXTS}
    ),
)
