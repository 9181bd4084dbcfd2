"""A conversation store of pydantic-ai whose entries are commits of a tract.

    async with TractConversationStore.open("agents.db") as store:
        agent = Agent("openai:gpt-5", capabilities=[store.capability])
        result = await agent.run("Hello", conversation=await store.load("user-42"))
        await store.save(result)

A conversation is a branch, an entry a commit, and a save one transaction: its entries, the usage of
its responses and the conversation's record land together, if nobody else has saved meanwhile.
"""

from __future__ import annotations

from tract.integrations.pydantic_ai.contents import CONTENT_TYPES
from tract.integrations.pydantic_ai.importing import (
    ImportReport,
    import_conversations,
    import_files,
)
from tract.integrations.pydantic_ai.recording import TractCapability
from tract.integrations.pydantic_ai.store import TractConversationStore

__all__ = [
    "CONTENT_TYPES",
    "ImportReport",
    "TractCapability",
    "TractConversationStore",
    "import_conversations",
    "import_files",
]
