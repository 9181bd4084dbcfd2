"""Requests of a context that grows: what is kept of earlier ones changes nothing in what is sent."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.effort import examples
from tract import (
    AsyncTract,
    CompiledContext,
    NullTokenCounter,
    TractStore,
    from_anthropic,
    from_google,
    from_openai,
    from_responses,
)
from tract.formats.format import Sent, Writing
from tract.formats.registry import FORMATS
from tract.formats.sending import arguments

APIS = sorted(FORMATS)
MODELS = st.sampled_from(
    [None, "gpt-5", "claude-opus-4-8", "claude-sonnet-4", "gemini-3-pro", "mistral-large"]
)
Piece = Callable[[str], list[Any]]


def _chat(*items: dict[str, Any]) -> list[Any]:
    return [*from_openai(list(items))]


def said(n: str) -> list[Any]:
    return _chat(
        {"role": "user", "content": f"ask {n}"}, {"role": "assistant", "content": f"say {n}"}
    )


def many(n: str) -> list[Any]:
    return [content for number in range(15) for content in said(f"{n}.{number}")]


def call(n: str, name: str = "look") -> dict[str, Any]:
    return {"id": f"call-{n}", "type": "function", "function": {"name": name, "arguments": "{}"}}


def result(n: str, **more: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": f"call-{n}", "content": f"found {n}", **more}


def thinking(n: str, signature: str = "c2ln") -> list[Any]:
    return [
        *from_anthropic(
            [
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": f"hm {n}", "signature": signature},
                        {"type": "tool_use", "id": f"toolu_{n}", "name": "look", "input": {"n": n}},
                    ],
                },
                {
                    "role": "user",
                    "content": [{"type": "tool_result", "tool_use_id": f"toolu_{n}", "content": n}],
                },
                {"role": "assistant", "content": [{"type": "text", "text": f"seen {n} "}]},
            ]
        )
    ]


def reasoning(n: str) -> list[Any]:
    return [
        *from_responses(
            [
                {"type": "reasoning", "id": f"rs_{n}", "summary": [], "encrypted_content": "x"},
                {
                    "type": "function_call",
                    "id": f"fc_{n}",
                    "call_id": f"call_{n}",
                    "name": "look",
                    "arguments": "{}",
                },
                {"type": "function_call_output", "call_id": f"call_{n}", "output": n},
                {
                    "type": "message",
                    "id": f"msg_{n}",
                    "role": "assistant",
                    "status": "completed",
                    "content": [{"type": "output_text", "text": "seen", "annotations": []}],
                },
            ]
        )
    ]


def gemini(n: str) -> list[Any]:
    return [
        *from_google(
            [
                {"role": "user", "parts": [{"text": f"ask {n}"}]},
                {"role": "model", "parts": [{"functionCall": {"name": "look", "args": {"n": n}}}]},
                {
                    "role": "user",
                    "parts": [{"functionResponse": {"name": "look", "response": {"n": n}}}],
                },
                {"role": "model", "parts": [{"text": "seen", "thoughtSignature": "c2ln"}]},
            ]
        )
    ]


def cached(n: str) -> list[Any]:
    """Return more points for the prompt cache than a request may have."""
    block = {"type": "text", "text": n, "cache_control": {"type": "ephemeral"}}
    turn = [*from_anthropic([{"role": "user", "content": [block]}]), *said(n)[1:]]
    return turn * 6


def lost(n: str) -> list[Any]:
    """Return a user's message that no Chat request has, and a call that is alone without it."""
    video = {"fileUri": "https://a.example/v.mp4", "mimeType": "video/mp4"}
    calling = {"role": "assistant", "content": None, "tool_calls": [call(n)], "refusal": None}
    return [
        *said(n),
        *from_google([{"role": "user", "parts": [{"fileData": video}]}]),
        *_chat(calling, result(n)),
    ]


