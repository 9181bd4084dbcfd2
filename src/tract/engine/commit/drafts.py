"""Making drafts of what callers pass: checked, serialised, hashed and counted.

Everything that does not depend on a commit's place in the history happens here, before the
transaction. Everything here is synchronous; `CommitEngine` chooses the thread.
"""

from __future__ import annotations

import json
import marshal
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import partial
from typing import Any, Literal, NamedTuple, TypeVar

from pydantic import BaseModel

from tract.engine.commit.attachments import split
from tract.engine.commit.keys import checked_key, checked_on_key
from tract.engine.compile.compiler import DefaultContextCompiler
from tract.engine.contents.registry import BUILT_IN, PRIORITY, PROVIDED, Fields
from tract.exceptions import ContentValidationError, EditTargetError, shown
from tract.history.canonical import (
    as_object,
    canonical_bytes,
    canonical_json,
    plain_text,
    stored_json,
)
from tract.history.hashing import content_hash
from tract.history.redaction import REDACTED, Redactor
from tract.models.annotations import AnnotationContent, Priority
from tract.models.compaction import COMPACTION, CompactionContent, ExpansionContent
from tract.models.config import ContentType
from tract.models.content import DialogueContent
from tract.models.erasure import ERASED
from tract.models.merging import MergeContent
from tract.models.operations import OPERATIONS, CommitOperation, OnKey
from tract.storage.repositories import Attached, CommitDraft, Origin

__all__ = ["DraftMaker", "Given", "checked_priority"]

_REMEMBERED = 4096
_CONFIGS = 64
_LONGEST_CONFIG = 16_000  # bytes
_BY_VALUE = 2  # the last marshal version whose bytes do not depend on shared objects
_SPLIT = PROVIDED | {"state"}
_UNCHANGING = frozenset({str, int, float, bool, type(None)})

E = TypeVar("E", bound=StrEnum)


class Given(NamedTuple):
    """The unchecked input of one commit."""

    content: BaseModel | Mapping[str, Any]
    operation: CommitOperation | Literal["append", "edit"] = CommitOperation.APPEND
    edit_target: str | int | None = None
    message: str | None = None
    metadata: Mapping[str, Any] | None = None
    generation_config: Mapping[str, Any] | None = None
    redact: bool | None = None
    """Whether to redact metadata and config; None if the content type is to say."""
    origins: tuple[Origin, ...] = ()
    role: str | None = None
    """Which role shows the content, if the content is not to say it."""
    key: str | None = None
    on_key: OnKey = "error"


