"""Conditions: what is refused, with what words, and what is made of the rest."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime
from enum import Enum, IntEnum
from typing import Any

import pytest

from tract import OperandKind, QueryError, TractError
from tract.models.queries.query import OPERATORS, config_condition

pytestmark = pytest.mark.measured


class Model(str, Enum):  # noqa: UP042 - a StrEnum's str() is its value, this one's is not
    FAST = "fast"


class Level(IntEnum):
    HIGH = 3


class Custom:
    pass


@pytest.mark.parametrize(
    "operator", ["LIKE", "", "==", "<>", "IN", "is", "= 1 OR 1 =", None, 3, []]
)
def test_an_unknown_operator_is_named_with_those_that_there_are(operator: Any) -> None:
    with pytest.raises(QueryError) as caught:
        config_condition("a", operator, 1)

    assert str(caught.value) == (
        f"Unsupported operator: {operator!r}. Use one of: =, !=, >, <, >=, <=, in, not in."
    )


@pytest.mark.parametrize(
    ("field", "told"),
    [
        ("", "empty part"),
        (".", "empty part"),
        ("a.", "empty part"),
        (".a", "empty part"),
        ("a..b", "or give a tuple of exact keys"),
        ((), "Give a dotted path such as 'response_format.type'"),
        (None, "Give a dotted path"),
        (1, "Give a dotted path"),
        (b"a", "Give a dotted path"),
        (["a"], "a tuple of exact keys"),
        (("a", -1), "-1 is neither a key nor a list index from 0 up"),
        (("a", True), "True is neither a key nor a list index"),
        (("a", 1.0), "1.0 is neither a key nor a list index"),
        (("a", None), "None is neither a key nor a list index"),
        (("a", ("b",)), "('b',) is neither a key nor a list index"),
        (("a", 2**31), "2147483648 is neither a key nor a list index"),
        ("a.\ud800", "a lone surrogate is not valid text"),
        (("\udfff",), "a lone surrogate is not valid text"),
    ],
)
def test_a_malformed_field_is_told_what_is_wrong(field: Any, told: str) -> None:
    with pytest.raises(QueryError) as caught:
        config_condition(field, "=", 1)

    assert str(caught.value).startswith(f"Malformed field: {field!r}")
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (float("nan"), "value: nan is not a JSON number"),
        (float("inf"), "value: inf is not a JSON number"),
        (float("-inf"), "value: -inf is not a JSON number"),
        (datetime(2026, 1, 1, tzinfo=UTC), "value: a datetime is not a JSON value"),
        (b"a", "value: a bytes is not a JSON value"),
        (Custom(), "value: a Custom is not a JSON value"),
        (1 + 2j, "value: a complex is not a JSON value"),
        ("\ud800", "value: a lone surrogate"),
        ([1, {"a": {1}}], "value[1].a: a set is not a JSON value"),
        ({1: 2}, "value: the key 1 is not a string"),
    ],
)
@pytest.mark.parametrize("operator", OPERATORS)
def test_a_value_that_is_no_json_is_refused_by_every_operator(
    operator: str, value: Any, told: str
) -> None:
    with pytest.raises(QueryError) as caught:
        config_condition("a", operator, [value] if "in" in operator else value)

    assert str(caught.value).startswith(f"The value cannot be compared: {told}")


@pytest.mark.parametrize("operator", [">", "<", ">=", "<="])
@pytest.mark.parametrize("value", [None, True, False, [1], (1,), [], {"a": 1}, {}])
def test_only_numbers_and_strings_have_an_order(operator: str, value: Any) -> None:
    with pytest.raises(QueryError) as caught:
        config_condition("a", operator, value)

    assert str(caught.value) == (
        f"The operator {operator!r} compares numbers or strings, not {type(value).__name__}. "
        "Use '=', '!=', 'in' or 'not in'."
    )


@pytest.mark.parametrize("operator", ["in", "not in"])
@pytest.mark.parametrize(
    "value",
    ["abc", b"abc", bytearray(b"abc"), memoryview(b"abc"), {1, 2}, {"a": 1}, 1, None, iter([])],
)
def test_in_takes_a_sequence_and_a_string_is_none(operator: str, value: Any) -> None:
    with pytest.raises(QueryError) as caught:
        config_condition("a", operator, value)

    assert str(caught.value) == (
        f"The operator {operator!r} takes a list or tuple of values, not {type(value).__name__}."
    )


@pytest.mark.parametrize("value", [[1, 2], (1, 2), range(1, 3), deque([1, 2])])
def test_in_takes_any_sequence(value: Any) -> None:
    condition = config_condition("a", "in", value)

    assert [operand.json for operand in condition.operands] == ["1", "2"]


def test_a_query_error_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="Unsupported operator") as caught:
        config_condition("a", "~", 1)

    assert isinstance(caught.value, TractError)


@pytest.mark.parametrize(
    ("field", "path"),
    [
        ("a", ("a",)),
        ("a.b", ("a", "b")),
        ("stop.0", ("stop", "0")),
        ("$", ("$",)),
        (("a.b", 0), ("a.b", 0)),
        (("",), ("",)),
        ((Model.FAST,), ("fast",)),
    ],
)
def test_a_field_is_a_path_of_keys_and_indexes(field: Any, path: tuple[str | int, ...]) -> None:
    assert config_condition(field, "=", 1).path == path


@pytest.mark.parametrize(
    ("value", "kind", "json"),
    [
        (1, OperandKind.NUMBER, "1"),
        (-0.0, OperandKind.NUMBER, "-0.0"),
        (2**200, OperandKind.NUMBER, str(2**200)),
        (Level.HIGH, OperandKind.NUMBER, "3"),
        (True, OperandKind.LITERAL, "true"),
        (None, OperandKind.LITERAL, "null"),
        ("é\0", OperandKind.TEXT, '"é\\u0000"'),
        (Model.FAST, OperandKind.TEXT, '"fast"'),
        ((1, "a"), OperandKind.ARRAY, '[1,"a"]'),
        ({"b": 1, "a": []}, OperandKind.OBJECT, '{"a":[],"b":1}'),
    ],
)
def test_a_value_is_compared_as_its_json_type(value: Any, kind: OperandKind, json: str) -> None:
    (operand,) = config_condition("a", "=", value).operands

    assert (operand.kind, operand.json) == (kind, json)


@pytest.mark.parametrize(("value", "text"), [("é\0", "é\0"), (Model.FAST, "fast"), (1, "")])
def test_a_string_is_compared_as_itself(value: Any, text: str) -> None:
    (operand,) = config_condition("a", "=", value).operands

    assert operand.text == text
    assert type(operand.text) is str


def test_a_condition_does_not_change_with_the_value_it_was_made_of() -> None:
    value = [["a"]]
    condition = config_condition("a", "in", value)
    value[0].append("b")
    value.append([])

    assert [operand.json for operand in condition.operands] == ['["a"]']
