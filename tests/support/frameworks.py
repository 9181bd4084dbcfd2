"""Frameworks that need environments of their own.

They pin releases of what the tests use, or are too large for all to install.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec

__all__ = ["APART", "is_installed", "lacking"]

APART: Mapping[str, str] = {
    "google.adk": "tract.integrations.adk",
    "claude_agent_sdk": "tract.integrations.claude_agent",
}
"""Such frameworks, each with the adapter that imports it."""


def lacking(text: str) -> str | None:
    """Return a framework that a name or a page speaks of and that is not installed here."""
    for framework, adapter in APART.items():
        if (framework in text or adapter in text) and not is_installed(framework):
            return framework
    return None


def is_installed(framework: str) -> bool:
    """Return True if a package can be imported."""
    try:
        return find_spec(framework) is not None
    except ModuleNotFoundError:
        return False
