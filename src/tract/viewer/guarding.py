"""Who may ask: requests under known host names, and for data with the token."""

from __future__ import annotations

from collections.abc import Iterable
from hmac import compare_digest

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Guard", "host_names"]

_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

_NOTHING = "default-src 'none'; frame-ancestors 'none'; sandbox"


def host_names(hosts: Iterable[str]) -> frozenset[str]:
    """Return host names in lower case.

    Raises:
        ValueError: there are none, or they are one string.
    """
    if isinstance(hosts, str):
        raise ValueError("hosts must be a list of names, not a string")
    names = frozenset(each.lower() for each in hosts)
    if not names:
        raise ValueError("hosts must have at least one name")
    return names


class Guard:
    """Refuses requests under unknown host names, without the token, and by other methods than GET."""

    def __init__(self, app: ASGIApp, *, token: str, hosts: frozenset[str]) -> None:
        self._app = app
        self._token = f"Bearer {token}".encode()
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on a request, or answer why not."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                headers.setdefault("Content-Security-Policy", _NOTHING)  # the page has its own
            await send(message)

        refusal = self._refusal(scope)
        await (refusal or self._app)(scope, receive, send_guarded)

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        headers = Headers(scope=scope)
        if _name_in(headers.get("host", "")) not in self._hosts:
            return PlainTextResponse("This host name is not allowed.", 421)
        if scope["method"] not in ("GET", "HEAD"):
            return PlainTextResponse("This server only shows.", 405, {"Allow": "GET, HEAD"})
        given = headers.get("authorization", "").encode("utf-8", "replace")
        if not _is_page(scope) and not compare_digest(given, self._token):
            return PlainTextResponse("The token is missing or wrong.", 401)
        return None


def _is_page(scope: Scope) -> bool:
    """Return True for the page itself, which has no data, wherever the app is mounted."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", "")) in ("", "/")


def _name_in(host: str) -> str:
    """Return a Host header without its port; an IPv6 address keeps its brackets."""
    name, colon, port = host.lower().rpartition(":")
    return name if colon and port.isdigit() else host.lower()
