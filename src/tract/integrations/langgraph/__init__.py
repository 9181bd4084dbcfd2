"""A checkpointer of LangGraph whose threads are tracts.

    async with TractSaver.open("graphs.db") as saver:
        graph = builder.compile(checkpointer=saver)
        await graph.ainvoke({"messages": [("user", "Hello")]}, {"configurable": {"thread_id": "42"}})
        context = await (await saver.tract("42")).compile()

The messages of a thread are commits of its tract, so what a graph wrote can be compiled, diffed, searched
and erased like all else, and forks cost a branch.
"""

from tract.integrations.langgraph.importing import ImportReport, import_threads
from tract.integrations.langgraph.messages import CONTENT_TYPES, LangChainContent
from tract.integrations.langgraph.recorder import TractRecorder
from tract.integrations.langgraph.saver import TractSaver

__all__ = [
    "CONTENT_TYPES",
    "ImportReport",
    "LangChainContent",
    "TractRecorder",
    "TractSaver",
    "import_threads",
]
