from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tract.history.hashing import commit_hash, content_hash

PLACE = {
    "parent": "a" * 64,
    "content_hash": "b" * 64,
    "content_type": "dialogue",
    "operation": "append",
    "timestamp": 1_700_000_000_000_000,
}


def sha256_of(value: dict[str, object]) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_content_hash_is_the_sha256_of_the_blob() -> None:
    assert content_hash(b"blob") == hashlib.sha256(b"blob").hexdigest()


def test_a_commit_hash_is_the_sha256_of_its_place_as_canonical_json() -> None:
    """Promise 2, so that anybody can check a store with other tools."""
    named = commit_hash(
        parent="a" * 64,
        content_hash="b" * 64,
        content_type="dialogue",
        operation="append",
        timestamp=1_700_000_000_000_000,
    )

    assert named == sha256_of({**PLACE})


def test_the_first_commit_has_a_null_parent() -> None:
    named = commit_hash(
        parent=None, content_hash="", content_type="", operation="append", timestamp=0
    )

    assert named == sha256_of(
        {"parent": None, "content_hash": "", "content_type": "", "operation": "append"}
        | {"timestamp": 0}
    )


@pytest.mark.parametrize("extra", [{"target": "c" * 64}, {"merge_parent": "d" * 64}])
def test_target_and_merge_parent_count_where_present(extra: dict[str, str]) -> None:
    named = commit_hash(
        parent="a" * 64,
        content_hash="b" * 64,
        content_type="dialogue",
        operation="append",
        timestamp=1_700_000_000_000_000,
        **extra,
    )

    assert named == sha256_of({**PLACE, **extra})


@given(
    st.none() | st.text(),
    st.text(),
    st.text(),
    st.text(),
    st.integers(0, 2**62),
    st.none() | st.text(),
    st.none() | st.text(),
)
def test_whatever_stands_in_a_place_is_written_as_canonical_json(
    parent: str | None,
    content: str,
    content_type: str,
    operation: str,
    timestamp: int,
    target: str | None,
    merge_parent: str | None,
) -> None:
    """Damaged rows are hashed as well, to tell that they are."""
    place: dict[str, Any] = {
        "parent": parent,
        "content_hash": content,
        "content_type": content_type,
        "operation": operation,
        "timestamp": timestamp,
    }
    extra: dict[str, Any] = {"target": target, "merge_parent": merge_parent}
    there = {**place, **{name: value for name, value in extra.items() if value is not None}}
    text = json.dumps(there, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    assert commit_hash(**place, **extra) == hashlib.sha256(text.encode()).hexdigest()
