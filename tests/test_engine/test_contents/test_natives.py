"""The JSON of an item is cut out of its content's, and is what it would be if it were written anew."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tract.engine.contents.provided import native_message
from tract.formats.registry import FORMATS
from tract.history.canonical import canonical_bytes, stored_json

TEXTS = st.text(st.characters(exclude_categories=())) | st.sampled_from(
    ["item", '"item":', "é", "\0"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=12,
)
ITEMS = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant"])}, optional={"x": VALUES}
)
BLOCKS: dict[str, Any] = {
    "openai.chat": {"content": "hi"},
    "openai.responses": {"content": "hi"},
    "anthropic.messages": {"content": [{"type": "text", "text": "hi"}]},
    "google.generate_content": {"parts": [{"text": "hi"}]},
}


@given(api=st.sampled_from([*FORMATS, "a.later.api"]), item=ITEMS)
def test_it_is_the_same_as_written_anew(api: str, item: dict[str, Any]) -> None:
    content = {"api": api, "content_type": "native", "item": {**item, **BLOCKS.get(api, {})}}
    data = canonical_bytes(content, surrogates=True)
    fields = stored_json(data, "a content")

    assert native_message(fields, None, data) == native_message(fields, None)


@pytest.mark.parametrize(
    "data",
    [
        b'{"api":"openai.chat","content_type":"native","item":{},"item":{"role":"user","content":"a"}}',
        b'{"api": "openai.chat", "content_type": "native", "item": {"role": "user", "content": "a"}}',
        b'{"item":{"role":"user","content":"a"},"api":"openai.chat","content_type":"native"}',
    ],
)
def test_what_another_program_wrote_is_written_anew(data: bytes) -> None:
    message = native_message(stored_json(data, "a content"), None, data)

    assert message.native is not None
    assert message.native.text == '{"content":"a","role":"user"}'
