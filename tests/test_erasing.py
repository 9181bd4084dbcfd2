"""`erase()`: what commits held is gone for good, and their history still verifies."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import pytest
from pydantic import BaseModel

from support.opening import COUNTER
from support.probes import probe
from tract import (
    AsyncTract,
    AttachmentNotFoundError,
    BranchReset,
    CommitInfo,
    CommitNotFoundError,
    ContentType,
    ContentValidationError,
    DialogueContent,
    EditTargetError,
    ErasedContent,
    InstructionContent,
    MediaPart,
    MessageContent,
    Priority,
    StoreReadOnlyError,
    TractStore,
    config,
    copy_store,
)

MARK = "the xyzzy of a secret"
WORD = b"xyzzy"
PNG = b"\x89PNG" + MARK.encode()


def texts(context: object) -> list[str]:
    return [message.content for message in context.messages]  # type: ignore[attr-defined]


def files(path: Path) -> bytes:
    """Return all bytes of a database and its companions."""
    beside = [Path(f"{path}{end}") for end in ("", "-wal", "-shm")]
    return b"".join(each.read_bytes() for each in beside if each.exists())


async def _content(tract: AsyncTract) -> list[CommitInfo]:
    return [await tract.user(MARK)]


async def _long(tract: AsyncTract) -> list[CommitInfo]:
    return [await tract.user(MARK * 2000)]


async def _edit(tract: AsyncTract) -> list[CommitInfo]:
    entry = await tract.user("harmless")
    content = DialogueContent(role="user", text=MARK)
    return [await tract.commit(content, operation="edit", edit_target=entry.commit_hash)]


async def _metadata(tract: AsyncTract) -> list[CommitInfo]:
    return [await tract.user("harmless", metadata={"of": MARK})]


async def _config(tract: AsyncTract) -> list[CommitInfo]:
    return [await tract.user("harmless", generation_config={"user": MARK})]


async def _message(tract: AsyncTract) -> list[CommitInfo]:
    return [await tract.user("harmless", message=MARK)]


async def _reason(tract: AsyncTract) -> list[CommitInfo]:
    entry = await tract.user("harmless")
    await tract.annotate(entry.commit_hash, Priority.PINNED, reason=MARK)
    return await tract.log(limit=1)


async def _tools(tract: AsyncTract) -> list[CommitInfo]:
    tool = {"type": "function", "function": {"name": "look", "description": MARK}}
    return [await tract.tools([tool])]


async def _usage(tract: AsyncTract) -> list[CommitInfo]:
    made = await tract.user("harmless")
    await tract.record_usage({"prompt_tokens": 7, "completion_tokens": 1, "note": MARK})
    return [made]


async def _attachment(tract: AsyncTract) -> list[CommitInfo]:
    part = MediaPart(kind="image", data=PNG, media_type="image/png")
    return [await tract.commit(MessageContent(role="user", parts=(part,)))]


async def _streamed(tract: AsyncTract) -> list[CommitInfo]:
    async with tract.stream() as stream:
        for piece in MARK.split(" "):
            await stream.write(f"{piece} ")
    return await tract.log(limit=1)


PLACES: list[Callable[[AsyncTract], Awaitable[list[CommitInfo]]]] = [
    *(_content, _long, _edit, _metadata, _config, _message, _reason, _tools, _usage, _attachment),
    _streamed,
]


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__.strip("_"))
async def test_no_byte_of_the_files_has_what_was_erased(
    db_path: Path, place: Callable[[AsyncTract], Awaitable[list[CommitInfo]]]
) -> None:
    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        await store.create_config_index("user")
        await store.enable_search()
        tract = store.tract("t")
        await tract.user("before")
        made = await place(tract)
        await tract.user("after")
        await tract.compile()
        await tract.search("before")
        assert WORD in files(db_path)

        receipt = await tract.erase([each.commit_hash for each in made], reason="asked")

        assert receipt.commits == tuple(each.commit_hash for each in made)
        assert receipt.pending == "vacuum"
        assert WORD not in files(db_path)
        assert not (await tract.verify()).faults
    assert WORD not in files(db_path)


@pytest.mark.parametrize("whole", [False, True], ids=["commits", "a tract"])
async def test_no_byte_of_a_search_index_has_what_was_erased(db_path: Path, whole: bool) -> None:
    """Words are stored beside their neighbours' first letters, so this one has no neighbours."""
    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        await store.enable_search()
        tract, other = store.tract("t"), store.tract("other")
        for number in range(300):
            await other.user(f"harmless {number}")
        made = [await tract.user(f"{MARK} {number}") for number in range(300)]
        assert len(await tract.search("xyzzy", limit=None)) == 300
        with closing(sqlite3.connect(db_path)) as raw:
            index = raw.execute("SELECT block FROM search_0_data").fetchall()
        assert any(WORD in block for (block,) in index)

        if whole:
            await store.erase_tract("t", reason="asked")
        else:
            await tract.erase([each.commit_hash for each in made], reason="asked")

        assert WORD not in files(db_path)
        assert len(await other.search("harmless", limit=None)) == 300
        assert await store.search("xyzzy") == []
        assert WORD not in files(db_path)


