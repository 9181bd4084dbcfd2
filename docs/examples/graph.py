"""Keep a graph of LangGraph as tracts: tools, a question to a human, and another line of the same thread.

    pip install "asynctract[langgraph]" langgraph
    python docs/examples/graph.py [graphs.db]

The model here is scripted: put a chat model with `bind_tools` in its place.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, interrupt

from tract.integrations.langgraph import TractSaver

THREAD = RunnableConfig(configurable={"thread_id": "trip/7"})


async def model(state: MessagesState) -> dict[str, Any]:
    """Stand in for a model: look for a train, then answer."""
    last = state["messages"][-1]
    if isinstance(last, ToolMessage):
        return {"messages": [AIMessage(f"Done: {last.content}.")]}
    call = {"name": "book", "args": {"to": str(last.content).split()[-1]}, "id": "call_1"}
    return {"messages": [AIMessage("", tool_calls=[call])]}


async def book(state: MessagesState) -> dict[str, Any]:
    """Ask a human before a seat is booked."""
    [call] = getattr(state["messages"][-1], "tool_calls", [])
    agreed = interrupt(f"Book a seat to {call['args']['to']}?")
    result = f"a seat to {call['args']['to']}" if agreed else "nothing"
    return {"messages": [ToolMessage(result, tool_call_id=call["id"])]}


def calls_a_tool(state: MessagesState) -> str:
    """Return which node is next."""
    return "book" if getattr(state["messages"][-1], "tool_calls", []) else END


def built(saver: TractSaver) -> Any:
    """Return the graph."""
    builder = StateGraph(MessagesState)
    builder.add_node("model", model)
    builder.add_node("book", book)
    builder.add_edge(START, "model")
    builder.add_conditional_edges("model", calls_a_tool, ["book", END])
    builder.add_edge("book", "model")
    return builder.compile(checkpointer=saver)


async def main(path: str) -> None:
    """Ask, go on in another saver as in another process, and try another answer."""
    async with TractSaver.open(path) as saver:
        asked = await built(saver).ainvoke({"messages": [("user", "A train to Bergen")]}, THREAD)
        print(asked["__interrupt__"][0].value)

    async with TractSaver.open(path) as saver:
        graph = built(saver)
        done = await graph.ainvoke(Command(resume=True), THREAD)
        print(done["messages"][-1].content)

        *_, beginning = [state async for state in graph.aget_state_history(THREAD)]
        await graph.ainvoke({"messages": [("user", "A train to Oslo")]}, beginning.config)
        other = await graph.ainvoke(Command(resume=False), THREAD)
        print(other["messages"][-1].content)

        tract = await saver.tract("trip/7")
        for branch in await tract.branches():
            if branch.name != "writes":
                context = await tract.on(branch.name).compile()
                print(f"{branch.name.split('/')[0]}: {context.messages[-1].content}")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:] or ["graphs.db"]))
