"""`import_transcripts`: the transcript files of Claude Code, as transcripts here."""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from claude_agent_sdk import SessionKey

from tract.integrations.claude_agent.entries import digest
from tract.integrations.claude_agent.session_store import TractSessionStore

__all__ = ["ImportReport", "import_transcripts"]

_PORTION = 500  # entries in a transaction
_LINES = ".jsonl"
_SUBAGENTS = "subagents"


class ImportReport(NamedTuple):
    """What an import did, and what is not the same here as in the files."""

    transcripts: int
    """Files that were read."""
    entries: int
    """Those of the files; a line that is there twice under one uuid is one entry."""
    written: int
    """Entries that were written now; the others were here before."""
    unread: tuple[str, ...]
    """Lines that are not JSON objects, as `path:line`, and files that are not transcripts."""
    different: tuple[str, ...]
    """Files whose entries are not all here in their order."""


class _File(NamedTuple):
    path: Path
    key: SessionKey


class _Read(NamedTuple):
    entries: list[Any]
    unread: list[str]


async def import_transcripts(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], store: TractSessionStore
) -> ImportReport:
    """Import transcript files, with those of their subagents.

        await import_transcripts("~/.claude/projects", store)

    A path is a file `<project>/<session>.jsonl`, the folder of a project, or one of projects. The
    names of the folders are the keys, as in the SDK, so that sessions resume from the store. Call it
    again after it was cut short, or later: only entries that are not here are written. Everything is
    read again and compared at the end.

    Raises:
        FileNotFoundError: there is nothing at a path.
    """
    given = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    files, strangers = await asyncio.to_thread(_found, given)
    entries, written, different, unread = 0, 0, list[str](), strangers
    for file in files:
        read = await asyncio.to_thread(_read, file.path)
        new = _missing(read.entries, await store.load(file.key) or [])
        for start in range(0, len(new), _PORTION):
            await store.append(file.key, new[start : start + _PORTION])
        if not _is_whole(read.entries, await store.load(file.key) or []):
            different.append(str(file.path))
        entries, written = entries + len(read.entries), written + len(new)
        unread += read.unread
    return ImportReport(len(files), entries, written, tuple(unread), tuple(different))


def _found(paths: Iterable[str | os.PathLike[str]]) -> tuple[list[_File], list[str]]:
    """Return the transcripts at paths, each once, and files that are none."""
    found: dict[Path, SessionKey | None] = {}
    for given in paths:
        path = Path(given).expanduser().resolve()
        if not path.exists():
            raise FileNotFoundError(path)
        for each in _below(path):
            found[each] = _key(each)
    files = [_File(path, key) for path, key in found.items() if key is not None]
    return files, [str(path) for path, key in found.items() if key is None]


def _below(path: Path) -> Iterator[Path]:
    """Yield the files of lines at a path; with a session's own, those of its subagents."""
    if path.is_dir():
        yield from sorted(path.rglob(f"*{_LINES}"))
        return
    yield path
    yield from sorted((path.with_suffix("") / _SUBAGENTS).rglob(f"*{_LINES}"))


def _key(path: Path) -> SessionKey | None:
    """Return the SDK's key of a file; None if its place is not that of a transcript."""
    if path.suffix != _LINES:
        return None
    if _SUBAGENTS not in path.parts[:-1]:
        return SessionKey(project_key=path.parent.name, session_id=path.stem)
    at = path.parts.index(_SUBAGENTS)
    project, session = path.parts[at - 2 : at]
    subpath = "/".join([*path.parts[at:-1], path.stem])
    return SessionKey(project_key=project, session_id=session, subpath=subpath)


def _read(path: Path) -> _Read:
    read = _Read([], [])
    sidecar = path.with_suffix(".meta.json")
    if _SUBAGENTS in path.parts and sidecar.exists():
        meta = _object(sidecar.read_bytes())
        if meta is None:
            read.unread.append(str(sidecar))
        else:  # as the SDK mirrors it, and looks for it when it resumes
            read.entries.append({**meta, "type": "agent_metadata"})
    seen: set[tuple[str, str]] = set()
    for number, line in enumerate(path.read_bytes().split(b"\n"), 1):
        if not line.strip():
            continue
        entry = _object(line)
        if entry is None:
            read.unread.append(f"{path}:{number}")
            continue
        named = str(entry.get("uuid") or ""), digest(entry)
        if not named[0] or named not in seen:
            read.entries.append(entry)
        seen.add(named)
    return read


def _object(text: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _missing(entries: Iterable[Any], here: Iterable[Any]) -> list[Any]:
    """Return the entries that are not here as often as they are in the file."""
    left = Counter(map(digest, here))
    missing = []
    for entry in entries:
        name = digest(entry)
        left[name] -= 1
        if left[name] < 0:
            missing.append(entry)
    return missing


def _is_whole(entries: Iterable[Any], here: Iterable[Any]) -> bool:
    """Return True if all entries are here, in their order; of the sidecar's, the place may differ."""
    stored = [digest(entry) for entry in here]
    following = iter(stored)
    for entry in entries:
        among = stored if entry.get("type") == "agent_metadata" else following
        if digest(entry) not in among:
            return False
    return True
