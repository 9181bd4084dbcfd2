from __future__ import annotations

import hashlib
import json

import pytest

from tract.engine.hashing import commit_hash, content_hash

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
