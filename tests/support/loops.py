"""The agent loops of the quickstart, as they stand there, against a provider's stand-in."""

from __future__ import annotations

import ast
import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from types import CodeType
from typing import Any, NamedTuple

import anthropic
import openai
from google import genai
from google.genai import types

from providers.answers import Answer, Body
from providers.exchanges import Event
from providers.servers import SPEAKERS, ProviderServer, serving
from support.markdown import python_blocks
from tract import AsyncTract, NullTokenCounter, Recording, TextPart, ThinkingPart, ToolCallPart
from tract.protocols.parts import Part

QUICKSTART = Path(__file__).parents[2] / "docs" / "quickstart.md"

Said = list[tuple[str, Any]]
"""What a model said, in order: kinds of parts, each with its text, or the call's arguments."""

Tool = Callable[..., Awaitable[object]]


class Loop(NamedTuple):
    """One of the quickstart's loops, by its name there."""

    name: str
    api: str
    streamed: bool


LOOPS = tuple(
    Loop(f"{verb}_{called}", api, verb == "stream")
    for called, api in (
        ("chat", "openai.chat"),
        ("responses", "openai.responses"),
        ("messages", "anthropic.messages"),
        ("gemini", "google.generate_content"),
    )
    for verb in ("ask", "stream")
)


@asynccontextmanager
async def client_of(api: str, base_url: str) -> AsyncIterator[tuple[str, Any]]:
    """Yield the name that the pages give to an SDK's client, and one that never tries again.

    It does not load the system's certificates, which takes longer than most tests.
    """
    client: Any
    match api:
        case "anthropic.messages":
            name = "anthropic_client"
            http = anthropic.DefaultAsyncHttpxClient(verify=False)
            client = anthropic.AsyncAnthropic(
                api_key="k", base_url=base_url, max_retries=0, http_client=http
            )
        case "google.generate_content":
            verifying = {"verify": False}
            options = types.HttpOptions(
                base_url=base_url, client_args=verifying, async_client_args=verifying
            )
            name, client = "google_client", genai.Client(api_key="k", http_options=options).aio
        case _:
            name = "client"
            http = openai.DefaultAsyncHttpxClient(verify=False)
            client = openai.AsyncOpenAI(
                api_key="k", base_url=base_url, max_retries=0, http_client=http
            )
    async with client as entered:
        yield name, entered


class Noting:
    """A handle that gives away what it records."""

    def __init__(self, tract: AsyncTract) -> None:
        self.recordings: list[Recording[Any]] = []
        self._tract = tract

    def record_stream(self, response: Any, **options: Any) -> Recording[Any]:
        self.recordings.append(self._tract.record_stream(response, **options))
        return self.recordings[-1]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tract, name)


class Scene:
    """A loop of the quickstart, its tract, and the server that it talks to.

    Attributes:
        server: The stand-in, which refuses what the providers refuse.
        tract: The tract that the loop works on.
        tools: The quickstart's tools, by name, to be replaced.
    """

    def __init__(
        self, loop: Loop, server: ProviderServer, tract: AsyncTract, page: dict[str, Any]
    ) -> None:
        self.server = server
        self.tract = tract
        self.tools: dict[str, Tool] = page["TOOLS"]
        self._noting = Noting(tract)
        self._ask: Callable[[Any, str], Awaitable[str]] = page[loop.name]

    async def ask(self, question: str) -> str:
        """Run the loop until the model calls no more tools, and return what it answered."""
        self._noting.recordings.clear()
        return await self._ask(self._noting, question)

    @property
    def arrived(self) -> Said:
        """What the last stream of the newest question has brought so far."""
        if not self._noting.recordings:
            return []
        recording = self._noting.recordings[-1]
        calls = [(call.name, json.loads(call.arguments)) for call in recording.tool_calls]
        said = [("thinking", recording.reasoning), ("text", recording.text), *calls]
        return [each for each in said if each[1]]

    async def arrival(self, said: Said) -> None:
        """Wait until the last stream has brought so much."""
        async with asyncio.timeout(20):
            while self.arrived != said:  # noqa: ASYNC110  (nobody tells what has arrived)
                await asyncio.sleep(0.001)


@cache
def _defining() -> list[CodeType]:
    """Compile the blocks of the quickstart that define functions, as they stand."""
    page, flags = QUICKSTART.read_text(encoding="utf-8"), ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    return [
        compile(block.text, QUICKSTART.name, "exec", flags)
        for block in python_blocks(page)
        if "async def " in block.text
    ]


@asynccontextmanager
async def scene(loop: Loop, *script: Answer, path: Path) -> AsyncIterator[Scene]:
    """Run the quickstart's blocks that define the loops, beside a server with a script."""
    async with (
        serving(*script) as server,
        client_of(loop.api, server.base_url(loop.api)) as (name, client),
        AsyncTract.open(path, tokenizer=NullTokenCounter()) as tract,
    ):
        page: dict[str, Any] = {"tract": tract, name: client}
        for code in _defining():
            await (eval(code, page) or asyncio.sleep(0))
        # The stand-in signs calls in Chat Completions, which of all models are Gemini's to do.
        page["CHAT"]["model"] = "gemini-3-pro-preview"
        yield Scene(loop, server, tract, page)


def events_of(api: str, answer: Answer) -> list[Event]:
    """Return the events of an answer's stream."""
    given: Body = {"model": "m", "messages": [], "input": [], "contents": []}
    return list(SPEAKERS[api].events(SPEAKERS[api].whole(answer, 1, given)))


def scripted(*script: Answer) -> Said:
    """Return what the answers of a script say."""
    said: Said = []
    for answer in script:
        said += [("thinking", answer.thinking)] if answer.thinking else []
        said += [("text", answer.text)] if answer.text else []
        said += [(call.name, call.arguments) for call in answer.calls]
    return said


async def kept(tract: AsyncTract) -> Said:
    """Return what a tract's context has of the model's replies, which have a config."""
    entries = [entry for entry in await tract.entries() if entry.generation_config]
    said = [_said(part) for entry in entries for part in entry.message.parts]
    return [each for each in said if each[1]]


def _said(part: Part) -> tuple[str, Any]:
    match part:
        case TextPart() | ThinkingPart():
            return part.type, part.text
        case ToolCallPart():
            return part.name, json.loads(part.arguments)
    raise ValueError(part)
