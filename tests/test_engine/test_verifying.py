from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from support.disks import content_of, put
from support.opening import COUNTER
from support.probes import probe
from tract import (
    AsyncTract,
    CommitInfo,
    CommitOperation,
    MediaPart,
    MessageContent,
    Priority,
    StorageError,
    StoreCorruptError,
    TractError,
    TractStore,
    VerifyReport,
)
from tract.engine.compile.compiler import DefaultContextCompiler
from tract.engine.threads import Threads
from tract.engine.verifying import Verifier
from tract.models.commit import microseconds
from tract.storage.repositories import Misplaced, StoredCommit, VerifyRepository
from tract.storage.schema import blobs, commits
from tract.storage.sql.repositories import repositories_over

EDIT = CommitOperation.EDIT
Meanwhile = Callable[[], Awaitable[object]]


class Overtaken(VerifyRepository):
    """Reads as another does, and lets something happen once after some reading."""

    def __init__(self, own: VerifyRepository, after: str, meanwhile: Meanwhile) -> None:
        self._own = own
        self._after = after
        self._meanwhile = meanwhile

    async def _done(self, what: str) -> None:
        if what == self._after:
            self._after = ""
            await self._meanwhile()

    async def heads(self, tract_id: str) -> list[str]:
        found = await self._own.heads(tract_id)
        await self._done("heads")
        return found

    async def stored(
        self, tract_id: str, heads: Iterable[str]
    ) -> AsyncIterator[Sequence[StoredCommit]]:
        async for batch in self._own.stored(tract_id, heads):
            yield batch
        await self._done("commits")

    async def misplaced(self, tract_id: str) -> list[Misplaced]:
        return await self._own.misplaced(tract_id)


async def make_history(path: Path) -> list[CommitInfo]:
    """Six commits of tract t, oldest first: three appends, an edit, an annotation, an append."""
    async with AsyncTract.open(path, tract_id="t") as tract:
        infos = [
            await tract.user(text, message="m", metadata={"a": 1}, generation_config={"b": 2})
            for text in ("one", "two", "three")
        ]
        await tract.user("two!", operation=CommitOperation.EDIT, edit_target=infos[1].commit_hash)
        await tract.annotate(infos[0].commit_hash, Priority.SKIP)
        await tract.user("four")
        return list(reversed(await tract.log(None)))


def damage(path: Path, statement: str, *parameters: object) -> None:
    """Do to the file what no library would."""
    with closing(sqlite3.connect(path)) as connection, connection:
        changed = connection.execute(statement, parameters).rowcount
    assert changed == 1


async def verified(path: Path) -> VerifyReport:
    async with AsyncTract.open(path, tract_id="t") as tract:
        return await tract.verify()


def digest(info: CommitInfo) -> bytes:
    return bytes.fromhex(info.commit_hash)


async def test_a_sound_store_has_no_faults(db_path: Path) -> None:
    await make_history(db_path)

    assert await verified(db_path) == VerifyReport(checked=6, faults=())


async def test_an_empty_tract_has_no_faults(db_path: Path) -> None:
    assert await verified(db_path) == VerifyReport(checked=0, faults=())


@pytest.mark.parametrize("place", range(6))
async def test_a_changed_content_is_named(db_path: Path, place: int) -> None:
    infos = await make_history(db_path)
    damage(
        db_path,
        "UPDATE blobs SET data = CAST(data || ' ' AS BLOB) WHERE content_hash = ?",
        bytes.fromhex(infos[place].content_hash),
    )
    report = await verified(db_path)

    assert report.checked == 6
    assert [(fault.commit_hash, fault.problem) for fault in report.faults] == [
        (
            infos[place].commit_hash,
            f"its content does not have the hash {infos[place].content_hash}",
        )
    ]


@pytest.mark.parametrize("place", range(6))
async def test_a_missing_content_is_named(db_path: Path, place: int) -> None:
    infos = await make_history(db_path)
    damage(
        db_path,
        "DELETE FROM blobs WHERE content_hash = ?",
        bytes.fromhex(infos[place].content_hash),
    )
    report = await verified(db_path)

    assert [(fault.commit_hash, fault.problem) for fault in report.faults] == [
        (infos[place].commit_hash, f"its content {infos[place].content_hash} is not in the store")
    ]


