"""Serving the page over HTTP, on loopback unless told otherwise."""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from urllib.parse import quote

import uvicorn

from tract import TractStore
from tract.viewer.server import app
from tract.viewer.waiting import ImpatientProtocol

__all__ = ["serve"]

_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_GRACE = 1  # second that requests have to end in


class _Server(uvicorn.Server):
    """A server that leaves signals to the program: cancelling the task ends it."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(
    store: TractStore,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    token: str | None = None,
    hosts: Iterable[str] | None = None,
    tract_ids: Iterable[str] | None = None,
    on_start: Callable[[str], object] = print,
) -> None:
    """Show a store as a page, live, until the caller is cancelled; nothing is changed in it.

    Args:
        store: the store, which stays the caller's to close.
        host: the address to listen at. Whoever can reach another one than loopback, and has the
            token, reads all that is shown; the connection is not encrypted.
        port: the port; 0 for any that is free.
        token: what the page must have to get data; None for a random one.
        hosts: the names that requests may give as their host; None for those of loopback, and *host*.
        tract_ids: the tracts that are shown; None for all.
        on_start: is called with the address of the page, token included, once it is served.

    Raises:
        OSError: the address cannot be listened at.
        ValueError: *token* or *hosts* is empty.
    """
    token = secrets.token_urlsafe(32) if token is None else token
    names = (*_LOOPBACK, _in_url(host)) if hosts is None else hosts
    shown = app(store, token=token, hosts=names, tract_ids=tract_ids)
    with _listening(host, port) as listener:
        config = uvicorn.Config(
            shown,
            http=ImpatientProtocol,
            ws="none",
            log_config=None,
            log_level=logging.WARNING,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=_GRACE,
        )
        at = f"{_in_url(host)}:{listener.getsockname()[1]}"
        started = partial(on_start, f"http://{at}/#token={quote(token)}")
        await _run(_Server(config), listener, shown.state.closing, started)


async def _run(
    server: uvicorn.Server,
    listener: socket.socket,
    closing: asyncio.Event,
    started: Callable[[], object],
) -> None:
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        started()  # connections already queue up
        await asyncio.shield(serving)
    finally:
        closing.set()  # streams end by themselves, and so need not be cut off
        server.should_exit = True
        await asyncio.wait([serving])


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(128)
        listener.setblocking(False)
        yield listener
