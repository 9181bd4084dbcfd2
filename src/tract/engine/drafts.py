"""From what a caller gives to a draft: checked, serialised, hashed and counted.

Everything that does not depend on a commit's place in the history happens here, before the
transaction. Small contents are done at once; for large ones a copy is taken at once, so that
the caller may go on with the original, and the work is done on a thread.
"""

from __future__ import annotations

import copy
import json
import marshal
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

from anyio import to_thread
from pydantic import BaseModel

from tract.canonical import MAX_DEPTH, canonical_bytes, canonical_json
from tract.engine.compiler import DefaultContextCompiler
from tract.engine.contents import ContentRegistry
from tract.engine.hashing import commit_hash, content_hash
from tract.exceptions import ContentValidationError, EditTargetError
from tract.models.annotations import AnnotationContent, Priority
from tract.models.commit import CommitOperation
from tract.models.content import ContentModel
from tract.storage.repositories import CommitDraft

__all__ = ["Checked", "DraftMaker", "Given", "copied", "is_heavy"]

_HEAVY = 16_000  # characters and nodes, about a millisecond of work
_NODE = 16
_REMEMBERED = 4096


class Given(NamedTuple):
    """What a caller gave for one commit."""

    content: BaseModel | Mapping[str, Any]
    operation: CommitOperation = CommitOperation.APPEND
    edit_target: str | int | None = None
    message: str | None = None
    metadata: dict[str, Any] | None = None
    generation_config: dict[str, Any] | None = None


class Checked(NamedTuple):
    """A draft without its token count, and the content's fields to count."""

    draft: CommitDraft
    fields: Mapping[str, Any]


class DraftMaker:
    """Makes drafts for one store."""

    def __init__(
        self, registry: ContentRegistry, compiler: DefaultContextCompiler, max_content_bytes: int
    ) -> None:
        self._registry = registry
        self._compiler = compiler
        self._max_content_bytes = max_content_bytes
        self._tokens: dict[str, int] = {}

    async def make(self, given: Given) -> CommitDraft:
        """Return the draft of a commit.

        Raises:
            ContentValidationError: content, message, metadata or config cannot be stored.
            EditTargetError: the operation and its target do not go together.
        """
        if self._compiler.ready and not is_heavy(given):
            return self.count(self.check(given))
        given = copied(given)
        return await to_thread.run_sync(
            lambda: self.count(self.check(given)), abandon_on_cancel=True
        )

    async def counted(self, checked: Checked) -> CommitDraft:
        """Return the draft of a small commit that was checked earlier."""
        checked = checked._replace(fields=json.loads(checked.draft.data))  # theirs may have changed
        if self._compiler.ready:
            return self.count(checked)
        return await to_thread.run_sync(self.count, checked, abandon_on_cancel=True)

    def annotation(self, target: str | int, priority: Priority, reason: str | None) -> CommitDraft:
        """Return the draft of an ANNOTATE commit.

        Raises:
            ContentValidationError: *reason* is no text, or *priority* none.
        """
        if reason is not None:
            _check_text(reason, "reason")
        try:
            content = AnnotationContent(priority=Priority(priority).value, reason=reason)
        except ValueError:
            names = ", ".join(Priority)
            raise ContentValidationError(
                f"{priority!r} is no priority. Use one of: {names}.", "priority"
            ) from None
        data = canonical_bytes(content.model_dump())
        return _draft("annotation", CommitOperation.ANNOTATE, data, target)

    def check(self, given: Given) -> Checked:
        """Return the draft of a commit whose tokens are still to be counted; see `make`."""
        operation = _operation(given)
        if given.message is not None:
            _check_text(given.message, "message")
        model, name, values = self._registry.given(given.content)
        fields = self._registry.fields(model, name, values)
        data = canonical_bytes(fields)
        if len(data) > self._max_content_bytes:
            raise ContentValidationError(
                f"the content has {len(data)} bytes, more than max_content_bytes "
                f"({self._max_content_bytes}). Split it, or raise TractConfig.max_content_bytes.",
                _longest(fields),
            )
        draft = _draft(
            name,
            operation,
            data,
            given.edit_target,
            message=given.message,
            metadata_json=_object_json(given.metadata, "metadata"),
            generation_config_json=_object_json(given.generation_config, "generation_config"),
            token_source=self._compiler.source_of(name),
        )
        return Checked(draft, fields)

    def count(self, checked: Checked) -> CommitDraft:
        """Return the draft with its tokens; each content is counted once."""
        draft, fields = checked
        count = self._tokens.get(draft.content_hash)
        if count is None:
            count = self._compiler.body_tokens(self._compiler.render(draft.content_type, fields))
            if len(self._tokens) >= _REMEMBERED:
                self._tokens.clear()
            self._tokens[draft.content_hash] = count
        return draft._replace(token_count=count)