@pytest.mark.parametrize("place", [2, 5])
@pytest.mark.parametrize(
    "change",
    [
        "content_type = 'output'",
        "created_at = created_at + 1",
        "created_at = created_at - 1",
        "content_hash = (SELECT content_hash FROM blobs WHERE content_hash != commits.content_hash)",
    ],
)
async def test_a_change_to_what_is_hashed_is_named(db_path: Path, change: str, place: int) -> None:
    infos = await make_history(db_path)
    damage(db_path, f"UPDATE commits SET {change} WHERE commit_hash = ?", digest(infos[place]))
    report = await verified(db_path)

    assert report.checked == 6
    assert [(fault.commit_hash, fault.problem) for fault in report.faults] == [
        (
            infos[place].commit_hash,
            "its parents, content, type, operation, time or target do not have its hash",
        )
    ]


async def test_a_changed_operation_is_named(db_path: Path) -> None:
    infos = await make_history(db_path)
    damage(
        db_path,
        "UPDATE commits SET operation = 'edit' WHERE commit_hash = ?",
        digest(infos[0]),
    )
    report = await verified(db_path)

    problems = [fault.problem for fault in report.faults]
    assert {fault.commit_hash for fault in report.faults} == {infos[0].commit_hash}
    assert any("do not have its hash" in problem for problem in problems)
    assert f"{infos[4].commit_hash} changes it, but it is not an entry" in problems


async def test_a_changed_target_is_named(db_path: Path) -> None:
    infos = await make_history(db_path)
    damage(
        db_path,
        "UPDATE commits SET edit_target = ? WHERE commit_hash = ?",
        digest(infos[2]),
        digest(infos[3]),
    )
    report = await verified(db_path)

    assert [fault.commit_hash for fault in report.faults] == [infos[3].commit_hash]


async def test_a_changed_parent_is_named(db_path: Path) -> None:
    """What the wrong parent leads past is not reached; what it reaches is checked."""
    infos = await make_history(db_path)
    damage(
        db_path,
        "UPDATE commits SET parent_hash = ? WHERE commit_hash = ?",
        digest(infos[1]),
        digest(infos[5]),
    )
    report = await verified(db_path)

    assert report.checked == 3
    assert [fault.commit_hash for fault in report.faults] == [infos[5].commit_hash]


async def test_a_missing_parent_is_named_by_its_child(db_path: Path) -> None:
    infos = await make_history(db_path)
    damage(db_path, "DELETE FROM commits WHERE commit_hash = ?", digest(infos[2]))
    report = await verified(db_path)

    missing = f"its parent {infos[2].commit_hash} is not in the store"
    assert (infos[3].commit_hash, missing) in [
        (fault.commit_hash, fault.problem) for fault in report.faults
    ]
    assert {fault.commit_hash for fault in report.faults} == {
        infos[3].commit_hash,  # its target, an ancestor, is out of reach as well
        infos[4].commit_hash,
    }


@pytest.mark.parametrize("place", [0, 3])
async def test_a_renamed_commit_is_missed(db_path: Path, place: int) -> None:
    infos = await make_history(db_path)
    damage(
        db_path,
        "UPDATE commits SET commit_hash = ? WHERE commit_hash = ?",
        b"\1" * 32,
        digest(infos[place]),
    )
    report = await verified(db_path)

    assert (
        infos[place + 1].commit_hash,
        f"its parent {infos[place].commit_hash} is not in the store",
    ) in [(fault.commit_hash, fault.problem) for fault in report.faults]


async def test_a_branch_that_points_nowhere_is_named(db_path: Path) -> None:
    await make_history(db_path)
    damage(db_path, "UPDATE refs SET commit_hash = ? WHERE tract_id = 't'", b"\1" * 32)
    report = await verified(db_path)

    assert [(fault.commit_hash, fault.problem) for fault in report.faults] == [
        ("01" * 32, "a branch points to it, and it is not in the store")
    ]


async def test_a_ref_that_is_named_as_neither_a_branch_nor_a_tag_is_named(db_path: Path) -> None:
    """A flipped bit makes one: its branch would be missing, and nobody would know."""
    infos = await make_history(db_path)
    damage(db_path, "UPDATE refs SET name = 'refs/headq/main' WHERE tract_id = 't'")
    report = await verified(db_path)

    assert [(fault.commit_hash, fault.problem) for fault in report.faults] == [
        (
            infos[-1].commit_hash,
            "the row of the branch 'refs/headq/main', which names it, does not fit it",
        )
    ]


async def test_a_commit_that_an_index_has_under_another_tract_is_named(db_path: Path) -> None:
    infos = await make_history(db_path)
    time = microseconds(infos[1].created_at).to_bytes(8, "big")
    stored = content_of(db_path)
    assert stored.count(b"t" + time) == 1
    put(db_path, stored.replace(b"t" + time, b"u" + time))
    report = await verified(db_path)

    assert (infos[1].commit_hash, "its row says that it belongs to the tract 'u'") in [
        (fault.commit_hash, fault.problem) for fault in report.faults
    ]