class DraftMaker:
    """Makes the drafts of one store; callable from any thread.

    *redactor* keeps secrets out of configs and metadata; None stores them unchanged.
    """

    def __init__(
        self, compiler: DefaultContextCompiler, max_content_bytes: int, redactor: Redactor | None
    ) -> None:
        self._compiler = compiler
        self._registry = compiler.registry
        self._max_content_bytes = max_content_bytes
        self._redactor = redactor
        self._counts: dict[str, tuple[int, tuple[str, ...]]] = {}
        self._configs: dict[bytes, str] = {}
        self._ready = False

    @property
    def ready(self) -> bool:
        """Whether counting can start without loading anything."""
        self._ready = self._ready or self._compiler.ready
        return self._ready

    def check(self, given: Given) -> Callable[[], CommitDraft]:
        """Check the input, and return a function that counts its tokens and makes the draft.

        The function shares no mutable object with the input.

        Raises:
            ContentValidationError: content, message, metadata or config cannot be stored.
            EditTargetError: the operation and its target do not go together.
        """
        operation = _operation(given)
        message = _text(given.message, "message")
        name, fields = self._registry.read(given.content, given.role)
        kind = self._registry.kind(name)
        if kind is not None or operation is CommitOperation.STATE:
            operation = _operation_for(name, kind, operation)
        attachments: tuple[Attached, ...] = ()
        if name in _SPLIT or (name == "tool_io" and type(fields["payload"]) is list):
            fields, attachments = split(name, fields, self._max_content_bytes)
        if kind is not None and kind.priority is not None and operation == CommitOperation.APPEND:
            fields = {**fields, PRIORITY: Priority(kind.priority).value}
        data = canonical_bytes(fields, surrogates=name in PROVIDED)
        redactor = self._redactor if _redacts(given, kind) else None
        if len(data) > self._max_content_bytes:
            self._bounded(data, _longest(fields))
        hashed = content_hash(data)
        draft = partial(
            CommitDraft,
            content_type=name,
            operation=str.__str__(operation),
            content_hash=hashed,
            data=data,
            target=given.edit_target,
            message=message,
            metadata_json=_object(given.metadata, "metadata", redactor),
            generation_config_json=self._config(given.generation_config, redactor),
            token_count=0,
            token_source=self._compiler.source_of(name),
            origins=given.origins,
            attachments=attachments,
        )
        if given.key is not None:
            key, on_key = checked_key(given.key), checked_on_key(given.on_key)
            draft = partial(draft, key=key, on_key=on_key)
        if operation == CommitOperation.STATE:
            return draft
        fields = json.loads(data) if _may_change(fields) else fields
        return partial(self._counted, draft, name, hashed, fields)

    def annotation(self, target: str | int, priority: Priority, reason: str | None) -> CommitDraft:
        """Return the draft of an ANNOTATE commit.

        Raises:
            ContentValidationError: *reason* cannot be stored.
        """
        content = AnnotationContent(priority=priority.value, reason=_text(reason, "reason"))
        data = self._bounded(canonical_bytes(content.model_dump()), "reason")
        return _draft("annotation", CommitOperation.ANNOTATE, data, target)

    def compaction(self, what: CompactionContent, summary: Given | None) -> CommitDraft:
        """Return the draft of a COMPACT commit, which shows *summary* for what it hides.

        Raises:
            ContentValidationError: the summary, or what comes with it, cannot be stored.
        """
        given = summary or Given(DialogueContent(role="user", text=""))
        draft = self.check(given)()
        if draft.operation == CommitOperation.STATE:
            raise ContentValidationError("no context shows a state", "summary")
        fields = what.model_dump()
        if summary is not None:
            fields["summary"] = stored_json(draft.data, "summary")
        data = self._bounded(canonical_bytes(fields, surrogates=True), "hides")
        return draft._replace(
            content_type=COMPACTION,
            operation=CommitOperation.COMPACT.value,
            content_hash=content_hash(data),
            data=data,
        )

    def expansion(self, target: str, reason: str | None) -> CommitDraft:
        """Return the draft of an EXPAND commit.

        Raises:
            ContentValidationError: *reason* cannot be stored.
        """
        content = ExpansionContent(reason=_text(reason, "reason"))
        data = self._bounded(canonical_bytes(content.model_dump()), "reason")
        return _draft("expansion", CommitOperation.EXPAND, data, target)

    def erased(self, target: str, data: bytes) -> CommitDraft:
        """Return the draft of an EDIT that leaves an entry erased, by what stands for its content."""
        return _draft(ERASED, CommitOperation.EDIT, data, target, message="merge")

    def merge(self, branch: str, merged_head: str, message: str | None) -> CommitDraft:
        """Return the draft of a merge commit, for a branch with that head."""
        note = _text(message, "message") or f"Merge branch '{branch}'"
        data = canonical_bytes(MergeContent(branch=branch).model_dump())
        draft = _draft("merge", CommitOperation.MERGE, data, None, message=note)
        return draft._replace(merge_parent=merged_head)

    def _counted(
        self, draft: Callable[..., CommitDraft], name: str, hashed: str, fields: Fields
    ) -> CommitDraft:
        """Return the draft of a content, with its token count; each content is counted once.

        What a custom content shows may refer to attachments, too.
        """
        counted = self._counts.get(hashed)
        if counted is None:
            messages = self._compiler.messages(name, fields)
            named: tuple[str, ...] = ()
            if name not in BUILT_IN:
                named = self._compiler.attachments(name, fields, messages)
            if len(self._counts) >= _REMEMBERED:
                self._counts.clear()
            counted = self._counts[hashed] = self._compiler.count(messages), named
        count, named = counted
        if named:
            return draft(token_count=count, attachments=tuple(map(Attached, named)))
        return draft(token_count=count)

    def _config(self, value: Any, redactor: Redactor | None) -> str | None:
        """Return a config as JSON text, cached: most commits of an agent have the same config.

        One of ten tools takes 1.3 ms to write, and 0.03 ms to look up.
        """
        if value is not None:
            try:
                key = marshal.dumps(value, _BY_VALUE)
                known = self._configs.get(key)  # has no secrets, so any redactor gives the same
                if known is not None:
                    return known
                if redactor is self._redactor and len(key) <= _LONGEST_CONFIG:
                    return self._remembered(key)
            except (ValueError, ContentValidationError):
                pass  # marshal cannot write it, or it cannot be stored at all
        return _object(value, "generation_config", redactor)

    def _remembered(self, key: bytes) -> str | None:
        """Return the JSON text of a marshalled config, and cache it if it has no secrets.

        The caller's own config may have changed since, on another thread.
        """
        text = _object(marshal.loads(key), "generation_config", self._redactor)
        if text is not None and REDACTED not in text:
            if len(self._configs) >= _CONFIGS:
                self._configs.clear()
            self._configs[key] = text
        return text

    def _bounded(self, data: bytes, field: str) -> bytes:
        if len(data) > self._max_content_bytes:
            raise ContentValidationError(
                f"the content has {len(data)} bytes, more than max_content_bytes "
                f"({self._max_content_bytes}). Split it, or raise TractConfig.max_content_bytes.",
                field,
            )
        return data


