"""Settings of calls without what may be secret in them."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["without_secrets"]

_SECRET = re.compile(
    r"^extra_|header|api_?key|authorization|credential|secret|password"
    r"|(^|access_|auth_|bearer_|refresh_|security_|session_)token$",
    re.IGNORECASE,
)
_SCHEMAS = frozenset({"input_schema", "json_schema", "parameters", "schema"})
"""What names of arguments are in, with their types and no values."""


def without_secrets(settings: Any) -> Any:
    """Return a copy without members that may be secret by their names, however deep they are.

    Definitions of tools have some: those of a remote server can have its headers.
    """
    if isinstance(settings, dict):
        return {
            name: each if name in _SCHEMAS else without_secrets(each)
            for name, each in settings.items()
            if not (isinstance(name, str) and _SECRET.search(name))
        }
    if isinstance(settings, (list, tuple)):
        return [without_secrets(each) for each in settings]
    return settings
