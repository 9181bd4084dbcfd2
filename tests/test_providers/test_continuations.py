"""What follows from a recorded answer is accepted, and carries what was really sent."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from providers.continuations import continuations, found
from providers.exchanges import Exchange


@pytest.mark.long
async def test_what_follows_from_each_recorded_answer_is_accepted_and_carries_what_was_sent(
    recorded: list[Exchange],
) -> None:
    done = await continuations(recorded)
    tried = Counter(each.exchange.api for each in done)
    problems = [f"{each.exchange.id}: {each.problem}" for each in done if each.problem]

    print(f"\n{len(done) - len(problems)} of {len(done)} continuations hold: {dict(tried)}")
    assert problems == []
    assert len(done) == 414


def exchange(number: int, messages: list[Any], *content: dict[str, Any]) -> Exchange:
    reply = {
        "type": "message",
        "role": "assistant",
        "content": [*content],
        "model": "claude-opus-5",
    }
    return Exchange(
        id=f"test#{number}",
        api="anthropic.messages",
        provider="anthropic",
        request={"messages": messages},
        reply=reply,
        events=(),
    )


ASKED = {"role": "user", "content": "Hello."}
TEXT = {"type": "text", "text": "Hi."}


def after(*content: dict[str, Any]) -> list[Exchange]:
    """Return an exchange, and one whose request contains its answer."""
    said = {"role": "assistant", "content": [*content]}
    return [exchange(0, [ASKED], *content), exchange(1, [ASKED, said, ASKED], TEXT)]


@pytest.mark.parametrize(
    ("signature", "problem"), [("c2ln", None), ("", "does not carry 'I must look.'")]
)
async def test_what_an_answer_said_and_a_request_leaves_out_is_a_problem(
    signature: str, problem: str | None
) -> None:
    thought = {"type": "thinking", "thinking": "I must look.", "signature": signature}

    [passage] = await continuations(after(thought, TEXT))

    assert passage.problem == problem


def test_a_request_that_says_something_else_than_the_answer_does_not_contain_it() -> None:
    one, other = after(TEXT)
    changed = exchange(1, [ASKED, {"role": "assistant", "content": "Bye."}, ASKED], TEXT)

    assert [(each.begin, each.end) for each in found([one, other])] == [(1, 2)]
    assert list(found([one, changed])) == []
