"""The ready summarisers, through the providers' own clients and servers as strict as the providers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import anthropic
import openai
import pytest
import pytest_asyncio
from google import genai
from google.genai import types

from providers.answers import Answer, Call
from providers.servers import ProviderServer, serving
from tract import (
    AsyncTract,
    CompactionContent,
    CompactionError,
    ContentValidationError,
    Priority,
    ToolIOContent,
)
from tract.summarisers import (
    SUMMARY_HEADING,
    SUMMARY_PROMPT,
    anthropic_compactor,
    anthropic_summariser,
    google_summariser,
    openai_summariser,
    responses_compactor,
    responses_summariser,
)

SAID = Answer(text="The user is going to Oslo.", thinking="What matters?")

READY: dict[str, Callable[..., Any]] = {
    "openai.chat": openai_summariser,
    "openai.responses": responses_summariser,
    "anthropic.messages": anthropic_summariser,
    "google.generate_content": google_summariser,
}
MODELS = {
    "openai.chat": "gpt-5.4",
    "openai.responses": "gpt-5.4",
    "anthropic.messages": "claude-opus-5",
    "google.generate_content": "gemini-3-pro-preview",
}
SETTINGS: dict[str, dict[str, Any]] = {"anthropic.messages": {"service_tier": "standard_only"}}
every_api = pytest.mark.parametrize("api", READY)


@asynccontextmanager
async def asking(api: str, *script: Answer) -> AsyncIterator[tuple[ProviderServer, Any]]:
    """Serve a script to the API's client."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(serving(*script))
        url = server.base_url(api)
        opened: Any
        if api == "anthropic.messages":
            opened = anthropic.AsyncAnthropic(base_url=url, api_key="k", max_retries=0)
        elif api == "google.generate_content":
            options = types.HttpOptions(base_url=url)
            opened = genai.Client(api_key="k", http_options=options).aio
        else:
            opened = openai.AsyncOpenAI(base_url=url, api_key="k", max_retries=0)
        yield server, await stack.enter_async_context(opened)


@pytest_asyncio.fixture
async def tract() -> AsyncIterator[AsyncTract]:
    async with AsyncTract.open() as tract:
        await tract.system("You book travel.")
        await tract.tools([{"name": "look", "input_schema": {"type": "object"}}])
        for number in range(3):
            await turn(tract, number)
        yield tract


async def turn(tract: AsyncTract, number: int) -> None:
    name: dict[str, Any] = {"tool_name": "look", "call_id": f"c{number}"}
    await tract.user(f"question {number}")
    await tract.commit(ToolIOContent(**name, direction="call", payload={"at": number}))
    await tract.commit(ToolIOContent(**name, direction="result", payload=f"found {number}"))
    await tract.assistant(f"answer {number}")


def text_of(turn: dict[str, Any]) -> str:
    """Return the text of a turn that is only that."""
    if "parts" in turn:
        return "".join(part["text"] for part in turn["parts"])
    content = turn["content"]
    return content if isinstance(content, str) else "".join(each["text"] for each in content)


def turns_of(request: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = next(
        request[key] for key in ("messages", "input", "contents") if key in request
    )
    return found


@every_api
async def test_a_summary_stands_for_what_the_model_summarised(tract: AsyncTract, api: str) -> None:
    async with asking(api, SAID) as (server, client):
        done = await tract.compact(READY[api](client, model=MODELS[api]), keep_recent=2)

    assert done is not None
    assert server.refused == []
    shown = (await tract.compile(aggregate_same_role=False)).messages
    assert [each.content for each in shown[:3]] == [
        "You book travel.",
        f"{SUMMARY_HEADING}\n\n{SAID.text}",
        "question 2",
    ]


@every_api
async def test_a_request_holds_what_is_hidden_the_prompt_last_and_no_tools(
    tract: AsyncTract, api: str
) -> None:
    async with asking(api, SAID) as (server, client):
        await tract.compact(READY[api](client, model=MODELS[api]), keep_recent=2)
    (request,) = server.requests
    turns = turns_of(request)
    rest = str(turns[:-1])

    assert "tools" not in request
    assert text_of(turns[-1]).startswith(SUMMARY_PROMPT)
    assert turns[-1]["role"] == "user"
    assert all(f"{what} {n}" in rest for what in ("question", "found", "answer") for n in (0, 1))
    assert "question 2" not in rest
    assert "You book travel." not in rest
    assert "Go on." not in rest


@every_api
async def test_a_prompt_tells_of_pins_an_earlier_summary_and_the_target(
    tract: AsyncTract, api: str
) -> None:
    await tract.compact(_former, keep_recent=2)
    entries = await tract.entries()
    await tract.annotate(entries[-1].commit_hash, Priority.PINNED)
    await turn(tract, 3)

    async with asking(api, SAID) as (server, client):
        summarise = READY[api](client, model=MODELS[api], prompt="Be short.")
        await tract.compact(summarise, keep_recent=0, roll_up=True, summary_tokens=123)
    asked = text_of(turns_of(server.requests[0])[-1])

    assert asked.startswith("Be short.\n\n")
    assert "It begins:\nwhat was said before" in asked
    assert "- assistant: answer 2" in asked
    assert "123 tokens" in asked


async def _former(request: object) -> str:
    return "what was said before"


@every_api
async def test_the_commit_of_a_summary_says_how_it_was_made(tract: AsyncTract, api: str) -> None:
    settings = SETTINGS.get(api, {"temperature": 0.25})
    async with asking(api, SAID) as (server, client):
        summarise = READY[api](client, model=MODELS[api], **settings)
        done = await tract.compact(summarise, keep_recent=2)
    assert done is not None
    info = await tract.get_commit(done.commit_hash)
    sent = server.requests[0]

    assert info is not None
    assert info.generation_config is not None
    assert info.metadata is not None
    assert info.generation_config.items() >= {"model": MODELS[api], **settings}.items()
    assert sent.get("generationConfig", sent).items() >= settings.items()
    assert info.metadata["api"] == api
    assert any("oken" in key for key in info.metadata["usage"])


@every_api
@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (Answer(text="The user", cut_off=True), "ended with"),
        (Answer(thinking="What matters?"), "returned nothing"),
        (Answer(text=" \n"), "returned nothing"),
        (Answer(calls=(Call("look", {}),)), "ended with|returned nothing"),
    ],
    ids=["cut off", "only thought", "blank", "a call"],
)
async def test_a_reply_that_is_not_a_whole_summary_leaves_the_context_as_it_is(
    tract: AsyncTract, api: str, answer: Answer, why: str
) -> None:
    head = await tract.head()

    async with asking(api, answer) as (_, client):
        with pytest.raises(CompactionError, match=why):
            await tract.compact(READY[api](client, model=MODELS[api]), keep_recent=2)

    assert await tract.head() == head


