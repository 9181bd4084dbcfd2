from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support import tokens
from support.effort import effort, examples
from support.scripts import printed
from tract import Message, TokenCounter, ToolCall
from tract.engine.tokens.counters import (
    ONE_TOKEN_ROLES,
    PROVEN_ENCODINGS,
    SAFE_CHARS,
    BaseTokenCounter,
    NullTokenCounter,
    TiktokenCounter,
    counter_source,
)
from tract.engine.tokens.vocabulary import encoding_names, load_encoding

PACKAGED = ["cl100k_base", "o200k_base"]
PROVEN = sorted(PROVEN_ENCODINGS & set(PACKAGED))

# What the proof of `joins_cleanly` has to get past: everything that a pattern treats apart.
CHARACTERS = "aÉʰǅ\u017f中1٣²'!/\\\u0301🙂\ud83d\ude00\u200b\ufeff\u180e\x00_-=\U0010ffff"
SPACES = " \t\n\r\x0b\x1c\x1f\x85\xa0\u2028\u3000"
STRINGS = ["Ab", "12", "'s", "'LL", "?!", "//", "e\u0301", "  ", "\r\n", "{}", "👩‍👩‍👧"]
PIECES = st.sampled_from([*CHARACTERS, *SPACES, *STRINGS, "<|endoftext|>", "hello world"])
TEXTS = st.lists(PIECES, max_size=8).map("".join) | st.text(max_size=12)

CALLS = st.builds(ToolCall, st.none() | TEXTS, TEXTS, TEXTS)
MESSAGES = st.builds(
    Message,
    role=st.sampled_from(sorted(ONE_TOKEN_ROLES)) | TEXTS,
    content=st.none() | TEXTS,
    name=st.none() | TEXTS,
    tool_calls=st.lists(CALLS, max_size=2).map(tuple),
    tool_call_id=st.none() | TEXTS,
)


def naive_count(encoding_name: str, messages: list[dict[str, Any]]) -> int:
    """The formula as the documentation words it, straight over tiktoken."""
    encoding = load_encoding(encoding_name)
    total = 3 if messages else 0
    for message in messages:
        texts = [message["role"], message["content"] or ""]
        total += 3
        if "name" in message:
            texts.append(message["name"])
            total += 1
        for call in message.get("tool_calls", []):
            texts += [call["function"]["name"], call["function"]["arguments"]]
        total += sum(len(encoding.encode(text, disallowed_special=())) for text in texts)
    return total


class CharCounter(BaseTokenCounter):
    """One token per character."""

    source = "chars"

    def count_text(self, text: str) -> int:
        return len(text)


class ForeignCounter:
    """A counter that derives from nothing of ours."""

    def count_text(self, text: str) -> int:
        return 1

    def count_messages(self, messages: Any) -> int:
        return len(messages)


@pytest.mark.unmeasured
@pytest.mark.parametrize(
    "encoding_name", [PACKAGED[0], pytest.param(PACKAGED[1], marks=pytest.mark.long)]
)
@given(messages=st.lists(MESSAGES, max_size=4))
@settings(max_examples=examples(300), deadline=None)
def test_a_message_list_counts_what_the_formula_says(
    encoding_name: str, messages: list[Message]
) -> None:
    dicts = [message.to_dict() for message in messages]

    assert TiktokenCounter(encoding_name).count_messages(dicts) == naive_count(encoding_name, dicts)


@given(messages=st.lists(MESSAGES, min_size=1, max_size=4))
@settings(deadline=None)
def test_overheads_and_bodies_add_up_to_the_message_list(messages: list[Message]) -> None:
    counter = TiktokenCounter()
    parts = sum(counter.count_overhead(m.role, m.name) + counter.count_body(m) for m in messages)

    assert counter.count_messages([m.to_dict() for m in messages]) == parts + 3


def test_no_messages_count_nothing() -> None:
    assert CharCounter().count_messages([]) == 0


