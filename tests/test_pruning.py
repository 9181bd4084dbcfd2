"""`prune()` and `retain()`: contexts stay as they are, and what none of them shows is gone."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import pytest

from support import sse
from support.opening import COUNTER
from support.probes import probe
from support.replies import drained, reply
from tract import (
    AsyncTract,
    BranchNotFoundError,
    CommitInfo,
    CommitNotFoundError,
    ContentValidationError,
    DialogueContent,
    ErasedContent,
    MediaPart,
    MergeConflict,
    MessageContent,
    Priority,
    PruneProgress,
    Retention,
    StoreReadOnlyError,
    TractConfig,
    TractStore,
    copy_store,
)
from tract.storage.sql.repositories import repositories_over

MARK = "the xyzzy of a secret"
WORD = b"xyzzy"


def texts(context: object) -> list[str]:
    return [message.content for message in context.messages]  # type: ignore[attr-defined]


async def edit(tract: AsyncTract, entry: CommitInfo, text: str) -> CommitInfo:
    content = DialogueContent(role="user", text=text)
    return await tract.commit(content, operation="edit", edit_target=entry.commit_hash)


async def hidden(tract: AsyncTract) -> list[CommitInfo]:
    """Put the mark everywhere that no context shows, and return where."""
    entry = await tract.user(f"{MARK} 1")
    earlier = await edit(tract, entry, f"{MARK} 2")
    await edit(tract, entry, "edited")
    skipped = await tract.user(f"{MARK} 3")
    await tract.annotate(skipped.commit_hash, Priority.SKIP, reason=MARK)
    [annotation] = await tract.log(1)
    state = await tract.state({"of": f"{MARK} 4"})
    return [entry, earlier, skipped, annotation, state]


async def lost(tract: AsyncTract, name: str = "lost", number: int = 3) -> list[CommitInfo]:
    """Make a branch with the mark, delete it, and return its commits."""
    branch = await tract.fork(name)
    made = [await branch.user(f"{MARK} {name} {at}") for at in range(number)]
    await tract.delete_branch(name, force=True)
    return made


def files(path: Path) -> bytes:
    beside = [Path(f"{path}{end}") for end in ("", "-wal", "-shm")]
    return b"".join(each.read_bytes() for each in beside if each.exists())


async def test_what_no_context_shows_is_gone_and_the_rest_stays(main: AsyncTract) -> None:
    places = await hidden(main)
    gone = await lost(main)
    before = await main.compile()

    receipt = await main.prune(keep=0, reason="old")

    assert (receipt.erased, receipt.deleted, receipt.contents, receipt.kept) == (5, 3, 8, 0)
    assert texts(await main.compile()) == texts(before) == ["edited"]
    contents = await main.get_contents([info.commit_hash for info in places])
    assert {content.reason for content in contents} == {"old"}  # type: ignore[attr-defined]
    assert [await main.get_commit(info.commit_hash) for info in gone] == [None] * 3
    assert {entry.branch for entry in await main.reflog()} <= {"main", "lost"}
    report = await main.verify()
    assert report.faults == ()
    assert {each.commit_hash for each in report.erased} == {info.commit_hash for info in places}


async def test_no_byte_of_the_files_has_what_was_pruned(db_path: Path) -> None:
    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        tract = store.tract("t")
        await hidden(tract)
        await lost(tract)
        image = MediaPart(kind="image", data=b"\x89PNG" + WORD, media_type="image/png")
        shown = await tract.commit(MessageContent(role="user", parts=(image,)))
        await tract.annotate(shown.commit_hash, Priority.SKIP)

        receipt = await tract.prune(keep=0, reason="old")

        assert (receipt.attachments, receipt.pending) == (1, "vacuum")
        assert (await store.vacuum()).pending is None
        assert WORD not in files(db_path)


async def test_there_may_be_nothing_to_prune(store: TractStore) -> None:
    empty, full = store.tract("empty"), store.tract("full")
    await full.user("a")

    for tract in (empty, full):
        receipt = await tract.prune(keep=0, reason="old")
        assert (receipt.erased, receipt.deleted, receipt.pending) == (0, 0, None)
    assert await store.tract_ids() == ["full"]
    assert texts(await full.compile()) == ["a"]


@pytest.mark.parametrize("given", ["time", "hash", "tag", "keep", "both"])
async def test_what_was_shown_since_the_boundary_can_be_gone_back_to(
    main: AsyncTract, given: str
) -> None:
    """Contents that were edited over, and commits reset away, before it are gone; later, not."""
    entry = await main.user("1")
    old = await edit(main, entry, "2")
    kept = await edit(main, entry, "3")
    await main.tag("then")
    since = kept.created_at
    skipped = await main.user("4")
    await main.annotate(skipped.commit_hash, Priority.SKIP)
    await edit(main, entry, "5")
    away = await lost(main)
    views = [texts(await main.compile(at_time=since + timedelta(days=days))) for days in (0, 1)]
    commits = len(await main.log(None)) + len(away)
    both = {"before": datetime.now(UTC), "keep": commits - 2}
    where = {"time": since, "hash": kept.commit_hash, "tag": "then"}
    asked = both if given == "both" else {"before": where.get(given), "keep": None}
    if given == "keep":
        asked = {"keep": commits - 2}

    receipt = await main.prune(**asked, reason="old")  # type: ignore[arg-type]

    assert receipt.before == since
    assert (receipt.erased, receipt.deleted) == (2, 0)
    assert [texts(await main.compile(at_time=since + timedelta(days=d))) for d in (0, 1)] == views
    assert texts(await main.compile(at_commit=skipped.commit_hash)) == ["3\n\n4"]
    assert texts(await main.compile(at_commit=old.commit_hash)) == []
    assert await main.get_commit(away[-1].commit_hash) is not None


async def test_what_was_shown_at_the_boundary_and_edited_over_since_stays(
    main: AsyncTract,
) -> None:
    """A boundary in time, behind a head; and one at a commit that shows earlier contents."""
    entry = await main.user("1")
    since = entry.created_at + timedelta(microseconds=1)
    await asyncio.sleep(0.001)
    first = await edit(main, entry, "2")
    side = await main.fork("side")
    second = await side.user("3")
    await edit(side, entry, "4")
    await edit(main, entry, "5")

    assert (await main.prune(before=since, reason="old")).erased == 0
    assert texts(await main.compile(at_time=since)) == ["1"]
    assert (await main.prune(before=second.created_at, reason="old")).erased == 1
    assert texts(await side.compile(at_commit=second.commit_hash)) == ["2\n\n3"]
    assert texts(await main.compile(at_commit=first.commit_hash)) == ["2"]


async def test_a_skipped_entry_that_is_brought_back_is_erased(main: AsyncTract) -> None:
    [_, _, skipped, *_] = await hidden(main)
    await main.prune(keep=0, reason="old")
    await main.annotate(skipped.commit_hash, Priority.NORMAL)

    assert texts(await main.compile()) == ["edited"]
    assert texts(await main.compile(include_erased=True)) == ["edited\n\n[erased]"]
    await edit(main, skipped, "anew")
    assert texts(await main.compile()) == ["edited\n\nanew"]


async def test_each_branch_and_tag_keeps_what_it_shows(main: AsyncTract) -> None:
    entry = await main.user("1")
    await main.tag("v1")
    await edit(main, entry, "2")
    side = await main.fork("side")
    await edit(main, entry, "3")
    newest = await edit(main, entry, "4")

    receipt = await main.prune(keep=0, reason="old")

    assert receipt.erased == 1
    assert texts(await main.compile(at_commit="v1")) == ["1"]
    assert texts(await side.compile()) == ["2"]
    assert texts(await main.compile()) == ["4"]
    await side.merge("main", on_conflict="theirs")
    assert texts(await side.compile()) == ["4"]
    assert await main.head() == newest.commit_hash


async def test_a_deleted_commit_cannot_be_picked_and_the_error_tells_of_prunes(
    main: AsyncTract,
) -> None:
    gone = await lost(main)
    await main.prune(keep=0, reason="old")

    with pytest.raises(CommitNotFoundError, match=r"`prune\(\)` deletes"):
        await main.cherry_pick(gone[-1].commit_hash)


async def test_a_merge_is_refused_if_its_other_branch_is_pruned_meanwhile(
    main: AsyncTract,
) -> None:
    entry = await main.user("a")
    side = await main.fork("side")
    await edit(side, entry, "theirs")
    await edit(main, entry, "ours")

    async def meanwhile(_: MergeConflict) -> Literal["theirs"]:
        await main.delete_branch("side", force=True)
        await main.prune(keep=0, reason="old")
        return "theirs"

    with pytest.raises(BranchNotFoundError, match="side"):
        await main.merge("side", on_conflict=meanwhile)
    assert texts(await main.compile()) == ["ours"]
    assert (await main.verify()).faults == ()


async def test_other_tracts_keep_contents_that_they_share(store: TractStore) -> None:
    one, two = store.tract("one"), store.tract("two")
    entry = await one.user("shared")
    theirs = await two.user("shared")
    await edit(one, entry, "other")

    receipt = await one.prune(keep=0, reason="old")

    assert (receipt.erased, receipt.contents, receipt.kept) == (1, 0, 1)
    assert texts(await two.compile()) == ["shared"]
    assert (await two.get_commit(theirs.commit_hash)) == theirs


async def test_what_a_key_names_stays(main: AsyncTract) -> None:
    former = await main.state({"n": 1}, key="k")
    now = await main.state({"n": 2}, key="k", on_key="replace")
    await main.prune(keep=0, reason="old")

    assert isinstance(await main.get_content(former.commit_hash), ErasedContent)
    assert (await main.get_by_keys(["k"]))["k"] == now
    assert (await main.get_content(now.commit_hash)).payload == {"n": 2}  # type: ignore[attr-defined]


async def test_usage_and_the_number_of_commits_go_with_deleted_commits(store: TractStore) -> None:
    tract = store.tract("t")
    await tract.user("a")
    side = await tract.fork("side")
    await side.user("b")
    await side.record_usage({"prompt_tokens": 7, "completion_tokens": 1})
    await tract.delete_branch("side", force=True)
    await tract.prune(keep=0, reason="old")

    info = await tract.info()
    assert info is not None
    assert (info.commits, info.prompt_tokens) == (1, 0)


async def test_another_opening_goes_on_beside_a_prune(target: Path | str) -> None:
    async with (
        TractStore.open(target, tokenizer=COUNTER) as one,
        TractStore.open(target, tokenizer=COUNTER) as two,
    ):
        ours, theirs = one.tract("t"), two.tract("t")
        entries = [await theirs.user(f"{MARK} {at}") for at in range(150)]
        for at, entry in enumerate(entries):
            await theirs.annotate(entry.commit_hash, Priority.SKIP if at else Priority.PINNED)
        before = texts(await theirs.compile())
        old = entries[40].commit_hash
        assert WORD.decode() in str(texts(await theirs.compile(at_commit=old)))
        pruning = asyncio.create_task(ours.prune(keep=0, reason="old"))
        said = 0
        while not pruning.done():
            await theirs.user(f"said {said}")
            said += 1
        receipt = await pruning

        assert receipt.erased == 149
        assert texts(await theirs.compile(at_commit=old)) == [f"{MARK} 0"]
        assert "\n\n".join(before) in texts(await theirs.compile())[0]
        assert len(await theirs.entries()) == 1 + said
        assert (await theirs.verify()).faults == ()


async def test_other_openings_forget_what_a_prune_took_that_was_cut_short(
    target: Path | str,
) -> None:
    """Once another prune has ended, although that finds nothing left to take."""
    async with (
        TractStore.open(target, tokenizer=COUNTER) as store,
        TractStore.open(target, tokenizer=COUNTER) as killed,
    ):
        tract = store.tract("t")
        both = [(await tract.user(f"{MARK} {at}")).commit_hash for at in "ab"]
        for each in both:
            await tract.annotate(each, Priority.SKIP)
        parts = probe(killed).parts
        prunes = repositories_over(parts.database).prunes
        plan = await prunes.plan("t", before=None, keep=0)
        for each in both:
            assert await prunes.take("t", plan, await parts.eraser.markers("t", [each], "old", 1))
            shown = texts(await tract.compile(at_commit=both[1]))
            assert shown == [f"{MARK} b"]  # as it is, and as it is remembered

        receipt = await killed.tract("t").prune(keep=0, reason="old")

        assert (receipt.erased, receipt.deleted) == (0, 0)
        assert texts(await tract.compile(at_commit=both[1])) == []


async def test_a_reply_to_what_a_prune_deleted_meanwhile_is_kept(main: AsyncTract) -> None:
    sent = await main.user("asked")
    await main.user("asked again")
    recording = main.record_stream(reply(*sse.texts("said"), sse.usage_chunk()))
    async with recording:
        await anext(recording)
        await main.reset(sent.commit_hash)
        assert (await main.prune(keep=0, reason="old")).deleted == 1
        await drained(recording)

    assert texts(await main.compile()) == ["asked", "said"]
    info = await main.info()
    assert info is not None
    assert info.prompt_tokens == 0
    assert (await main.verify()).faults == ()


async def test_a_fork_from_what_would_go_saves_it(store: TractStore) -> None:
    """While a prune is under way, from within its own progress."""
    tract = store.tract("t")
    away = await lost(tract, number=300)
    forks: list[AsyncTract] = []

    async def save(_: PruneProgress) -> None:
        if not forks:
            forks.append(await tract.fork("saved", at_commit=away[20].commit_hash))

    receipt = await tract.prune(keep=0, reason="old", progress=save)

    assert receipt.deleted == 300 - 21
    assert len(await forks[0].entries()) == 21
    assert (await tract.verify()).faults == ()


async def test_what_progress_raises_ends_the_prune(main: AsyncTract) -> None:
    await lost(main, number=300)

    def stop(done: PruneProgress) -> None:
        raise ZeroDivisionError(done.deleted)

    with pytest.raises(ZeroDivisionError, match="128"):
        await main.prune(keep=0, reason="old", progress=stop)
    assert (await main.verify()).faults == ()
    assert (await main.prune(keep=0, reason="old")).deleted == 300 - 128


async def test_a_prune_that_is_cancelled_leaves_a_sound_tract_and_can_be_finished(
    store: TractStore,
) -> None:
    tract = store.tract("t")
    await hidden(tract)
    before = texts(await tract.compile())
    for turns in range(14):
        await lost(tract, f"b{turns}")
        task = asyncio.create_task(tract.prune(keep=0, reason="old"))
        for _ in range(turns * 3):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert texts(await tract.compile()) == before
        assert (await tract.verify()).faults == ()
    await tract.prune(keep=0, reason="old")
    assert len((await tract.verify()).erased) == 5
    assert len(await tract.log(None)) == 6


async def test_reopening_finds_what_was_pruned(target: Path | str) -> None:
    async with TractStore.open(target, tokenizer=COUNTER) as store:
        await hidden(store.tract("t"))
        await lost(store.tract("t"))
        await store.tract("t").prune(keep=0, reason="old")
    async with TractStore.open(target, tokenizer=COUNTER) as store:
        tract = store.tract("t")
        assert texts(await tract.compile()) == ["edited"]
        assert (await tract.verify()).faults == ()
        assert (await tract.prune(keep=0, reason="old")).erased == 0


async def test_a_pruned_tract_can_be_copied(store: TractStore, tmp_path: Path) -> None:
    tract = store.tract("t")
    await hidden(tract)
    await lost(tract)
    await tract.prune(keep=0, reason="old")
    await store.copy_tract("t", "copy")
    async with TractStore.open(tmp_path / "other.db", tokenizer=COUNTER) as other:
        await copy_store(store, other)

        for copy in (other.tract("t"), store.tract("copy")):
            assert texts(await copy.compile()) == ["edited"]
            assert (await copy.verify()).faults == ()


async def test_a_watch_goes_on_over_a_prune(main: AsyncTract) -> None:
    await main.user("a")
    watch = main.watch()
    await lost(main)
    away = await main.user("away")
    seen = await anext(watch)
    assert isinstance(seen, CommitInfo)
    head = await main.head()
    assert head == away.commit_hash
    await main.reset(str(away.parent_hash))
    await main.prune(keep=0, reason="old")
    await main.user("b")
    found = [await anext(watch)]
    while not (isinstance(found[-1], CommitInfo) and found[-1].parent_hash == away.parent_hash):
        found.append(await anext(watch))
    await watch.aclose()


async def test_retention_prunes_every_tract_and_collects(target: Path | str) -> None:
    config = TractConfig(retention=Retention(keep=0))
    async with TractStore.open(target, tokenizer=COUNTER, config=config) as store:
        for name in ("a", "b"):
            await store.tract(name).user(name)
            await lost(store.tract(name), name)
        await store.tract("c").user("stays")
        told: list[PruneProgress] = []

        report = await store.retain(reason="old", progress=told.append)

        assert [receipt.tract_id for receipt in report.receipts] == ["a", "b"]
        assert report.receipts[0].deleted == 3
        assert {each.tract_id for each in told} == {"a", "b"}
        assert (await store.retain(reason="old")).receipts == ()


async def test_retention_keeps_what_is_young_or_among_the_newest(store: TractStore) -> None:
    tract = store.tract("t")
    await hidden(tract)
    hour, none = timedelta(hours=1), timedelta(0)

    for policy in (Retention(max_age=hour), Retention(keep=99), Retention(max_age=none, keep=99)):
        assert (await store.retain(policy, reason="old")).receipts == ()
    assert (await store.retain(Retention(keep=0), tract_ids=["other"], reason="old")).receipts == ()
    [receipt] = (
        await store.retain(Retention(max_age=none), tract_ids=["t"], reason="old")
    ).receipts
    assert receipt.erased == 5


@pytest.mark.parametrize(
    "wrong", [{}, {"max_age": timedelta(-1)}, {"max_age": 5}, {"keep": -1}, {"keep": True}]
)
def test_a_retention_must_say_what_to_keep(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"max_age|keep"):
        Retention(**wrong)  # type: ignore[arg-type]


async def test_a_store_without_a_retention_refuses_to_guess(store: TractStore) -> None:
    with pytest.raises(ValueError, match="Retention"):
        await store.retain(reason="old")


async def test_a_prune_must_have_a_boundary_and_a_reason(main: AsyncTract) -> None:
    with pytest.raises(ValueError, match="before"):
        await main.prune(reason="old")
    with pytest.raises(ValueError, match="time zone"):
        await main.prune(before=datetime(2026, 1, 1), reason="old")
    with pytest.raises(ValueError, match="keep"):
        await main.prune(keep=-1, reason="old")
    with pytest.raises(ContentValidationError, match="reason"):
        await main.prune(keep=1, reason=5)  # type: ignore[arg-type]
    with pytest.raises(CommitNotFoundError):
        await main.prune(before="nothing", reason="old")


async def test_a_store_opened_read_only_cannot_be_pruned(db_path: Path) -> None:
    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        await store.tract("t").user("a")
    async with TractStore.open(f"file:{db_path}?mode=ro", tokenizer=COUNTER) as store:
        with pytest.raises(StoreReadOnlyError):
            await store.tract("t").prune(keep=0, reason="old")
        with pytest.raises(StoreReadOnlyError):
            await store.retain(Retention(keep=0), reason="old")
