"""From what a caller gives to a draft: checked, serialised, hashed and counted.

Everything that does not depend on a commit's place in the history happens here, before the
transaction. Small contents are done at once; for large ones a copy is taken at once, so that
the caller may go on with the original, and the work is done on a thread.
"""

from __future__ import annotations

import json
import marshal
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from functools import partial
from typing import Any, Literal, NamedTuple, TypeVar

from pydantic import BaseModel

from tract.engine.compile.compiler import DefaultContextCompiler
from tract.engine.compile.contents import ContentRegistry
from tract.engine.threads import Threads, freeze, is_heavy
from tract.exceptions import ContentValidationError, EditTargetError, TractError, shown
from tract.history.canonical import as_object, canonical_bytes, canonical_json, stored_json
from tract.history.hashing import content_hash
from tract.history.redaction import REDACTED, Redactor
from tract.models.annotations import AnnotationContent, Priority
from tract.models.commit import CommitOperation
from tract.models.merging import MergeContent
from tract.storage.repositories import CommitDraft, StoredCommit

__all__ = ["DraftMaker", "Given", "Staged"]

_QUICK = 50  # small commits, about a millisecond of work
_REMEMBERED = 4096
_CONFIGS = 64  # each of up to `HEAVY` characters
_BY_VALUE = 2  # marshal's last version whose bytes do not depend on which objects are shared
_UNCHANGING = frozenset({str, int, float, bool, type(None)})

E = TypeVar("E", bound=StrEnum)


class Given(NamedTuple):
    """What a caller gave for one commit."""

    content: BaseModel | Mapping[str, Any]
    operation: CommitOperation | Literal["append", "edit"] = CommitOperation.APPEND
    edit_target: str | int | None = None
    message: str | None = None
    metadata: Mapping[str, Any] | None = None
    generation_config: Mapping[str, Any] | None = None
    redact: bool = True
    """False stores metadata and config as they are."""


class Checked(NamedTuple):
    """A draft without its token count, and the content's fields to count."""

    draft: CommitDraft
    fields: Mapping[str, Any]


Staged = CommitDraft | Checked | Callable[[], CommitDraft | Checked]
"""A commit on its way to a draft: done, to be counted, or all to be done on a thread."""


