"""What all importers of files share: steps with keys, written in portions and compared at the end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from tract.exceptions import HeadMovedError, MetadataChangedError
from tract.handles.staging import StagedCommit
from tract.models.commit import CommitInfo
from tract.models.content import ContentModel
from tract.store import TractStore
from tract.tract import AsyncTract

__all__ = ["Conversation", "ImportReport", "Paths", "Read", "Step", "import_files"]

Paths: TypeAlias = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]

_PORTION = 200  # steps in a transaction
_LOOKED_UP = 500  # keys or contents that are read at a time


class ImportReport(NamedTuple):
    """What an import did, and what is not the same here as in the files."""

    conversations: int
    """Those that the files hold."""
    entries: int
    """Lines or messages of the files that can be imported."""
    written: int
    """Those that were written now; the others were here before."""
    unread: tuple[str, ...]
    """Lines that did not come, as `path:line`, and files of another form, as `path`."""
    different: tuple[str, ...]
    """Conversations, as `path` or `path:line`, of which a tract of that name holds something else."""


@dataclass
class Step:
    """A line or message, as it is committed."""

    key: str
    contents: list[ContentModel]
    metadata: dict[str, Any] | None = None
    config: dict[str, Any] | None = None
    usage: dict[str, int] | None = None
    """What the API reported of the context before it."""
    hides: list[str] = field(default_factory=list)
    """Keys of what a model is no longer shown from here on."""

    def keys(self) -> list[str]:
        """Return the keys of its commits."""
        further = (f"{self.key}/{number}" for number in range(1, len(self.contents)))
        return [self.key, *further]


class Conversation(NamedTuple):
    """One that becomes a tract."""

    place: str
    tract_id: str
    steps: list[Step]
    metadata: dict[str, Any]


class Read(NamedTuple):
    """What a file holds."""

    conversations: list[Conversation]
    unread: list[str]


async def import_files(
    paths: Paths, store: TractStore, endings: Sequence[str], read: Callable[[Path, str], Read]
) -> ImportReport:
    """Import what *read* finds in files, given each with its name below the folder that was given.

    Raises:
        FileNotFoundError: there is nothing at a path.
    """
    given = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    report = ImportReport(0, 0, 0, (), ())
    for path, name in await asyncio.to_thread(_found, given, endings):
        found = await asyncio.to_thread(read, path, name)
        report = report._replace(unread=(*report.unread, *found.unread))
        for conversation in found.conversations:
            importing = _Importing(store, conversation)
            written = await importing.run()
            different = () if await importing.is_whole() else (conversation.place,)
            report = ImportReport(
                report.conversations + 1,
                report.entries + len(conversation.steps),
                report.written + written,
                report.unread,
                report.different + different,
            )
    return report


def _found(
    paths: Iterable[str | os.PathLike[str]], endings: Sequence[str]
) -> list[tuple[Path, str]]:
    """Return the files at paths, each once, with their names below the paths."""
    found: dict[Path, str] = {}
    for given in paths:
        path = Path(given).expanduser().resolve()
        if not path.exists():
            raise FileNotFoundError(path)
        if not path.is_dir():
            found.setdefault(path, path.stem)
            continue
        for each in sorted(path.rglob("*")):
            if each.suffix in endings and each.is_file():
                found.setdefault(each, each.relative_to(path).with_suffix("").as_posix())
    return list(found.items())


class _Importing:
    """The import of one conversation."""

    def __init__(self, store: TractStore, conversation: Conversation) -> None:
        self._steps = conversation.steps
        self._metadata = conversation.metadata
        self._tract: AsyncTract = store.tract(conversation.tract_id)

    async def run(self) -> int:
        """Write the steps that are not here; return how many."""
        await self._describe()
        written = 0
        while True:
            head = await self._tract.head()
            here = await self._here()
            left = [step for step in self._steps if step.key not in here]
            if not left:
                return written
            with suppress(HeadMovedError):  # others have written meanwhile
                for start in range(0, len(left), _PORTION):
                    portion = left[start : start + _PORTION]
                    commits = await _write(self._tract, head, portion, here)
                    here, head = here | commits, list(commits.values())[-1].commit_hash
                    written += len(portion)

    async def is_whole(self) -> bool:
        """Return True if each step is here as it is in the file."""
        here = await self._here()
        wanted = {
            key: (content, step.metadata)
            for step in self._steps
            for key, content in zip(step.keys(), step.contents, strict=True)
        }
        if not wanted.keys() <= here.keys():
            return False
        keys = list(wanted)
        for start in range(0, len(keys), _LOOKED_UP):
            some = keys[start : start + _LOOKED_UP]
            found = await self._tract.get_contents(here[key].commit_hash for key in some)
            for key, content in zip(some, found, strict=True):
                if (content, here[key].metadata) != wanted[key]:
                    return False
        return True

    async def _describe(self) -> None:
        """Keep what the file says of itself, unless the tract has metadata of its own."""
        info = await self._tract.info()
        if info is None or info.metadata is None:
            with suppress(MetadataChangedError):
                await self._tract.set_info(
                    metadata=self._metadata, expected_metadata=None, redact=False
                )

    async def _here(self) -> dict[str, CommitInfo]:
        keys = [key for step in self._steps for key in step.keys()]
        found: dict[str, CommitInfo] = {}
        for start in range(0, len(keys), _LOOKED_UP):
            found |= await self._tract.get_by_keys(keys[start : start + _LOOKED_UP])
        return found


async def _write(
    tract: AsyncTract, head: str | None, steps: Sequence[Step], here: Mapping[str, CommitInfo]
) -> dict[str, CommitInfo]:
    """Commit steps in one transaction; return the commits by key, the newest last."""
    staged: dict[str, StagedCommit] = {}
    async with tract.batch(expected_head=head) as batch:
        for step in steps:
            if step.usage is not None and (staged or head is not None):
                batch.record_usage(step.usage)
            for hidden in step.hides:
                target = staged.get(hidden) or here[hidden].commit_hash
                batch.annotate(target, "skip", reason=step.key)
            for key, content in zip(step.keys(), step.contents, strict=True):
                staged[key] = batch.commit(
                    content,
                    metadata=step.metadata,
                    generation_config=step.config,
                    redact=False,
                    key=key,
                )
    return {key: commit.info for key, commit in staged.items()}
