"""Sizes of images, as their headers say them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.pictures import gif, jpeg, png, webp
from tract.history.image_sizes import image_size

pytestmark = pytest.mark.measured

IMAGES = {
    "png": png(640, 480),
    "gif": gif(640, 480),
    "jpeg": jpeg(640, 480),
    **{kind.decode(): webp(kind, 640, 480) for kind in (b"VP8 ", b"VP8L", b"VP8X")},
}


@pytest.mark.parametrize("kind", IMAGES)
def test_the_header_of_each_kind_says_the_size(kind: str) -> None:
    assert image_size(IMAGES[kind]) == (640, 480)
    assert image_size(IMAGES[kind] + b"pixels" * 100) == (640, 480)


@pytest.mark.parametrize("kind", IMAGES)
def test_a_header_that_is_cut_off_says_nothing(kind: str) -> None:
    data = IMAGES[kind]

    assert {image_size(data[:length]) for length in range(len(data) - 3)} == {None}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x" * 100,
        png(0, 480),
        gif(640, 0),
        b"%PDF-1.7",
        b"<svg width='5' height='5'/>",
        b"RIFF\0\0\0\0WAVEfmt " + b"\0" * 50,
        b"\xff\xd8\xff\xd9",
        b"\xff\xd8" + b"\xff" * 50,
        b"\xff\xd8\xff\xe0\0\0" * 20,
        b"\x89PNG\r\n\x1a\n" + b"\0" * 50,
    ],
)
def test_what_says_no_size_has_none(data: bytes) -> None:
    assert image_size(data) is None


@given(st.sampled_from([*IMAGES.values(), b""]), st.binary(max_size=60), st.integers(0, 30))
def test_no_bytes_make_it_fail(data: bytes, more: bytes, at: int) -> None:
    found = image_size(data[:at] + more)

    assert found is None or min(found) > 0
