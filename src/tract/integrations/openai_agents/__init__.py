"""A session of the OpenAI Agents SDK whose items are commits of a tract.

    session = TractSession("user-42", "agents.db")
    await Runner.run(agent, "Hello", session=session, hooks=session.hooks)

Each item is one commit, so `session.tract` compiles, diffs, forks and searches what the SDK wrote. What
leaves the session stays in the history: `pop_item` and compactions skip it by a commit, and
`clear_session` resets the branch.

The format of items is that of the Responses API: https://platform.openai.com/docs/api-reference/responses
"""

from tract.integrations.openai_agents.hooks import RecordingModel, TractHooks
from tract.integrations.openai_agents.importing import ImportReport, import_sessions
from tract.integrations.openai_agents.session import TractSession

__all__ = ["ImportReport", "RecordingModel", "TractHooks", "TractSession", "import_sessions"]
