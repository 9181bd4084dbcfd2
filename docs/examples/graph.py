"""Graphs of LangGraph as tracts: a sub-graph, a question to a human, another line, many users, a deletion.

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


def thread(name: str) -> RunnableConfig:
    """Return the config of a thread."""
    return {"configurable": {"thread_id": name}}


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
    return "booking" if getattr(state["messages"][-1], "tool_calls", []) else END


def built(saver: TractSaver) -> Any:
    """Return the graph, of which another one books."""
    booking = StateGraph(MessagesState).add_node("book", book).add_edge(START, "book").compile()
    builder = StateGraph(MessagesState)
    builder.add_node("model", model)
    builder.add_node("booking", booking)
    builder.add_edge(START, "model")
    builder.add_conditional_edges("model", calls_a_tool, ["booking", END])
    builder.add_edge("booking", "model")
    return builder.compile(checkpointer=saver)


def asked(where: str) -> dict[str, Any]:
    """Return what a user says."""
    return {"messages": [("user", f"A train to {where}")]}


async def serve(saver: TractSaver, users: int) -> None:
    """Answer many users at once, and forget one of them."""
    graph = built(saver)
    await asyncio.gather(*(graph.ainvoke(asked("Oslo"), thread(f"user-{n}")) for n in range(users)))
    threads = {each.config["configurable"]["thread_id"] async for each in saver.alist(None)}
    await saver.adelete_thread("user-1")
    left = await graph.aget_state(thread("user-1"))
    print(f"{len(threads)} threads; left of user-1: {left.values}")


async def main(path: str) -> None:
    """Ask, go on in another saver as in another process, and try another answer."""
    trip = thread("trip/7")
    async with TractSaver.open(path) as saver:
        async for step in built(saver).astream(asked("Bergen"), trip, stream_mode="updates"):
            print(*step)

    async with TractSaver.open(path) as saver:
        graph = built(saver)
        [question] = (await graph.aget_state(trip)).interrupts
        print(question.value)
        done = await graph.ainvoke(Command(resume=True), trip)
        print(done["messages"][-1].content)

        *_, beginning = [state async for state in graph.aget_state_history(trip)]
        await graph.ainvoke(asked("Oslo"), beginning.config)
        other = await graph.ainvoke(Command(resume=False), trip)
        print(other["messages"][-1].content)

        tract = await saver.tract("trip/7")
        for branch in await tract.branches():
            context = await tract.on(branch.name).compile()
            if context.messages and context.messages[-1].role == "assistant":
                print(f"{branch.name.split('/')[0]}: {context.messages[-1].content}")
        await serve(saver, 100)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:] or ["graphs.db"]))
