"""Settings of calls without what may be secret in them and has no name that says so."""

from __future__ import annotations

from typing import Any

from tract.history.redaction import is_schema

__all__ = ["without_secrets"]

_SECRET = ("header", "api_key", "extra_")


def without_secrets(settings: Any) -> Any:
    """Return a copy without headers and further fields of requests, however deep they are.

    Definitions of tools have some: those of a remote server can have its headers. Credentials by
    their own names are redacted by the store.
    """
    if isinstance(settings, dict) and not is_schema(settings):
        return {
            name: without_secrets(each)
            for name, each in settings.items()
            if not any(part in str(name).lower() for part in _SECRET)
        }
    if isinstance(settings, (list, tuple)):
        return [without_secrets(each) for each in settings]
    return settings
