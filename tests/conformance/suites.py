"""The frameworks' own tests that an adapter has to pass, and those of them that it cannot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

__all__ = ["SUITES", "Suite"]


class Suite(NamedTuple):
    """Tests of one framework.

    `files` are what to run of its checkout, `plugin` puts our class in place of `theirs`, and
    `others` says why some tests are about that class alone. `options` are pytest's.
    """

    distribution: str
    plugin: str
    theirs: str
    files: str
    word: str
    others: Mapping[str, str]
    options: Sequence[str] = ()
    environment: Mapping[str, str] = MappingProxyType({})

    def chosen(self, checkout: Path) -> list[str]:
        """Return the files of a checkout that use the class."""
        found = sorted(checkout.glob(self.files))
        return [
            str(path.relative_to(checkout))
            for path in found
            if self.word in path.read_text(encoding="utf-8") and "extensions" not in path.parts
        ]


SUITES: Mapping[str, Suite] = {
    "openai-agents": Suite(
        "openai-agents",
        "conformance.swapped_openai_agents",
        "SQLiteSession",
        "tests/**/test_*.py",
        "SQLiteSession",
        {},
    ),
    "pydantic-ai": Suite(
        "pydantic-ai-slim",
        "conformance.swapped_pydantic_ai",
        "InMemoryConversationStore",
        "tests/**/test_*.py",
        "InMemoryConversationStore",
        {},
    "langgraph": Suite(
        "langgraph",
        "conformance.swapped_langgraph",
        "SqliteSaver and AsyncSqliteSaver",
        "tests/**/test_*.py",
        "checkpointer",
        {},
        ("-k", "sqlite"),
        {"NO_DOCKER": "true"},
    ),
}