async def test_an_erased_entry_is_left_out_unless_a_placeholder_is_asked_for(
    main: AsyncTract,
) -> None:
    await main.system("be kind")
    gone = await main.user(MARK)
    await main.assistant("yes")
    await main.compile()

    await main.erase([gone.commit_hash], reason="asked")
    left_out = await main.compile()
    shown = await main.compile(include_erased=True)

    assert texts(left_out) == ["be kind", "yes"]
    assert texts(shown) == ["be kind", "[erased]", "yes"]
    assert [message.role for message in shown.messages] == ["system", "user", "assistant"]
    for context in (left_out, shown):
        assert context.token_count == COUNTER.count_messages(context.to_dicts())


async def test_placeholders_of_a_role_are_joined_and_counted_as_such(main: AsyncTract) -> None:
    made = [await main.user(f"text {number}") for number in range(5)]
    await main.annotate(made[1].commit_hash, Priority.SKIP)
    await main.erase([each.commit_hash for each in made[1:4]], reason="asked")

    shown = await main.compile(include_erased=True)

    assert texts(shown) == ["text 0\n\n[erased]\n\n[erased]\n\ntext 4"]
    assert shown.token_count == COUNTER.count_messages(shown.to_dicts())


async def test_what_stands_in_the_place_of_a_content_says_when_and_why(main: AsyncTract) -> None:
    gone = await main.commit(InstructionContent(text=MARK), message="m", metadata={"a": 1})

    receipt = await main.erase([gone.commit_hash], reason="asked by the user")
    content = await main.get_content(gone.commit_hash, as_=ErasedContent)
    [(info, logged)] = await main.log(contents=True)
    [entry] = await main.entries(include_skipped=True)

    assert content == logged == entry.content
    assert (content.reason, content.erased_at) == ("asked by the user", receipt.erased_at)
    assert (content.of_type, content.role) == ("instruction", "system")
    assert (info.message, info.metadata, info.generation_config) == (None, None, None)
    assert info.commit_hash == gone.commit_hash
    assert info.content_hash == gone.content_hash
    assert await main.entries() == []


async def test_verify_names_what_was_erased(main: AsyncTract) -> None:
    gone = await main.user(MARK)
    await main.user("stays")
    receipt = await main.erase([gone.commit_hash], reason="asked")

    report = await main.verify()

    assert report.faults == ()
    assert [(each.commit_hash, each.erased_at, each.reason) for each in report.erased] == [
        (gone.commit_hash, receipt.erased_at, "asked")
    ]


async def test_commits_of_the_tract_with_the_same_content_are_erased_along(
    store: TractStore,
) -> None:
    tract, other = store.tract("t"), store.tract("other")
    first, again = await tract.user(MARK), await tract.user(MARK, message="again")
    theirs = await other.user(MARK)

    receipt = await tract.erase([first.commit_hash], reason="asked")

    assert (receipt.commits, receipt.along) == ((first.commit_hash,), (again.commit_hash,))
    assert (receipt.contents, receipt.kept) == (0, 1)
    assert texts(await tract.compile()) == []
    assert texts(await other.compile()) == [MARK]
    assert (await tract.get_commit(again.commit_hash)).message == "again"  # type: ignore[union-attr]
    assert (await other.erase([theirs.commit_hash], reason="asked")).contents == 1


