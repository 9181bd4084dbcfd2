"""Values of the types that SDKs declare: TypedDicts, pydantic models, and unions of them.

Two ways to use a type, both read from the installed SDK, so that a new version brings its new
types into the tests by itself:

- `values(type)` is a hypothesis strategy of any of its JSON values;
- `cases(type)` is a list of its values in which each member of each union that can be reached
  from the type occurs, each literal, and each optional key both given and left out.
"""

from __future__ import annotations

import datetime
import enum
import types
import typing
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

import typing_extensions
from hypothesis import strategies as st
from pydantic import BaseModel

__all__ = ["Cases", "cases", "members", "values"]

_MARKERS = (typing.Required, typing.NotRequired)
_UNIONS = (typing.Union, types.UnionType)
_LISTS = (list, tuple, Collection, Iterable, Sequence)

_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=4,
)
_BASE64 = st.sampled_from(["", "aGVsbG8=", "AAAA", "/+8="])
_TIME = "2026-01-01T00:00:00Z"


@dataclass(frozen=True)
class _Plain:
    """A type without types in it: its strategy, and one of its values."""

    strategy: st.SearchStrategy[Any]
    sample: Any


@dataclass(frozen=True)
class _Constants:
    values: tuple[Any, ...]


@dataclass(frozen=True)
class _Fields:
    name: str
    required: Mapping[str, Any]
    optional: Mapping[str, Any]


@dataclass(frozen=True)
class _Choice:
    members: tuple[Any, ...]


@dataclass(frozen=True)
class _Listed:
    element: Any


@dataclass(frozen=True)
class _Mapped:
    value: Any


_Shape = _Plain | _Constants | _Fields | _Choice | _Listed | _Mapped

_PLAIN: dict[Any, _Plain] = {
    str: _Plain(st.text(max_size=20), "text"),
    int: _Plain(st.integers(-(2**53), 2**53), 7),
    float: _Plain(st.floats(allow_nan=False, allow_infinity=False), 0.5),
    bool: _Plain(st.booleans(), True),
    bytes: _Plain(_BASE64, "aGVsbG8="),
    object: _Plain(_json, {"any": [1, None]}),
    Any: _Plain(_json, {"any": [1, None]}),
    dict: _Plain(st.dictionaries(st.text(max_size=4), _json, max_size=2), {"any": 1}),
    list: _Plain(st.lists(_json, max_size=2), ["any"]),
    datetime.datetime: _Plain(st.just(_TIME), _TIME),
    None: _Plain(st.none(), None),
    type(None): _Plain(st.none(), None),
}


class Cases(NamedTuple):
    """Values of a type, and the names of the members of all unions that they show."""

    values: list[Any]
    members: frozenset[str]


def values(of: Any) -> st.SearchStrategy[Any]:
    """Return a strategy of the JSON values of a type.

    Raises:
        TypeError: JSON cannot hold any of them.
    """
    if _shape(of) is None:
        raise TypeError(f"JSON cannot hold {of!r}")
    return st.deferred(lambda: _strategy(of))


def cases(of: Any) -> Cases:
    """Return values of a type that show every member of every union in it."""
    walk = _Walk()
    return Cases(list(walk.variations(of)), frozenset(walk.members))


def members(of: Any) -> list[Any]:
    """Return the types that a union consists of, unions in it resolved."""
    shape = _shape(of)
    if not isinstance(shape, _Choice):
        return [of]
    return list(dict.fromkeys(inner for each in shape.members for inner in members(each)))


@cache
def _strategy(of: Any) -> st.SearchStrategy[Any]:
    match _shape(of):
        case _Plain(strategy):
            return strategy
        case _Constants(constants):
            return st.sampled_from(constants)
        case _Choice(choice):
            return st.one_of(*map(values, choice))
        case _Listed(element):
            return st.lists(values(element), max_size=2)
        case _Mapped(value):
            return st.dictionaries(st.text(max_size=4), values(value), max_size=2)
        case _Fields(_, required, optional):
            return st.fixed_dictionaries(
                {key: values(each) for key, each in required.items()},
                optional={key: values(each) for key, each in optional.items()},
            )
    raise TypeError(f"JSON cannot hold {of!r}")


