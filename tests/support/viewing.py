"""Stores to look at, and pages of them: written to a file, or served on a thread of its own."""

from __future__ import annotations

import asyncio
import json
import re
import struct
import zlib
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, TypeVar

from support.counters import WordCounter
from tract import (
    AsyncTract,
    DialogueContent,
    MediaPart,
    MessageContent,
    NativeContent,
    TextPart,
    ToolIOContent,
    TractStore,
)
from tract.viewer import serve, write_page

__all__ = [
    "PNG",
    "TOKEN",
    "Fill",
    "blocks_in",
    "crowd",
    "elements_of",
    "everything",
    "in_thread",
    "served",
    "written",
]

T = TypeVar("T")
Fill = Callable[[TractStore], Awaitable[None]]
TOKEN = "a-token-of-the-tests"


def _chunk(kind: bytes, data: bytes) -> bytes:
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


PNG = (
    b"\x89PNG\r\n\x1a\n"
    + _chunk(b"IHDR", struct.pack(">IIBBBBB", 24, 16, 8, 2, 0, 0, 0))
    + _chunk(b"IDAT", zlib.compress((b"\0" + b"\x2a\x6f\xdb" * 24) * 16))
    + _chunk(b"IEND", b"")
)


async def everything(store: TractStore) -> None:
    """Fill a store with two tracts, one of which has all that the page shows in a way of its own."""
    trip = store.tract("trip")
    await trip.set_info(title="A trip to Norway")
    await trip.system("You plan trips.")
    await trip.tools([_TIMETABLE], api="openai.chat")
    asked = await trip.user("Where is the northernmost library?\nTell me about it.")
    said = await trip.assistant("In Tromsø.", generation_config=_config(0.7) | {"seed": 2**60})
    await trip.record_usage(
        {"prompt_tokens": 120, "completion_tokens": 9}, head_hash=asked.commit_hash
    )
    better = DialogueContent(role="assistant", text="In Mehamn.\nBy the sea.")
    await trip.commit(better, operation="edit", edit_target=said.commit_hash, message="wrong town")
    for temperature in (0.2, 0.9, 1.4):
        await _attempt(trip, temperature)
    await trip.merge("try-0.2")
    thanks = await trip.user("Thanks!")
    await trip.merge("try-0.9")
    await trip.annotate(thanks.commit_hash, "skip", reason="chatter")
    picture = MediaPart(kind="image", media_type="image/png", data=PNG)
    parts = (TextPart(text="This is the harbour."), picture)
    await trip.commit(MessageContent(role="user", parts=parts))
    secret = await trip.user("My passport has the number X123.")
    await trip.erase([secret.commit_hash], reason="asked by the user")
    for day in ("Monday", "Tuesday", "Wednesday"):
        await trip.user(f"What about {day}?")
        await trip.assistant(
            f"On {day} the ship leaves at noon. " * 12, generation_config=_config(0.7)
        )
    await trip.compact(lambda _: "They asked for ships; all leave at noon.", keep_recent=1)
    await trip.tag("v1")
    await trip.state({"step": 3, "cursor": b"\x01\x02"})
    item = {"role": "assistant", "content": "By bus.", "refusal": None, "strange": {"kept": 1}}
    await trip.commit(NativeContent(api="openai.chat", item=item))
    await _call(trip, "c9", 0.7)
    await store.tract("recipes").user("Waffles?")


_TIMETABLE = {
    "type": "function",
    "function": {"name": "timetable", "parameters": {"type": "object", "properties": {}}},
}


def _config(temperature: float) -> dict[str, Any]:
    return {"model": "gpt-5", "temperature": temperature}


async def _call(branch: AsyncTract, call_id: str, temperature: float) -> None:
    payload = {"to": "Mehamn", "seats": 2}
    call = ToolIOContent(tool_name="timetable", direction="call", payload=payload, call_id=call_id)
    await branch.commit(call, generation_config=_config(temperature))


async def _attempt(trip: AsyncTract, temperature: float) -> None:
    """Make a branch on which the trip is planned; the hottest one never gets its result."""
    branch = await trip.fork(f"try-{temperature}")
    await branch.user("And how do I get there?")
    await _call(branch, "c1", temperature)
    if temperature < 1:
        result = ToolIOContent(
            tool_name="timetable", direction="result", payload="12:00 " * 40, call_id="c1"
        )
        await branch.commit(result)
        text = "By ship, at noon. " * round(10 * temperature)
        await branch.assistant(text, generation_config=_config(temperature))


async def crowd(store: TractStore, commits: int, branches: int = 8) -> None:
    """Fill a tract with commits on several branches, which are merged now and then."""
    main = store.tract("crowd")
    await main.system("You count.")
    each = max(100, commits // 50)
    made = 1
    while made < commits:
        side = await main.fork(f"side-{made}") if made % 3 else main
        for handle in (side, main):
            async with handle.batch() as batch:
                for number in range(min(each, max(commits - made, 0)) // 2):
                    batch.user(f"Question {made + number}: what is {number} times {number}?")
                    batch.assistant(f"It is {number * number}, as I have said before.")
                    made += 2
        if side is not main:
            await main.merge(side.branch)
            made += 1
            if made > commits // 2 and len(await main.branches()) > branches:
                await main.delete_branch(side.branch)
        if commits - made < 4:
            break


# Pages -----------------------------------------------------------------------------------------


def in_thread(work: Coroutine[Any, Any, T]) -> T:
    """Run *work* on a loop of its own in another thread: Playwright's calls have this one's."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


def written(fill: Fill, path: Path) -> str:
    """Write a page of a new store and return its address."""

    async def write() -> None:
        async with TractStore.open(tokenizer=WordCounter()) as store:
            await fill(store)
            await write_page(store, path)

    in_thread(write())
    return path.as_uri()


_PATIENCE = 300  # seconds that filling a store may take


@contextmanager
def served(
    fill: Fill, work: Callable[[TractStore], Coroutine[Any, Any, None]] | None = None
) -> Iterator[tuple[str, Callable[[Callable[[TractStore], Coroutine[Any, Any, None]]], None]]]:
    """Serve a new store on a thread; give the page's address, and what works on the store there."""
    address: Future[str] = Future()
    told: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any], TractStore]] = Future()

    async def run() -> None:
        async with TractStore.open(tokenizer=WordCounter()) as store:
            await fill(store)
            serving = asyncio.create_task(serve(store, token=TOKEN, on_start=address.set_result))
            told.set_result((asyncio.get_running_loop(), serving, store))
            await asyncio.wait([serving])

    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(asyncio.run, run())
        loop, serving, store = told.result(_PATIENCE)
        try:
            yield (
                address.result(60),
                lambda job: asyncio.run_coroutine_threadsafe(job(store), loop).result(60),
            )
        finally:
            loop.call_soon_threadsafe(serving.cancel)
            running.result(60)


# What is in a page -----------------------------------------------------------------------------


class _Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, dict[str, str | None], str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs), ""))

    def handle_data(self, data: str) -> None:
        if self.found:
            tag, attributes, text = self.found[-1]
            self.found[-1] = (tag, attributes, text + data)


def elements_of(html: str) -> list[tuple[str, dict[str, str | None], str]]:
    """Return the elements of a page: tag, attributes, and the text up to the next one."""
    parser = _Elements()
    parser.feed(html)
    parser.close()
    return parser.found


def blocks_in(html: str) -> dict[str, Any]:
    """Return the data of a written page by the names of its blocks."""
    found = re.findall(r'<script type="application/json" id="data-([\w-]+)">(.*)</script>', html)
    return {name: json.loads(text) for name, text in found}