@pytest.mark.parametrize("place", [0, 2])
async def test_a_time_after_its_child_is_a_fault_of_its_own_commit(
    db_path: Path, place: int
) -> None:
    """However far a time was moved, the commit that has it is named."""
    infos = await make_history(db_path)
    damage(
        db_path,
        "UPDATE commits SET created_at = created_at + 60000000 WHERE commit_hash = ?",
        digest(infos[place]),
    )
    report = await verified(db_path)

    assert infos[place].commit_hash in {fault.commit_hash for fault in report.faults}


@pytest.mark.parametrize(
    "change",
    ["message = 'other'", "metadata_json = '{}'", "generation_config_json = NULL"],
)
async def test_what_is_in_no_hash_is_no_fault(db_path: Path, change: str) -> None:
    infos = await make_history(db_path)
    damage(db_path, f"UPDATE commits SET {change} WHERE commit_hash = ?", digest(infos[1]))

    assert await verified(db_path) == VerifyReport(checked=6, faults=())


_BLANK = {"message", "metadata_json", "generation_config_json"}
"""What is in no hash: found where it cannot be read any more."""
_TOLD_ANEW = {"token_source"}
"""Where it is unknown, tokens are counted again; nothing is wrong then."""


def flipped(value: object) -> object:
    """Return a value of the same type with one bit changed."""
    if isinstance(value, int):
        return value ^ 1
    if isinstance(value, str):
        return chr(ord(value[0]) ^ 1) + value[1:]
    assert isinstance(value, bytes)
    return bytes([value[0] ^ 1]) + value[1:]


def column_of(path: Path, column: str, info: CommitInfo) -> object:
    with closing(sqlite3.connect(path)) as connection:
        [found] = connection.execute(
            f"SELECT {column} FROM commits WHERE commit_hash = ?", [digest(info)]
        )
    return found[0]


def set_column(path: Path, column: str, info: CommitInfo, value: object) -> None:
    damage(path, f"UPDATE commits SET {column} = ? WHERE commit_hash = ?", value, digest(info))


def names(report: VerifyReport, info: CommitInfo) -> bool:
    """Tell whether *report* names a commit, as the faulty one or as the one that is missed."""
    return any(
        info.commit_hash in (fault.commit_hash, *fault.problem.split()) for fault in report.faults
    )


HASHED = sorted(set(commits.c.keys()) - _BLANK - _TOLD_ANEW)


@pytest.mark.parametrize("place", [1, 3])
@pytest.mark.parametrize("column", HASHED)
async def test_a_flipped_bit_is_named_whatever_column_it_is_in(
    db_path: Path, column: str, place: int
) -> None:
    """Every column but those that no hash holds; a new one is in this test by itself."""
    infos = await make_history(db_path)
    before = column_of(db_path, column, infos[place])
    value = flipped(before) if before is not None else b"\1" * 32  # a target where none was
    set_column(db_path, column, infos[place], value)

    assert names(await verified(db_path), infos[place])


async def test_a_flipped_bit_of_a_content_is_named(db_path: Path) -> None:
    infos = await make_history(db_path)
    key = bytes.fromhex(infos[2].content_hash)
    with closing(sqlite3.connect(db_path)) as connection:
        [[data]] = connection.execute("SELECT data FROM blobs WHERE content_hash = ?", [key])
    for at, bit in zip((0, 20, -1) * 3, range(8), strict=False):
        changed = bytearray(data)
        changed[at] ^= 1 << bit
        damage(db_path, "UPDATE blobs SET data = ? WHERE content_hash = ?", bytes(changed), key)

        assert {fault.commit_hash for fault in (await verified(db_path)).faults} == {
            infos[2].commit_hash
        }


@pytest.mark.parametrize("operation", ["annotate", "merge"])
async def test_tokens_of_a_commit_that_no_model_sees_are_named(
    db_path: Path, operation: str
) -> None:
    async with AsyncTract.open(db_path, tract_id="t") as tract:
        first = await tract.user("one")
        await tract.annotate(first.commit_hash, "pinned")
        other = await tract.fork("other")
        await other.user("there")
        await tract.user("here")
        await tract.merge("other")
        [info] = [info for info in await tract.log(None) if info.operation == operation]
    damage(db_path, "UPDATE commits SET token_count = 7 WHERE commit_hash = ?", digest(info))

    assert names(await verified(db_path), info)


