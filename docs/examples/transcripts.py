"""Files of transcripts, for the examples: reading them, and comparing messages.

Each line of a file is `{"id": "...", "messages": [...]}` with Chat Completions messages. What else
a line has is kept as it is.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tract import ContentValidationError, from_openai

SHIPPED = Path(__file__).with_name("transcript.jsonl")

Message = dict[str, Any]


class BadTranscript(Exception):
    """The file is missing, empty or malformed; the text says what and where."""


@dataclass(frozen=True)
class Transcript:
    """One line of the file: `record` is all that it has, `where` names it in errors."""

    id: str
    messages: list[Message]
    record: dict[str, Any]
    where: str


def load(path: Path) -> list[Transcript]:
    """Return the conversations of a file; raise BadTranscript if it has something else."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise BadTranscript(f"{path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise BadTranscript(f"{path} is no text in UTF-8: {error}") from error
    transcripts: dict[str, Transcript] = {}
    for number, line in enumerate(lines, 1):
        if line.strip():
            where = f"{path}, line {number}"
            transcript = parse(line, where)
            if transcript.id in transcripts:
                raise BadTranscript(f"{where}: the id {transcript.id!a} was there before")
            transcripts[transcript.id] = transcript
    if not transcripts:
        raise BadTranscript(f"{path} holds no conversations")
    return list(transcripts.values())


def parse(line: str, where: str) -> Transcript:
    """Return the conversation of one line; its messages are known to convert."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadTranscript(f"{where} is no JSON: {error}") from error
    if not isinstance(record, dict) or not {"id", "messages"} <= record.keys():
        raise BadTranscript(f"{where} is no object with 'id' and 'messages'")
    name, messages = record["id"], record["messages"]
    check_name("id", name, where)
    try:
        contents = from_openai(messages)
    except ContentValidationError as error:
        raise BadTranscript(f"{where}: {error}") from error
    if not contents:
        raise BadTranscript(f"{where} has no messages")
    return Transcript(name, messages, record, where)


def check_name(key: str, name: object, where: str) -> None:
    """Refuse what cannot name a tract."""
    if not (isinstance(name, str) and name.isprintable() and 0 < len(name) <= 255):
        raise BadTranscript(f"{where}: the {key} {name!a} is no printable string of 1 to 255")


def first_difference(expected: Sequence[Message], compiled: Sequence[Message]) -> str | None:
    """Return where two message lists differ first, or None if they are the same."""
    for index, (wanted, got) in enumerate(zip(expected, compiled, strict=False)):
        if comparable(wanted) != comparable(got):
            return f"message {index} should be {comparable(wanted)!a}, but is {comparable(got)!a}"
    if len(expected) != len(compiled):
        return f"there should be {len(expected)} messages, but there are {len(compiled)}"
    return None


def comparable(message: Message) -> Message:
    """Return what a message says: without empty keys and a tool message's redundant name."""
    redundant = {"name"} if message["role"] == "tool" else set()
    return {
        key: value
        for key, value in message.items()
        if key not in redundant and value is not None and value != []
    }
