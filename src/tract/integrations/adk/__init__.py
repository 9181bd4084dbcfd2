"""A session service of Google's Agent Development Kit whose events are commits of a tract.

    service = TractSessionService("sessions.db")
    runner = Runner(app_name="travel", agent=agent, session_service=service)

An app's user is a tract, a session a branch of it, an event a commit. So a session compiles, forks, diffs and
searches, and a stale writer is refused in the transaction itself.
"""

from tract.integrations.adk.importing import ImportReport, import_sessions
from tract.integrations.adk.plugin import TractPlugin
from tract.integrations.adk.registry import register
from tract.integrations.adk.service import TractSessionService

__all__ = [
    "ImportReport",
    "TractPlugin",
    "TractSessionService",
    "import_sessions",
    "register",
]