@dataclass
class _Walk:
    """Walks a type; each named type is varied where it is met first, and then only shown."""

    members: set[str] = field(default_factory=set)
    seen: set[str] = field(default_factory=set)

    def variations(self, of: Any) -> Iterator[Any]:
        match _shape(of):
            case _Plain(_, sample):
                yield sample
            case _Constants(constants):
                yield from constants
            case _Choice(choice):
                for each in choice:
                    self.members.add(_name(each))
                    yield from self.variations(each)
            case _Listed(element):
                yield []
                yield from ([each] for each in self.variations(element))
            case _Mapped(value):
                yield {}
                yield from ({"key": each} for each in self.variations(value))
            case _Fields() as fields:
                yield from self._objects(fields)

    def _objects(self, fields: _Fields) -> Iterator[Any]:
        least = {key: _least(each) for key, each in fields.required.items()}
        yield dict(least)
        if fields.name in self.seen:
            return
        self.seen.add(fields.name)
        yield least | {key: _least(each) for key, each in fields.optional.items()}
        for key, each in {**fields.required, **fields.optional}.items():
            yield from (least | {key: value} for value in self.variations(each))


def _least(of: Any) -> Any:
    """Return a small value of a type."""
    match _shape(of):
        case _Plain(_, sample):
            return sample
        case _Constants(constants):
            return constants[0]
        case _Choice(choice):
            return _least(choice[0])
        case _Fields(_, required):
            return {key: _least(each) for key, each in required.items()}
        case _Listed():
            return []
    return {}


@cache
def _shape(of: Any) -> _Shape | None:
    """Return what a type consists of; None if JSON cannot hold its values."""
    of = _bare(of)
    if of in _PLAIN:
        return _PLAIN[of]
    origin, arguments = typing.get_origin(of), typing.get_args(of)
    if origin is typing.Literal or origin is typing_extensions.Literal:
        return _Constants(arguments)
    if origin in _UNIONS:
        held = tuple(each for each in arguments if _holds(each))
        return _Choice(held) if held else None
    if isinstance(of, type) and issubclass(of, enum.Enum):
        return _Constants(tuple(each.value for each in of))
    if typing_extensions.is_typeddict(of):
        return _typed_dict(of)
    if isinstance(of, type) and issubclass(of, BaseModel):
        return _model(of)
    return _container(origin, arguments)


def _holds(of: Any) -> bool:
    """Return True if JSON holds values of a type; named types are taken at their word.

    To look into those would not end where types refer to themselves.
    """
    of = _bare(of)
    named = typing_extensions.is_typeddict(of) or (
        isinstance(of, type) and issubclass(of, BaseModel)
    )
    return named or _shape(of) is not None


def _container(origin: Any, arguments: tuple[Any, ...]) -> _Shape | None:
    if not isinstance(origin, type) or not arguments:
        return None
    if issubclass(origin, Mapping):
        return _Mapped(arguments[1]) if _holds(arguments[1]) else None
    if origin in _LISTS:
        return _Listed(arguments[0]) if _holds(arguments[0]) else None
    return None


def _bare(of: Any) -> Any:
    """Return a type without its annotations and its name."""
    while True:
        if isinstance(of, typing_extensions.TypeAliasType):
            of = of.__value__
        elif typing.get_origin(of) in (typing.Annotated, *_MARKERS):
            of = typing.get_args(of)[0]
        else:
            return of


def _typed_dict(of: Any) -> _Fields:
    hints = typing_extensions.get_type_hints(of, include_extras=True)
    found: dict[bool, dict[str, Any]] = {True: {}, False: {}}
    for key, hint in hints.items():
        # Where annotations are strings, only the hint itself says `Required`.
        marked: Any = typing.get_origin(hint)
        needed = marked is typing.Required if marked in _MARKERS else key in of.__required_keys__
        if _holds(hint):
            found[needed][key] = hint
    return _Fields(f"{of.__module__}.{of.__name__}", found[True], found[False])


def _model(of: type[BaseModel]) -> _Fields:
    found: dict[bool, dict[str, Any]] = {True: {}, False: {}}
    for name, each in of.model_fields.items():
        if _holds(each.annotation) and not each.exclude:
            found[each.is_required()][each.serialization_alias or each.alias or name] = (
                each.annotation
            )
    return _Fields(f"{of.__module__}.{of.__name__}", found[True], found[False])


def _name(of: Any) -> str:
    return str(getattr(_bare(of), "__name__", _bare(of)))
