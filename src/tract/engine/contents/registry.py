"""The content types that a store knows, and how their contents are checked and loaded."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, cast

from pydantic import BaseModel, RootModel, ValidationError

from tract.engine.contents.attachments import AttachmentReader, loader
from tract.engine.contents.custom import checked_version, dumped
from tract.engine.threads import Threads
from tract.exceptions import (
    AttachmentNotFoundError,
    BlobNotFoundError,
    ContentValidationError,
    TractError,
    shown,
)
from tract.history.canonical import canonical_bytes, stored_json
from tract.history.media import attachments_in, may_refer, put_back
from tract.models.annotations import AnnotationContent, Priority
from tract.models.compaction import COMPACTION, CompactionContent, ExpansionContent
from tract.models.config import ContentType
from tract.models.content import (
    ArtifactContent,
    ContentModel,
    DialogueContent,
    FreeformContent,
    InstructionContent,
    MessageContent,
    NativeContent,
    OutputContent,
    ReasoningContent,
    StateContent,
    ToolIOContent,
    ToolsContent,
)
from tract.models.erasure import ERASED, ErasedContent
from tract.models.merging import MergeContent
from tract.models.operations import OPERATIONS
from tract.protocols.parts import to_json
from tract.storage.repositories import StoredContent

__all__ = [
    "BUILT_IN",
    "PRIORITY",
    "PROVIDED",
    "ContentLoader",
    "ContentRegistry",
    "Fields",
    "default_priority",
    "register_all",
]

PRIORITY = "$priority"
"""The field of a content that says with which priority its entry begins."""

Fields = dict[str, Any]
"""A content as plain JSON values by field name, `content_type` among them."""

_BUILT_IN: dict[str, type[ContentModel]] = {
    "artifact": ArtifactContent,
    "dialogue": DialogueContent,
    "freeform": FreeformContent,
    "instruction": InstructionContent,
    "message": MessageContent,
    "native": NativeContent,
    "output": OutputContent,
    "reasoning": ReasoningContent,
    "state": StateContent,
    "tool_io": ToolIOContent,
    "tools": ToolsContent,
}
BUILT_IN = frozenset(_BUILT_IN)
"""Types that every store has; custom ones cannot replace them."""

_OF_VERBS: dict[str, type[ContentModel]] = {
    "annotation": AnnotationContent,
    COMPACTION: CompactionContent,
    ERASED: ErasedContent,
    "expansion": ExpansionContent,
    "merge": MergeContent,
}
"""Contents that methods of their own make, not `commit()`."""
_STATE = ContentType(StateContent, state=True)
_VERBS = {ERASED: "erase"} | {
    rule.content_type: rule.made_by for rule in OPERATIONS.values() if rule.content_type
}

PROVIDED = frozenset({"message", "native", "tools"})
"""Types that hold what providers sent, whatever it is."""

_SHOWN_AS = frozenset({"artifact", "freeform"})
"""Types that may say which role shows them."""

_WITH_PAYLOAD = frozenset({"state", "tool_io"})
"""Types whose payload may refer to attachments."""

_WITH_MEDIA = frozenset({"compaction", "native", "state", "tool_io"})
"""Types of contents that callers get with their media back in place."""
_NODE = 16  # bytes' worth of work for each content, however short

_WITH_ROLE = _SHOWN_AS | {"dialogue", "message"}

_MAX_NAME = 255


def _no_media(sha256: str) -> bytes:
    raise AttachmentNotFoundError(sha256)


class ContentRegistry:
    """Built-in content types, and the custom ones of one store."""

    def __init__(self) -> None:
        self._custom: dict[str, ContentType] = {}

    def register(self, name: str, kind: ContentType) -> None:
        """Add a content type; registering the same pair again changes nothing.

        Raises:
            ValueError: the name is empty, too long, built-in or taken, or its model is not one, or
                has a `render_version` that cannot be one.
        """
        model = kind.model
        if not isinstance(name, str) or not 0 < len(name) <= _MAX_NAME or "\0" in name:
            raise ValueError(
                f"The name of a content type has 1 to {_MAX_NAME} characters and no NUL, not {name!r}"
            )
        if not (isinstance(model, type) and issubclass(model, BaseModel)) or issubclass(
            model, RootModel
        ):
            raise ValueError(
                f"The model of content type {name!r} must be a pydantic BaseModel class with fields"
            )
        checked_version(model)
        if name in BUILT_IN:
            taken = ContentType(_BUILT_IN[name])
        else:
            taken = self._custom.get(name, kind)
        if name in _OF_VERBS or taken != kind:
            raise ValueError(f"The content type {name!r} exists already; choose another name.")
        self._custom[name] = kind

    def custom(self, content_type: str) -> type[BaseModel] | None:
        """Return the model of a custom content type, or None if this store has no such type."""
        kind = self._custom.get(content_type)
        return None if kind is None else kind.model

    def kind(self, content_type: str) -> ContentType | None:
        """Return how a content type is treated; None if it is built-in and like any other."""
        return _STATE if content_type == "state" else self._custom.get(content_type)

    def read(self, content: object, role: object = None) -> tuple[str, Fields]:
        """Return the type and the validated fields of a caller's content, with *role* if given.

        Raises:
            ContentValidationError: it is not a content of a type that this store knows, or has no
                role to set.
        """
        try:
            model, name, values = self.given(content)
            if role is not None:
                values = _with_role(name, values, role)
            return name, self.fields(model, name, values)
        except TractError:
            raise
        except Exception as error:  # the caller's mapping, value or validator may raise anything
            raise ContentValidationError(
                f"the {type(content).__name__} could not be read ({type(error).__name__}). "
                "Give a content model, or a dict of plain values",
            ) from error

    def given(self, content: object) -> tuple[type[BaseModel], str, Mapping[str, Any] | BaseModel]:
        """Return the model, its name and the values of a caller's content.

        Raises:
            ContentValidationError: it is neither a dict with a known `content_type` nor an
                instance of a known model.
        """
        kind = type(content)
        if kind is not dict and issubclass(kind, BaseModel):
            return self._given_model(cast(BaseModel, content))
        if kind is not dict and not issubclass(kind, Mapping):
            raise ContentValidationError(
                f"a {type(content).__name__} is not a content. Give a content model such as "
                "DialogueContent(...), or a dict with 'content_type'.",
            )
        values: dict[str, Any] = dict(content)  # type: ignore[call-overload]  # `kind` tells
        named = values.get("content_type")
        if not issubclass(type(named), str):
            raise ContentValidationError(
                f"is missing or not a string. Use one of: {self._names()}.", "content_type"
            )
        name = str.__str__(named)
        return self._model(name), name, values

    def _given_model(self, content: BaseModel) -> tuple[type[BaseModel], str, BaseModel]:
        for name, verbs in _OF_VERBS.items():
            if isinstance(content, verbs):
                raise _not_by_hand(name)
        custom = {name: kind.model for name, kind in self._custom.items()}
        for name, model in (*_BUILT_IN.items(), *custom.items()):
            if type(content) is model:
                return model, name, content
        raise ContentValidationError(
            f"{type(content).__name__} is not a content type of this store. Register it with "
            f"`register_content_type(name, {type(content).__name__})`."
        )

    def _model(self, name: str) -> type[BaseModel]:
        if name in _OF_VERBS:
            raise _not_by_hand(name)
        model = _BUILT_IN.get(name) or self.custom(name)
        if model is None:
            raise ContentValidationError(
                f"{shown(name)} is not known to this store. Use one of: {self._names()}; "
                "or register it with `register_content_type(name, model)`.",
                "content_type",
            )
        return model

    def _names(self) -> str:
        return ", ".join((*_BUILT_IN, *self._custom))

    def fields(
        self, model: type[BaseModel], name: str, values: Mapping[str, Any] | BaseModel
    ) -> Fields:
        """Return the validated fields of a content.

        Raises:
            ContentValidationError: a field is missing, unknown or of the wrong type.
        """
        if name in _BUILT_IN:
            raw = values.__dict__ if isinstance(values, BaseModel) else values
            fields = dict(_validated(model, raw).__dict__)
            if name in _SHOWN_AS and fields["role"] is None:
                del fields["role"]  # as before there was one, so that equal contents stay one blob
            if model is MessageContent:
                fields["parts"] = [to_json(part) for part in fields["parts"]]
            return fields
        if isinstance(values, Mapping):
            takes_type = "content_type" in model.model_fields
            values = _validated(
                model, {k: v for k, v in values.items() if takes_type or k != "content_type"}
            )
        fields = {**dumped(values, name), "content_type": name}
        if PRIORITY in fields:
            raise ContentValidationError("is a name that this library uses itself", PRIORITY)
        loaded = self.load(name, canonical_bytes(fields, name))
        for field in model.model_fields:
            if getattr(loaded, field) != getattr(values, field):
                raise ContentValidationError(
                    "changes when it is written as JSON and read back; give it a type or "
                    "serializer that does not",
                    field,
                )
        return fields

    def load(
        self,
        content_type: str,
        data: bytes,
        media: Callable[[str], bytes] = _no_media,
    ) -> BaseModel:
        """Return the content model of a stored blob; *media* returns its attachments by hash.

        Raises:
            ContentValidationError: its type is custom and not registered with this store, or the
                registered model no longer admits it.
        """
        if content_type == COMPACTION:
            fields = stored_json(data, "a compaction")
            if may_refer(data):
                fields["summary"] = put_back(fields["summary"], media)
            return _validated(CompactionContent, fields)
        if content_type in _OF_VERBS:
            return _validated(_OF_VERBS[content_type], data)
        model = self._model(content_type)
        if content_type in PROVIDED:  # may hold lone surrogates, which pydantic's parser refuses
            fields = stored_json(data, f"a content of type {content_type!r}")
            if content_type == "native" and may_refer(data):
                fields["item"] = put_back(fields["item"], media)
            return _validated(model, fields)
        if content_type in _WITH_PAYLOAD and may_refer(data):
            fields = stored_json(data, f"a content of type {content_type!r}")
            return _validated(model, {**fields, "payload": put_back(fields["payload"], media)})
        takes_type = "content_type" in model.model_fields
        if content_type in _BUILT_IN or (takes_type and PRIORITY.encode() not in data):
            return _validated(model, data)
        fields = stored_json(data, f"a content of type {content_type!r}")
        left_out = (PRIORITY,) if takes_type else (PRIORITY, "content_type")
        return _validated(model, json.dumps({k: v for k, v in fields.items() if k not in left_out}))


def register_all(
    registry: ContentRegistry, content_types: Mapping[str, type[BaseModel] | ContentType]
) -> None:
    """Register content types, given as models or with how they are treated."""
    for name, given in content_types.items():
        registry.register(name, given if isinstance(given, ContentType) else ContentType(given))


def _not_by_hand(name: str) -> ContentValidationError:
    return ContentValidationError(
        f"contents of type {name!r} are made by `{_VERBS[name]}()`", "content_type"
    )


def _with_role(name: str, values: Mapping[str, Any] | BaseModel, role: object) -> Fields:
    if name not in _WITH_ROLE:
        raise ContentValidationError(
            f"a content of type {name!r} does not say which role shows it. Commit one of "
            f"{', '.join(sorted(_WITH_ROLE))}; or set `TractConfig.type_to_role`, or let a type of "
            "your own return messages from `to_messages()`.",
            "role",
        )
    return {**(values.__dict__ if isinstance(values, BaseModel) else values), "role": role}


def _validated(model: type[BaseModel], values: Mapping[str, Any] | str | bytes) -> BaseModel:
    try:
        if isinstance(
            values, (str, bytes)
        ):  # JSON has no datetimes or tuples: strict fields take text
            return model.model_validate_json(values)
        return model.model_validate(dict(values))
    except ValidationError as error:
        first, *others = error.errors(include_url=False, include_input=False, include_context=False)
        path = ".".join(str(part) for part in first["loc"])
        more = "".join(f"; {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in others)
        raise ContentValidationError(f"{first['msg']}{more}", path) from None
    except (RecursionError, TypeError) as error:
        raise ContentValidationError(f"cannot be validated: {error}") from error


def default_priority(content_type: str, fields: Mapping[str, Any]) -> Priority:
    """Return the priority of an entry without annotations.

    Raises:
        ValueError: the content names what is not a priority.
    """
    if content_type in _BUILT_IN:
        return Priority.PINNED if content_type == "instruction" else Priority.NORMAL
    return Priority(fields.get(PRIORITY, Priority.NORMAL))


class ContentLoader:
    """Makes content models of stored contents, native ones with their media."""

    def __init__(
        self, registry: ContentRegistry, attachments: AttachmentReader, threads: Threads
    ) -> None:
        self._registry = registry
        self._attachments = attachments
        self._threads = threads

    async def load(self, tract_id: str, content_type: str, data: bytes) -> BaseModel:
        """Return the content model of a stored content.

        Raises:
            AttachmentNotFoundError: media of it are missing from the store.
            and what `ContentRegistry.load` raises.
        """
        named = _named(content_type, data)
        media = await self._attachments.load(tract_id, named) if named else {}
        size = len(data) + sum(map(len, media.values()))
        return await self._threads.run_if_long(
            size, self._registry.load, content_type, data, loader(media) if media else _no_media
        )

    async def load_all(self, tract_id: str, stored: Sequence[StoredContent]) -> list[BaseModel]:
        """Return the content models of many stored contents.

        Raises:
            BlobNotFoundError: one of them is missing from the store.
            and what `load` raises.
        """
        media, _ = await self.media(tract_id, stored)
        size = sum(_NODE + len(item.data or b"") for item in stored)
        make = partial(self.made, media)
        return await self._threads.run_if_long(
            size + sum(map(len, media.values())), lambda: [make(item) for item in stored]
        )

    async def media(
        self, tract_id: str, stored: Iterable[StoredContent]
    ) -> tuple[dict[str, bytes], bool]:
        """Return the media that belong into contents, in one trip at most, and if they are all."""
        named: dict[str, None] = {}
        for item in stored:
            named |= _named(item.content_type, item.data)
        media = await self._attachments.load(tract_id, named) if named else {}
        return media, len(media) == len(named)

    def made(self, media: Mapping[str, bytes], item: StoredContent) -> BaseModel:
        """Return the content model of a stored content whose media were read before."""
        if item.data is None:
            raise BlobNotFoundError(item.content_hash)
        return self._registry.load(item.content_type, item.data, loader(media))


def _named(content_type: str, data: bytes | None) -> dict[str, None]:
    """Return the media that belong into a content."""
    if content_type not in _WITH_MEDIA or data is None or not may_refer(data):
        return {}
    fields = stored_json(data, f"a content of type {content_type!r}")
    return dict.fromkeys(attachments_in(content_type, fields))
