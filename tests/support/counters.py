"""Token counters of the tests' own."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from typing import Any

from tract import BaseTokenCounter


class WordCounter(BaseTokenCounter):
    """Counts words, and records every text that it counted and the thread that asked."""

    source = "words"

    def __init__(self) -> None:
        self.asked: list[tuple[str, threading.Thread]] = []

    @property
    def texts(self) -> list[str]:
        """The texts that were counted, without roles and names."""
        words = {"user", "assistant", "system", "tool"}
        return [text for text, _ in self.asked if text not in words]

    def threads_of(self, text: str) -> set[threading.Thread]:
        """Return the threads that counted *text*, alone or as part of another text."""
        return {thread for asked, thread in self.asked if text in asked}

    def count_text(self, text: str) -> int:
        self.asked.append((text, threading.current_thread()))
        return len(text.split())

    def joins_cleanly(self, text: str) -> bool:
        return text != ""


class WholeCounter:
    """Implements only the protocol; its count of a list is not a sum over the messages."""

    def count_text(self, text: str) -> int:
        return len(text) % 7

    def count_messages(self, messages: Sequence[dict[str, Any]]) -> int:
        return len(json.dumps(messages)) ** 2 % 1009
