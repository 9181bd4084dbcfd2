"""Talk within a budget of tokens: older turns make room by hiding behind a summary, and come back.

    python docs/examples/budget.py [talk.db]

The summariser here is a function: `tract.summarisers` has ready ones over your provider's client.
"""

from __future__ import annotations

import asyncio
import sys

from tract import (
    AsyncTract,
    BudgetAction,
    CompactionPolicy,
    CompactionRequest,
    TokenBudgetConfig,
    TractConfig,
)

TURNS = 40


async def summarise(request: CompactionRequest) -> str:
    """Stand in for a model that is sent `request.context` and asked for a summary."""
    asked = [each.content for each in request.context.messages if each.role == "user"]
    return f"The user has asked {len(asked)} more questions, from {asked[0]!r} on."


BUDGET = TokenBudgetConfig(
    max_tokens=800,
    action=BudgetAction.COMPACT,
    policy=CompactionPolicy(trigger_tokens=700, target_tokens=400, keep_recent=2),
    summarise=summarise,
)


async def main(path: str) -> None:
    """Talk for longer than fits, and then look at what was hidden."""
    async with AsyncTract.open(
        path, tract_id="talk", config=TractConfig(token_budget=BUDGET)
    ) as tract:
        await tract.system("You know every museum.")  # instructions are never hidden
        largest = 0
        for number in range(1, TURNS + 1):
            await tract.user(f"What is in room {number} of the museum, and who painted it?")
            await tract.assistant(f"Room {number} has a landscape, painted in {1800 + number}.")
            largest = max(largest, (await tract.compile()).token_count)

        made = await tract.compactions()
        print(f"{TURNS} turns, {len(made)} compactions, at most {largest} tokens of 800")
        for message in (await tract.compile()).messages[:2]:
            print(f"  {message.role}: {(message.content or '').splitlines()[0]}")

        everything = await tract.entries(include_skipped=True)
        hidden = [entry for entry in everything if entry.hidden_by is not None]
        print(f"{len(hidden)} entries are hidden, none is gone: {hidden[0].message.content}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if sys.argv[1:] else ":memory:"))
