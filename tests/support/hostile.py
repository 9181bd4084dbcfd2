"""Values that work against the code that reads them, and how to make values from bytes."""

from __future__ import annotations

import math
from collections import OrderedDict, namedtuple
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from functools import cache
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, SecretStr

__all__ = ["HOSTILE", "TEXTS", "Boom", "Source"]

T = TypeVar("T")


class Boom(Exception):
    """Raised by hostile values: neither the library's own nor an error that it expects."""


ERRORS: tuple[Callable[[], Exception], ...] = (
    Boom,
    lambda: TypeError("hostile"),
    lambda: ValueError("hostile"),
    lambda: AttributeError("hostile"),
    lambda: KeyError("hostile"),
    lambda: RuntimeError("hostile"),
    lambda: RecursionError("hostile"),
    StopIteration,
)
_SPECIAL = (
    *("__eq__", "__ne__", "__lt__", "__gt__", "__le__", "__ge__", "__len__", "__iter__"),
    *("__contains__", "__getitem__", "__bool__", "__repr__", "__str__", "__format__"),
    *("__int__", "__index__", "__float__", "__abs__", "__neg__", "__reduce_ex__", "__deepcopy__"),
    *("__copy__", "__getattr__", "__add__", "__mod__", "__round__", "__trunc__", "__call__"),
    *("items", "keys", "values", "get", "copy", "encode", "decode", "split", "replace", "lower"),
    *("casefold", "translate", "isascii", "isidentifier", "model_dump", "hex", "strip", "count"),
)
_BASES: tuple[type, ...] = (object, str, int, float, dict, list, tuple, Mapping, Sequence)


def _hostile_class(base: type, error: Callable[[], Exception], *, hides: bool) -> type:
    """Return a class all of whose methods raise; *hides* makes its `__class__` raise too."""

    def fail(*_: object, **__: object) -> NoReturn:
        raise error()

    methods: dict[str, Any] = {name: fail for name in _SPECIAL if name not in ("__iter__",)}
    methods["__iter__"] = fail
    methods["__hash__"] = base.__hash__ if base in (str, int) else fail
    if hides:
        methods["__class__"] = property(fail)
    return type(f"Hostile{base.__name__.title()}", (base,), methods)


class Misleading(dict[str, Any]):
    """A dict whose methods contradict each other."""

    def __init__(self, pairs: Any) -> None:
        super().__init__(a=1)
        self._pairs = pairs

    def items(self) -> Any:
        return self._pairs

    def __len__(self) -> int:
        return -1 if len(self._pairs) % 2 else 10**9

    def __bool__(self) -> bool:
        return False


class Impostor:
    """An object that claims to be of a class that it is not."""

    def __init__(self, claimed: type) -> None:
        self._claimed = claimed

    @property  # type: ignore[misc]  # on purpose
    def __class__(self) -> Any:
        return self._claimed


class Chameleon(str):
    """A string that claims to equal every other one."""

    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False

    def __str__(self) -> str:
        return "something else"

    __repr__ = __str__


class Infinite(Sequence[Any]):
    """A sequence that claims to be long, and is not."""

    def __len__(self) -> int:
        return 2**62

    def __getitem__(self, index: Any) -> Any:
        raise IndexError


class Colour(StrEnum):
    RED = "model"


class Level(IntEnum):
    HIGH = 3


class Plain(Enum):
    A = "a"


class Model(BaseModel):
    role: str = "user"
    content: Any = None


Pair = namedtuple("Pair", ["first", "second"])  # the old kind, on purpose


def _endless() -> Iterator[int]:
    while True:
        yield 1


def _cycle(kind: type) -> Any:
    if kind is list:
        items: list[Any] = [1]
        items.append(items)
        return items
    found: dict[str, Any] = {"a": 1}
    found["self"] = [found]
    return found


@cache
def _nested(levels: int, kind: type) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value] if kind is list else {"k": value}
    return value


def _of_base(base: type, error: Callable[[], Exception], *, hides: bool) -> Callable[[], Any]:
    def make() -> Any:
        made = _hostile_class(base, error, hides=hides)
        arguments: dict[type, tuple[Any, ...]] = {
            str: ("model",),
            int: (3,),
            float: (0.5,),
            dict: ({"api_key": 1},),
            list: ([1],),
            tuple: ((1,),),
        }
        return made(*arguments.get(base, ()))

    return make