def test_missing_content_counts_nothing() -> None:
    assert CharCounter().count_messages([{"role": "user", "content": None}]) == 3 + 4 + 3


def test_an_empty_name_still_costs_its_token() -> None:
    assert CharCounter().count_overhead("user", "") == 3 + 4 + 1


def test_a_counter_of_ones_own_needs_no_loading_and_promises_no_joins() -> None:
    counter = CharCounter()
    counter.load()

    assert counter.ready
    assert not counter.joins_cleanly("text")


@pytest.mark.parametrize("encoding_name", PROVEN)
def test_role_words_that_need_no_vocabulary_are_one_token_each(encoding_name: str) -> None:
    encoding = load_encoding(encoding_name)

    assert {len(encoding.encode_ordinary(role)) for role in ONE_TOKEN_ROLES} == {1}


def test_harmony_shares_its_vocabulary_and_pattern_with_o200k() -> None:
    """So what is proven of the one is proven of the other, and one is loaded for both."""
    if "o200k_harmony" not in encoding_names():
        pytest.skip("this release of tiktoken has no o200k_harmony")
    harmony, base = tokens.encoding("o200k_harmony"), load_encoding("o200k_base")

    assert harmony._pat_str == base._pat_str
    assert harmony._mergeable_ranks == base._mergeable_ranks


_OVERHEADS = """
import sys
from tract import TiktokenCounter
counter = TiktokenCounter("o200k_base")
print([counter.count_overhead(role, None) for role in sys.argv[1:]], counter.ready)
"""


def test_overheads_of_known_roles_need_no_vocabulary() -> None:
    roles = sorted(ONE_TOKEN_ROLES)

    assert printed(_OVERHEADS, *roles) == f"{[4] * len(roles)} False"


@pytest.mark.long
@pytest.mark.parametrize("encoding_name", PROVEN)
@given(before=TEXTS, text=TEXTS)
@settings(max_examples=effort(1000, 4000), deadline=None)
def test_a_text_that_joins_cleanly_adds_its_own_tokens(
    encoding_name: str, before: str, text: str
) -> None:
    counter = TiktokenCounter(encoding_name)
    joined = counter.count_text(before + "\n\n" + text)
    apart = counter.count_text(before + "\n\n") + counter.count_text(text)

    assert joined == apart or not counter.joins_cleanly(text)


@pytest.mark.unmeasured
@pytest.mark.parametrize("encoding_name", PROVEN)
def test_every_character_that_joins_cleanly_does(encoding_name: str) -> None:
    counter = TiktokenCounter(encoding_name)
    befores = ["", "a", "a's", "1", "!", "/", "e\u0301", "🙂", "a \t", "\r"]
    counts = [(before, counter.count_text(before + "\n\n")) for before in befores]
    faults = [
        (before, hex(point))
        for point in range(0x3100)
        if counter.joins_cleanly(chr(point))
        for before, count in counts
        if counter.count_text(f"{before}\n\n{chr(point)}x")
        != count + counter.count_text(f"{chr(point)}x")
    ]

    assert faults == []


def test_nothing_that_could_be_whitespace_joins_cleanly() -> None:
    """Unicode's White_Space, and what Python or earlier versions of Unicode add to it."""
    unicode_space = [*range(9, 14), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B)]
    unicode_space += [0x2028, 0x2029, 0x202F, 0x205F, 0x3000]
    suspects = [*unicode_space, *range(0x1C, 0x20), 0x180E]

    assert not any(TiktokenCounter().joins_cleanly(chr(point) + "x") for point in suspects)


@pytest.mark.parametrize("text", ["", "/path", "\n"])
def test_a_text_that_may_merge_with_a_blank_line_is_not_said_to_join_cleanly(text: str) -> None:
    assert not TiktokenCounter().joins_cleanly(text)


def test_other_encodings_promise_no_clean_joins() -> None:
    assert not TiktokenCounter("p50k_base").joins_cleanly("text")