async def test_what_else_a_commit_has_goes_although_its_content_went_along_before(
    target: Path | str,
) -> None:
    async with TractStore.open(target, tokenizer=COUNTER) as store:
        tract = store.tract("t")
        first = await tract.user("both")
        second = await tract.user(
            "both", message=MARK, metadata={"of": MARK}, generation_config={"of": MARK}, key=MARK
        )
        third = await tract.user("both")
        await tract.record_usage({"prompt_tokens": 7, "completion_tokens": 1, "note": MARK})
        await tract.erase([first.commit_hash], reason="asked")

        receipt = await tract.erase([second.commit_hash, third.commit_hash], reason="asked")
        info = await tract.get_commit(second.commit_hash)

        assert (receipt.commits, receipt.along, receipt.contents) == (
            (second.commit_hash, third.commit_hash),
            (),
            0,
        )
        assert info is not None
        assert (info.message, info.metadata, info.generation_config, info.key) == (None,) * 4
        assert await tract.get_by_keys([MARK]) == {}
        hashes = [second.commit_hash, third.commit_hash]
        assert (await tract.erase(hashes, reason="asked")).commits == ()
        assert (await tract.verify()).faults == ()
        if isinstance(target, Path):
            assert WORD not in files(target)


async def test_an_annotation_keeps_its_priority_and_others_theirs(main: AsyncTract) -> None:
    one, two = await main.user("one"), await main.user("two")
    await main.annotate(one.commit_hash, Priority.SKIP, reason=MARK)
    [told] = await main.log(limit=1)
    await main.annotate(two.commit_hash, Priority.SKIP)
    [bare] = await main.log(limit=1)

    first = await main.erase([told.commit_hash], reason="asked")
    second = await main.erase([bare.commit_hash], reason="asked")

    assert texts(await main.compile()) == []
    [annotation] = await main.get_annotations(one.commit_hash)
    assert (annotation.priority, annotation.reason) == (Priority.SKIP, None)
    assert first.along == second.along == ()


class Note(BaseModel):
    text: str


@pytest.mark.parametrize("priority", [Priority.SKIP, Priority.PINNED])
async def test_an_erased_content_of_an_own_type_keeps_the_priority_it_began_with(
    target: Path | str, priority: Priority
) -> None:
    """Without its type, too, and once the type has another priority."""
    types = {"note": ContentType(Note, priority=priority)}
    async with TractStore.open(target, tokenizer=COUNTER, content_types=types) as store:
        tract = store.tract("t")
        made = await tract.commit({"content_type": "note", "text": MARK})
        await tract.erase([made.commit_hash], reason="asked")
    async with TractStore.open(target, tokenizer=COUNTER) as store:
        tract = store.tract("t")
        [entry] = await tract.entries(include_skipped=True)
        context = await tract.compile(include_erased=True)

    assert entry.priority is priority
    assert texts(context) == ([] if priority is Priority.SKIP else ["[erased]"])


async def test_former_commits_of_keys_are_found_without_reading_the_tract(tmp_path: Path) -> None:
    async with TractStore.open(tmp_path / "t.db", tokenizer=COUNTER) as store:
        tract = store.tract("t")
        made = await tract.user("a", key="k")
        async with probe(store).statements() as ran:
            await tract.erase([made.commit_hash], reason="asked")
    [asked] = {each for each in ran if each.startswith('UPDATE commits SET "key"=NULL')}
    with closing(sqlite3.connect(tmp_path / "t.db")) as connection:
        [plan] = connection.execute(f"EXPLAIN QUERY PLAN {asked}").fetchall()

    assert "(tract_id=? AND key=?)" in plan[3]


async def test_an_edit_gives_an_erased_entry_another_content(main: AsyncTract) -> None:
    gone = await main.user(MARK)
    await main.erase([gone.commit_hash], reason="asked")

    new = DialogueContent(role="user", text="new")
    await main.commit(new, operation="edit", edit_target=gone.commit_hash)

    assert texts(await main.compile()) == ["new"]


async def test_erasing_an_edit_does_not_bring_back_what_it_replaced(main: AsyncTract) -> None:
    entry = await main.user("first")
    new = DialogueContent(role="user", text=MARK)
    edit = await main.commit(new, operation="edit", edit_target=entry.commit_hash)

    await main.erase([edit.commit_hash], reason="asked")

    assert texts(await main.compile()) == []
    assert (await main.get_content(entry.commit_hash)).text == "first"  # type: ignore[attr-defined]


async def test_a_content_that_is_committed_again_is_back_and_the_erased_one_is_not(
    main: AsyncTract,
) -> None:
    gone = await main.user(MARK)
    await main.erase([gone.commit_hash], reason="asked")

    again = await main.user(MARK)

    assert texts(await main.compile()) == [MARK]
    assert (await main.get_content(again.commit_hash)).text == MARK  # type: ignore[attr-defined]
    assert isinstance(await main.get_content(gone.commit_hash), ErasedContent)
    assert (await main.verify()).faults == ()


