"""Attachments through the public surface: given, committed, read back, kept apart, kept once."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import closing, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import StaticPool

from support.opening import engine_of
from support.pictures import API, in_base64, item_of, png, with_plain
from tract import (
    AsyncTract,
    Attachment,
    AttachmentNotFoundError,
    ContentValidationError,
    HeadMovedError,
    MediaPart,
    MessageContent,
    NativeContent,
    NullTokenCounter,
    Priority,
    TextPart,
    ToolIOContent,
    ToolResultPart,
    TractConfig,
    TractStore,
)

PICTURE = png(640, 480, b"picture" * 500)
OTHER = png(320, 200, b"other" * 500)
SMALL = TractConfig(max_content_bytes=10_000)


def named(data: bytes) -> str:
    return sha256(data).hexdigest()


def showing(*media: bytes, text: str = "look") -> MessageContent:
    images = [MediaPart(kind="image", data=data, media_type="image/png") for data in media]
    return MessageContent(role="user", parts=(TextPart(text=text), *images))


def native(*media: bytes, text: str = "look") -> NativeContent:
    return NativeContent(api=API, item=item_of(text, *media))


def result(media: bytes) -> ToolIOContent:
    source = {"type": "base64", "media_type": "image/png", "data": in_base64(media)}
    payload = [{"type": "image", "source": source}]
    return ToolIOContent(tool_name="f", direction="result", payload=payload, call_id="a")


async def counts(tract: AsyncTract) -> tuple[int, int]:
    return len(await tract.log(None)), len((await tract.verify()).faults)


@pytest_asyncio.fixture(params=["file", "memory", "from_engine"])
async def store(request: pytest.FixtureRequest, db_path: Path) -> AsyncIterator[TractStore]:
    options: dict[str, Any] = {"tokenizer": NullTokenCounter()}
    if request.param == "from_engine":
        engine = create_async_engine("sqlite+aiosqlite://", poolclass=StaticPool)
        async with TractStore.from_engine(engine, **options) as opened:
            yield opened
        await engine.dispose()
        return
    target = db_path if request.param == "file" else ":memory:"
    async with TractStore.open(target, **options) as opened:
        yield opened


@pytest.fixture(autouse=True)
def plain_format() -> Any:
    with with_plain():
        yield


async def test_bytes_that_are_attached_are_read_back(store: TractStore) -> None:
    tract = store.tract("a")
    made = await tract.attach(PICTURE, "image/png")

    assert made == Attachment(named(PICTURE), "image/png", len(PICTURE), 640, 480)
    assert await tract.attachment(made.sha256) == PICTURE
    assert await tract.attachment(made.sha256.upper()) == PICTURE


async def test_bytes_are_kept_under_the_type_they_are_given(store: TractStore) -> None:
    made = await store.tract("a").attach(b"no image at all", "image/png")

    assert (made.media_type, made.width, made.height) == ("image/png", None, None)
    assert made.part().kind == "image"
    assert (await store.tract("a").attach(b"x", "application/pdf")).part().kind == "document"
    assert (await store.tract("a").attach(b"x", "audio/wav")).part("video").kind == "video"


@pytest.mark.parametrize("given", [bytearray(b"abc"), memoryview(b"abc")])
async def test_what_holds_bytes_may_be_attached(given: Any) -> None:
    async with AsyncTract.open(tokenizer=NullTokenCounter()) as tract:
        assert (await tract.attach(given, "text/plain")).sha256 == named(b"abc")


@pytest.mark.parametrize(
    ("data", "media_type", "path"),
    [
        ("text", "text/plain", "data"),
        (None, "text/plain", "data"),
        (b"", "text/plain", "data"),
        (b"x" * 10_001, "text/plain", "data"),
        (b"x", None, "media_type"),
        (b"x", "", "media_type"),
        (b"x", "image/png\n", "media_type"),
        (b"x", "\ud800", "media_type"),
        (b"x", "x" * 256, "media_type"),
    ],
)
async def test_what_cannot_be_attached_is_refused(
    data: Any, media_type: Any, path: str, target: Path | str
) -> None:
    async with AsyncTract.open(target, tokenizer=NullTokenCounter(), config=SMALL) as tract:
        with pytest.raises(ContentValidationError) as refusal:
            await tract.attach(data, media_type)
        assert refusal.value.path == path


@pytest.mark.parametrize("given", ["0" * 64, "", "zz", "é" * 64, None, 7])
async def test_an_unknown_attachment_is_not_found(given: Any) -> None:
    async with AsyncTract.open(tokenizer=NullTokenCounter()) as tract:
        with pytest.raises(AttachmentNotFoundError):
            await tract.attachment(given)


async def test_another_tract_neither_reads_nor_names_what_this_one_was_given(
    store: TractStore,
) -> None:
    ours, theirs = store.tract("ours"), store.tract("theirs")
    made = await ours.attach(PICTURE, "image/png")
    await ours.commit(MessageContent(role="user", parts=(made.part(),)))

    assert await ours.attachment(made.sha256) == PICTURE  # it may be kept in memory now
    with pytest.raises(AttachmentNotFoundError):
        await theirs.attachment(made.sha256)
    with pytest.raises(ContentValidationError, match="attach"):
        await theirs.commit(MessageContent(role="user", parts=(made.part(),)))
    assert await theirs.head() is None
    await theirs.attach(PICTURE, "image/png")
    await theirs.commit(MessageContent(role="user", parts=(made.part(),)))
    assert await theirs.attachment(made.sha256) == PICTURE


async def test_a_native_reference_in_a_part_does_not_reach_another_tract(
    store: TractStore,
) -> None:
    """Whoever writes a reference by hand must have been given the bytes, too."""
    await store.tract("ours").attach(PICTURE, "image/png")
    reference = json.dumps({"x": {"$attachment": named(PICTURE), "bytes": 3}})
    part = {"type": "native", "native": {"api": API, "text": reference}}

    with pytest.raises(ContentValidationError, match="attach"):
        await store.tract("theirs").commit(
            {"content_type": "message", "role": "user", "parts": [part]}
        )


async def test_the_bytes_of_a_message_become_attachments(store: TractStore) -> None:
    tract = store.tract("a")
    result = ToolResultPart(call_id="1", parts=(MediaPart(kind="image", data=OTHER),))
    content = MessageContent(
        role="user", parts=(MediaPart(kind="image", data=PICTURE, media_type="image/png"), result)
    )
    made = await tract.commit(content)

    assert await tract.get_content(made.commit_hash) == MessageContent(
        role="user",
        parts=(
            MediaPart(
                kind="image",
                attachment=named(PICTURE),
                media_type="image/png",
                width=640,
                height=480,
            ),
            ToolResultPart(
                call_id="1",
                parts=(MediaPart(kind="image", attachment=named(OTHER), width=320, height=200),),
            ),
        ),
    )
    assert await tract.attachment(named(PICTURE)) == PICTURE
    assert await tract.attachment(named(OTHER)) == OTHER
    assert (await tract.verify()).faults == ()


async def test_a_native_item_comes_back_as_it_was(store: TractStore) -> None:
    tract = store.tract("a")
    item = item_of("a", PICTURE, OTHER) | {"x": [{"$attachment": None}, {"$attachment": "mine"}]}
    made = await tract.commit(NativeContent(api=API, item=item))

    assert (await tract.get_content(made.commit_hash, as_=NativeContent)).item == item
    [content] = await tract.get_contents([made.commit_hash])
    assert isinstance(content, NativeContent)
    assert content.item == item
    [entry] = await tract.entries()
    assert entry.content == content
    assert await tract.attachment(named(OTHER)) == OTHER


@pytest.mark.parametrize("media_type", ["\ud800", "", "x" * 300, "image/png\0"])
async def test_a_media_type_that_is_none_stays_in_the_content(
    media_type: str, target: Path | str
) -> None:
    image = {"media_type": media_type, "data": in_base64(PICTURE)}
    item = {"role": "user", "text": "", "media": [image]}
    part = MediaPart(kind="image", data=PICTURE, media_type=media_type)
    async with AsyncTract.open(target, tokenizer=NullTokenCounter()) as tract:
        one = await tract.commit(NativeContent(api=API, item=item))
        two = await tract.commit(MessageContent(role="user", parts=(part,)))

        assert (await tract.get_content(one.commit_hash, as_=NativeContent)).item == item
        kept = (await tract.get_content(two.commit_hash, as_=MessageContent)).parts[0]
        assert isinstance(kept, MediaPart)
        assert kept.media_type == media_type


async def test_a_native_part_may_hold_what_only_looks_like_a_reference(store: TractStore) -> None:
    text = json.dumps({"$attachment": "mine", "x": {"$attachment": None, "value": 5}})
    part = {"type": "native", "native": {"api": "anthropic.messages", "text": text}}
    content = {"content_type": "message", "role": "user", "parts": [part]}
    made = await store.tract("a").commit(content)
    context = await store.tract("a").compile()

    assert made.commit_hash in context.commit_hashes
    assert context.request("anthropic.messages", open_calls="keep")["messages"]


async def test_short_and_signed_base64_stays_in_the_item(store: TractStore) -> None:
    tract = store.tract("a")
    item = {"media": [], "role": "user", "text": in_base64(PICTURE), "signature": "QUJD" * 500}
    item["data"] = in_base64(b"short")
    await tract.commit(NativeContent(api=API, item=item))

    with pytest.raises(AttachmentNotFoundError):
        await tract.attachment(named(PICTURE))


async def test_a_context_carries_its_attachments_into_requests(store: TractStore) -> None:
    tract = store.tract("a")
    kept = await tract.attach(OTHER, "image/png")
    await tract.commit(native(PICTURE, OTHER))
    await tract.commit(MessageContent(role="user", parts=(TextPart(text="and"), kept.part())))
    context = await tract.compile()

    wanted = [item_of("look", PICTURE, OTHER), item_of("and", OTHER)]
    assert context.request(API, open_calls="keep") == {"items": wanted}
    again = await tract.record_usage({"prompt_tokens": 5, "completion_tokens": 1})
    assert again.request(API, open_calls="keep") == {"items": wanted}


async def test_time_travel_edits_and_skips_carry_what_they_show(store: TractStore) -> None:
    tract = store.tract("a")
    first = await tract.commit(native(PICTURE))
    second = await tract.commit(native(OTHER, text="b"))
    await tract.commit(native(OTHER, text="new"), operation="edit", edit_target=first.commit_hash)
    await tract.annotate(second.commit_hash, Priority.SKIP)
    before = await tract.compile(at_commit=first.commit_hash)
    now = await tract.compile()

    assert before.request(API, open_calls="keep") == {"items": [item_of("look", PICTURE)]}
    assert now.request(API, open_calls="keep") == {"items": [item_of("new", OTHER)]}


async def test_a_text_that_is_edited_to_an_image_carries_it(store: TractStore) -> None:
    tract = store.tract("a")
    said = await tract.user("a")
    await tract.compile()
    await tract.commit(native(PICTURE), operation="edit", edit_target=said.commit_hash)
    context = await tract.compile()

    assert context.request(API, open_calls="keep") == {"items": [item_of("look", PICTURE)]}


@pytest.mark.parametrize("content", [showing, native])
async def test_every_way_to_commit_takes_attachments(
    store: TractStore, content: Callable[..., Any]
) -> None:
    tract = store.tract("a")
    base = await tract.commit(content(PICTURE, text="base"))
    await tract.fork("side")
    side = tract.on("side")
    async with side.batch() as batch:
        staged = batch.commit(content(OTHER, text="one"))
        batch.commit(content(png(1, 1, b"x" * 900)), operation="edit", edit_target=staged)
    await tract.commit(content(b"m" * 900), operation="edit", edit_target=base.commit_hash)
    await side.commit(content(b"s" * 900), operation="edit", edit_target=base.commit_hash)
    resolved = await tract.merge("side", on_conflict=lambda conflict: content(b"r" * 900))
    [picked] = await tract.cherry_pick(base.commit_hash)
    await tract.fork("more")
    await tract.on("more").commit(content(b"z" * 900))
    await tract.merge("more", squash=content(b"q" * 900), fast_forward=False)
    shown = [entry.content for entry in await tract.entries()]

    assert len(resolved.conflicts) == 1
    for data in (PICTURE, OTHER, *(each * 900 for each in (b"m", b"s", b"r", b"q", b"z"))):
        assert await tract.attachment(named(data)) == data
    assert await tract.get_content(picked.commit_hash) == await tract.get_content(base.commit_hash)
    assert picked.content_hash == base.content_hash
    assert len(shown) == 4
    if content is native:
        assert shown[0] == native(b"r" * 900)
        assert shown[-1] == native(b"q" * 900)
    assert (await tract.verify()).faults == ()


async def test_a_conflict_shows_items_with_their_media_and_either_side_may_be_taken(
    store: TractStore,
) -> None:
    tract = store.tract("a")
    base = await tract.commit(native(PICTURE))
    await tract.fork("side")
    for branch, data in ((tract, OTHER), (tract.on("side"), b"s" * 900)):
        await branch.commit(native(data), operation="edit", edit_target=base.commit_hash)
    seen: list[Any] = []

    def decide(conflict: Any) -> Any:
        seen.append(conflict)
        return conflict.base

    await tract.merge("side", on_conflict=decide)
    [entry] = await tract.entries()

    assert (seen[0].ours, seen[0].theirs) == (native(OTHER), native(b"s" * 900))
    assert entry.content == native(PICTURE)


async def test_a_commit_that_fails_leaves_no_attachment(store: TractStore) -> None:
    tract = store.tract("a")
    await tract.user("a")
    for content in (showing(PICTURE), native(PICTURE)):
        with pytest.raises(HeadMovedError):
            await tract.commit(content, expected_head=None)
        with suppress(RuntimeError):
            async with tract.batch() as batch:
                batch.commit(content)
                raise RuntimeError

    with pytest.raises(AttachmentNotFoundError):
        await tract.attachment(named(PICTURE))
    assert await counts(tract) == (1, 0)


async def test_a_cancelled_commit_brings_all_or_nothing(store: TractStore) -> None:
    tract = store.tract("a")
    for step in range(30):
        data = png(step + 1, 1, b"%d" % step * 20_000)
        task = asyncio.create_task(tract.commit(showing(data)))
        for _ in range(step % 10):
            await asyncio.sleep(0)
        await asyncio.sleep(step // 10 / 500)
        task.cancel()
        await asyncio.wait([task])
        await tract.user("later")
        contents = await tract.get_contents([each.commit_hash for each in await tract.log(None)])
        landed = any(named(data) in repr(content) for content in contents)

        assert landed or task.cancelled()
        if landed:
            assert await tract.attachment(named(data)) == data
        else:
            with pytest.raises(AttachmentNotFoundError):
                await tract.attachment(named(data))


@pytest.mark.parametrize(
    ("part", "path"),
    [
        ({"data": b""}, "parts[0].data"),
        ({"data": b"x" * 10_001}, "parts[0].data"),
        ({"data": b"x", "url": "https://x"}, "parts[0]"),
        ({"data": b"x", "attachment": "0" * 64}, "parts[0]"),
        ({}, "parts[0]"),
        ({"attachment": "abc"}, "parts[0].attachment"),
        ({"attachment": "A" * 64}, "parts[0].attachment"),
        ({"attachment": "0" * 64}, "attachment"),
    ],
)
async def test_a_media_part_that_cannot_be_stored_is_refused(
    part: dict[str, Any], path: str, target: Path | str
) -> None:
    content = {
        "content_type": "message",
        "role": "user",
        "parts": [{"type": "media", "kind": "image", **part}],
    }
    async with AsyncTract.open(target, tokenizer=NullTokenCounter(), config=SMALL) as tract:
        with pytest.raises(ContentValidationError) as refusal:
            await tract.commit(content)
        assert refusal.value.path == path
        assert await tract.head() is None


@pytest.mark.parametrize("data", ["text", 5, bytearray(b"x")])
async def test_data_that_is_not_bytes_is_refused(data: Any, target: Path | str) -> None:
    part = {"type": "media", "kind": "image", "data": data}
    async with AsyncTract.open(target, tokenizer=NullTokenCounter()) as tract:
        with pytest.raises(ContentValidationError):
            await tract.commit({"content_type": "message", "role": "user", "parts": [part]})


async def test_the_limit_holds_for_each_attachment_and_for_the_rest(target: Path | str) -> None:
    async with AsyncTract.open(target, tokenizer=NullTokenCounter(), config=SMALL) as tract:
        await tract.commit(native(*(bytes([each]) * 9_000 for each in range(1, 6))))
        with pytest.raises(ContentValidationError, match="max_content_bytes"):
            await tract.commit(native(b"x" * 10_001))
        with pytest.raises(ContentValidationError, match="max_content_bytes"):
            await tract.commit(native(PICTURE, text="x" * 10_001))


def deep(depth: int) -> dict[str, Any]:
    item: dict[str, Any] = {"data": in_base64(PICTURE)}
    for _ in range(depth):
        item = {"a": [item]}
    return item


@pytest.mark.parametrize("depth", [150, 400, 5_000])
async def test_an_item_nested_too_deeply_is_refused_as_ever(depth: int, target: Path | str) -> None:
    async with AsyncTract.open(target, tokenizer=NullTokenCounter()) as tract:
        with pytest.raises(ContentValidationError):
            await tract.commit({"content_type": "native", "api": API, "item": deep(depth)})


async def test_attachments_are_there_after_reopening(target: Path | str) -> None:
    async with AsyncTract.open(target, tract_id="a", tokenizer=NullTokenCounter()) as tract:
        made = await tract.commit(native(PICTURE))
    async with AsyncTract.open(target, tract_id="a", tokenizer=NullTokenCounter()) as tract:
        assert await tract.attachment(named(PICTURE)) == PICTURE
        assert await tract.get_content(made.commit_hash) == native(PICTURE)
        request = (await tract.compile()).request(API, open_calls="keep")
        assert request == {"items": [item_of("look", PICTURE)]}


@pytest.mark.parametrize("limit", [0, 5_000, 10**9])
async def test_a_bounded_cache_changes_nothing_but_the_trips(
    target: Path | str, limit: int
) -> None:
    config = TractConfig(attachment_cache_bytes=limit)
    async with AsyncTract.open(target, tokenizer=NullTokenCounter(), config=config) as tract:
        await tract.commit(native(PICTURE, OTHER))
        for _ in range(3):
            request = (await tract.compile()).request(API, open_calls="keep")
            assert request == {"items": [item_of("look", PICTURE, OTHER)]}


# verify


async def damaged(path: Path, statement: str, *parameters: object) -> list[str]:
    """Return the faults after a statement of somebody else's."""
    async with AsyncTract.open(path, tract_id="a", tokenizer=NullTokenCounter()) as tract:
        await tract.commit(native(PICTURE))
        await tract.commit(showing(PICTURE, OTHER))
        await tract.commit(result(PICTURE))
        await tract.user("nothing")
        assert (await tract.verify()).faults == ()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement, parameters)
    async with AsyncTract.open(path, tract_id="a", tokenizer=NullTokenCounter()) as tract:
        return [fault.problem for fault in (await tract.verify()).faults]


