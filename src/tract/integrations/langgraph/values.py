"""Values as the saver's serializer writes them, and messages that are compared at the speed of C.

A packed value is JSON. `{"json": text}` holds a small plain value, `{"bytes": [kind, base64]}` any
other small one; larger ones are commits of their own, which `{"at": hash}` names.
"""

from __future__ import annotations

import base64
import json
import marshal
import math
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

from langchain_core.messages import BaseMessage
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from tract.integrations.langgraph.messages import CLASSES, LangChainContent, fields_of

__all__ = ["Element", "Large", "Packed", "Packer", "all_made", "all_match", "is_plain"]

Packed: TypeAlias = dict[str, Any]

_DEEPEST = 100
_PLAIN = (str, int, float, bool, type(None))
_MARSHAL = 2
"""The version of the format whose bytes depend on nothing but values."""


class Large(NamedTuple):
    """A serialized value that is not kept inline."""

    kind: str
    data: bytes


def is_plain(value: Any, depth: int = 0) -> bool:
    """Return True if JSON holds *value* so that it comes back as it is, types and order included."""
    kind = type(value)
    if kind is str:
        return value.isascii() or _is_text(value)
    if kind in _PLAIN:
        return math.isfinite(value) if kind is float else kind is not int or abs(value) < 1 << 64
    if depth > _DEEPEST:
        return False
    if kind is list:
        return all(is_plain(each, depth + 1) for each in value)
    return kind is dict and all(
        type(key) is str and is_plain(key) and is_plain(each, depth + 1)
        for key, each in value.items()
    )


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _marshalled(value: Any) -> bytes | None:
    try:
        return marshal.dumps(value, _MARSHAL)
    except ValueError:  # it holds more than plain values
        return None


class Element:
    """A message of a list: how it is stored, what it looks like, and how to make it anew.

    It holds no object that a caller has.
    """

    __slots__ = ("_class", "_fields_set", "_like", "_seen", "commit", "content", "edited", "id")

    def __init__(self, content: LangChainContent, commit: str = "", edited: str = "") -> None:
        self.content: LangChainContent = content
        self.commit: str = commit
        """The commit that appended it, once there is one."""
        self.edited: str = edited
        """The commit that edited it, if one did."""
        self.id: str | None = json.loads(content.fields).get("id")
        self._class: type[BaseMessage] = CLASSES.get(content.kind, BaseMessage)
        self._fields_set: set[str] = set()
        self._like: bytes | None = None
        self._seen: bytes | None = None

    @property
    def size(self) -> int:
        """How many characters its content has."""
        packed = self.content.packed
        return len(self.content.fields) + (0 if packed is None else len(packed[1]))

    @classmethod
    def of(cls, message: BaseMessage, packer: Packer) -> Element:
        """Return a new element."""
        made = cls(packer.content(message))
        made._seen = _seen(message) if type(message) is made._class else None
        return made

    def matches(self, message: BaseMessage, packer: Packer) -> bool:
        """Return True if *message* is stored as this element is."""
        seen = _seen(message) if type(message) is self._class else None
        if seen is not None and seen in (self._like, self._seen):
            return True
        if packer.content(message) != self.content:
            return False
        self._seen = seen
        return True

    def made(self, packer: Packer) -> BaseMessage:
        """Return the message as a new object."""
        if self.content.packed is not None:
            return packer.unpacked_message(self.content)
        made = self._class(**json.loads(self.content.fields))
        self._like, self._fields_set = _seen(made), made.__pydantic_fields_set__
        return made


def all_made(elements: Sequence[Element], packer: Packer) -> list[BaseMessage]:
    """Return messages as new objects: those that were made before, in one go."""
    found: list[BaseMessage | None] = [
        each.made(packer) if each._like is None else None for each in elements
    ]
    known = [each for each, made in zip(elements, found, strict=True) if made is None]
    values = iter(marshal.loads(_listed([each._like or b"" for each in known])))
    return [
        _revived(each._class, next(values), each._fields_set) if made is None else made
        for each, made in zip(elements, found, strict=True)
    ]


