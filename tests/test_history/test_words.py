"""The words of a text, as search compares them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tract.history.words import MOST, words_in, words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("Hello, World_2!", ["hello", "world", "2"]),
        ("Crème BRÛLÉE", ["creme", "brulee"]),
        ("cafe\u0301s", ["cafes"]),
        ("Straße ﬁn ½", ["strasse", "fin", "12"]),
        ("図書 Tokyo東京", ["図", "書", "tokyo", "東", "京"]),
        ("हिन्दी", ["हिन्दी"]),
        ("한국어", ["한국어"]),
        ("a\0b\ud800c", ["a", "b", "c"]),
        ("\u0301 \u0300\u0300", []),
        ("x" * 100, ["x" * 64]),
        ("before " + "QUJD/abc+" * 40 + " after", ["before", "after"]),
        ("é " + "QUJD/abc+" * 40 + " after", ["e", "after"]),
    ],
    ids=range(13),
)
def test_words_are_plain_runs_of_letters_and_digits(text: str, words: list[str]) -> None:
    assert words_of(text) == words


def test_a_long_text_is_looked_at_up_to_a_number_of_words() -> None:
    for text in ("a " * 20_000, "é " * 20_000):
        assert len(words_of(text)) == len(words_in(text)) == MOST


@given(st.text(st.characters(codec=None) | st.sampled_from(" aA_é図\u0301\ud800\0"), max_size=60))
def test_words_are_the_same_with_their_places_and_stay_what_they_are(text: str) -> None:
    words = words_of(text)
    places = words_in(text)

    assert words == [word.text for word in places]
    assert all(re.fullmatch(r"[^\W_]\w*|\S+", word) and word.encode() for word in words)
    assert not any(set(word) & set(" '\"\\§¶*:&|!<>()\0_") for word in words)
    assert all(0 <= word.start < word.end <= len(text) for word in places)
    assert words_of(" ".join(words)) == words