def test_known_texts_have_their_known_counts() -> None:
    assert TiktokenCounter().count_text("hello world") == 2
    assert TiktokenCounter("cl100k_base").count_text("hello world") == 2
    assert TiktokenCounter().count_text("") == 0


def test_text_that_looks_like_a_special_token_is_text() -> None:
    assert TiktokenCounter().count_text("<|endoftext|>") > 1


@given(text=st.text(st.characters(), max_size=50))
@settings(deadline=None)
def test_any_text_has_a_count(text: str) -> None:
    """Lone surrogates included, which no UTF-8 can hold."""
    assert TiktokenCounter().count_text(text + "\ud800") > 0


@pytest.mark.parametrize("character", ["a", " ", "\n", "^", "0", "中"])
def test_a_long_run_of_one_character_has_a_count(character: str) -> None:
    """A million spaces are more than tiktoken itself can encode."""
    assert TiktokenCounter().count_text(character * 1_000_000) > 1000


@pytest.mark.parametrize("encoding_name", PROVEN)
def test_cutting_a_long_text_changes_no_count(encoding_name: str) -> None:
    line = "It's 1234567 words/\n\n  and\tmore, it'll be\r\n /path ünïcödé 中文 \x1c\n \n//!\n"
    text = line * (2 * SAFE_CHARS // len(line) + 10)
    whole = len(load_encoding(encoding_name).encode_ordinary(text))

    assert TiktokenCounter(encoding_name).count_text(text) == whole


@pytest.mark.unmeasured
def test_a_stretch_too_long_to_encode_still_joins_cleanly() -> None:
    counter = TiktokenCounter()
    before, text = "words and\n\n", "x" + " " * 1_000_000 + "\n\ny z"
    apart = counter.count_text(before) + counter.count_text(text)

    assert counter.count_text(before + text) == apart


def test_the_default_encoding_is_o200k_base() -> None:
    assert TiktokenCounter().source == "tiktoken:o200k_base"


def test_a_model_names_its_encoding() -> None:
    assert TiktokenCounter(model="gpt-4").source == "tiktoken:cl100k_base"


def test_an_unknown_model_is_refused_with_the_encodings_to_use() -> None:
    with pytest.raises(ValueError, match=r"'claude'.*`encoding_name`.*o200k_base"):
        TiktokenCounter(model="claude")


def test_an_unknown_encoding_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"'gpt-4o'.*o200k_base"):
        TiktokenCounter("gpt-4o")


def test_an_encoding_and_a_model_are_refused_together() -> None:
    with pytest.raises(ValueError, match="not both"):
        TiktokenCounter("o200k_base", model="gpt-4o")


def test_a_counter_is_ready_once_loaded() -> None:
    counter = TiktokenCounter()
    counter.load()

    assert counter.ready


def test_an_encoding_that_nobody_loaded_is_not_ready() -> None:
    assert not TiktokenCounter("p50k_base").ready


def test_names_are_counted_alike_the_first_and_later_times() -> None:
    counter = TiktokenCounter()
    names = [f"agent {i} of the planner" for i in range(2000)]
    counts = [counter.count_overhead("user", name) for name in names]

    assert [counter.count_overhead("user", name) for name in names] == counts


def test_the_null_counter_counts_nothing() -> None:
    counter = NullTokenCounter()
    message = Message("user", "text", "name", (ToolCall("1", "tool", "{}"),))

    assert counter.count_text("text") == 0
    assert counter.count_overhead("user", "name") == counter.count_body(message) == 0
    assert counter.count_messages([message.to_dict()]) == 0
    assert counter.joins_cleanly(" ")
    assert counter.source == "null"


def test_the_counters_have_the_public_protocol() -> None:
    assert isinstance(TiktokenCounter(), TokenCounter)
    assert isinstance(NullTokenCounter(), TokenCounter)


def test_a_counter_without_a_source_is_named_after_its_class() -> None:
    assert counter_source(ForeignCounter()) == "counter:ForeignCounter"
    assert counter_source(CharCounter()) == "chars"