def checked_priority(value: object) -> Priority:
    """Return *value* as a priority.

    Raises:
        ContentValidationError: it is not a priority.
    """
    chosen = _member(Priority, value)
    if chosen is None:
        names = ", ".join(Priority)
        raise ContentValidationError(
            f"{shown(value)} is not a priority. Use one of: {names}.", "priority"
        )
    return chosen


def _object(value: object, path: str, redactor: Redactor | None) -> str | None:
    """Return a config or metadata as JSON text; a redactor removes its secrets."""
    if value is None:
        return None
    return canonical_json(as_object(value, path), path, redactor)


def _may_change(fields: Mapping[str, Any]) -> bool:
    """Return True if *fields* have mutable values, or values of custom types."""
    return not _UNCHANGING.issuperset(map(type, fields.values()))


def _longest(fields: Mapping[str, Any]) -> str:
    """Return the field to blame for a content's size."""
    named = [name for name in fields if name != "content_type"]
    return max(named, key=lambda name: len(canonical_json(fields[name])), default="content_type")


def _operation_for(
    content_type: str, kind: ContentType | None, asked: CommitOperation
) -> CommitOperation:
    """Return the operation of a commit with such a content: those of state have one of their own.

    Raises:
        ContentValidationError: *asked* is not possible with it.
    """
    is_state = kind is not None and kind.state
    if is_state and asked is CommitOperation.EDIT:
        raise ContentValidationError(
            f"a content of type {content_type!r} is state, which replaces no entry. Commit it "
            "without `operation` and `edit_target`",
            "operation",
        )
    if not is_state and asked is CommitOperation.STATE:
        raise ContentValidationError(
            f"a content of type {content_type!r} is not state. Leave `operation` out, or use "
            "`state()`",
            "operation",
        )
    return CommitOperation.STATE if is_state else asked


def _redacts(given: Given, kind: ContentType | None) -> bool:
    if given.redact is None and kind is not None:
        return kind.redact is not False
    return given.redact is not False


def _operation(given: Given) -> CommitOperation:
    operation = _member(CommitOperation, given.operation)
    if operation is None:
        raise ContentValidationError(
            f"{shown(given.operation)} is not an operation. Use APPEND or EDIT.", "operation"
        )
    rule = OPERATIONS[operation]
    if rule.content_type is not None:
        raise ContentValidationError(
            f"{rule.content_type}s are made by `{rule.made_by}()`", "operation"
        )
    target = given.edit_target
    if rule.needs_target and target is None:
        raise EditTargetError(
            None, "is missing: an EDIT names the entry it changes, `edit_target=`."
        )
    if not rule.needs_target and target is not None:
        raise EditTargetError(
            str(target),
            "was given with an APPEND. Pass `operation=CommitOperation.EDIT` to edit it.",
        )
    if target is not None and not isinstance(target, (str, int)):
        raise EditTargetError(shown(target), "is not a commit hash.")
    return operation


def _draft(
    content_type: str,
    operation: CommitOperation,
    data: bytes,
    target: str | int | None,
    *,
    message: str | None = None,
) -> CommitDraft:
    return CommitDraft(
        content_type=content_type,
        operation=str.__str__(operation),
        content_hash=content_hash(data),
        data=data,
        target=target,
        message=message,
        metadata_json=None,
        generation_config_json=None,
        token_count=0,
        token_source="",
    )


def _text(value: object, path: str) -> str | None:
    if value is None:
        return None
    if not issubclass(type(value), str):
        raise ContentValidationError(f"a {type(value).__name__} is not a string", path)
    return plain_text(str.__str__(value), path)


def _member(enum: type[E], value: object) -> E | None:
    """Return the enum member that *value* is or names, or None."""
    if type(value) is enum:
        return value
    try:
        return enum(str.__str__(value))
    except (TypeError, ValueError):
        return None
