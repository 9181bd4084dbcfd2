"""Serve many conversations over HTTP, from one store, with replies that stream.

    pip install asynctract fastapi uvicorn
    python docs/examples/service.py [agents.db] [--port 8000]

    curl -N localhost:8000/conversations/trip/messages -H 'X-User: anna' --json '{"text": "Hello"}'
    curl localhost:8000/conversations/trip -H 'X-User: anna'

For several workers, give uvicorn the factory, and the path by the environment:

    AGENTS_STORE=agents.db uvicorn --app-dir docs/examples --factory service:create_app --workers 2

The model here needs no key: replace `complete` with `await client.chat.completions.create(messages=…,
stream=True, **CONFIG)`, or with a stream of any other provider's SDK.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any

import uvicorn
from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, Path, Request
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, Field

from tract import UNSET, AsyncTract, HeadMovedError, StorageError, TiktokenCounter, TractStore

CONFIG = {"model": "parrot-1", "temperature": 0.0}
GRACE = 8
"""Seconds that replies under way have when the server is told to end; containers have ten."""

logger = logging.getLogger("uvicorn.error")
router = APIRouter()


async def complete(messages: Sequence[Mapping[str, Any]]) -> AsyncIterator[dict[str, Any]]:
    """Stand in for a model: stream the chunks of a reply, word by word."""
    for word in re.findall(r"\S+\s*", f"You have said: {messages[-1]['content']}"):
        await asyncio.sleep(0.02)
        yield {"choices": [{"delta": {"content": word}}]}
    yield {"model": CONFIG["model"], "choices": [{"delta": {}, "finish_reason": "stop"}]}


# Who asks, and for which conversation.


async def user(x_user: Annotated[str, Header(pattern=r"^[\w.@-]{1,60}$")]) -> str:
    """Return who asks. Stand in for your authentication, and never trust such a header."""
    return x_user


User = Annotated[str, Depends(user)]


async def conversation(
    request: Request, user: User, name: Annotated[str, Path(pattern=r"^[\w.-]{1,60}$")]
) -> AsyncTract:
    """Return the conversation's tract. No user can name another's: neither part can hold a `/`."""
    store: TractStore = request.state.store
    return store.tract(f"{user}/{name}")


Conversation = Annotated[AsyncTract, Depends(conversation)]


class Posted(BaseModel):
    """A message of the user."""

    text: str = Field(min_length=1, max_length=100_000)
    expected_head: str | None = None
    """The `head` that the client has seen, null for a new conversation; without it, any."""


# What the service does.


@router.post("/conversations/{name}/messages")
async def post(posted: Posted, tract: Conversation) -> StreamingResponse:
    """Commit a message, and stream the reply as server-sent events."""
    given = "expected_head" in posted.model_fields_set
    asked = await tract.user(posted.text, expected_head=posted.expected_head if given else UNSET)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    events = reply(tract, asked.commit_hash)
    return StreamingResponse(events, media_type="text/event-stream", headers=headers)


async def reply(tract: AsyncTract, asked: str) -> AsyncIterator[str]:
    """Yield the reply to a message while it arrives, and then the head with it.

    A client that goes away cancels this, or closes it: what has arrived is committed, marked as
    interrupted, and the model's stream is closed.
    """
    context = await tract.compile(at_commit=asked)
    stream = complete(context.to_openai())
    recording = tract.record_stream(stream, generation_config=CONFIG, head_hash=asked)
    shown = 0
    try:
        async with recording:
            async for _ in recording:
                text, shown = recording.text[shown:], len(recording.text)
                if text:
                    yield event("text", text)
    except Exception:  # the status was sent long ago
        logger.exception("A reply was cut off")
        yield event("error", "The reply was cut off.")
    else:
        yield event("done", {"head": recording.commits[-1].commit_hash})


def event(name: str, data: object) -> str:
    """Return a server-sent event; JSON has no line breaks of its own."""
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"


@router.get("/conversations/{name}")
async def show(tract: Conversation) -> dict[str, Any]:
    """Return a conversation's messages, and the head to post the next one on."""
    context = await tract.compile(aggregate_same_role=False)
    if context.head_hash is None:
        raise HTTPException(404, "No conversation has that name.")
    return {"head": context.head_hash, "messages": context.to_openai()}


@router.get("/conversations")
async def conversations(request: Request, user: User, after: str | None = None) -> dict[str, Any]:
    """Return a page of the user's conversations, the last used first."""
    page = await request.state.store.tracts(prefix=f"{user}/", after=after)
    names = [each.tract_id.removeprefix(f"{user}/") for each in page]
    return {"conversations": names, "after": page[-1].cursor if page else None}


@router.delete("/conversations/{name}", status_code=204)
async def delete(request: Request, tract: Conversation) -> None:
    """Erase a conversation for good."""
    await request.state.store.erase_tract(tract.tract_id, reason="the user asked for it")


@router.get("/health")
async def health(request: Request) -> dict[str, str]:
    """Say that the store can be read."""
    await request.state.store.tracts(limit=1)
    return {"status": "ok"}


# The application around it.


def create_app(path: str | None = None) -> FastAPI:
    """Return the service for the store at *path*, or at `AGENTS_STORE`."""
    target = path or os.environ.get("AGENTS_STORE", "agents.db")

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, TractStore]]:
        counter = TiktokenCounter()
        await asyncio.to_thread(counter.load)  # before the first request
        async with TractStore.open(target, tokenizer=counter) as store:
            recovering = asyncio.create_task(recover(store))
            yield {"store": store}
            recovering.cancel()
            await asyncio.wait([recovering])

    app = FastAPI(title="Conversations", lifespan=lifespan)
    app.include_router(router)
    app.add_exception_handler(HeadMovedError, conflict)
    app.add_exception_handler(StorageError, unavailable)
    return app


async def recover(store: TractStore) -> None:
    """Commit what a killed process has left of its replies."""
    for left in await store.recover_streams(wait=True):
        if left.text:
            await left.commit()
        else:
            await left.drop()


async def conflict(_: Request, error: Exception) -> JSONResponse:
    """Say that somebody else has posted since, and where the conversation is now."""
    head = error.actual if isinstance(error, HeadMovedError) else None
    return JSONResponse({"detail": "The conversation has moved on.", "head": head}, 409)


async def unavailable(_: Request, error: Exception) -> JSONResponse:
    """Say that the store is busy, full or closing; nothing was written."""
    logger.error("The store failed", exc_info=error)
    return JSONResponse({"detail": "Try again later."}, 503, {"Retry-After": "5"})


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("path", nargs="?")
    parser.add_argument("--port", type=int, default=8000)
    arguments = parser.parse_args()
    app = create_app(arguments.path)
    uvicorn.run(app, port=arguments.port, timeout_graceful_shutdown=GRACE)
