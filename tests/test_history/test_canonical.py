from __future__ import annotations

import json
from collections import OrderedDict, defaultdict
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tract import ContentValidationError
from tract.history.canonical import MAX_DEPTH, canonical_bytes, canonical_json

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)
HUGE = 10**5000


class Colour(StrEnum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


class Plain(Enum):
    A = 1


class Text(str):
    """A string that shows itself as another one."""

    def __str__(self) -> str:
        return "shown"

    __repr__ = __str__


class Number(float):
    """A float that shows itself as a foreign number type does."""

    def __repr__(self) -> str:
        return "Number(0.5)"


class Count(int):
    """An integer that shows itself otherwise."""

    def __repr__(self) -> str:
        return "Count(5)"


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def keys_of(value: Any) -> list[list[str]]:
    """The keys of every object in *value*, in the order in which they stand."""
    if isinstance(value, dict):
        return [list(value), *(keys for item in value.values() for keys in keys_of(item))]
    if isinstance(value, list):
        return [keys for item in value for keys in keys_of(item)]
    return []


@given(VALUES)
def test_json_reads_the_value_back(value: Any) -> None:
    assert json.loads(canonical_json(value)) == value


@given(VALUES)
def test_writing_what_was_read_changes_nothing(value: Any) -> None:
    text = canonical_json(value)

    assert canonical_json(json.loads(text)) == text


@given(VALUES)
def test_keys_are_sorted_by_code_point(value: Any) -> None:
    for keys in keys_of(json.loads(canonical_json(value))):
        assert keys == sorted(keys, key=lambda key: [*map(ord, key)])


@given(st.dictionaries(TEXTS, VALUES))
def test_the_order_of_insertion_leaves_no_trace(value: dict[str, Any]) -> None:
    assert canonical_json(dict(reversed(value.items()))) == canonical_json(value)


@given(VALUES)
def test_the_bytes_are_the_text_in_utf8(value: Any) -> None:
    assert canonical_bytes(value).decode("utf-8") == canonical_json(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": 1, "a": [True, None]}, '{"a":[true,null],"b":1}'),
        ({"\U0001f600": 1, "\uffff": 2, "z": 3}, '{"z":3,"\uffff":2,"\U0001f600":1}'),
        ("é\n\x00\u2028/\x7f", '"é\\n\\u0000\u2028/\x7f"'),
        ((1, (2, ())), "[1,[2,[]]]"),
        ({"": {}}, '{"":{}}'),
        (-0.0, "-0.0"),
        (1e16, "1e+16"),
        (2**64, "18446744073709551616"),
        (True, "true"),
    ],
)
def test_a_value_has_this_text(value: Any, text: str) -> None:
    assert canonical_json(value) == text


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Text("real"), "real"),
        ({Text("key"): Text("real")}, {"key": "real"}),
        (Number(0.5), 0.5),
        (Count(5), 5),
        (Colour.RED, "red"),
        ({Colour.RED: [Level.HIGH]}, {"red": [3]}),
        (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        (defaultdict(list, a=[1]), {"a": [1]}),
    ],
)
def test_subclasses_of_json_types_are_written_as_what_they_are(value: Any, plain: Any) -> None:
    assert json.loads(canonical_json(value)) == plain


WRONG: list[tuple[Any, str]] = [
    (float("nan"), "not a JSON number"),
    (float("inf"), "not a JSON number"),
    (Number("-inf"), "not a JSON number"),
    (b"x", "bytes is not a JSON value"),
    (bytearray(b"x"), "bytearray is not a JSON value"),
    (datetime.now(UTC), "datetime is not a JSON value"),
    ({1, 2}, "set is not a JSON value"),
    (Decimal(1), "Decimal is not a JSON value"),
    (1j, "complex is not a JSON value"),
    (Plain.A, "Plain is not a JSON value"),
    (object(), "object is not a JSON value"),
    ({1: 2}, "the key 1 is not a string"),
    ({None: 2}, "the key None is not a string"),
    ({True: 2}, "the key True is not a string"),
    ({(1, "a"): 2}, "the key (a tuple) is not a string"),
    ({b"k": 2}, "the key b'k' is not a string"),
    ({HUGE: 2}, "the key (a int) is not a string"),
    ("a\ud800", "lone surrogate"),
    (Text("\udfff"), "lone surrogate"),
    (HUGE, "that many digits"),
    (Count(-HUGE), "that many digits"),
]


@pytest.mark.parametrize(
    ("place", "path"),
    [
        (lambda wrong: wrong, ""),
        (lambda wrong: {"a": 1, "key": wrong}, "key"),
        (lambda wrong: [0, "x", wrong], "[2]"),
        (lambda wrong: ({"a": [{}, {"b c": [0, wrong]}]},), "[0].a[1].b c[1]"),
    ],
)
@pytest.mark.parametrize(
    ("wrong", "problem"), WRONG, ids=[f"{type(wrong).__name__}: {text}" for wrong, text in WRONG]
)
def test_what_json_cannot_hold_is_refused_with_its_path(
    wrong: Any, problem: str, place: Any, path: str
) -> None:
    with pytest.raises(ContentValidationError) as raised:
        canonical_json(place(wrong))

    assert raised.value.path == path
    assert problem in raised.value.problem


@pytest.mark.parametrize(
    "wrong", [float("nan"), "\ud800", HUGE, b""], ids=["float", "str", "int", "bytes"]
)
def test_a_path_starts_at_the_name_of_the_root(wrong: Any) -> None:
    with pytest.raises(ContentValidationError) as raised:
        canonical_json({"a": [wrong]}, "metadata")

    assert raised.value.path == "metadata.a[0]"


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"a\ud800": 1}, "a\\ud800"),
        ({"x": [{"\udc00": {}}]}, "x[0].\\udc00"),
        ({"k\ud800": ["fine"]}, "k\\ud800"),
    ],
)
def test_a_lone_surrogate_in_a_key_is_shown_escaped(value: Any, path: str) -> None:
    with pytest.raises(ContentValidationError, match="lone surrogate") as raised:
        canonical_json(value)

    assert raised.value.path == path
    str(raised.value).encode()


def test_values_nest_up_to_the_limit() -> None:
    assert canonical_json(nested(MAX_DEPTH)) == "[" * MAX_DEPTH + "1" + "]" * MAX_DEPTH


@pytest.mark.parametrize("levels", [MAX_DEPTH + 1, 100_000])
def test_deeper_nesting_is_refused(levels: int) -> None:
    with pytest.raises(ContentValidationError, match="nested deeper than 200 levels") as raised:
        canonical_json(nested(levels))

    assert raised.value.path == "[0]" * MAX_DEPTH


def test_a_cycle_is_refused() -> None:
    cycle: dict[str, Any] = {"a": []}
    cycle["a"].append(cycle)

    with pytest.raises(ContentValidationError, match="contains itself") as raised:
        canonical_json(cycle)
    assert raised.value.path.startswith("a[0].a[0].a[0]")


def test_a_value_may_stand_in_several_places() -> None:
    shared = {"x": [1]}

    assert canonical_json([shared, shared]) == '[{"x":[1]},{"x":[1]}]'
