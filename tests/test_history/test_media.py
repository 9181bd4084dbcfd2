"""Base64 in items: what is taken out comes back to the byte, and nothing else is touched."""

from __future__ import annotations

import base64
import os
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tract.history.media import (
    LEAST,
    MARK,
    Encoded,
    attachments_in,
    put_back,
    reference,
    references,
    take_out,
)

BYTES = os.urandom(3_000)
TEXT = base64.b64encode(BYTES).decode()
URL_SAFE = base64.urlsafe_b64encode(b"\xfb\xff" * 1_500).decode()
NAME = sha256(BYTES).hexdigest()


@pytest.mark.parametrize(
    ("item", "count"),
    [
        ({"data": TEXT}, 1),
        ({"image_url": {"url": f"data:image/png;base64,{TEXT}"}}, 1),
        ({"content": f"data:application/pdf;base64,{TEXT}"}, 1),
        ({"images": [TEXT, URL_SAFE, TEXT]}, 2),
        ({"data": URL_SAFE}, 1),
        ({"data": TEXT[:-4] + "AA=="}, 1),
        ({"data": TEXT[:-4] + "AB=="}, 0),
        ({"result": TEXT}, 1),
        ({"data": TEXT[: LEAST - 4]}, 0),
        ({"data": TEXT[:-1]}, 0),
        ({"data": TEXT[:-4] + "AA=B"}, 0),
        ({"data": TEXT[:-4] + "AB="}, 0),
        ({"data": "QQ==" * 1_000}, 0),
        ({"data": "é" * 2_000}, 0),
        ({"data": TEXT + "\n   "}, 0),
        ({"content": TEXT}, 0),
        ({"output": TEXT, "input": TEXT, "refusal": TEXT}, 0),
        ({"signature": TEXT, "encrypted_content": TEXT, "thoughtSignature": TEXT}, 0),
        ({"text": f"data:image/png;base64,{TEXT}"}, 0),
        ({"arguments": TEXT}, 0),
    ],
)
def test_base64_where_media_are_is_taken_out_and_comes_back(
    item: dict[str, Any], count: int
) -> None:
    taken = take_out(item)

    assert len(taken.media) == count
    assert put_back(taken.item, taken.media.__getitem__) == item
    assert put_back(taken.item, lambda name: Encoded.of(taken.media[name])) == item
    assert all(sha256(data).hexdigest() == name for name, data in taken.media.items())
    assert {each.sha256 for each in references(taken.item)} == {*taken.media}
    assert take_out(put_back(taken.item, taken.media.__getitem__)) == taken


@pytest.mark.parametrize("pieces", [1, 2, 3])
@pytest.mark.parametrize("more", [-1, 0, 1, 2, 3])
def test_media_of_every_length_around_a_piece_come_back(pieces: int, more: int) -> None:
    data = os.urandom(196_608 * pieces + more)
    item = {"data": base64.b64encode(data).decode()}
    taken = take_out(item)

    assert [*taken.media.values()] == [data]
    assert put_back(taken.item, taken.media.__getitem__) == item


def test_padding_inside_is_no_base64_wherever_it_stands() -> None:
    whole = base64.b64encode(os.urandom(196_608)).decode()
    inside = whole[:-4] + "QQ==" + whole

    assert take_out({"data": inside}).media == {}


def test_a_reference_says_what_is_needed() -> None:
    taken = take_out({"url": f"data:image/png;base64,{TEXT}"}, lambda data: (3, 2))
    found = reference(taken.item["url"])

    assert found is not None
    assert (found.sha256, found.size, found.media_type) == (NAME, 3_000, "image/png")
    assert (found.width, found.height) == (3, 2)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just(TEXT),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from([MARK, "value", "bytes", "data", "x"]), inner, max_size=4
            )
        ),
        max_leaves=12,
    )
)
def test_any_item_comes_back(item: Any) -> None:
    taken = take_out(item)

    assert put_back(taken.item, taken.media.__getitem__) == item
    assert {each.sha256 for each in references(taken.item)} == {*taken.media}


def test_a_content_names_its_attachments_each_once_and_in_order() -> None:
    one, two, three = ("1" * 64, "2" * 64, "3" * 64)
    native = f'{{"x":[{{"{MARK}":"{three}","bytes":1}}]}}'
    parts = [
        {"type": "media", "attachment": two},
        {"type": "tool_result", "parts": [{"attachment": one}, {"attachment": two}]},
        {"type": "native", "native": {"api": "x", "text": native}},
        {"type": "native", "native": {"api": "x", "text": f'not JSON "{MARK}"'}},
    ]

    assert attachments_in("message", {"parts": parts}) == (two, one, three)
    taken = take_out({"data": TEXT, "more": {"data": TEXT}})
    assert attachments_in("native", {"item": taken.item}) == (NAME,)
    assert attachments_in("freeform", {"payload": taken.item}) == ()