async def test_verify_finds_attachments_that_are_lost(db_path: Path) -> None:
    key = bytes.fromhex(named(PICTURE))
    faults = await damaged(db_path, "DELETE FROM blobs WHERE content_hash = ?", key)

    assert faults == [f"its attachment {named(PICTURE)} is not in the store"] * 3


async def test_verify_finds_attachments_that_are_others_than_their_names_say(
    db_path: Path,
) -> None:
    key = bytes.fromhex(named(OTHER))
    faults = await damaged(db_path, "UPDATE blobs SET data = x'00' WHERE content_hash = ?", key)

    assert faults == [f"its attachment {named(OTHER)} does not have that hash"]


async def test_verify_finds_uses_that_are_not_recorded(db_path: Path) -> None:
    faults = await damaged(db_path, "DELETE FROM attachment_uses")

    assert len(faults) == 4
    assert f"that it uses the attachment {named(PICTURE)} is not recorded" in faults


async def test_a_context_with_a_lost_attachment_compiles_and_its_request_says_so(
    db_path: Path,
) -> None:
    await damaged(db_path, "DELETE FROM blobs WHERE content_hash = ?", bytes.fromhex(named(OTHER)))
    async with AsyncTract.open(db_path, tract_id="a", tokenizer=NullTokenCounter()) as tract:
        context = await tract.compile()
        with pytest.raises(AttachmentNotFoundError) as refusal:
            context.request(API, open_calls="keep")

    assert context.messages[0].content == "look"
    assert refusal.value.sha256 == named(OTHER)


