"""`quote_id()`: every text has a name of its own, from which it comes back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from support.opening import COUNTER
from tract import RefNameError, TractStore, quote_id, unquote_id
from tract.models.refs import check_ref_name

TEXTS = st.text(
    st.one_of(
        st.characters(exclude_categories=()),
        st.sampled_from("%/.@{-:~^?*[\\ \0\x7flockHEADabcdef0123456789"),
    ),
    max_size=28,
)
HASH = "ab" * 32


@given(TEXTS)
@example("")
@example("%")
@example("%25")
@example("@")
@example("HEAD")
@example(HASH)
@example("a.lock/b.lock")
@example("..a//.b/")
@example("\ud83d\ude00 \udc80")
@example("\0")
def test_every_text_comes_back_from_its_name(text: str) -> None:
    name = quote_id(text)
    check_ref_name(name)

    assert unquote_id(name) == text


@given(TEXTS, TEXTS)
def test_no_two_texts_have_one_name(one: str, other: str) -> None:
    assert (quote_id(one) == quote_id(other)) == (one == other)


@given(st.text("abcxyzÄ旅🏔09_-.@/=+", min_size=1, max_size=28))
def test_a_text_that_is_a_name_stays_as_it_is(text: str) -> None:
    try:
        check_ref_name(text)
    except RefNameError:
        return
    assert quote_id(text) == text


@given(TEXTS, TEXTS)
def test_a_text_that_begins_as_another_has_a_name_that_does(beginning: str, rest: str) -> None:
    if not beginning or beginning[-1] in "./" or beginning in ("@", "HEAD"):
        return  # what ends a name may stand within one
    if beginning.endswith(".lock") or ".lock/" in beginning + rest or ".lock" in rest[-5:]:
        return
    assert quote_id(beginning + rest).startswith(quote_id(beginning))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("user:42/a b", "user%3A42/a%20b"),
        ("", "%"),
        ("100%", "100%25"),
        ("thread..1", "thread.%2E1"),
        ("naïve/旅行", "naïve/旅行"),
        ("HEAD", "%48EAD"),
        (HASH, f"%61{HASH[1:]}"),
        ("a.lock", "a%2Elock"),
        ("100% of a:b", "100%25%20of%20a%3Ab"),
        ("a..b@{1}", "a.%2Eb@%7B1}"),
        ("-a.", "%2Da%2E"),
        (".git/a.lock", "%2Egit/a%2Elock"),
        ("/a//b/", "%2Fa/%2Fb%2F"),
        ("@", "%40"),
        ("a\0", "a%00"),
    ],
)
def test_names_can_be_read(text: str, name: str) -> None:
    assert quote_id(text) == name


@pytest.mark.parametrize("text", ["x" * 1_025, ":" * 342, "🏔" * 257], ids=len)
def test_a_text_that_does_not_fit_is_refused_with_the_limit(text: str) -> None:
    with pytest.raises(RefNameError, match="up to 1,024"):
        quote_id(text)
    with pytest.raises(RefNameError, match="up to 1,024"):
        quote_id(text + " ")


@pytest.mark.parametrize(
    "name", ["user:42", "100%", "%2", "%ff", "%FF", "%41", "", "%3a", "x" * 1_025, "a%", "%%"]
)
def test_a_name_that_is_no_quoted_text_is_refused(name: str) -> None:
    with pytest.raises(RefNameError, match="returns no such name"):
        unquote_id(name)


@pytest.mark.parametrize(
    "text",
    [
        *("user:42/a b", "", "nul\0", "\udc80", "..", "@{", "@", "HEAD", HASH, "-x", ".x", "x."),
        *("a.lock", "a.lock/b", "/", "a//b", "~^:?*[\\", "%"),
    ],
    ids=ascii,
)
async def test_a_quoted_text_is_a_tract_a_branch_and_a_tag(target: str, text: str) -> None:
    name = quote_id(text)
    async with TractStore.open(target, tokenizer=COUNTER) as store:
        tract = store.tract(name, branch=name)
        await tract.user("said")
        await tract.tag(name)

        assert [unquote_id(each) for each in await store.tract_ids()] == [text]
        assert [unquote_id(each.name) for each in await tract.branches()] == [text]
        assert [unquote_id(each.name) for each in await tract.tags()] == [text]


@pytest.mark.parametrize("text", [5, None, b"text"])
@pytest.mark.parametrize("function", [quote_id, unquote_id])
def test_what_is_not_a_string_has_no_name(function: Callable[[Any], str], text: object) -> None:
    with pytest.raises(RefNameError):
        function(text)