def _longest(fields: Mapping[str, Any]) -> str:
    """Return the field to blame for a content's size."""
    named = [name for name in fields if name != "content_type"]
    return max(named, key=lambda name: len(canonical_json(fields[name])), default="content_type")


def _operation(given: Given) -> CommitOperation:
    try:
        operation = CommitOperation(given.operation)
    except ValueError:
        raise ContentValidationError(
            f"{given.operation!r} is no operation. Use APPEND or EDIT.", "operation"
        ) from None
    if operation is CommitOperation.ANNOTATE:
        raise ContentValidationError("annotations are made by `annotate()`", "operation")
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
        raise EditTargetError(repr(target), "is no commit hash.")
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
    hashed = content_hash(data)
    return CommitDraft(
        content_type=content_type,
        operation=operation.value,
        content_hash=hashed,
        data=data,
        target=target,
        message=message,
        metadata_json=metadata_json,
        generation_config_json=generation_config_json,
        token_count=0,
        token_source=token_source,
        seal=partial(
            commit_hash,
            content_hash=hashed,
            content_type=content_type,
            operation=operation.value,
        ),
    )


def _object_json(value: object, path: str) -> str | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise ContentValidationError(
            f"a {type(value).__name__} is no JSON object; give a dict", path
        )
    return canonical_json(value, path)


def _check_text(value: object, path: str) -> None:
    if not isinstance(value, str):
        raise ContentValidationError(f"a {type(value).__name__} is no string", path)
    canonical_json(value, path)


def is_heavy(given: Given) -> bool:
    """Tell whether making the draft would keep the event loop for long."""
    room = _HEAVY
    for value in (given.content, given.metadata, given.generation_config):
        room = _room_after(value, room, 0)
    return room < 0


def _room_after(value: object, room: int, depth: int) -> int:
    """Return what is left of *room* after the size of *value*; below 0 as soon as it is used up."""
    if isinstance(value, str):
        return room - len(value)
    if isinstance(value, BaseModel):
        value = {**value.__dict__, **(value.__pydantic_extra__ or {})}
    if isinstance(value, Mapping):
        value = [*value, *value.values()]
    if not isinstance(value, (list, tuple)) or depth > MAX_DEPTH:
        return room - 1  # what is nested deeper is refused anyway
    room -= _NODE * len(value)
    for item in value:
        if room < 0:
            break
        room = _room_after(item, room, depth + 1)
    return room


def copied(given: Given) -> Given:
    """Return *given* with copies of all that the caller could still change, made fast."""
    return given._replace(
        content=_copy(given.content),
        metadata=_copy(given.metadata),
        generation_config=_copy(given.generation_config),
    )


def _copy(value: Any) -> Any:
    if isinstance(value, ContentModel) and value.__pydantic_extra__ is None:
        clone = value.model_copy()
        clone.__dict__.update(_copy(value.__dict__))
        return clone
    try:
        return marshal.loads(marshal.dumps(value))
    except ValueError:  # something else than plain dicts, lists, strings and numbers
        pass
    try:
        return copy.deepcopy(value)
    except Exception:  # whatever that object objects to
        return _copy_containers(value, 0)


def _copy_containers(value: Any, depth: int) -> Any:
    """Return *value* with its containers copied; anything else in it is refused later."""
    if depth > MAX_DEPTH:
        return value  # refused as well
    if isinstance(value, Mapping):
        return {key: _copy_containers(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_copy_containers(item, depth + 1) for item in value]
    return value
