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


def _of(module: str, reason: str, *names: str, beginning: str = "") -> dict[str, str]:
    """Return tests of a module, with the reason why ours cannot pass them."""
    return {f"{module}::{beginning}{name}": reason for name in names}


SUITES: Mapping[str, Suite] = {
    "openai-agents": Suite(
        "openai-agents",
        "conformance.swapped_openai_agents",
        "SQLiteSession",
        "tests/**/test_*.py",
        "SQLiteSession",
        {
            **_of(
                "tests.memory.test_session",
                "is about the connections, locks and rows of SQLiteSession",
                *("close_closes_worker_thread_connections", "close_retries_quarantined_connection"),
                *("closed_rejects_empty_add_items", "failed_add_items_releases_write_lock"),
                "closes_retired_connections_before_the_next_allocation",
                *("failed_clear_session_rolls_back", "failed_pop_item_releases_write_lock"),
                *(
                    "file_lock_is_shared_across_instances",
                    "get_items_limit_skips_corrupt_newest_rows",
                ),
                "get_items_session_settings_limit_skips_corrupt_rows",
                *("keeps_connections_of_live_worker_threads", "pop_item_skips_corrupt_most_recent"),
                "pop_item_returns_none_after_dropping_only_corrupt_rows",
                *("reaps_connections_from_exited_worker_threads",),
                "rollback_failure_evicts_connection",
                *(
                    f"post_commit_cancellation_propagates_after_known_outcome[{verb}]"
                    for verb in ("add", "pop", "clear")
                ),
                beginning="test_sqlite_session_",
            ),
            **_of(
                "tests.memory.test_compaction_suffix",
                "breaks a method or a table of SQLiteSession on purpose",
                "test_suffix_transaction_rolls_back_failed_insert[sqlite]",
                "test_cancelled_suffix_transaction_settles_before_newer_append[sqlite]",
                *(
                    "test_failed_encrypted_suffix_transaction_preserves_original_tokens"
                    f"[sqlite-{each}]"
                    for each in (False, True)
                ),
            ),
            **_of(
                "tests.memory.test_openai_responses_compaction_session"
                ".TestOpenAIResponsesCompactionSession",
                "puts a connection of its own into SQLiteSession",
                *(
                    f"test_settled_{verb}_failure_invalidates_response_chain[{how}]"
                    for verb in ("pop", "clear")
                    for how in ("cancelled", "error")
                ),
            ),
            **_of(
                "tests.test_run_impl_resume_paths",
                "breaks a method of SQLiteSession on purpose",
                *(
                    f"test_handoff_resume_after_cancelled_compaction_commits[{run}-{kind}]"
                    for run in ("run", "streamed")
                    for kind in ("json", "live")
                ),
            ),
        },
    ),
    "pydantic-ai": Suite(
        "pydantic-ai-slim",
        "conformance.swapped_pydantic_ai",
        "InMemoryConversationStore",
        "tests/**/test_*.py",
        "InMemoryConversationStore",
        {},
    ),
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
    "claude-agent": Suite(
        "claude-agent-sdk",
        "conformance.swapped_claude_agent",
        "InMemorySessionStore",
        "tests/test_[st]*.py",
        "InMemorySessionStore",
        {
            name + backend: "counts steps of the loop, in which a file is not read"
            for name in (
                "test_load_concurrency_is_bounded",
                "test_gap_fill_bounded_concurrency",
                "test_cancelled_after_mkdtemp_cleans_temp_dir",
                "test_eager_flush_mode_appends_per_frame_before_result",
            )
            for backend in ("", "[asyncio]", "[trio]")
        },
    ),
    "adk": Suite(
        "google-adk",
        "conformance.swapped_adk",
        "SqliteSessionService",
        "tests/unittests/**/test_*.py",
        "SqliteSessionService",
        {
            "test_sqlite_session_service_preserves_uri_query_parameters": (
                "expects an error of sqlite3; ours is a StoreReadOnlyError"
            ),
        },
    ),
}
