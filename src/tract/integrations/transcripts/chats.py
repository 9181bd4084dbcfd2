"""`import_chats`: logs of chats as JSONL, and ChatML, as tracts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tract.exceptions import ContentValidationError
from tract.formats.openai_chat.contents import from_openai
from tract.formats.openai_chat.shapes import API
from tract.integrations.transcripts.importing import (
    Conversation,
    ImportReport,
    Paths,
    Read,
    Step,
    import_files,
)
from tract.integrations.transcripts.lines import is_storable, lines_of, numbered, object_of
from tract.models.content import NativeContent, StateContent
from tract.models.refs import quote_id
from tract.store import TractStore

__all__ = ["import_chats"]

_START, _END = "<|im_start|>", "<|im_end|>"
_BLOCK = re.compile(
    rf"{re.escape(_START)}(?P<role>\w+)(?: name=(?P<name>\S+))?\n(?P<text>.*?){re.escape(_END)}",
    re.DOTALL,
)
_OPEN = re.compile(rf"{re.escape(_START)}\w+\s*")


async def import_chats(paths: Paths, store: TractStore) -> ImportReport:
    """Import logs of messages as the Chat Completions API has them.

        await import_chats(["support.jsonl", "logs"], store)

    A file is of one of three forms. With one message on each line, `{"role": …, "content": …}`, it is
    one conversation, and becomes the tract of its name without its ending. With one conversation on each
    line, `{"messages": […], "tools": […]}`, as for fine-tuning, each becomes the tract of that name, `/`
    and the number of the line; further members of the line become state. A file of ChatML, which begins
    with `<|im_start|>`, is one conversation. Call this again after it was cut short, or later: only
    messages that are not here are written. Everything is read again and compared at the end.

    Args:
        paths: files, or folders that are searched for `.jsonl` and `.chatml`. A file that is found in a
            folder is named by its path there.
        store: where the conversations go.

    Raises:
        FileNotFoundError: there is nothing at a path.
    """
    return await import_files(paths, store, (".jsonl", ".chatml"), _read)


def _read(path: Path, name: str) -> Read:
    data = path.read_bytes()
    if data.lstrip().startswith(_START.encode()):
        return _chatml(path, name, data)
    log: list[Step] = []
    conversations, unread = [], []
    for number, text in lines_of(data):
        line = object_of(text)
        place = numbered(path, number)
        if line is not None and isinstance(line.get("messages"), list):
            steps = _conversation(line)
            if steps is not None:
                tract_id = quote_id(f"{name}/{number}")
                conversations.append(Conversation(place, tract_id, steps, {"source": path.name}))
                continue
        elif line is not None and (step := _message(f"line/{number}", line)) is not None:
            log.append(step)
            continue
        unread.append(place)
    if log:
        conversations.insert(0, _named(path, name, log))
    return Read(conversations, unread)


def _named(path: Path, name: str, steps: list[Step]) -> Conversation:
    return Conversation(str(path), quote_id(name), steps, {"source": path.name})


def _message(key: str, message: Any) -> Step | None:
    """Return a message as it is committed; None if it is not one."""
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        return None
    try:
        contents = list(from_openai([message]))
    except ContentValidationError:
        return None
    return Step(key, contents or [NativeContent(api=API, item=message)])


def _conversation(line: dict[str, Any]) -> list[Step] | None:
    """Return the messages of a line; None if one of them cannot be committed, so that none is."""
    steps = [_message(f"message/{n}", each) for n, each in enumerate(line["messages"], 1)]
    rest = {name: each for name, each in line.items() if name != "messages"}
    made = []
    try:
        tools = rest.get("tools")
        if isinstance(tools, list) and tools:
            made.append(Step("tools", list(from_openai([], tools=tools))))
            del rest["tools"]
    except ContentValidationError:
        return None
    if rest:
        made.append(Step("line", [StateContent(payload=rest)]))
    for step in steps:
        if step is None:
            return None
        made.append(step)
    return made


def _chatml(path: Path, name: str, data: bytes) -> Read:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return Read([], [str(path)])
    steps, unread = [], []
    for number, (line, part) in enumerate(_parts(text), 1):
        found = _BLOCK.fullmatch(part)
        message = found and {
            "role": found["role"],
            "content": found["text"],
            **({"name": found["name"]} if found["name"] else {}),
        }
        step = _message(f"message/{number}", message) if is_storable(message) else None
        if step is not None:
            steps.append(step)
        elif not _OPEN.fullmatch(part):  # how a prompt ends, for the model to go on
            unread.append(numbered(path, line))
    return Read([_named(path, name, steps)] if steps else [], unread)


def _parts(text: str) -> Iterator[tuple[int, str]]:
    """Yield blocks and what is between them, with the numbers of the lines where they begin."""
    at = 0
    while at < len(text):
        found = _BLOCK.search(text, at)
        start, end = found.span() if found else (len(text), len(text))
        between = text[at:start]
        if between.strip():
            lead = len(between) - len(between.lstrip())
            yield text.count("\n", 0, at + lead) + 1, between.strip()
        if found:
            yield text.count("\n", 0, start) + 1, found[0]
        at = end