PIECES: dict[str, Piece] = {
    "said": said,
    "many": many,
    "user": lambda n: _chat({"role": "user", "content": f"and {n}"}),
    "blank": lambda n: _chat({"role": "user", "content": " "}),
    "assistant": lambda n: _chat({"role": "assistant", "content": f"so {n} "}),
    "system": lambda n: _chat({"role": "system", "content": f"mind {n}"}),
    "called": lambda n: _chat(
        {"role": "assistant", "content": None, "tool_calls": [call(n)]}, result(n)
    ),
    "named": lambda n: _chat(
        {"role": "assistant", "content": None, "tool_calls": [call(n)], "refusal": None},
        result(n, name="look"),
        {"role": "assistant", "content": "well"},
    ),
    "misnamed": lambda n: _chat(
        {"role": "assistant", "content": "I", "tool_calls": [call(n)]}, result(n, name="find")
    ),
    "two calls": lambda n: _chat(
        {"role": "assistant", "content": None, "tool_calls": [call(n), call(f"{n}b")]},
        result(f"{n}b"),
        result(n),
    ),
    "open call": lambda n: _chat({"role": "assistant", "content": None, "tool_calls": [call(n)]}),
    "late result": lambda n: _chat(result("1")),
    "same id": lambda n: _chat(
        {"role": "assistant", "content": None, "tool_calls": [call("same")]}, result("same")
    ),
    "unfit id": lambda n: _chat(
        {"role": "assistant", "content": None, "tool_calls": [call(f"!{n}")]}, result(f"!{n}")
    ),
    "picture": lambda n: _chat(
        {
            "role": "user",
            "content": [{"type": "image_url", "image_url": {"url": f"https://a.example/{n}.png"}}],
        }
    ),
    "cached": cached,
    "lost": lost,
    "answered late": lambda n: [
        *_chat({"role": "assistant", "content": None, "tool_calls": [call(n)]}),
        *many(n),
        *_chat(result(n)),
    ],
    "thinking": thinking,
    "unsigned": lambda n: thinking(n, signature=""),
    "reasoning": reasoning,
    "reference": lambda n: [*from_responses([{"type": "item_reference", "id": "rs_1"}])],
    "search": lambda n: [
        *from_responses([{"type": "web_search_call", "id": f"ws_{n}", "status": "completed"}])
    ],
    "gemini": gemini,
}


def whole(context: CompiledContext, api: str, model: str | None) -> dict[str, Any]:
    """Return the arguments of a request, written as a whole."""
    sent = [Sent(message) for message in context.messages]
    return arguments(FORMATS[api], sent, Writing(model=model))


async def check(names: list[str], asked: list[str], model: str | None) -> None:
    async with AsyncTract.open(":memory:", tokenizer=NullTokenCounter()) as tract:
        await tract.system("You help.")
        for number, name in enumerate(names):
            async with tract.batch() as batch:
                for content in PIECES[name](str(number)):
                    batch.commit(content)
            context = await tract.compile()
            for api in asked:
                assert context.request(api, model=model) == whole(context, api, model)


@pytest.mark.unmeasured
@given(
    st.lists(st.sampled_from(sorted(PIECES)), min_size=1, max_size=14),
    st.lists(st.sampled_from(APIS), min_size=1, max_size=3, unique=True),
    MODELS,
)
@settings(max_examples=examples(40))
def test_a_context_that_grows_is_sent_as_if_it_were_written_as_a_whole(
    names: list[str], asked: list[str], model: str | None
) -> None:
    asyncio.run(check(names, asked, model))


@pytest.mark.parametrize("name", sorted(PIECES))
def test_each_piece_between_long_spans_is_sent_as_in_a_whole(name: str) -> None:
    asyncio.run(check(["many", "many", name, "many", name, "many"], APIS, None))


@pytest.mark.parametrize("api", APIS)
async def test_a_request_is_the_callers_to_change(store: TractStore, api: str) -> None:
    tract = store.tract(api)
    for name in ("many", "called", "said", "many", "named", "many"):
        for content in PIECES[name](name):
            await tract.commit(content)
    context = await tract.compile()
    first = context.request(api)
    before = copy.deepcopy(first)
    _spoil(first)

    assert context.request(api) == before
    assert (await tract.compile()).request(api) == before


def _spoil(value: Any) -> None:
    for each in list(value.values()) if isinstance(value, dict) else list(value):
        if isinstance(each, dict | list):
            _spoil(each)
    value.clear()


@pytest.mark.parametrize("api", APIS)
async def test_losses_are_those_of_the_last_request(store: TractStore, api: str) -> None:
    tract = store.tract(api)
    for name in ("many", "thinking", "many", "reasoning", "gemini", "many"):
        for content in PIECES[name](name):
            await tract.commit(content)
    context = await tract.compile()
    writing = Writing()
    arguments(FORMATS[api], [Sent(message) for message in context.messages], writing)
    context.request(api)

    assert [loss[1:] for loss in context.losses] == [loss[1:] for loss in writing.losses]
    assert all(loss.commit_hash for loss in context.losses)
