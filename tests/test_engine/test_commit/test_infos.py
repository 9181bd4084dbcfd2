from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from tract import CommitOperation, Priority, StoreCorruptError
from tract.engine.commit.infos import annotation_of, commit_info
from tract.models.commit import microseconds
from tract.storage.repositories import CommitRow

RECORD = CommitRow(
    commit_hash="a" * 64,
    tract_id="t",
    parent_hash=None,
    content_hash="b" * 64,
    content_type="dialogue",
    operation="edit",
    edit_target="c" * 64,
    message=None,
    token_count=3,
    metadata_json='{"a":[1]}',
    generation_config_json=None,
    created_at=1_700_000_000_123_456,
)


def test_an_info_shows_what_the_record_holds() -> None:
    info = commit_info(RECORD)

    assert info.operation is CommitOperation.EDIT
    assert (info.metadata, info.generation_config, info.message) == ({"a": [1]}, None, None)
    assert info.created_at == datetime(2023, 11, 14, 22, 13, 20, 123456, tzinfo=UTC)


def test_an_empty_config_is_not_none() -> None:
    assert commit_info(RECORD._replace(generation_config_json="{}")).generation_config == {}


def test_every_info_has_dicts_of_its_own() -> None:
    """Promise 7."""
    first = commit_info(RECORD)
    assert first.metadata is not None
    first.metadata["a"].append(2)

    assert commit_info(RECORD).metadata == {"a": [1]}


def test_an_annotation_tells_target_priority_and_reason() -> None:
    data = b'{"content_type":"annotation","priority":"skip","reason":"long"}'

    annotation = annotation_of(RECORD, data)

    assert annotation.priority is Priority.SKIP
    assert (annotation.target_hash, annotation.reason) == ("c" * 64, "long")
    assert annotation.commit_hash == RECORD.commit_hash


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (datetime(1970, 1, 1, tzinfo=UTC), 0),
        (datetime(1970, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))), 0),
        (datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC), -1),
        (datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC), 253_402_300_799_999_999),
    ],
)
def test_times_are_exact_to_the_microsecond(moment: datetime, expected: int) -> None:
    assert microseconds(moment) == expected


def test_an_operation_that_does_not_exist_is_told_as_damage() -> None:
    with pytest.raises(StoreCorruptError, match="verify"):
        commit_info(RECORD._replace(operation="undo"))
