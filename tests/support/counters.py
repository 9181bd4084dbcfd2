"""Token counters of the tests' own."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from typing import Any

from tract import BaseTokenCounter


class WordCounter(BaseTokenCounter):
    """Counts words and keeps every text it was asked for, with the thread that asked."""

    source = "words"

    def __init__(self) -> None:
        self.asked: list[tuple[str, threading.Thread]] = []

    @property
    def texts(self) -> list[str]:
        """The texts that were counted, roles and names left out."""
        words = {"user", "assistant", "system", "tool"}
        return [text for text, _ in self.asked if text not in words]

    def threads_of(self, text: str) -> set[threading.Thread]:
        """Return the threads that counted *text*, alone or within another."""
        return {thread for asked, thread in self.asked if text in asked}

    def count_text(self, text: str) -> int:
        self.asked.append((text, threading.current_thread()))
        return len(text.split())

    def joins_cleanly(self, text: str) -> bool:
        return text != ""


class WholeCounter:
    """Implements the protocol alone; its count of a list is no sum over the messages."""

    def count_text(self, text: str) -> int:
        return len(text) % 7

    def count_messages(self, messages: Sequence[dict[str, Any]]) -> int:
        return len(json.dumps(messages)) ** 2 % 1009