# the bar


async def size_of(path: Path, pictures: int, nbytes: int, commits: int) -> float:
    """Return how many times their raw bytes pictures take in commits that repeat them."""
    raw = [png(100, 100, os.urandom(nbytes - 24)) for _ in range(pictures)]
    assert {len(each) for each in raw} == {nbytes}
    async with AsyncTract.open(path, tract_id="a", tokenizer=NullTokenCounter()) as tract:
        for number in range(commits):
            data = raw[number % pictures]
            content = native if number % 2 else showing
            await tract.commit(content(data, text=f"{number}"))
        context = await tract.compile()
        assert len(context.request(API, open_calls="keep")["items"]) == commits
    return sum(each.stat().st_size for each in path.parent.glob(f"{path.name}*")) / (
        pictures * nbytes
    )


async def test_repeated_images_are_stored_once(db_path: Path) -> None:
    assert await size_of(db_path, pictures=4, nbytes=1_000_000, commits=12) <= 1.05


@pytest.mark.long
async def test_sixteen_large_images_in_forty_commits_take_no_more_than_their_bytes(
    db_path: Path,
) -> None:
    ratio = await size_of(db_path, pictures=16, nbytes=4_000_000, commits=40)
    print(f"{ratio:.4f} times the raw bytes")

    assert ratio <= 1.02


