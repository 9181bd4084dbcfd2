"""The URI schemes that name a `TractSessionService` in ADK's registry of services."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit

from google.adk.cli.service_registry import get_service_registry

from tract.exceptions import StorageError
from tract.integrations.adk.service import TractSessionService

__all__ = ["register"]

_SCHEME = "tract"
_POSTGRES = "tract+postgresql"


def register() -> None:
    """Let ADK's tools take `--session_service_uri tract:///sessions.db`.

    Call it in the `services.py` of your folder of agents. As in SQLAlchemy's URLs, three slashes
    begin a relative path, and four an absolute one; `tract://` is a store in memory, and
    `tract+postgresql://…` one on a PostgreSQL server.
    """
    registry = get_service_registry()
    for scheme in (_SCHEME, _POSTGRES):
        registry.register_session_service(scheme, _service)


def _service(uri: str, **_: Any) -> TractSessionService:
    """Return the service that a URI names.

    Raises:
        StorageError: the URI of a file names a host.
    """
    parts = urlsplit(uri)
    if parts.scheme == _POSTGRES:
        return TractSessionService(uri.removeprefix("tract+"))
    if parts.netloc:
        raise StorageError(
            f"{uri!r} names a host. A relative path has three slashes, an absolute one four: "
            f"{_SCHEME}:///{parts.netloc}{parts.path}"
        )
    return TractSessionService(unquote(parts.path[1:]) or ":memory:")
