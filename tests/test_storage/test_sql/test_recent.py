"""What was just written is not read again, and is the same as what would be read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from support.drafts import MAIN, OTHER_BRANCH, OTHER_TRACT, annotation, draft, edit, ticking
from support.repositories import NONE_KNOWN
from tract import TractConfig
from tract.storage.repositories import CommitDraft, CommitRow, Position
from tract.storage.sql.recent import RecentCommits
from tract.storage.sqlite.database import open_database
from tract.storage.sqlite.repositories import repositories_over


def record(number: int, draft_of_it: CommitDraft, tract_id: str = "agent") -> CommitRow:
    return CommitRow(
        commit_hash=f"{number:064x}",
        tract_id=tract_id,
        parent_hash=f"{number - 1:064x}" if number else None,
        content_hash=draft_of_it.content_hash,
        content_type=draft_of_it.content_type,
        operation=draft_of_it.operation,
        edit_target=None,
        message=None,
        token_count=draft_of_it.token_count,
        metadata_json=None,
        generation_config_json=draft_of_it.generation_config_json,
        created_at=number,
    )


def kept(recent: RecentCommits, records: Sequence[CommitRow]) -> list[int]:
    return [
        number
        for number, item in enumerate(records)
        if recent.step(item.tract_id, item.commit_hash) is not None
    ]


async def test_what_is_remembered_is_what_would_be_read(db_path: Path) -> None:
    """For appends, edits and annotations on two branches of a tract, and in another tract."""
    database = await open_database(str(db_path), TractConfig(), ticking())
    writing = repositories_over(database)
    for branch in (MAIN, OTHER_BRANCH, OTHER_TRACT):
        first, *_ = await writing.commits.write(
            branch, [draft("ä", config='{"t":1}'), edit("new", 0)]
        )
        await writing.commits.write(branch, [annotation(first.commit_hash), draft("last")])

    reading = repositories_over(database)
    for branch in (MAIN, OTHER_BRANCH, OTHER_TRACT):
        remembered = await writing.histories.locate(branch, Position(), NONE_KNOWN)
        assert remembered == await reading.histories.locate(branch, Position(), NONE_KNOWN)
        assert remembered.steps is not None
        assert len(remembered.steps) == 4
        middle = remembered.steps[1].commit_hash
        assert await writing.histories.locate(branch, Position(), {middle}) == (
            await reading.histories.locate(branch, Position(), {middle})
        )
    await database.aclose()


def test_one_hash_in_two_tracts_is_two_commits() -> None:
    """A hash leaves the config out, so tracts may share one and differ in that."""
    recent = RecentCommits()
    cold, warm = draft(config='{"t":0}'), draft(config='{"t":1}')
    recent.add([record(1, cold)], [cold])
    recent.add([record(1, warm, "rival")], [warm])

    for tract_id, config in (("agent", '{"t":0}'), ("rival", '{"t":1}')):
        found = recent.step(tract_id, f"{1:064x}")
        assert found is not None
        assert found[0].generation_config_json == config
    assert recent.step("nobody", f"{1:064x}") is None


def test_the_oldest_make_room_for_the_newest() -> None:
    """About a megabyte is kept, whatever the sizes."""
    recent = RecentCommits()
    drafts = [draft("x" * 9_000) for _ in range(300)]
    records = [record(number, item) for number, item in enumerate(drafts)]
    for item, made in zip(records, drafts, strict=True):
        recent.add([item], [made])

    numbers = kept(recent, records)
    assert 80 < len(numbers) < 110
    assert numbers == list(range(300))[-len(numbers) :]


def test_of_a_large_batch_as_many_are_kept_as_of_single_commits() -> None:
    drafts = [draft(str(number)) for number in range(1_500)]
    records = [record(number, item) for number, item in enumerate(drafts)]
    together, singly = RecentCommits(), RecentCommits()
    together.add(records, drafts)
    for item, made in zip(records, drafts, strict=True):
        singly.add([item], [made])

    assert kept(together, records) == kept(singly, records)
    assert len(kept(together, records)) > 500


def test_a_large_content_is_not_kept() -> None:
    recent = RecentCommits()
    large, small = draft("x" * 20_000), draft("y")
    records = [record(0, large), record(1, small)]
    recent.add(records, [large, small])

    assert kept(recent, records) == [1]
