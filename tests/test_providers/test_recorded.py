"""The validators against reality: what providers answered, they must accept."""

from __future__ import annotations

from providers.exchanges import Exchange
from providers.validators import problems

FAILED = {
    # The model called no tool where one was required: the request was taken, the answer is an error.
    "test_groq/test_tool_use_failed_error_streaming_with_text#0",
    # The server was not a provider.
    "test_openai/test_invalid_response#0",
}


def test_every_request_that_was_answered_passes_the_validator_of_its_api(
    recorded: list[Exchange],
) -> None:
    refused = {
        exchange.id: found
        for exchange in recorded
        if (
            found := problems(
                exchange.api,
                exchange.request,
                provider=exchange.provider,
                model=exchange.model,
            )
        )
    }

    assert refused == {}


def test_the_answers_that_are_errors_are_known_by_name(recorded: list[Exchange]) -> None:
    assert {exchange.id for exchange in recorded if exchange.failed} == FAILED