class DraftMaker:
    """Makes drafts for one store."""

    def __init__(
        self,
        registry: ContentRegistry,
        compiler: DefaultContextCompiler,
        threads: Threads,
        max_content_bytes: int,
        redactor: Redactor | None = None,
    ) -> None:
        self._redactor = redactor
        self._threads = threads
        self._registry = registry
        self._compiler = compiler
        self._max_content_bytes = max_content_bytes
        self._tokens: dict[str, int] = {}
        self._configs: dict[bytes, str] = {}

    async def make(self, given: Given) -> CommitDraft:
        """Return the draft of a commit.

        Raises:
            ContentValidationError: content, message, metadata or config cannot be stored.
            EditTargetError: the operation and its target do not go together.
        """
        staged = self.stage(given, checking=False)
        if isinstance(staged, Checked):  # then the counter is ready
            return self._count(staged)
        (draft,) = await self.finish([staged])
        return draft

    async def hash_of(self, content: BaseModel) -> str:
        """Return the hash that a content has if it is committed as it is now."""
        staged = self.stage(Given(content))
        made = await self._threads.run(staged) if callable(staged) else staged
        return (made.draft if isinstance(made, Checked) else made).content_hash

    async def annotate(self, target: str, priority: str, reason: str | None) -> CommitDraft:
        """Return the draft of an ANNOTATE commit.

        Raises:
            ContentValidationError: *reason* is no text, or *priority* none.
        """
        (draft,) = await self.finish([self.stage_annotation(target, priority, reason)])
        return draft

    def merge(self, branch: str, merged_head: str, message: str | None) -> CommitDraft:
        """Return the draft of the commit that merges a branch with that head."""
        note = _text(message, "message") or f"Merge branch '{branch}'"
        data = canonical_bytes(MergeContent(branch=branch).model_dump())
        draft = _draft("merge", CommitOperation.MERGE, data, None, message=note)
        return draft._replace(merge_parent=merged_head)

    def stage(self, given: Given, *, checking: bool = True) -> Staged:
        """Return what `finish` makes a draft of, with a copy of all that the caller may change.

        A small commit is checked now; a large one is only taken down.
        """
        values = (given.content, given.metadata, given.generation_config)
        if not is_heavy(given.message, *values) and (checking or self._compiler.ready):
            return self.check(given)
        return partial(self._thawed, given, freeze(values))

    def stage_annotation(self, target: str | int, priority: str, reason: str | None) -> Staged:
        """Return what `finish` makes the draft of an ANNOTATE commit of; see `stage`."""
        chosen = _member(Priority, priority)
        if chosen is None:
            names = ", ".join(Priority)
            raise ContentValidationError(
                f"{shown(priority)} is no priority. Use one of: {names}.", "priority"
            )
        if is_heavy(reason):
            return partial(self._annotation, target, chosen, reason)
        return self._annotation(target, chosen, reason)

    async def finish(self, staged: Sequence[Staged]) -> list[CommitDraft]:
        """Return the drafts of commits that were staged, made on a thread if that is long work."""
        quick = len(staged) <= _QUICK and not any(map(callable, staged))
        if quick and self._compiler.ready:
            return self._finish(staged)
        return await self._threads.run(self._finish, staged)

    def _finish(self, staged: Sequence[Staged]) -> list[CommitDraft]:
        drafts: list[CommitDraft] = []
        for item in staged:
            made = item() if callable(item) else item
            drafts.append(self._count(made) if isinstance(made, Checked) else made)
        return drafts

    def _thawed(self, given: Given, thaw: Callable[[], Any]) -> Checked:
        content, metadata, generation_config = thaw()
        return self.check(
            given._replace(content=content, metadata=metadata, generation_config=generation_config),
            light=False,
        )

    def _annotation(self, target: str | int, priority: Priority, reason: str | None) -> CommitDraft:
        content = AnnotationContent(priority=priority.value, reason=_text(reason, "reason"))
        data = self._bounded(canonical_bytes(content.model_dump()), "reason")
        return _draft("annotation", CommitOperation.ANNOTATE, data, target)

    def _bounded(self, data: bytes, field: str) -> bytes:
        if len(data) > self._max_content_bytes:
            raise ContentValidationError(
                f"the content has {len(data)} bytes, more than max_content_bytes "
                f"({self._max_content_bytes}). Split it, or raise TractConfig.max_content_bytes.",
                field,
            )
        return data

    def check(self, given: Given, *, light: bool = True) -> Checked:
        """Return the draft of a commit whose tokens are still to be counted; see `make`.

        *light* tells that it is no long work, done on the event loop.
        """
        operation = _operation(given)
        message = _text(given.message, "message")
        name, fields = self._registry.read(given.content)
        data = canonical_bytes(fields)
        redactor = None if given.redact is False else self._redactor
        if len(data) > self._max_content_bytes:
            self._bounded(data, _longest(fields))
        draft = _draft(
            name,
            operation,
            data,
            given.edit_target,
            message=message,
            metadata_json=_object(given.metadata, "metadata", redactor),
            generation_config_json=self._config(given.generation_config, redactor, light=light),
            token_source=self._compiler.source_of(name),
        )
        return Checked(draft, json.loads(data) if _may_change(fields) else fields)

    def _config(self, value: Any, redactor: Redactor | None, *, light: bool) -> str | None:
        """Return a config as JSON text; light ones are remembered, as most of an agent's are one."""
        if light and value is not None:
            try:
                key = marshal.dumps(value, _BY_VALUE)
                known = self._configs.get(key)  # it has no secrets, so it is the same for all
                if known is not None or redactor is self._redactor:
                    return known or self._remembered(key)
            except (ValueError, ContentValidationError):
                pass  # marshal cannot write it, or only as bytes, or nobody can
        return _object(value, "generation_config", redactor)

    def _remembered(self, key: bytes) -> str | None:
        """Return the text of a config that was taken down, and remember it without secrets.

        The config itself may have changed since, on another thread.
        """
        text = _object(marshal.loads(key), "generation_config", self._redactor)
        if text is not None and REDACTED not in text:
            if len(self._configs) >= _CONFIGS:
                self._configs.clear()
            self._configs[key] = text
        return text

    def _count(self, checked: Checked) -> CommitDraft:
        """Return the draft with its tokens; each content is counted once."""
        draft, fields = checked
        count = self._tokens.get(draft.content_hash)
        if count is None:
            count = self._compiler.body_tokens(self._compiler.render(draft.content_type, fields))
            if len(self._tokens) >= _REMEMBERED:
                self._tokens.clear()
            self._tokens[draft.content_hash] = count
        return draft._replace(token_count=count)

    def recount(self, stored: StoredCommit) -> int | None:
        """Return the tokens of a commit whose content is sound; None where nobody here can tell.

        That is where another counter or rendering was at work, or the vocabulary cannot be had.
        """
        record = stored.record
        if record.operation == CommitOperation.ANNOTATE:
            return 0
        known = stored.token_source == self._compiler.source_of(record.content_type) != ""
        if not known or stored.data is None:
            return None
        try:
            fields = stored_json(stored.data, "")
            return self._compiler.body_tokens(self._compiler.render(record.content_type, fields))
        except (TractError, LookupError, TypeError, AttributeError):
            return None


