"""A page that shows a store: written to one file, or served live; nothing in it loads or runs.

`write_page` needs nothing but the library; `serve` and `app` need `asynctract[viewer]`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tract.viewer.writing import write_page

if TYPE_CHECKING:
    from tract.viewer.server import app
    from tract.viewer.serving import serve

__all__ = ["app", "serve", "write_page"]

_WITH_EXTRA = {"app": "tract.viewer.server", "serve": "tract.viewer.serving"}


def __getattr__(name: str) -> Any:
    """Import what needs the extra when it is first asked for."""
    if name not in _WITH_EXTRA:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(_WITH_EXTRA[name]), name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in ("starlette", "uvicorn"):
            raise
        raise ImportError(
            f"tract.viewer.{name} needs {error.name}. Install it: pip install 'asynctract[viewer]'"
        ) from error