async def test_a_renamed_content_is_missed(db_path: Path) -> None:
    infos = await make_history(db_path)
    assert blobs.c.keys() == ["content_hash", "data"]
    key = bytes.fromhex(infos[2].content_hash)
    damage(db_path, "UPDATE blobs SET content_hash = ? WHERE content_hash = ?", flipped(key), key)

    assert names(await verified(db_path), infos[2])


UNREADABLE = [
    *((column, "CAST(x'ff00' AS TEXT)") for column in ("message", "content_type", "operation")),
    *((column, "'text'") for column in ("parent_hash", "content_hash", "edit_target")),
    *((column, "CAST(x'c3' AS TEXT)") for column in ("metadata_json", "generation_config_json")),
    *((column, "x'00'") for column in ("message", "operation", "content_type", "metadata_json")),
    *((column, "'1.5x'") for column in ("token_count", "created_at")),
    *((column, "'{\"a\":'") for column in ("metadata_json", "generation_config_json")),
    *((column, "'[1]'") for column in ("metadata_json", "generation_config_json")),
]


@pytest.mark.parametrize(("column", "value"), UNREADABLE)
async def test_what_cannot_be_read_is_named_and_hides_no_other_fault(
    db_path: Path, column: str, value: str
) -> None:
    infos = await make_history(db_path)
    damage(
        db_path,
        f"UPDATE commits SET {column} = {value} WHERE commit_hash = ?",
        digest(infos[2]),
    )
    set_column(db_path, "content_type", infos[4], "other")
    report = await verified(db_path)

    assert f"its {column.removesuffix('_json')}" in " ".join(
        fault.problem for fault in report.faults if fault.commit_hash == infos[2].commit_hash
    )
    assert names(report, infos[4])


@pytest.mark.parametrize(("column", "value"), UNREADABLE)
async def test_what_cannot_be_read_is_told_to_readers_with_the_path(
    db_path: Path, column: str, value: str
) -> None:
    infos = await make_history(db_path)
    damage(
        db_path,
        f"UPDATE commits SET {column} = {value} WHERE commit_hash = ?",
        digest(infos[2]),
    )

    async with AsyncTract.open(db_path, tract_id="t") as tract:
        with pytest.raises(StoreCorruptError) as told:
            await tract.log(None)
    assert told.value.path == str(db_path)
    assert str(told.value).startswith(f"{db_path}: ")


Call = Callable[[AsyncTract, CommitInfo], Awaitable[object]]
EVERY_WAY: list[Call] = [
    lambda t, info: t.head(),
    lambda t, info: t.log(None),
    lambda t, info: t.log(before=info.commit_hash),
    lambda t, info: t.get_commit(info.commit_hash),
    lambda t, info: t.get_content(info.commit_hash),
    lambda t, info: t.get_annotations(info.commit_hash),
    lambda t, info: t.query_by_config("b", "=", 2),
    lambda t, info: t.compile(),
    lambda t, info: t.compile(at_commit=info.commit_hash),
    lambda t, info: t.compile(at_time=info.created_at),
    lambda t, info: t.compile(at_time=info.created_at + timedelta(microseconds=1)),
    lambda t, info: t.user("x", operation=EDIT, edit_target=info.commit_hash),
    lambda t, info: t.annotate(info.commit_hash, Priority.PINNED),
    lambda t, info: t.record_usage({"prompt_tokens": 1, "completion_tokens": 1}),
    lambda t, info: t.user("x"),
]
"""Every way to meet a commit."""


@pytest.mark.parametrize("place", [1, 5], ids=["within", "head"])
@pytest.mark.parametrize(
    ("column", "value"), [*UNREADABLE, ("segment", "'1.5x'"), ("token_source", "x'00'")]
)
async def test_no_call_meets_what_cannot_be_read_with_an_error_that_is_not_ours(
    db_path: Path, column: str, value: str, place: int
) -> None:
    infos = await make_history(db_path)
    damage(
        db_path,
        f"UPDATE commits SET {column} = {value} WHERE commit_hash = ?",
        digest(infos[place]),
    )

    await check_errors(db_path, infos[place])


@pytest.mark.parametrize("place", [4, 5], ids=["annotation", "head"])
async def test_a_time_that_cannot_be_read_is_told_to_who_asks_for_annotations(
    db_path: Path, place: int
) -> None:
    infos = await make_history(db_path)
    set_column(db_path, "created_at", infos[place], "soon")

    async with AsyncTract.open(db_path, tract_id="t") as tract:
        with pytest.raises(StoreCorruptError, match=infos[place].commit_hash) as told:
            await tract.get_annotations(infos[0].commit_hash)
    assert told.value.path == str(db_path)


