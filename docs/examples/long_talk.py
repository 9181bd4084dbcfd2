"""An agent of 200 turns in a window of 8,000 tokens, which is asked at the end about turn 3.

    python docs/examples/long_talk.py [PATH.db]

The model here is scripted and knows nothing but what it is sent, like a real one: it answers from
the messages in its window, and looks back with a tool where they do not hold the answer. The tool
searches the history, and shows the turn that it finds as it was, by expanding what hides it on a
branch aside.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from tract import (
    AsyncTract,
    CompactionPolicy,
    CompactionRequest,
    EntryInfo,
    OpenCall,
    ToolIOContent,
    TractStore,
    from_openai,
)

WINDOW = 8_000
TURNS = 200
POLICY = CompactionPolicy(trigger_tokens=6_500, target_tokens=4_000, keep_recent=4)
TOPICS = ("the harbour", "the night train", "the ferry", "the museum", "the weather")

# The model: it sees messages, and returns one.


def reply(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Answer the last question from the messages, or call a tool."""
    last, asked = messages[-1], [each for each in messages if each["role"] == "user"][-1]
    if "locker" not in asked["content"] or "my locker is" in asked["content"]:
        text = last["content"] if last["role"] == "tool" else None
        return said(f"I see: {text[:60]}") if text else calling("look_up", about=asked["content"])
    for message in reversed(messages):
        found = re.search(r"my locker is (\w+)", message.get("content") or "")
        if found:
            return said(f"Your locker is {found[1]}.")
    if last["role"] == "tool":
        return said("I do not know.")
    return calling("look_back", words="my locker is")


def said(text: str) -> dict[str, Any]:
    """Return a message of text."""
    return {"role": "assistant", "content": text}


def calling(name: str, **arguments: str) -> dict[str, Any]:
    """Return a message that calls a tool."""
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
    }


async def summarise(request: CompactionRequest) -> str:
    """Stand in for a model that summarises, and loses the details."""
    known = (request.previous_summary or "", *(m.content or "" for m in request.context.messages))
    topics = [topic for topic in TOPICS if any(topic in text for text in known)]
    return f"Summary: the user has asked about {', '.join(topics)}."


# The tools.


async def look_up(tract: AsyncTract, about: str) -> str:
    """Return a long page, as tools do."""
    return f"About {about}. " + "It is open from nine to five, and crowded at noon. " * 12


async def look_back(tract: AsyncTract, words: str) -> str:
    """Return what was said around the first mention of *words*, however long ago."""
    hits = await tract.search(f'"{words}"', branch_only=True)
    if not hits:
        return "nothing was found"
    first = min((hit.commit for hit in hits), key=lambda commit: commit.created_at).commit_hash
    aside = await tract.fork(f"aside-{first[:8]}")
    while (hiding := (await entry(aside, first)).hidden_by) is not None:
        await aside.expand(hiding)
    shown = await aside.entries()
    at = next(at for at, each in enumerate(shown) if each.commit_hash == first)
    around = [
        f"{each.role}: {(each.message.content or '')[:99]}" for each in shown[at - 1 : at + 2]
    ]
    await tract.delete_branch(aside.branch, force=True)
    return "\n".join(around)


async def entry(tract: AsyncTract, commit_hash: str) -> EntryInfo:
    """Return an entry, hidden or not."""
    entries = await tract.entries(include_skipped=True)
    return next(each for each in entries if each.commit_hash == commit_hash)


TOOLS: dict[str, Callable[..., Awaitable[str]]] = {"look_up": look_up, "look_back": look_back}


# The loop.


class Agent:
    """Answers questions within the window."""

    def __init__(self, tract: AsyncTract) -> None:
        self.tract = tract
        self.largest = 0
        """The tokens of the largest request."""
        self.looked_back = 0

    async def ask(self, question: str) -> str:
        """Return the model's answer, once it calls no more tools."""
        await self.tract.user(question)
        await self.tract.maintain(summarise, policy=POLICY)
        while True:
            context = await self.tract.compile()
            self.largest = max(self.largest, context.token_count)
            answer = reply([dict[str, Any](message) for message in context.to_openai()])
            for content in from_openai([answer]):
                await self.tract.commit(content)
            if "tool_calls" not in answer:
                return str(answer["content"])
            for call in (await self.tract.compile()).open_calls:
                await self.tract.commit(await self.run(call))

    async def run(self, call: OpenCall) -> ToolIOContent:
        """Run one tool call."""
        self.looked_back += call.name == "look_back"
        payload = await TOOLS[call.name](self.tract, **json.loads(call.arguments))
        return ToolIOContent(
            tool_name=call.name, direction="result", payload=payload, call_id=call.id
        )


async def main(path: str) -> None:
    """Talk for 200 turns, then ask about the third."""
    async with TractStore.open(path) as store:
        await store.enable_search()
        tract = store.tract("talk")
        await tract.system("You are a travel guide.")
        agent = Agent(tract)
        for turn in range(1, TURNS):
            topic = TOPICS[turn % len(TOPICS)]
            remark = " By the way, my locker is B17." if turn == 3 else ""
            await agent.ask(f"Turn {turn}: tell me about {topic}.{remark}")
        shown = (await tract.compile()).messages
        print("still in the window:", any("B17" in (each.content or "") for each in shown))
        print(await agent.ask(f"Turn {TURNS}: which locker did I say is mine?"))
        made = await tract.compactions()
        await tract.fork("whole")
        whole = tract.on("whole")
        for each in reversed(made):
            await whole.expand(each.commit_hash)
        total = (await whole.compile()).token_count
        print(f"said {total:,} tokens, sent at most {agent.largest:,} of {WINDOW:,} at once")
        print(f"compactions: {len(made)}, looked back: {agent.looked_back}")
        print("faults:", len((await tract.verify()).faults))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else ":memory:"))