async def test_erasing_twice_changes_nothing_more(main: AsyncTract) -> None:
    gone = await main.user(MARK)
    await main.erase([gone.commit_hash], reason="first")

    receipt = await main.erase([gone.commit_hash], reason="second")

    assert (receipt.commits, receipt.contents) == ((), 0)
    [erased] = (await main.verify()).erased
    assert erased.reason == "first"


async def test_what_was_erased_along_can_be_erased_with_all_that_it_has(main: AsyncTract) -> None:
    one = await main.user(MARK)
    two = await main.user(MARK, message=MARK, metadata={"of": MARK}, key=MARK)
    await main.erase([one.commit_hash], reason="asked")

    receipt = await main.erase([two.commit_hash], reason="asked, too")

    assert (receipt.commits, receipt.along) == ((two.commit_hash,), ())
    assert MARK not in repr(await main.log()) + repr(await main.keys())
    assert (await main.verify()).faults == ()


@pytest.mark.parametrize("key", [MARK, MARK + "\U0001f600" * 800], ids=["short", "long"])
async def test_a_key_goes_with_the_commit_that_it_names(store: TractStore, key: str) -> None:
    tract = store.tract("t")
    first = await tract.user("1", key=key)
    await tract.user("2", key="other")
    last = await tract.user("3", key=key, on_key="replace")

    await tract.erase([first.commit_hash], reason="asked")
    assert [*await tract.get_by_keys([key])] == [key]
    await tract.erase([last.commit_hash], reason="asked")
    copied = await store.copy_tract("t", "copied")

    for each in (tract, copied):
        assert [info.key for info in await each.log()] == [None, "other", None]
        assert [info.key for info in await each.keys()] == ["other"]
        assert (await each.verify()).faults == ()


async def test_a_key_that_names_a_former_commit_as_well_is_gone_from_both(
    main: AsyncTract,
) -> None:
    await main.user("1", key=MARK)
    last = await main.user("2", key=MARK, on_key="replace")

    await main.erase([last.commit_hash], reason="asked")

    assert [info.key for info in await main.log()] == [None, None]
    assert await main.keys() == []
    assert (await main.verify()).faults == ()


async def test_another_opening_does_not_take_a_copy_for_the_tract_that_it_replaced(
    target: Path | str,
) -> None:
    async with TractStore.open(target, tokenizer=COUNTER) as store:
        info = await store.tract("t").user(MARK)
        copied = await store.copy_tract("t", "copied")
        async with TractStore.open(target, tokenizer=COUNTER) as elsewhere:
            assert texts(await elsewhere.tract("copied").compile()) == [MARK]
            await store.tract("t").erase([info.commit_hash], reason="asked")
            await store.erase_tract("copied", reason="asked")
            await store.copy_tract("t", "copied")

            assert texts(await elsewhere.tract("copied").compile()) == []
            assert texts(await copied.compile()) == []


async def test_nothing_is_erased_if_one_name_is_unknown_or_none_is_given(main: AsyncTract) -> None:
    kept = await main.user("kept")

    with pytest.raises(CommitNotFoundError):
        await main.erase([kept.commit_hash, "0" * 64], reason="asked")
    with pytest.raises(ContentValidationError):
        await main.erase(kept.commit_hash, reason="asked")
    empty = await main.erase([], reason="asked")

    assert (empty.commits, empty.along, empty.contents) == ((), (), 0)
    assert texts(await main.compile()) == ["kept"]


async def test_commits_are_named_by_tags_branches_and_short_hashes(main: AsyncTract) -> None:
    tagged, short, head = [await main.user(f"text {number}") for number in range(3)]
    await main.tag("v1", tagged.commit_hash)

    receipt = await main.erase(["v1", short.commit_hash[:12], "main"], reason="asked")

    assert set(receipt.commits) == {each.commit_hash for each in (tagged, short, head)}


async def test_another_tracts_commits_cannot_be_erased(store: TractStore) -> None:
    theirs = await store.tract("other").user("theirs")

    with pytest.raises(CommitNotFoundError):
        await store.tract("t").erase([theirs.commit_hash], reason="asked")

    assert texts(await store.tract("other").compile()) == ["theirs"]