@pytest.mark.parametrize("column", ["commit_hash", "segment"])
async def test_no_call_meets_a_branch_that_cannot_be_read_with_an_error_that_is_not_ours(
    db_path: Path, column: str
) -> None:
    infos = await make_history(db_path)
    damage(db_path, f"UPDATE refs SET {column} = 'text' WHERE tract_id = 't'")

    await check_errors(db_path, infos[5])


async def check_errors(path: Path, info: CommitInfo) -> None:
    """Assert that every call works or raises an error of ours; a StorageError names the path."""
    async with AsyncTract.open(path, tract_id="t") as tract:
        for call in EVERY_WAY:
            [outcome] = await asyncio.gather(call(tract, info), return_exceptions=True)
            if isinstance(outcome, BaseException):
                assert isinstance(outcome, TractError), repr(outcome)
            if isinstance(outcome, StorageError):
                assert outcome.path == str(path)


async def test_a_commit_taken_out_of_its_branch_is_named_and_a_fork_is_not(db_path: Path) -> None:
    """A segment is one run of commits: what time travel looks up."""
    infos = await make_history(db_path)
    async with TractStore.open(db_path) as store:
        for text in "ab":
            await store.tract("t", branch="side").user(text)
        fork = await store.tract("t").fork("fork", at_commit=infos[3].commit_hash)
        await fork.user("c")
        assert (await store.tract("t").verify()).faults == ()
    set_column(db_path, "segment", infos[2], 1)

    report = await verified(db_path)
    assert [fault.commit_hash for fault in report.faults] == [infos[2].commit_hash]


async def test_faults_stay_in_their_tract(db_path: Path) -> None:
    """Promise 9."""
    infos = await make_history(db_path)
    async with AsyncTract.open(db_path, tract_id="other") as other:
        await other.user("one more")
    damage(db_path, "UPDATE commits SET content_type = 'x' WHERE commit_hash = ?", digest(infos[0]))

    async with AsyncTract.open(db_path, tract_id="other") as other:
        assert (await other.verify()).faults == ()


async def test_all_faults_are_found_at_once(db_path: Path) -> None:
    infos = await make_history(db_path)
    for info in (infos[0], infos[2]):
        damage(db_path, "UPDATE commits SET content_type = 'x' WHERE commit_hash = ?", digest(info))
    damage(
        db_path,
        "DELETE FROM blobs WHERE content_hash = ?",
        bytes.fromhex(infos[5].content_hash),
    )
    report = await verified(db_path)

    assert [fault.commit_hash for fault in report.faults] == [
        infos[number].commit_hash for number in (5, 2, 0)
    ]


@pytest.mark.parametrize("after", ["heads", "commits"])
async def test_what_is_erased_or_pruned_meanwhile_is_not_a_fault(
    store: TractStore, after: str
) -> None:
    tract = store.tract("t")
    picture = MediaPart(kind="image", media_type="image/png", data=b"\x89PNG\r\n\x1a\npicture")
    shown = await tract.commit(MessageContent(role="user", parts=(picture,)))
    lost = await tract.fork("lost")
    await lost.user("gone")

    async def meanwhile() -> None:
        await tract.erase([shown.commit_hash], reason="asked")
        await tract.delete_branch("lost", force=True)
        await tract.prune(keep=0, reason="old")

    parts = probe(store).parts
    storage = repositories_over(parts.database)
    checks = Overtaken(storage.checks, after, meanwhile)
    threads = Threads()
    verifier = Verifier(checks, storage.attachments, DefaultContextCompiler(COUNTER), threads)
    report = await verifier.verify("t")
    threads.close()

    assert report.faults == ()
    assert report.checked == 1
    assert [each.reason for each in report.erased] == ["asked"]


async def test_damage_is_found_beside_what_is_pruned_meanwhile(tmp_path: Path) -> None:
    infos = await make_history(tmp_path / "t.db")
    change = "UPDATE commits SET metadata_json = '[]' WHERE commit_hash = ?"
    damage(tmp_path / "t.db", change, digest(infos[0]))
    async with TractStore.open(tmp_path / "t.db") as store:
        tract = store.tract("t")
        await (await tract.fork("lost")).user("gone")

        async def meanwhile() -> None:
            await tract.delete_branch("lost", force=True)
            await tract.prune(keep=0, reason="old")

        storage = repositories_over(probe(store).parts.database)
        threads = Threads()
        checks = Overtaken(storage.checks, "heads", meanwhile)
        compiler = DefaultContextCompiler(COUNTER)
        report = await Verifier(checks, storage.attachments, compiler, threads).verify("t")
        threads.close()

    assert [each.commit_hash for each in report.faults] == [infos[0].commit_hash]
