"""Transcript files of agents and logs of chats, as tracts. It needs no extra.

    async with TractStore.open("agents.db") as store:
        await import_codex("~/.codex/sessions", store)
        await import_chats("logs", store)

Every line becomes a commit, those of a log that a model is shown as contents, others as state. The
transcripts of Claude Code are imported by `tract.integrations.claude_agent`.
"""

from tract.integrations.transcripts.chats import import_chats
from tract.integrations.transcripts.codex import import_codex
from tract.integrations.transcripts.importing import ImportReport

__all__ = ["ImportReport", "import_chats", "import_codex"]