def all_match(elements: Sequence[Element], messages: Sequence[BaseMessage]) -> bool:
    """Return True if all elements are known to be stored as *messages* are; False does not say."""
    if not all(
        type(one) is each._class and not (one.__pydantic_extra__ or one.__pydantic_private__)
        for one, each in zip(messages, elements, strict=True)
    ):
        return False
    known = [each._seen or each._like for each in elements]
    if None in known:
        return False
    return _marshalled([one.__dict__ for one in messages]) == _listed(known)


def _listed(marshalled: Sequence[bytes | None]) -> bytes:
    """Return the marshalled list of marshalled values."""
    return b"".join([b"[", len(marshalled).to_bytes(4, "little"), *filter(None, marshalled)])


def _is_accepted(kind: type[BaseMessage], fields: dict[str, Any]) -> bool:
    """Return True if the class makes a message of *fields*, as the serializer has it do."""
    try:
        kind(**fields)
    except (TypeError, ValueError):
        return False
    return True


def _seen(message: BaseMessage) -> bytes | None:
    """Return the values of a message as bytes; None if it holds others than plain fields."""
    if message.__pydantic_extra__ or message.__pydantic_private__:
        return None
    return _marshalled(message.__dict__)


def _revived(kind: type[BaseMessage], values: dict[str, Any], fields_set: set[str]) -> BaseMessage:
    made = kind.__new__(kind)
    _set(made, "__dict__", values)
    _set(made, "__pydantic_fields_set__", fields_set.copy())
    _set(made, "__pydantic_extra__", {})
    _set(made, "__pydantic_private__", None)
    return made


_set = object.__setattr__


class Packer:
    """Packs and unpacks with one serializer.

    Only what LangGraph's default serializer writes is stored legibly. An encrypting one, or one of
    the application's own, sees every value.
    """

    def __init__(self, serde: SerializerProtocol, inline: int) -> None:
        self.serde: SerializerProtocol = serde
        self.is_legible: bool = type(serde) is JsonPlusSerializer
        self._inline = inline

    def pack(self, value: Any) -> Packed | Large:
        """Return *value* in a form that shares nothing with it."""
        kind, data = self.serde.dumps_typed(value)
        if len(data) > self._inline:
            return Large(kind, bytes(data))
        return self._packed(value, kind, data)

    def pack_inline(self, value: Any) -> Packed:
        """Return *value* likewise, to be part of what it belongs to however large it is."""
        return self._packed(value, *self.serde.dumps_typed(value))

    def _packed(self, value: Any, kind: str, data: bytes) -> Packed:
        if self.is_legible and is_plain(value):
            return {"json": json.dumps(value, ensure_ascii=False)}
        return {"bytes": [kind, base64.b64encode(data).decode()]}

    def unpack(self, packed: Packed | Large) -> Any:
        """Return what was packed, as new objects."""
        if isinstance(packed, Large):
            return self.serde.loads_typed(packed)
        if "json" in packed:
            return json.loads(packed["json"])
        kind, data = packed["bytes"]
        return self.serde.loads_typed((kind, base64.b64decode(data)))

    def content(self, message: BaseMessage) -> LangChainContent:
        """Return the content that a message is stored as."""
        kind = str(message.type)
        if type(message) is CLASSES.get(kind):
            fields = message.model_dump()
            if is_plain(fields) and _is_accepted(CLASSES[kind], fields):
                return LangChainContent(kind=kind, fields=json.dumps(fields, ensure_ascii=False))
        shown = {key: each for key, each in fields_of(message).items() if is_plain(each)}
        name, data = self.serde.dumps_typed(message)
        return LangChainContent(
            kind=kind,
            fields=json.dumps(shown, ensure_ascii=False),
            packed=(name, base64.b64encode(data).decode()),
        )

    def unpacked_message(self, content: LangChainContent) -> BaseMessage:
        """Return a message that only the serializer can read."""
        name, data = content.packed or ("null", "")
        made: BaseMessage = self.serde.loads_typed((name, base64.b64decode(data)))
        return made

    def messages(self, value: Any) -> list[BaseMessage] | None:
        """Return *value* if it is a list of messages that can be stored legibly."""
        if self.is_legible and type(value) is list and value:
            if all(isinstance(each, BaseMessage) for each in value):
                return value
        return None
