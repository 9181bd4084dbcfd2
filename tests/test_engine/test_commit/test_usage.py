from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from anthropic.types import Usage
from google.genai.types import GenerateContentResponseUsageMetadata
from openai.types import CompletionUsage
from openai.types.completion_usage import PromptTokensDetails
from openai.types.responses import ResponseUsage
from openai.types.responses.response_usage import InputTokensDetails, OutputTokensDetails
from pydantic import BaseModel

from tract import AsyncTract, ContentValidationError, TokenUsage
from tract.engine.commit.usage import parse_usage

CHAT = CompletionUsage(
    prompt_tokens=30,
    completion_tokens=4,
    total_tokens=34,
    prompt_tokens_details=PromptTokensDetails(cached_tokens=10),
)
RESPONSES = ResponseUsage(
    input_tokens=30,
    output_tokens=4,
    total_tokens=34,
    input_tokens_details=InputTokensDetails(cached_tokens=10, cache_write_tokens=0),
    output_tokens_details=OutputTokensDetails(reasoning_tokens=1),
)


@pytest.mark.parametrize(
    "usage",
    [
        TokenUsage(30, 4),
        TokenUsage(30, 4, 34),
        {"prompt_tokens": 30, "completion_tokens": 4, "total_tokens": 34},
        {"prompt_tokens": 30, "completion_tokens": 4},
        {"input_tokens": 30, "output_tokens": 4},
        {"input_tokens": 30, "output_tokens": 4, "cache_read_input_tokens": None},
        CHAT,
        RESPONSES,
        CHAT.model_dump(),
        RESPONSES.model_dump(),
        Usage(input_tokens=30, output_tokens=4),
        Usage(
            input_tokens=10,
            output_tokens=4,
            cache_creation_input_tokens=5,
            cache_read_input_tokens=15,
        ),
    ],
    ids=lambda usage: type(usage).__name__,
)
def test_every_shape_gives_the_same_counts(usage: Any) -> None:
    assert parse_usage(usage)[0] == TokenUsage(30, 4, 34)


def test_the_report_is_kept_whole() -> None:
    counts, raw = parse_usage(CHAT)

    assert json.loads(raw)["prompt_tokens_details"]["cached_tokens"] == 10
    assert counts.total_tokens == 34


def test_a_total_that_was_reported_holds() -> None:
    """Some models count reasoning that is in neither of the two."""
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 9}

    assert parse_usage(usage)[0].total_tokens == 9


GEMINI = {
    "promptTokenCount": 25,
    "cachedContentTokenCount": 10,
    "toolUsePromptTokenCount": 5,
    "candidatesTokenCount": 1,
    "thoughtsTokenCount": 3,
    "totalTokenCount": 34,
}
COHERE = {
    "billed_units": {"input_tokens": 7.0, "output_tokens": 4.0},
    "tokens": {"input_tokens": 30.0, "output_tokens": 4.0},
    "cached_tokens": 10.0,
}


@pytest.mark.parametrize(
    "usage",
    [
        GEMINI,
        {"usageMetadata": GEMINI},
        GenerateContentResponseUsageMetadata.model_validate(GEMINI),
        {
            "inputTokens": 10,
            "cacheReadInputTokens": 15,
            "cacheWriteInputTokens": 5,
            "outputTokens": 4,
            "totalTokens": 34,
        },
        {"model": "llama", "message": {"content": "Hi"}, "prompt_eval_count": 30, "eval_count": 4},
        COHERE,
        {"billed_units": {"input_tokens": 30.0, "output_tokens": 4.0}},
    ],
    ids=["gemini", "wrapped", "google-genai", "bedrock", "ollama", "cohere", "cohere, billed"],
)
def test_other_apis_reports_give_the_same_counts(usage: Any) -> None:
    assert parse_usage(usage)[0] == TokenUsage(30, 4, 34)


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        ({"promptTokenCount": 30, "totalTokenCount": 30}, TokenUsage(30, 0, 30)),
        ({"prompt_token_count": 30, "candidates_token_count": None}, TokenUsage(30, 0, 30)),
        ({"eval_count": 4}, TokenUsage(0, 4, 4)),
    ],
)
def test_apis_that_leave_out_zeros_are_understood(usage: Any, counts: TokenUsage) -> None:
    assert parse_usage(usage)[0] == counts


def test_of_ollamas_reply_only_the_counts_are_stored() -> None:
    reply = {"message": {"content": "Hi"}, "prompt_eval_count": 30, "eval_count": 4}

    assert json.loads(parse_usage(reply)[1]) == {"prompt_eval_count": 30, "eval_count": 4}


