"""Which tracts the sessions of the Claude Agent SDK and their subagents' transcripts are."""

from __future__ import annotations

from typing import NamedTuple, Self
from urllib.parse import unquote

from claude_agent_sdk import SessionKey

from tract.models.refs import quote_id, unquote_id

__all__ = ["Named", "session_in", "sessions_prefix"]

_SESSIONS = "claude/"
_SUBAGENTS = "claude-subagents/"
"""A prefix of its own, so that a list of sessions reads no subagents."""


class Named(NamedTuple):
    """A transcript by its names; without a subpath it is a session's own."""

    project_key: str
    session_id: str
    subpath: str = ""

    @classmethod
    def of(cls, key: SessionKey) -> Self:
        """Return the names in a key of the SDK."""
        return cls(key["project_key"], key["session_id"], key.get("subpath") or "")

    @property
    def tract_id(self) -> str:
        """The tract that the transcript is."""
        if not self.subpath:
            return f"{sessions_prefix(self.project_key)}{_segment(self.session_id)}"
        return f"{self.subagents_prefix}{quote_id(self.subpath)}"

    @property
    def subagents_prefix(self) -> str:
        """What the ids of the session's subagents begin with."""
        return f"{_SUBAGENTS}{_segment(self.project_key)}/{_segment(self.session_id)}/"

    def subpath_in(self, tract_id: str) -> str:
        """Return the subpath of the subagent that a tract is."""
        return unquote_id(tract_id.removeprefix(self.subagents_prefix))


def sessions_prefix(project_key: str) -> str:
    """Return what the ids of a project's sessions begin with."""
    return f"{_SESSIONS}{_segment(project_key)}/"


def session_in(tract_id: str, project_key: str) -> str:
    """Return the id of the session that a tract is."""
    name = tract_id.removeprefix(sessions_prefix(project_key))
    return "" if name == "%" else unquote(name, errors="surrogatepass")


def _segment(text: str) -> str:
    """Return a text as one segment of a tract's id."""
    return quote_id(text).replace("/", "%2F")
