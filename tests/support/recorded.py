"""What the tests of the recorded exchanges have in common: who is in, and who passed."""

from __future__ import annotations

from collections import Counter

import pytest

from providers import exchanges
from providers.exchanges import Exchange
from support.items import Through
from tract.formats.format import Reply

__all__ = ["Tally", "recorded_with", "reply_of"]


def recorded_with(api: str) -> list[Exchange]:
    """Return the exchanges with an API; skip the test where they are not."""
    path = exchanges.path()
    found = (
        [each for each in exchanges.read(path) if each.api.startswith(api)]
        if path.is_file()
        else []
    )
    if not found:
        pytest.skip(f"no exchanges at {path}; ASYNCTRACT_TRANSCRIPTS names their folder")
    return found


def reply_of(exchange: Exchange) -> Reply:
    """Return an answer as its API's format reads it, whole or event by event."""
    through = Through(exchange.api.removesuffix(".compact"))
    if exchange.reply is None:
        return through.streamed(event.data for event in exchange.events)
    found = through.format.reply(exchange.reply)
    assert found is not None
    return found


class Tally:
    """What passed, by provider; printed at the end."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.tried: Counter[str] = Counter()
        self.failed: list[str] = []

    def add(self, exchange: Exchange, holds: bool) -> None:
        self.tried[exchange.provider] += 1
        if not holds:
            self.failed.append(f"{exchange.provider} {exchange.id}")

    def check(self) -> None:
        missed = Counter(each.split()[0] for each in self.failed)
        said = [f"{name} {all_ - missed[name]}/{all_}" for name, all_ in self.tried.items()]
        print(f"\n{self.what}: {', '.join(said)}")

        assert self.failed == []
