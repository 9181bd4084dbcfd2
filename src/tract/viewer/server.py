"""The ASGI app: the page, and what it asks for, to those who have the token."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any

import anyio.to_thread
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from tract import (
    BranchNotFoundError,
    CommitNotFoundError,
    ContentValidationError,
    RefNameError,
    TractError,
    TractNotFoundError,
    TractStore,
)
from tract.viewer.assembling import assembled, policy
from tract.viewer.guarding import Guard, host_names
from tract.viewer.live import changes
from tract.viewer.reading import PAGE, TractReader, info_of

__all__ = ["app"]

_MISSING = (CommitNotFoundError, BranchNotFoundError, TractNotFoundError)
_WRONG = (ValueError, ContentValidationError, RefNameError)
_Answer = Callable[["_Asked"], Awaitable[Any]]


def app(
    store: TractStore,
    *,
    token: str,
    hosts: Iterable[str] = ("127.0.0.1", "localhost", "[::1]"),
    tract_ids: Iterable[str] | None = None,
) -> Starlette:
    """Return an ASGI app that shows a store, and changes nothing in it.

    The page itself has no data, and anybody who reaches the server gets it. All data need the
    token, as `Authorization: Bearer …`; the page takes it from the fragment of its address,
    `#token=…`, which browsers do not send.

    Args:
        store: the store, which stays the caller's to close.
        token: what callers must have; a long random string.
        hosts: the names that requests may give as their host, without a port. Others are refused, so
            that no page of another site can reach the server under a name of its own.
        tract_ids: the tracts that are shown; None for all.

    Raises:
        ValueError: *token* or *hosts* is empty.
    """
    if not token:
        raise ValueError("token must not be empty")
    views = _Views(store, None if tract_ids is None else frozenset(tract_ids))
    routes = [Route("/", _page)]
    for name, answer in views.answers().items():
        routes.append(Route(f"/api/{name}", partial(_answered, answer)))
    routes.append(Route("/api/events", views.events))
    guard = Middleware(Guard, token=token, hosts=host_names(hosts))
    shown = Starlette(routes=routes, middleware=[guard])
    shown.state.closing = asyncio.Event()  # ends the streams of changes
    return shown


async def _page(_: Request) -> Response:
    page = await anyio.to_thread.run_sync(partial(assembled, live=True))
    rules = policy(page.script_hash, page.style_hash, connects=True)
    headers = {"Content-Security-Policy": f"{rules}; frame-ancestors 'none'"}
    return Response(page.before + page.after, media_type="text/html", headers=headers)


async def _answered(answer: _Answer, request: Request) -> Response:
    try:
        return _json(await answer(_Asked(request)))
    except _MISSING as error:
        return _json({"error": str(error)}, 404)
    except _WRONG as error:
        return _json({"error": str(error)}, 400)
    except TractError as error:
        return _json({"error": str(error)}, 409)


def _json(value: Any, status: int = 200) -> Response:
    """Return ASCII JSON: what agents wrote may hold lone surrogates, which UTF-8 cannot."""
    return Response(json.dumps(value), status, media_type="application/json")


class _Asked:
    """The parameters of a request."""

    def __init__(self, request: Request) -> None:
        self._values = request.query_params

    def __getitem__(self, name: str) -> str:
        value = self.get(name)
        if value is None:
            raise ValueError(f"the parameter {name} is missing")
        return value

    def get(self, name: str) -> str | None:
        return self._values.get(name) or None


class _Views:
    """What the page may ask for, by name."""

    def __init__(self, store: TractStore, allowed: frozenset[str] | None) -> None:
        self._store = store
        self._allowed = allowed

    def answers(self) -> dict[str, _Answer]:
        return {
            "tracts": self._tracts,
            "refs": lambda asked: self._reader(asked).refs(),
            "commits": self._commits,
            "commit": lambda asked: self._reader(asked).commit(asked["hash"]),
            "point": lambda asked: self._reader(asked).point(asked["hash"]),
            "request": lambda asked: self._reader(asked).request(asked["hash"], asked["api"]),
            "compare": lambda asked: self._reader(asked).compare(),
            "search": lambda asked: self._reader(asked).search(asked["text"]),
            "media": lambda asked: self._reader(asked).media(asked["sha256"]),
        }

    def _reader(self, asked: _Asked) -> TractReader:
        return TractReader(self._store.tract(self._checked(asked["tract"])))

    def _checked(self, tract_id: str) -> str:
        if self._allowed is not None and tract_id not in self._allowed:
            raise TractNotFoundError(tract_id)
        return tract_id

    async def _tracts(self, asked: _Asked) -> Any:
        if self._allowed is None:
            infos = await self._store.tracts(limit=200, after=asked.get("after"))
            return {"tracts": [info_of(each) for each in infos], "more": len(infos) == 200}
        found = [await self._store.tract(each).info() for each in sorted(self._allowed)]
        return {"tracts": [info_of(each) for each in found if each], "more": False}

    async def _commits(self, asked: _Asked) -> Any:
        reader, limit = self._reader(asked), int(asked.get("limit") or PAGE)
        if not 0 < limit <= PAGE:
            raise ValueError(f"limit must be 1 to {PAGE}")
        ends = {name: asked.get(name) for name in ("before", "after")}
        return await reader.commits(**ends, limit=limit)

    async def events(self, request: Request) -> Response:
        """Tell of changes as server-sent events until the page leaves or the store is closed."""
        try:
            reader = self._reader(_Asked(request))
        except (TractNotFoundError, ValueError) as error:
            return _json({"error": str(error)}, 404)
        told = changes(reader, request.app.state.closing)
        return StreamingResponse(told, media_type="text/event-stream")
