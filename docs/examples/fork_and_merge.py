"""Try two ways from one point, compare them, keep one, and bring the other's best remark along.

    python docs/examples/fork_and_merge.py [trip.db]

Give it a file, and look at its branches with `tract log trip.db --graph`. The model here is scripted:
replace `answer` with a call of your provider's SDK.
"""

from __future__ import annotations

import asyncio
import sys

from tract import AsyncTract, CompiledContext

TRIPS = {
    0.2: "Day 1: train to Bergen. Day 2: boat to Flåm.",
    1.0: "Sleep in a lighthouse! The boat leaves at noon.",
}


async def answer(context: CompiledContext, temperature: float) -> str:
    """Stand in for a model: it would be sent `context.to_openai()`."""
    return TRIPS[temperature]


async def attempt(branch: AsyncTract, temperature: float) -> None:
    """Answer on a branch, which nobody else sees until it is merged."""
    text = await answer(await branch.compile(), temperature)
    config = {"model": "guide-1", "temperature": temperature}
    await branch.assistant(text, generation_config=config)


async def main(path: str) -> None:
    """Ask once, answer twice at the same time, merge both."""
    async with AsyncTract.open(path, tract_id="trip") as main:
        await main.system("You plan trips.")
        asked = await main.user("Two days in Norway?")

        calm, bold = (
            await main.fork("calm"),
            await main.fork("bold"),
        )  # a row each, nothing is copied
        await asyncio.gather(attempt(calm, 0.2), attempt(bold, 1.0))
        for each in await main.compare(["calm", "bold"]):
            [config] = each.generation_configs
            print(f"{each.branch}, at {config['temperature']}: {each.token_count} tokens")

        first = await main.merge("calm")  # main has not moved: it is fast-forwarded
        await main.user("Make it more exciting.")
        second = await main.merge("bold")  # both went on: a commit with two parents
        print(f"{first.kind}, then {second.kind}")
        for message in (await main.compile()).messages:
            print(f"  {message.role}: {message.content}")

        then = await main.compile(at_commit=asked.commit_hash)
        print(f"before the fork: {len(then.messages)} messages, as they were")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if sys.argv[1:] else ":memory:"))
