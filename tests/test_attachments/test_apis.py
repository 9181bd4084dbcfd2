"""Media in real APIs' items: out as they came in, and for the other API from the same bytes."""

from __future__ import annotations

from typing import Any

import pytest

from support.pictures import in_base64, png
from tract import AsyncTract, MessageContent, NativeContent, TextPart, TiktokenCounter

PICTURE = png(1000, 1000, b"x" * 1_000)
TEXT = in_base64(PICTURE)
CHAT = {
    "role": "user",
    "content": [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{TEXT}"}},
    ],
}
CLAUDE = {
    "role": "user",
    "content": [
        {"type": "text", "text": "look"},
        {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/png", "data": TEXT},
        },
    ],
}
ITEMS = {"openai.chat": CHAT, "anthropic.messages": CLAUDE}
TOKENS = {"openai.chat": 765, "anthropic.messages": 1296}


@pytest.mark.parametrize("exact", ["keep", "error"])
@pytest.mark.parametrize("api", ITEMS)
async def test_an_item_with_an_image_goes_out_as_it_came_in(api: str, exact: Any) -> None:
    async with AsyncTract.open(tokenizer=TiktokenCounter()) as tract:
        await tract.commit(NativeContent(api=api, item=ITEMS[api]))
        context = await tract.compile()

    assert context.request(api, open_calls=exact)["messages"] == [ITEMS[api]]
    assert context.losses == []
    assert context.uncounted == []
    texts = TiktokenCounter().count_messages(context.to_dicts())
    assert context.token_count == texts + TOKENS[api]


@pytest.mark.parametrize("api", ITEMS)
async def test_an_image_crosses_to_another_api(api: str) -> None:
    [other] = ITEMS.keys() - {api}
    async with AsyncTract.open(tokenizer=TiktokenCounter()) as tract:
        await tract.commit(NativeContent(api=api, item=ITEMS[api]))
        context = await tract.compile()

    assert context.request(other)["messages"] == [ITEMS[other]]


@pytest.mark.parametrize("api", ITEMS)
async def test_a_message_of_parts_becomes_an_item_of_each_api(api: str) -> None:
    async with AsyncTract.open(tokenizer=TiktokenCounter()) as tract:
        attached = await tract.attach(PICTURE, "image/png")
        parts = (TextPart(text="look"), attached.part())
        await tract.commit(MessageContent(role="user", parts=parts))
        context = await tract.compile()

    assert context.request(api)["messages"] == [ITEMS[api]]