async def test_an_attachment_goes_with_the_last_content_of_the_tract_that_uses_it(
    store: TractStore,
) -> None:
    tract, other = store.tract("t"), store.tract("other")
    image = await tract.attach(PNG, "image/png")
    await other.attach(PNG, "image/png")
    part = MediaPart(kind="image", attachment=image.sha256)
    one = await tract.commit(MessageContent(role="user", parts=(part,)))
    two = await tract.commit(MessageContent(role="user", parts=(part, part)))

    first = await tract.erase([one.commit_hash], reason="asked")
    assert (first.attachments, await tract.attachment(image.sha256)) == (0, PNG)
    second = await tract.erase([two.commit_hash], reason="asked")

    assert second.attachments == 1
    with pytest.raises(AttachmentNotFoundError):
        await tract.attachment(image.sha256)
    assert await other.attachment(image.sha256) == PNG
    await tract.commit(MessageContent(role="user", parts=(MediaPart(kind="image", data=PNG),)))
    assert await tract.attachment(image.sha256) == PNG


async def test_erased_tools_are_not_in_force(main: AsyncTract) -> None:
    tool = {"type": "function", "function": {"name": "look", "description": MARK}}
    made = await main.tools([tool])
    assert len((await main.compile()).tools) == 1

    await main.erase([made.commit_hash], reason="asked")

    assert not (await main.compile()).tools
    assert texts(await main.compile(include_erased=True)) == []


async def test_a_config_that_was_erased_is_found_by_no_query(main: AsyncTract) -> None:
    made = await main.user("text", generation_config={"user": MARK})

    await main.erase([made.commit_hash], reason="asked")

    assert await main.query(config("user") == MARK) == []


async def test_an_erased_commit_cannot_be_picked(main: AsyncTract) -> None:
    gone = await main.user(MARK)
    await main.erase([gone.commit_hash], reason="asked")
    other = await main.fork("other")

    with pytest.raises(EditTargetError):
        await other.cherry_pick(gone.commit_hash)


async def test_another_opening_sees_it_at_its_next_call(target: Path | str) -> None:
    async with (
        TractStore.open(target, tokenizer=COUNTER) as one,
        TractStore.open(target, tokenizer=COUNTER) as two,
    ):
        mine, theirs = one.tract("t"), two.tract("t")
        image = await theirs.attach(PNG, "image/png")
        part = MediaPart(kind="image", attachment=image.sha256)
        seen = await theirs.commit(MessageContent(role="user", parts=(part,)))
        gone = await theirs.user(MARK)
        stays = await theirs.user("stays")
        assert texts(await theirs.compile())[1:] == [f"{MARK}\n\nstays"]
        await theirs.attachment(image.sha256)

        await mine.erase([gone.commit_hash, seen.commit_hash], reason="asked")

        assert texts(await theirs.compile()) == ["stays"]
        assert texts(await theirs.compile(at_commit=gone.commit_hash)) == []
        assert isinstance(await theirs.get_content(gone.commit_hash), ErasedContent)
        with pytest.raises(AttachmentNotFoundError):
            await theirs.attachment(image.sha256)
        await theirs.assistant("goes on")
        assert texts(await theirs.compile()) == ["stays", "goes on"]
        assert texts(await mine.compile()) == ["stays", "goes on"]
        assert stays.commit_hash in [each.commit_hash for each in await theirs.log()]


async def test_a_commit_of_this_opening_is_not_remembered_beyond_anothers_erasure(
    target: Path | str,
) -> None:
    """Recent commits are known without asking, but for what was erased since."""
    async with (
        TractStore.open(target, tokenizer=COUNTER) as one,
        TractStore.open(target, tokenizer=COUNTER) as two,
    ):
        mine, theirs = one.tract("t"), two.tract("t")
        gone = await theirs.user(MARK)
        await mine.erase([gone.commit_hash], reason="asked")
        await theirs.user("next")

        assert texts(await theirs.compile()) == ["next"]
        assert texts(await theirs.compile(at_commit=gone.commit_hash)) == []


async def test_compiles_under_way_leave_nothing_of_it_behind(store: TractStore) -> None:
    tract = store.tract("t")
    made = [await tract.user(f"{MARK} {number}") for number in range(200)]
    for branch in range(20):
        await tract.fork(f"b{branch}", at_commit=made[branch * 10].commit_hash)

    compiling = [asyncio.create_task(tract.on(f"b{n}").compile()) for n in range(20)]
    await tract.erase([each.commit_hash for each in made], reason="asked")
    await asyncio.gather(*compiling)

    for branch in range(20):
        assert texts(await tract.on(f"b{branch}").compile()) == []


async def test_a_context_that_a_caller_holds_keeps_its_text(main: AsyncTract) -> None:
    gone = await main.user(MARK)
    held = await main.compile()

    await main.erase([gone.commit_hash], reason="asked")

    assert texts(held) == [MARK]