@pytest.mark.parametrize(
    ("usage", "path"),
    [
        ({"usageMetadata": {"promptTokenCount": -1}}, "usage.usageMetadata.promptTokenCount"),
        ({"inputTokens": 1}, "usage.outputTokens"),
        ({"tokens": {"input_tokens": 0.5, "output_tokens": 1}}, "usage.tokens.input_tokens"),
    ],
)
def test_a_wrong_count_of_another_api_is_named_with_its_path(usage: Any, path: str) -> None:
    with pytest.raises(ContentValidationError) as raised:
        parse_usage(usage)

    assert raised.value.path == path


@pytest.mark.parametrize("usage", [TokenUsage(0), {"eval_count": 4}], ids=["zeros", "cached"])
async def test_a_report_of_no_prompt_at_all_leaves_the_count_as_it_was(usage: Any) -> None:
    async with AsyncTract.open() as tract:
        await tract.user("How many tokens is this?")
        counted = (await tract.compile()).token_count
        shown = await tract.record_usage(usage)

        assert shown.token_count == (await tract.compile()).token_count == counted > 0
        await tract.record_usage(CHAT)
        assert (await tract.record_usage(usage)).token_source == "api:30+4"


async def test_usage_is_kept_for_the_head_that_was_compiled_though_others_committed(
    target: Path | str,
) -> None:
    async with AsyncTract.open(target) as tract:
        await tract.user("q")
        sent = await tract.compile()
        await tract.user("a notification")
        context = await tract.record_usage(CHAT, head_hash=sent.head_hash)

        assert (context.head_hash, context.token_source) == (sent.head_hash, "api:30+4")
        assert context == await tract.compile(at_commit=sent.head_hash)
        assert not (await tract.compile()).token_source.startswith("api:")


@pytest.mark.parametrize("wrong", [-1, 1.0, "1", True, None, [1], 2**53 + 1, 10**30])
@pytest.mark.parametrize(
    "key", ["prompt_tokens", "completion_tokens", "input_tokens", "output_tokens"]
)
def test_a_count_that_is_none_is_named(key: str, wrong: Any) -> None:
    chat = {"prompt_tokens": 1, "completion_tokens": 1}
    messages = {"input_tokens": 1, "output_tokens": 1}

    with pytest.raises(ContentValidationError) as raised:
        parse_usage({**(chat if key in chat else messages), key: wrong})

    assert raised.value.path == f"usage.{key}"


@pytest.mark.parametrize(
    ("usage", "path"),
    [
        ({"prompt_tokens": 1}, "usage.completion_tokens"),
        ({"input_tokens": 1}, "usage.output_tokens"),
        ({"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": -2}, "usage.total_tokens"),
        (
            {"input_tokens": 1, "output_tokens": 1, "cache_read_input_tokens": "3"},
            "usage.cache_read_input_tokens",
        ),
        ({}, "usage"),
        ({"tokens": 3}, "usage"),
        ({"prompt_tokens": 1, "completion_tokens": 1, "cost": float("nan")}, "usage.cost"),
        ({"prompt_tokens": 1, "completion_tokens": 1, 3: 1}, "usage"),
        (None, "usage"),
        ([1, 2], "usage"),
        (SimpleNamespace(prompt_tokens=1, completion_tokens=1), "usage"),
        (TokenUsage(-1), "usage.prompt_tokens"),
    ],
)
def test_another_shape_is_refused_with_its_path(usage: Any, path: str) -> None:
    with pytest.raises(ContentValidationError) as raised:
        parse_usage(usage)

    assert raised.value.path == path


class Note(BaseModel):
    text: str


async def test_usage_of_a_context_that_cannot_be_compiled_is_not_kept(target: Path | str) -> None:
    """The call that raises leaves nothing."""
    async with AsyncTract.open(target, tract_id="t") as tract:
        tract.register_content_type("note", Note)
        await tract.commit(Note(text="a"))
    async with AsyncTract.open(target, tract_id="t") as tract:
        with pytest.raises(ContentValidationError, match="not registered"):
            await tract.record_usage(TokenUsage(1, 1))

        tract.register_content_type("note", Note)
        assert (await tract.compile()).token_source.startswith("tiktoken:")


async def test_usage_is_recorded_however_much_others_commit_meanwhile(target: Path | str) -> None:
    """It is for the head that the call found."""
    async with AsyncTract.open(target, tract_id="t") as tract:
        await tract.user("a")
        done = asyncio.Event()

        async def write() -> None:
            while not done.is_set():
                await tract.user("b")

        writers = [asyncio.create_task(write()) for _ in range(8)]
        await asyncio.sleep(0.05)
        async with asyncio.timeout(20):
            context = await tract.record_usage(TokenUsage(7, 1))
        done.set()
        await asyncio.gather(*writers)

        assert context.token_source == "api:7+1"
        assert await tract.compile(at_commit=context.head_hash) == context