@every_api
async def test_what_the_client_raises_reaches_the_caller(tract: AsyncTract, api: str) -> None:
    head = await tract.head()

    async with asking(api) as (_, client):
        with pytest.raises(Exception, match="no more answers"):
            await tract.compact(READY[api](client, model=MODELS[api]), keep_recent=2)

    assert await tract.head() == head


@every_api
def test_a_setting_that_no_config_can_hold_is_refused_before_anything_is_asked(api: str) -> None:
    with pytest.raises(ContentValidationError):
        READY[api](None, model="m", metadata={"at": object()})


async def test_settings_of_the_call_alone_are_not_recorded(tract: AsyncTract) -> None:
    async with asking("openai.chat", SAID) as (_, client):
        summarise = openai_summariser(
            client, model="gpt-5.4", timeout=9, extra_headers={"x-key": "secret"}
        )
        done = await tract.compact(summarise, keep_recent=2)
    assert done is not None

    info = await tract.get_commit(done.commit_hash)
    assert info is not None
    assert info.generation_config == {"model": "gpt-5.4"}


async def test_openais_own_compaction_is_kept_with_the_users_messages(tract: AsyncTract) -> None:
    async with asking("openai.responses", SAID, Answer(text="Gladly.")) as (server, client):
        await tract.compact(responses_compactor(client, model="gpt-5.4"), keep_recent=2)
        context = await tract.compile()
        reply = await client.responses.create(
            model="gpt-5.4", **context.to_responses(model="gpt-5.4")
        )
    said, item, *rest = server.requests[1]["input"]

    assert server.refused == []
    assert reply.output_text == "Gladly."
    assert text_of(said) == "question 0question 1"
    assert (item["type"], item["id"]) == ("compaction", "cmp_1")
    assert "question 2" in str(rest[0])
    assert "question 0" in str((await tract.compile()).to_anthropic())


async def test_openais_own_compaction_of_no_users_messages_is_its_item(tract: AsyncTract) -> None:
    async with asking("openai.responses", SAID) as (_, client):
        done = await tract.compact(
            responses_compactor(client, model="gpt-5.4"),
            keep_recent=2,
            keep=lambda message: message.role == "user",
        )
    assert done is not None
    content = await tract.get_content(done.commit_hash, as_=CompactionContent)

    assert content.summary is not None
    assert content.summary["item"]["type"] == "compaction"


async def test_anthropics_own_compaction_goes_back_first_and_as_it_came(tract: AsyncTract) -> None:
    async with asking("anthropic.messages", SAID, Answer(text="Gladly.")) as (server, client):
        summarise = anthropic_compactor(client, model="claude-opus-5", system="You book travel.")
        done = await tract.compact(summarise, keep_recent=2)
        request = (await tract.compile()).request("anthropic.messages", model="claude-opus-5")
        await client.beta.messages.create(
            model="claude-opus-5", max_tokens=99, betas=["compact-2026-09-04"], **request
        )
    assert done is not None

    assert server.refused == []
    assert server.requests[0]["compaction"] == {"type": "summarize"}
    assert server.requests[0]["system"] == "You book travel."
    assert server.requests[1]["messages"][0] == {
        "role": "assistant",
        "content": [{"type": "compaction", "content": SAID.text, "signature": "c2ln"}],
    }
    assert f"assistant: {SAID.text}" in _told((await tract.compile()).to_openai())


def _told(messages: list[dict[str, Any]]) -> list[str]:
    return [f"{each['role']}: {each['content']}" for each in messages]


async def test_anthropics_own_compaction_may_fail_and_then_nothing_is_written(
    tract: AsyncTract,
) -> None:
    head = await tract.head()

    async with asking("anthropic.messages", Answer()) as (_, client):
        with pytest.raises(CompactionError, match="no compaction"):
            await tract.compact(anthropic_compactor(client, model="claude-opus-5"), keep_recent=2)

    assert await tract.head() == head