@pytest.mark.unmeasured
@pytest.mark.parametrize("api", ["anthropic.messages", "google.generate_content"])
async def test_a_request_does_not_encode_what_its_compile_has_read(
    api: str, target: Path | str
) -> None:
    """Compared with encoding, which would keep the event loop as long each time."""
    data = png(100, 100, os.urandom(4_000_000))
    async with AsyncTract.open(target, tokenizer=NullTokenCounter()) as tract:
        await tract.commit(showing(data))
        context = await tract.compile()
        encoding = min(timed(lambda: in_base64(data)) for _ in range(5))

        assert in_base64(data) in json.dumps(context.request(api))
        assert min(timed(lambda: context.request(api)) for _ in range(5)) < encoding / 2


def timed(work: Callable[[], object]) -> float:
    start = time.thread_time()
    work()
    return time.thread_time() - start


async def lateness(work: Callable[[], Any]) -> float:
    """Return by how much the event loop is late at worst while *work* is done.

    Seconds in which this process did not run are not counted: its threads' CPU time is, as one may
    keep the interpreter to itself.
    """
    worst = 0.0
    done = asyncio.ensure_future(work())
    while not done.done():
        before, used = time.perf_counter(), time.process_time()
        await asyncio.sleep(0.001)
        passed = time.perf_counter() - before - 0.001
        worst = max(worst, min(passed, time.process_time() - used))
    await done
    return worst


async def test_a_large_image_does_not_stall_the_event_loop(target: Path | str) -> None:
    """In one of some attempts, as other processes may take the machine from any of them."""
    data = png(100, 100, os.urandom(4_000_000))
    item = item_of("x", data)
    bound = 0.05 if engine_of(target) == "postgres" else 0.01  # a driver copies what it sends
    async with AsyncTract.open(target, tokenizer=NullTokenCounter()) as tract:
        gc.collect()
        for work in (
            lambda: tract.attach(data, "image/png"),
            lambda: tract.commit(showing(data)),
            lambda: tract.commit(NativeContent(api=API, item=item)),
            lambda: tract.commit({"content_type": "native", "api": API, "item": item}),
            tract.compile,
            tract.entries,
        ):
            late = [await lateness(work)]
            while late[-1] >= bound and len(late) < 40:
                late.append(await lateness(work))
            assert late[-1] < bound, f"late by {min(late)} s at best"
