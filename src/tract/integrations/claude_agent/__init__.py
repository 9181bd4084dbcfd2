"""A session store of the Claude Agent SDK whose transcripts are tracts.

    store = TractSessionStore("sessions.db")
    options = ClaudeAgentOptions(session_store=store)

A session is a tract, a subagent of it another, an entry a commit. So a session compiles, forks, diffs and
searches; a batch of entries lands whole or not at all; and what is deleted is erased.
"""

from tract.integrations.claude_agent.importing import ImportReport, import_transcripts
from tract.integrations.claude_agent.session_store import TractSessionStore

__all__ = ["ImportReport", "TractSessionStore", "import_transcripts"]
