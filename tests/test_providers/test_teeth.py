"""The validators refuse what the providers refuse, and name the rule.

Every fault of the tables in `providers.mutations` is put into requests that are valid: into those
written by hand, and into the recorded ones where they are there.
"""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers import (
    anthropic_blocks,
    anthropic_messages,
    google_generate_content,
    openai_chat,
    openai_responses,
    rules,
    valid,
    validators,
)
from providers.exchanges import Exchange
from providers.mutations import anthropic, chat, google, responses
from providers.mutations.table import Mutation, Request, Table
from providers.rules import rule_of

Judge = Callable[[Request], list[str]]

_RECORDED_EACH = 20
"""In how many recorded requests each fault is tried."""


def _chat(provider: str) -> Judge:
    return partial(validators.problems, "openai.chat", provider=provider)


CASES: list[tuple[str, str, Table, list[Request], Judge]] = [
    ("openai.chat", "openai", chat.TABLE, valid.CHAT, _chat("openai")),
    ("openai.chat", "mistral", chat.MISTRAL, valid.MISTRAL, _chat("mistral")),
    ("openai.chat", "deepseek", chat.DEEPSEEK, valid.DEEPSEEK, _chat("deepseek")),
    (
        "openai.responses",
        "",
        responses.TABLE,
        [*valid.RESPONSES, *valid.OPEN_WEIGHTS],
        partial(validators.problems, "openai.responses", provider="deepseek"),
    ),
    (
        "openai.responses",
        "openai",
        responses.PREFIXED,
        valid.RESPONSES,
        partial(validators.problems, "openai.responses", provider="openai"),
    ),
    (
        "anthropic.messages",
        "",
        anthropic.TABLE,
        valid.MESSAGES,
        partial(validators.problems, "anthropic.messages"),
    ),
    (
        "google.generate_content",
        "",
        google.TABLE,
        valid.GOOGLE,
        partial(validators.problems, "google.generate_content", model="gemini-2.5-flash"),
    ),
    (
        "google.generate_content",
        "gemini-3",
        google.SIGNING,
        valid.GOOGLE,
        partial(validators.problems, "google.generate_content", model="gemini-3-pro-preview"),
    ),
]

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda within: st.lists(within, max_size=2) | st.dictionaries(st.text(max_size=5), within),
    max_leaves=3,
)

FAULTS = [
    pytest.param(mutation, api, by, bases, judge, id=f"{api}-{by}-{mutation.name}")
    for api, by, table, bases, judge in CASES
    for mutation in table.mutations
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}-{case[1]}")
def test_the_requests_written_by_hand_are_valid(
    case: tuple[str, str, Table, list[Request], Judge],
) -> None:
    for base in case[3]:
        assert case[4](base) == []


@pytest.mark.parametrize("provider", ["bedrock", "openai"])
def test_the_ids_of_models_with_open_weights_may_begin_in_other_ways(provider: str) -> None:
    for request in valid.OPEN_WEIGHTS:
        assert validators.problems("openai.responses", request, provider=provider) == []


@pytest.mark.parametrize(("mutation", "api", "by", "bases", "judge"), FAULTS)
def test_every_fault_is_refused_by_the_rule_that_it_breaks(
    mutation: Mutation,
    api: str,
    by: str,
    bases: list[Request],
    judge: Judge,
    answered: list[Exchange],
) -> None:
    written = list(_faulty(mutation, bases))
    recorded = islice(_faulty(mutation, _chosen(answered, api, by)), _RECORDED_EACH)

    assert written, "no request written by hand has a place for this fault"
    for request in (*written, *recorded):
        assert mutation.rule in map(rule_of, judge(request)), request


def test_every_rule_has_a_fault_that_breaks_it() -> None:
    tables = {
        openai_chat: (chat.TABLE, chat.MISTRAL, chat.DEEPSEEK),
        openai_responses: (responses.TABLE, responses.PREFIXED),
        anthropic_messages: (anthropic.TABLE,),
        anthropic_blocks: (anthropic.TABLE,),
        google_generate_content: (google.TABLE, google.SIGNING),
    }

    for module, its_tables in tables.items():
        broken = {mutation.rule for table in its_tables for mutation in table.mutations}
        assert _rules_named_in(module) - broken == set(), module.__name__


def _faulty(mutation: Mutation, bases: Iterable[Request]) -> Iterator[Request]:
    return (faulty for base in bases if (faulty := mutation.of(base)) is not None)


def _chosen(answered: list[Exchange], api: str, by: str) -> Iterator[Request]:
    """Requests that were answered by whoever enforces the rule: a provider or a model."""
    return (
        exchange.request
        for exchange in answered
        if exchange.api == api
        and by in ("", exchange.provider, exchange.model.removeprefix("models/")[: len(by)])
    )


def _rules_named_in(module: ModuleType) -> set[str]:
    """Return the names of rules in a module's calls of what reports problems."""
    reporting = {"problem", "matching", "unique"}
    used = {rules.media_url: {"url", "media-type", "base64"}, rules.base64_text: {"base64"}}
    named = {rule for helper, own in used.items() if helper.__name__ in dir(module) for rule in own}
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            rule = node.args[1] if node.func.id in reporting else None
            if isinstance(rule, ast.Constant):
                named.add(str(rule.value))
    return named


@given(data=st.data())
def test_whatever_is_wrong_with_a_request_the_validator_reports_and_does_not_raise(
    data: st.DataObject,
) -> None:
    _, _, _, bases, judge = data.draw(st.sampled_from(CASES))
    request: Request = json.loads(json.dumps(data.draw(st.sampled_from(bases))))
    for _ in range(data.draw(st.integers(1, 3))):
        holder, key = data.draw(st.sampled_from(list(_places(request))))
        holder[key] = data.draw(ANYTHING)

    assert all(found.count(": ") >= 2 for found in judge(request))


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every place in a JSON value, as what holds it and its key or index."""
    within = value.items() if isinstance(value, dict) else enumerate(value)
    for key, each in list(within):
        yield value, key
        if isinstance(each, dict | list):
            yield from _places(each)
