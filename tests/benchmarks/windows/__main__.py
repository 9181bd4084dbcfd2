"""Replay recorded conversations in short windows: `python -m benchmarks.windows [--markdown PATH]`."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from benchmarks.windows.measuring import Figures, replayed, tokens_of
from benchmarks.windows.ours import Clearing, Summarising, Whole
from benchmarks.windows.peers import AgentsCompaction, AgentsLimit, HistoryProcessor, TrimMessages
from benchmarks.windows.ways import Way
from benchmarks.workload import ChatMessage, transcripts
from support.markdown import write_measured

_LANGCHAIN: tuple[type[Way], ...] = ()
if find_spec("langmem"):
    _LANGCHAIN = import_module("benchmarks.windows.peers_langchain").WAYS
WAYS: tuple[type[Way], ...] = (
    *(Whole, Summarising, Clearing),
    TrimMessages,
    *_LANGCHAIN,
    *(HistoryProcessor, AgentsLimit, AgentsCompaction),
)
IN_A_ROW, WINDOW = 25, 8_000
_HEADER = (
    *(
        "way",
        "tokens sent",
        "same prefix",
        "over the window",
        "orphans",
        "early in the last request",
    ),
    *("early, looking back", "ms a turn"),
)


def main() -> int:
    """Replay both kinds of histories in every way, and print a table of each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.windows", description=__doc__)
    parser.add_argument("--markdown", type=Path, metavar="PATH", help="write the tables here")
    parser.add_argument("--quick", action="store_true", help="replay a few conversations only")
    options = parser.parse_args()
    found = transcripts(100)
    if found is None:
        sys.stderr.write("no airline.jsonl; ASYNCTRACT_TRANSCRIPTS names its folder\n")
        return 1
    text = asyncio.run(tables(found, few=options.quick))
    sys.stdout.write(text)
    if options.markdown is not None:
        write_measured(options.markdown, text, "windows")
    return 0


async def tables(found: Sequence[Sequence[ChatMessage]], *, few: bool) -> str:
    chats = found[:8] if few else found
    thirds = [(chat, tokens_of(chat) // 3) for chat in chats]
    rows = [_row(found[at : at + IN_A_ROW]) for at in range(0, len(found), IN_A_ROW)]
    long = [(row, WINDOW) for row in (rows[:1] if few else rows)]
    first = f"{len(thirds)} conversations, each in a window of a third of its length:"
    second = f"{len(long)} histories of {IN_A_ROW} conversations in a row, in {WINDOW:,} tokens:"
    parts = [(first, await _table(thirds)), (second, await _table(long))]
    return "\n".join(f"{title}\n\n{table}" for title, table in parts)


def _row(chats: Sequence[Sequence[ChatMessage]]) -> list[ChatMessage]:
    """Return conversations one after the other, with one system prompt; ids stay different."""
    row = [chats[0][0]]
    for number, chat in enumerate(chats):
        row += [_renamed(message, number) for message in chat[1:]]
    return row


def _renamed(message: ChatMessage, number: int) -> ChatMessage:
    renamed = dict(message)
    if renamed.get("tool_calls"):
        calls = [{**call, "id": f"{number}_{call['id']}"} for call in renamed["tool_calls"]]
        renamed["tool_calls"] = calls
    if "tool_call_id" in renamed:
        renamed["tool_call_id"] = f"{number}_{renamed['tool_call_id']}"
    return renamed


async def _table(histories: Sequence[tuple[Sequence[ChatMessage], int]]) -> str:
    rows = []
    for way in WAYS:
        figures = Figures()
        for messages, window in histories:
            figures += await replayed(way, messages, window)
        rows.append([way.title, *figures.cells()])
        sys.stderr.write(f"{way.title}: {figures}\n")
    rules = ["---", *("---:" for _ in _HEADER[1:])]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (_HEADER, rules, *rows))


if __name__ == "__main__":
    sys.exit(main())