async def test_a_known_head_still_takes_no_trip_after_an_erasure(db_path: Path) -> None:
    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        tract = store.tract("t")
        gone = await tract.user(MARK)
        await tract.erase([gone.commit_hash], reason="asked")
        await tract.compile()
        before = store._runtime.database.trips

        await tract.user("next")
        await tract.compile()
        await tract.compile()

        assert store._runtime.database.trips - before == 1


async def test_a_reader_elsewhere_keeps_it_in_the_log_and_the_receipt_says_so(
    db_path: Path,
) -> None:
    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        tract = store.tract("t")
        gone = await tract.user(MARK)
        with closing(sqlite3.connect(db_path, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM commits").fetchall()

            held_up = await tract.erase([gone.commit_hash], reason="asked")
        again = await tract.erase([gone.commit_hash], reason="asked")

        assert (held_up.pending, again.pending) == ("log", "vacuum")
        assert WORD not in files(db_path)


async def test_a_store_that_is_read_only_erases_nothing(db_path: Path) -> None:
    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        made = await store.tract("t").user(MARK)
    async with TractStore.open(f"file:{db_path}?mode=ro", tokenizer=COUNTER) as store:
        with pytest.raises(StoreReadOnlyError):
            await store.tract("t").erase([made.commit_hash], reason="asked")


async def test_a_copy_has_erased_commits_as_erased(db_path: Path, tmp_path: Path) -> None:
    """Not even a content that another tract holds comes along with the erased one."""
    async with (
        TractStore.open(db_path, tokenizer=COUNTER) as source,
        TractStore.open(tmp_path / "copy.db", tokenizer=COUNTER) as target,
    ):
        tract, other = source.tract("t"), source.tract("z")
        gone = await tract.user(MARK)
        await tract.user("stays")
        await other.user(MARK)
        await tract.erase([gone.commit_hash], reason="asked")

        await copy_store(source, target)

        copied = target.tract("t")
        assert isinstance(await copied.get_content(gone.commit_hash), ErasedContent)
        assert texts(await copied.compile()) == ["stays"]
        assert texts(await target.tract("z").compile()) == [MARK]
        assert (await copied.verify()) == (await tract.verify())


async def test_everything_holds_after_reopening(target: Path | str) -> None:
    async with TractStore.open(target, tokenizer=COUNTER) as store:
        gone = await store.tract("t").user(MARK)
        await store.tract("t").user("stays")
        await store.tract("t").erase([gone.commit_hash], reason="asked")
    async with TractStore.open(target, tokenizer=COUNTER) as store:
        assert texts(await store.tract("t").compile()) == ["stays"]
        assert [each.reason for each in (await store.tract("t").verify()).erased] == ["asked"]


async def test_a_caller_that_is_cancelled_has_erased_all_or_nothing(store: TractStore) -> None:
    tract = store.tract("t")
    for turns in range(12):
        made = [await tract.user(f"{MARK} {turns} {number}") for number in range(3)]
        task = asyncio.create_task(tract.erase([each.commit_hash for each in made], reason="x"))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        contents = await tract.get_contents([each.commit_hash for each in made])
        assert len({isinstance(each, ErasedContent) for each in contents}) == 1
    assert (await tract.verify()).faults == ()


async def test_contents_that_say_they_are_erased_cannot_be_committed(main: AsyncTract) -> None:
    gone = await main.user(MARK)
    await main.erase([gone.commit_hash], reason="asked")
    content = await main.get_content(gone.commit_hash)

    with pytest.raises(ContentValidationError, match="erase"):
        await main.commit(content)


async def test_a_tract_is_erased_with_all_that_belongs_to_it_and_nothing_else(
    store: TractStore,
) -> None:
    tract, other = store.tract("t"), store.tract("other")
    shared = await tract.user("shared")
    await other.user("shared")
    for number in range(600):
        await tract.user(f"{MARK} {number}")
    await _attachment(tract)
    await _usage(tract)
    await tract.tag("v1")
    await tract.fork("b")
    await tract.erase([shared.commit_hash], reason="asked")

    receipt = await store.erase_tract("t", reason="asked")

    assert (receipt.commits, receipt.contents) == (603, 604)  # a marker and an attachment, too
    assert await store.tract_ids() == ["other"]
    assert (await tract.log(), await tract.tags(), await tract.reflog()) == ([], [], [])
    assert texts(await tract.compile()) == []
    assert texts(await other.compile()) == ["shared"]
    assert (await store.collect()).contents == 0
    await tract.user("anew")
    assert texts(await tract.compile()) == ["anew"]
    assert (await tract.verify()).faults == ()


async def test_no_byte_of_an_erased_tract_is_left(db_path: Path) -> None:
    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        for place in PLACES:
            await place(store.tract("t"))

        receipt = await store.erase_tract("t", reason="asked")

        assert receipt.pending == "vacuum"
        assert WORD not in files(db_path)


async def test_another_opening_goes_on_with_a_tract_that_was_erased(target: Path | str) -> None:
    async with (
        TractStore.open(target, tokenizer=COUNTER) as one,
        TractStore.open(target, tokenizer=COUNTER) as two,
    ):
        theirs = two.tract("t")
        for number in range(3):
            await theirs.user(f"{MARK} {number}")
        await theirs.compile()

        await one.erase_tract("t", reason="asked")

        assert texts(await theirs.compile()) == []
        await theirs.user("anew")
        await one.tract("t").assistant("yes")
        await theirs.user("good")
        assert texts(await theirs.compile()) == ["anew", "yes", "good"]
        assert (await theirs.verify()).faults == ()


async def test_erasing_a_tract_that_is_not_there_does_nothing(store: TractStore) -> None:
    await store.tract("other").user("stays")

    receipt = await store.erase_tract("t", reason="asked")

    assert (receipt.commits, receipt.contents) == (0, 0)
    assert await store.tract_ids() == ["other"]


async def test_an_erasure_of_a_tract_that_was_cut_short_can_be_finished(store: TractStore) -> None:
    tract = store.tract("t")
    for number in range(700):
        await tract.user(f"{MARK} {number}")
    task = asyncio.create_task(store.erase_tract("t", reason="asked"))
    while await tract.head() is not None:  # noqa: ASYNC110  # until its first transaction
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    await store.erase_tract("t", reason="asked")

    assert await store.tract_ids() == []
    assert (await store.collect()).contents == 0


@pytest.mark.parametrize("attached", [False, True], ids=["text", "attachment"])
async def test_what_was_kept_for_a_copy_goes_with_the_copy(db_path: Path, attached: bool) -> None:
    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        tract = store.tract("t")
        [info] = await (_attachment if attached else _content)(tract)
        copied = await store.copy_tract("t", "copied")
        receipt = await tract.erase([info.commit_hash], reason="asked")
        assert receipt.kept == 1
        assert (await copied.verify()).faults == ()
        assert WORD in files(db_path)

        deleted = await store.erase_tract("copied", reason="asked")

        assert deleted.contents == 1 + attached
        assert WORD not in files(db_path)
        assert (await tract.verify()).faults == ()
        assert (await store.collect()).contents == 0


async def test_what_nothing_refers_to_is_collected_and_all_else_stays(store: TractStore) -> None:
    tract, other = store.tract("t"), store.tract("other")
    image = await other.attach(PNG, "image/png")
    part = MediaPart(kind="image", attachment=image.sha256)
    gone = await other.commit(MessageContent(role="user", parts=(part,)))
    await tract.user("stays")
    told: list[int] = []

    assert (await store.collect(progress=told.append)).contents == 0
    await other.erase([gone.commit_hash], reason="asked")
    report = await store.collect()

    assert (report.contents, told) == (1, [0])  # the emptied attachment
    assert texts(await tract.compile()) == ["stays"]
    assert (await other.verify()).faults == (await tract.verify()).faults == ()


async def test_a_watch_shows_nothing_of_what_was_erased_since_it_read(store: TractStore) -> None:
    tract = store.tract("t")
    async with tract.batch() as batch:
        for number in range(9):
            batch.commit(
                {"content_type": "freeform", "payload": number},
                message=MARK,
                metadata={"text": MARK},
            )
    hashes = [info.commit_hash for info in await tract.log(None)][::-1]
    watch, late = tract.watch(after=hashes[0]), tract.watch(after=hashes[0])
    assert (await anext(watch)).message == MARK

    await tract.erase(hashes, reason="asked")

    left = [await anext(watch) for _ in range(7)]
    assert [info.commit_hash for info in left] == hashes[2:]
    assert {(info.message, info.metadata is None) for info in left} == {(None, True)}
    assert (await anext(late)).message is None


async def test_a_watch_tells_only_that_there_was_what_a_prune_deleted(store: TractStore) -> None:
    tract = store.tract("t")
    first = await tract.user("first")
    async with tract.batch() as batch:
        for _ in range(3):
            batch.user("gone", message=MARK)
    hashes = [info.commit_hash for info in batch.commits]
    watch = tract.watch(after=first.commit_hash, resets=True)
    await anext(watch)

    await tract.reset(first.commit_hash)
    await tract.prune(keep=0, reason="old")
    new = await tract.user("new")

    gone = [await anext(watch) for _ in range(2)]
    assert [(info.commit_hash, info.message) for info in gone if isinstance(info, CommitInfo)] == [
        (commit, None) for commit in hashes[1:]
    ]
    reset = await anext(watch)
    assert isinstance(reset, BranchReset)
    assert (reset.old_hash, reset.new_hash) == (hashes[-1], first.commit_hash)
    assert await anext(watch) == new


async def test_a_watch_shows_nothing_of_what_another_opening_erased_since_it_read(
    target: Path | str,
) -> None:
    """Each watch has read ahead, one of them from what the other has read."""
    async with (
        TractStore.open(target, tokenizer=COUNTER) as one,
        TractStore.open(target, tokenizer=COUNTER) as two,
    ):
        mine, theirs = one.tract("t"), two.tract("t")
        async with mine.batch() as batch:
            for _ in range(4):
                batch.user("said", message=MARK, metadata={"text": MARK})
        hashes = [info.commit_hash for info in batch.commits]
        watch, late = theirs.watch(), theirs.watch()
        assert (await anext(watch)).message == MARK

        await mine.erase(hashes[1:2], reason="asked")
        assert [(await anext(watch)).message, (await anext(watch)).message] == [None, MARK]
        assert [(await anext(late)).message, (await anext(late)).message] == [MARK, None]

        await mine.erase(hashes[2:], reason="asked")
        assert [await anext(watch), *[await anext(late) for _ in range(2)]] == [
            await mine.get_commit(each) for each in (hashes[3], *hashes[2:])
        ]


async def test_a_watch_tells_only_that_there_was_what_another_opening_erased_whole(
    target: Path | str,
) -> None:
    async with (
        TractStore.open(target, tokenizer=COUNTER) as one,
        TractStore.open(target, tokenizer=COUNTER) as two,
    ):
        async with one.tract("t").batch() as batch:
            for _ in range(3):
                batch.user("gone", message=MARK)
        watch = two.tract("t").watch(resets=True)
        await anext(watch)

        await one.erase_tract("t", reason="asked")
        new = await one.tract("t").user("anew")

        gone = [await anext(watch) for _ in range(2)]
        assert [info.message for info in gone if isinstance(info, CommitInfo)] == [None, None]
        assert isinstance(await anext(watch), BranchReset)
        assert await anext(watch) == new


@pytest.mark.parametrize("whole", [False, True])
async def test_a_store_with_a_waiting_watch_forgets_what_another_opening_erases(
    target: Path | str, whole: bool
) -> None:
    """It learns of that like of commits, without a call."""
    async with (
        TractStore.open(target, tokenizer=COUNTER) as one,
        TractStore.open(target, tokenizer=COUNTER) as two,
    ):
        gone = await one.tract("t").user(MARK)
        theirs = two.tract("t")
        assert texts(await theirs.compile()) == [MARK]
        watch = theirs.watch(after="head")
        waiting = asyncio.create_task(anext(watch))
        await asyncio.sleep(0.02)
        assert two.cache_info().snapshots == 1

        if whole:
            await one.erase_tract("t", reason="asked")
        else:
            await one.tract("t").erase([gone.commit_hash], reason="asked")

        async with asyncio.timeout(20):
            while two.cache_info().snapshots:  # noqa: ASYNC110  (no call, nothing to wait for)
                await asyncio.sleep(0.01)
        await watch.aclose()
        with pytest.raises(StopAsyncIteration):
            await waiting


async def test_erasing_a_tract_takes_its_contexts_out_of_memory(store: TractStore) -> None:
    await store.tract("t").user(MARK)
    await store.tract("t").compile()

    await store.erase_tract("t", reason="asked")

    assert store.cache_info().snapshots == 0


async def test_each_index_that_an_erasure_needs_is_made_in_a_transaction_of_its_own(
    db_path: Path,
) -> None:
    """In a long table one takes a while, in which others wait."""
    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        tract = store.tract("t")
        gone = await tract.user(MARK)
        async with probe(store).statements() as ran:
            await tract.erase([gone.commit_hash], reason="asked")

    transactions = "\n".join(ran).split("COMMIT")
    made = [each.count("CREATE INDEX") for each in transactions]
    assert made[:3] == [1, 1, 0]
    assert sum(made) == 2