HOSTILE: dict[str, Callable[[], Any]] = {
    **{
        f"{base.__name__} that raises {type(error()).__name__}": _of_base(base, error, hides=False)
        for base in _BASES
        for error in ERRORS
    },
    **{
        f"{base.__name__} without a class": _of_base(base, Boom, hides=True)
        for base in (object, str, dict, list)
    },
    "NaN": lambda: math.nan,
    "infinity": lambda: math.inf,
    "minus infinity": lambda: -math.inf,
    "beyond a double": lambda: float("1e400"),
    "minus zero": lambda: -0.0,
    "many digits": lambda: 10**5000,
    "many digits below zero": lambda: -(10**5000),
    "large integer": lambda: 10**400,
    "beyond 64 bits": lambda: 2**64,
    "lone surrogate": lambda: "a\ud800",
    "the other surrogate": lambda: "\udfff",
    "NUL": lambda: "a\0b",
    "long text": lambda: "x" * 200_000,
    "bytes": lambda: b"x",
    "bytearray": lambda: bytearray(b"x"),
    "memoryview": lambda: memoryview(b"x"),
    "set": lambda: {1, 2},
    "frozenset": lambda: frozenset("ab"),
    "generator": lambda: (n for n in range(3)),
    "endless generator": _endless,
    "range": lambda: range(3),
    "function": lambda: print,
    "class": lambda: dict,
    "module": lambda: math,
    "exception": lambda: Boom("x"),
    "datetime": lambda: datetime(2024, 1, 1, tzinfo=UTC),
    "decimal": lambda: Decimal("1.5"),
    "complex": lambda: 1j,
    "ellipsis": lambda: ...,
    "model": Model,
    "half a model": lambda: Model.__new__(Model),
    "secret": lambda: SecretStr("x"),
    "string enum": lambda: Colour.RED,
    "integer enum": lambda: Level.HIGH,
    "plain enum": lambda: Plain.A,
    "named tuple": lambda: Pair(1, "b"),
    "ordered dict": lambda: OrderedDict(b=1, a=2),
    "list that holds itself": lambda: _cycle(list),
    "dict that holds itself": lambda: _cycle(dict),
    "list nested 150 deep": lambda: _nested(150, list),
    "dict nested 198 deep": lambda: _nested(198, dict),
    "list nested 300 deep": lambda: _nested(300, list),
    "dict nested 20000 deep": lambda: _nested(20_000, dict),
    "list nested 20000 deep": lambda: _nested(20_000, list),
    "dict without pairs": lambda: Misleading([1, 2]),
    "dict with bad keys": lambda: Misleading([(b"api_key", 1)]),
    "dict with other pairs": lambda: Misleading([("api_key", 1), ("b", [2])]),
    "dict with a pair of three": lambda: Misleading([(1, 2, 3)]),
    "impostor of a string": lambda: Impostor(str),
    "impostor of a dict": lambda: Impostor(dict),
    "impostor of a list": lambda: Impostor(list),
    "impostor of an integer": lambda: Impostor(int),
    "impostor of a model": lambda: Impostor(BaseModel),
    "string like any other": lambda: Chameleon("api_key"),
    "list that is too long": Infinite,
    "keys that are none": lambda: {1: 2, None: 3},
    "tuple as key": lambda: {("a", "b"): 1},
    "surrogate as key": lambda: {"\udc80": 1},
    "long key": lambda: {"k" * 100_000: 1},
    "enum as key": lambda: {Colour.RED: 1},
    "chameleon as key": lambda: {Chameleon("api_key"): 1},
}
"""Makers of hostile values by name; each makes a new one."""

TEXTS: tuple[str, ...] = (
    *("", "a", "user", "assistant", "system", "tool", "developer", "model", "temperature", "text"),
    *("role", "content", "content_type", "name", "tool_calls", "tool_call_id", "function", "id"),
    *("type", "arguments", "payload", "direction", "call", "result", "status", "success", "format"),
    *("dialogue", "instruction", "tool_io", "reasoning", "artifact", "output", "freeform"),
    *("annotation", "artifact_type", "language", "markdown", "refusal", "audio", "annotations"),
    *("api_key", "X-Api-Key", "Authorization", "password", "max_tokens", "[redacted]", "a.b"),
    *("a..b", ".", "a.0", "$", "$.a", "[0]", "#-1", "'", '"', '";--', "\\", "\0", "a\0b", "\1"),
    *("\n", "\x7f", "\ud800", "\udc80b", "\ue000", "\U0001f600", "\u2028", "{}", "[1]", "null"),
    *("NaN", "1e400", "<|endoftext|>", "=", "!=", "<", ">", "<=", ">=", "in", "not in", "LIKE"),
)
_NUMBERS: tuple[int | float, ...] = (
    *(0, 1, -1, 2**31, 2**53, 2**53 + 1, 2**63, -(2**63), 2**64, 10**30, 0.0, -0.0, 0.1, 1e308),
    *(5e-324, 1e22, math.nan, math.inf, 10**400),
)
_NAMES = tuple(HOSTILE)


class Source:
    """Reads values from bytes: any bytes encode some, and zeros follow the last byte."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def below(self, end: int) -> int:
        """Return an integer from 0 up to, but not including, *end*."""
        self._at += 1
        return self._data[self._at - 1] % end if self._at <= len(self._data) else 0

    def pick(self, items: Sequence[T]) -> T:
        """Return one of *items*, of which there are at most 256."""
        return items[self.below(len(items))]

    def text(self) -> str:
        """Return a word that the library uses, or any text, surrogates included."""
        kind = self.below(8)
        if kind < 6:
            return self.pick(TEXTS)
        if kind == 6:
            return "x" * (1 << self.below(18))
        length = self.below(24)
        self._at += length
        return self._data[self._at - length : self._at].decode("utf-8", "surrogateescape")

    def scalar(self) -> Any:
        """Return a value without items."""
        kind = self.below(8)
        if kind < 4:
            return self.text()
        if kind < 6:
            return self.pick(_NUMBERS)
        return self.pick((None, True, False, self.below(256) - 128))

    def value(self, room: int = 4) -> Any:
        """Return any value, nested at most *room* deep unless it is hostile."""
        kind = self.below(16)
        if room == 0 or kind < 6:
            return self.scalar()
        if kind < 9:
            return self.items(room - 1)
        if kind < 13:
            return self.mapping(room - 1)
        if kind == 13:
            return tuple(self.items(room - 1))
        return self.hostile()

    def items(self, room: int) -> list[Any]:
        """Return a list."""
        return [self.value(room) for _ in range(self.below(5))]

    def mapping(self, room: int) -> dict[Any, Any]:
        """Return a dict; its keys are nearly always strings."""
        found: dict[Any, Any] = {}
        for _ in range(self.below(6)):
            key = self.value(0) if self.below(16) == 15 else self.text()
            found[key] = self.value(room)
        return found

    def hostile(self) -> Any:
        """Return one of `HOSTILE`."""
        return HOSTILE[self.pick(_NAMES)]()
