"""A file that version 0.1.0 wrote, opened by this version: nothing is lost, and nothing reads otherwise.

`files/first_release/make.py` made it, on that version's own code, and wrote down what that read.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from support.commands import tract
from tract import AsyncTract, CommitInfo, SchemaVersionError, SyncStore, TractStore, copy_store

FILES = Path(__file__).parent / "files" / "first_release"

pytestmark = pytest.mark.sqlite  # the first release had no other engine


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return Path(shutil.copy(FILES / "agents.db", tmp_path / "agents.db"))


@pytest.fixture
async def upgraded(old: Path) -> AsyncIterator[TractStore]:
    async with TractStore.open(old) as store:
        yield store


@pytest.fixture(scope="module")
def said() -> dict[str, Any]:
    """What version 0.1.0 read, by tract."""
    found: dict[str, Any] = json.loads((FILES / "agents.json").read_text(encoding="utf-8"))
    return found


async def test_every_commit_content_and_context_is_what_it_was(
    upgraded: TractStore, said: dict[str, Any]
) -> None:
    seen = 0
    for tract_id, old_tract in said.items():
        for branch, old_commits in old_tract["branches"].items():
            handle = upgraded.tract(tract_id, branch=branch)
            commits = await handle.log(None)
            assert [each.commit_hash for each in commits] == [
                each["commit_hash"] for each in old_commits
            ]
            for commit, before in zip(commits, old_commits, strict=True):
                assert await read(handle, commit, before) == before
                seen += 1
    assert seen > 30


async def read(handle: AsyncTract, commit: CommitInfo, before: dict[str, Any]) -> dict[str, Any]:
    """Return what *before* tells of a commit, as this version reads it."""
    context = await handle.compile(at_commit=commit.commit_hash)
    content = await handle.get_content(commit.commit_hash)
    fields = commit.model_dump(mode="json")
    shown = content.model_dump(mode="json")
    return {
        **{name: fields[name] for name in before if name in fields},
        "content": {name: shown[name] for name in before["content"]},
        "messages": [
            {"role": each.role, "content": each.content, "name": each.name}
            for each in context.messages
        ],
        "context_tokens": context.token_count,
        "token_source": context.token_source,
    }


async def test_branches_tags_and_the_reflog_are_what_they_were(
    upgraded: TractStore, said: dict[str, Any]
) -> None:
    assert sorted(await upgraded.tract_ids()) == sorted(said)
    for tract_id, old_tract in said.items():
        handle = upgraded.tract(tract_id)
        branches = {each.name for each in await handle.branches()}
        tags = {each.name: each.target_hash for each in await handle.tags()}
        moves = [
            [each.branch, each.old_hash, each.new_hash, each.action, each.created_at]
            for each in await handle.reflog()
        ]

        assert branches == {*old_tract["branches"]}
        assert tags == old_tract["tags"]
        assert moves == [[*told, datetime.fromisoformat(at)] for *told, at in old_tract["reflog"]]


async def test_every_hash_holds(upgraded: TractStore, said: dict[str, Any]) -> None:
    for tract_id in said:
        report = await upgraded.tract(tract_id).verify()

        assert report.checked > 0
        assert report.faults == ()


async def test_a_reply_that_was_cut_off_before_the_upgrade_is_recovered(
    upgraded: TractStore,
) -> None:
    (left,) = await upgraded.recover_streams()
    (commit,) = await left.commit()

    assert left.text == "24 "
    assert commit.metadata is not None
    assert commit.metadata["trace"] == "t-2"


async def test_what_later_versions_brought_works_on_it(upgraded: TractStore) -> None:
    planner = upgraded.tract("planner")
    await planner.commit({"content_type": "output", "text": "Bodø third."}, key="third")
    await upgraded.enable_search()
    hits = await upgraded.search("Norway")
    erased = await planner.erase(["before-merge"], reason="asked to")

    assert {each.tract_id for each in hits} == {"planner"}
    assert (await planner.get_by_keys(["third"]))["third"].tract_id == "planner"
    assert erased.commits
    assert (await planner.verify()).faults == ()


async def test_it_goes_into_a_new_store(upgraded: TractStore, tmp_path: Path) -> None:
    async with TractStore.open(tmp_path / "new.db") as new:
        await copy_store(upgraded, new)

        for tract_id in await upgraded.tract_ids():
            heads = [
                {each.name: each.head_hash for each in await store.tract(tract_id).branches()}
                for store in (upgraded, new)
            ]
            assert heads[0] == heads[1]


def test_read_only_it_is_refused_and_left_as_it_is(old: Path) -> None:
    before = old.read_bytes()

    with pytest.raises(SchemaVersionError, match="schema version 2"):
        SyncStore.open(f"file:{old}?mode=ro")
    assert old.read_bytes() == before


def test_the_command_line_tells_what_to_do_and_does_it(old: Path) -> None:
    refused = tract("log", old, "--tract", "planner")
    migrated = tract("migrate", old, "--json")
    logged = tract("log", old, "--tract", "planner")

    assert refused.code == 5
    assert "migrate" in refused.err
    assert migrated.document["schema_before"] == 2
    assert logged.code == 0
    assert "both" in logged.out