def _object(value: object, path: str, redactor: Redactor | None) -> str | None:
    """Return a config or metadata as JSON text, without secrets where there is a redactor."""
    given = as_object(value, path)
    return None if given is None else canonical_json(given, path, redactor)


def _may_change(fields: Mapping[str, Any]) -> bool:
    """Tell whether *fields* have more than plain values: what a caller may change, or foreign."""
    return not _UNCHANGING.issuperset(map(type, fields.values()))


def _longest(fields: Mapping[str, Any]) -> str:
    """Return the field to blame for a content's size."""
    named = [name for name in fields if name != "content_type"]
    return max(named, key=lambda name: len(canonical_json(fields[name])), default="content_type")


def _operation(given: Given) -> CommitOperation:
    operation = _member(CommitOperation, given.operation)
    if operation is None:
        raise ContentValidationError(
            f"{shown(given.operation)} is no operation. Use APPEND or EDIT.", "operation"
        )
    if operation is CommitOperation.ANNOTATE:
        raise ContentValidationError("annotations are made by `annotate()`", "operation")
    if operation is CommitOperation.MERGE:
        raise ContentValidationError("merges are made by `merge()`", "operation")
    target = given.edit_target
    if operation is CommitOperation.EDIT and target is None:
        raise EditTargetError(
            None, "is missing: an EDIT names the entry it changes, `edit_target=`."
        )
    if operation is CommitOperation.APPEND and target is not None:
        raise EditTargetError(
            str(target),
            "was given with an APPEND. Pass `operation=CommitOperation.EDIT` to edit it.",
        )
    if target is not None and not isinstance(target, (str, int)):
        raise EditTargetError(shown(target), "is no commit hash.")
    return operation


def _draft(
    content_type: str,
    operation: CommitOperation,
    data: bytes,
    target: str | int | None,
    *,
    message: str | None = None,
    metadata_json: str | None = None,
    generation_config_json: str | None = None,
    token_source: str = "",
) -> CommitDraft:
    return CommitDraft(
        content_type=content_type,
        operation=operation.value,
        content_hash=content_hash(data),
        data=data,
        target=target,
        message=message,
        metadata_json=metadata_json,
        generation_config_json=generation_config_json,
        token_count=0,
        token_source=token_source,
    )


def _text(value: object, path: str) -> str | None:
    if value is None:
        return None
    if not issubclass(type(value), str):
        raise ContentValidationError(f"a {type(value).__name__} is no string", path)
    text = str.__str__(value)
    canonical_json(text, path)
    return text


def _member(enum: type[E], value: object) -> E | None:
    """Return the member that *value* is or names, or None."""
    if type(value) is enum:
        return value
    try:
        return enum(str.__str__(value))
    except (TypeError, ValueError):
        return None
