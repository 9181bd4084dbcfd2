"""State: commits that hold a program's state, and content types that are declared so at opening."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from tract import (
    AsyncTract,
    AttachmentNotFoundError,
    CommitOperation,
    ContentType,
    ContentValidationError,
    EditTargetError,
    KeyExistsError,
    MediaPart,
    MessageContent,
    NullTokenCounter,
    Priority,
    StateContent,
    TokenBudgetConfig,
    TractConfig,
    TractStore,
    copy_store,
)

PAYLOADS: dict[str, Any] = {
    "nothing": None,
    "an object": {"step": 3, "done": False, "texts": ["a", ""]},
    "bytes alone": b"\x00\xff",
    "bytes within": {"a": [b"one", {"b": b"two" * 10_000}], "same": b"one"},
    "no bytes": {"empty": b"", "list": [b""]},
    "what looks like a reference": {"$attachment": "0" * 64, "bytes": 3, "alphabet": "none"},
    "what looks like empty bytes": {"$attachment": None, "bytes": 0},
    "what looks like a wrapped one": {"$attachment": None, "value": {"$attachment": None}},
    "bytes in what looks like one": {"$attachment": b"x", "value": {"$attachment": "0" * 64}},
    "base64, which stays text": {"data": "QUJD" * 1_000},
}


class Plan(BaseModel):
    text: str


class Step(BaseModel):
    number: int


@pytest.fixture
async def tract(store: TractStore) -> AsyncTract:
    return store.tract("agent")


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
async def test_a_payload_comes_back_as_it_was(db_path: Path, payload: Any) -> None:
    async with AsyncTract.open(db_path, tract_id="agent") as tract:
        made = await tract.state(payload)
    async with AsyncTract.open(db_path, tract_id="agent") as tract:
        [(told, logged)] = await tract.log(contents=True)

        assert told == made
        assert logged == await tract.get_content(made.commit_hash) == StateContent(payload=payload)
        assert (await tract.verify()).faults == ()


async def test_a_state_is_in_the_history_and_not_in_the_context(tract: AsyncTract) -> None:
    said = await tract.user("hello")
    before = await tract.compile()
    async with tract.watch(after=said.commit_hash) as watch:
        made = await tract.state({"step": 1})
        assert await anext(watch) == made

    after = await tract.compile()
    assert (made.operation, made.token_count) == (CommitOperation.STATE, 0)
    assert after.head_hash == made.commit_hash == await tract.head()
    assert (after.to_dicts(), after.token_count) == (before.to_dicts(), before.token_count)
    assert [each.commit_hash for each in await tract.entries()] == [said.commit_hash]
    assert (await tract.diff(said.commit_hash, made.commit_hash)).entries == ()


async def test_nothing_can_change_a_state_or_be_changed_by_one(tract: AsyncTract) -> None:
    said, made = await tract.user("hello"), await tract.state(1)
    for change in (
        tract.annotate(made.commit_hash, "skip"),
        tract.user("x", operation="edit", edit_target=made.commit_hash),
    ):
        with pytest.raises(EditTargetError, match="is a STATE"):
            await change
    with pytest.raises(ContentValidationError, match="replaces no entry"):
        await tract.commit(StateContent(payload=1), operation="edit", edit_target=said.commit_hash)
    with pytest.raises(ContentValidationError, match="not state"):
        await tract.user("x", operation=CommitOperation.STATE)

    assert await tract.head() == made.commit_hash


async def test_what_cannot_be_stored_is_refused(tract: AsyncTract) -> None:
    for payload in (float("nan"), {"a": bytearray(b"x")}, {1: b"x"}, object(), "\ud800"):
        with pytest.raises(ContentValidationError):
            await tract.state(payload)

    assert await tract.head() is None


async def test_bytes_of_another_tract_stay_its_own(store: TractStore) -> None:
    mine = await store.tract("mine").state(b"secret")
    stored = await store.tract("mine").attachment(
        "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"
    )
    looks = {"$attachment": "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"}
    theirs = await store.tract("theirs").state({**looks, "bytes": 6, "alphabet": "none"})

    assert stored == b"secret"
    content = await store.tract("theirs").get_content(theirs.commit_hash, as_=StateContent)
    assert content.payload == {**looks, "bytes": 6, "alphabet": "none"}
    with pytest.raises(AttachmentNotFoundError):
        await store.tract("theirs").attachment(looks["$attachment"])
    assert mine.content_hash != theirs.content_hash


async def test_what_is_kept_gives_no_bytes_to_the_commits_behind_it(store: TractStore) -> None:
    """Not even those that another tract has given to the database."""
    picture = b"\x89PNG"
    sha256 = (await store.tract("other").attach(picture, "image/png")).sha256
    tract = store.tract("agent")
    await tract.user("something else", key="a")
    given = MediaPart(kind="image", data=picture, media_type="image/png")
    referring = MediaPart(kind="image", attachment=sha256, media_type="image/png")

    async def referred() -> None:
        async with tract.batch() as batch:
            batch.commit(MessageContent(role="user", parts=(given,)), key="a", on_key="keep")
            batch.commit(MessageContent(role="user", parts=(referring,)))

    with pytest.raises(ContentValidationError, match="was never given"):
        await referred()

    assert len(await tract.log()) == 1


async def test_states_and_keys_are_merged_picked_and_copied(store: TractStore) -> None:
    tract = store.tract("agent")
    await tract.user("hello")
    side = await tract.fork("side")
    made = await side.state({"data": b"bytes"}, key="a")
    other = await tract.state(2, key="b")
    await tract.merge("side")
    [picked] = await tract.cherry_pick(made.commit_hash)

    assert (picked.operation, picked.content_hash) == (made.operation, made.content_hash)
    assert picked.key is None
    assert {each.key for each in await tract.log(None)} == {"a", "b", None}
    assert [each.role for each in (await tract.compile()).messages] == ["user"]
    async with TractStore.open(tokenizer=NullTokenCounter()) as target:
        await copy_store(store, target)
        copied = target.tract("agent")
        assert await copied.keys() == [made, other]
        assert (await copied.get_content(made.commit_hash)) == StateContent(
            payload={"data": b"bytes"}
        )
        assert (await copied.verify()).faults == ()
        replaced = await tract.state(3, key="a", on_key="replace")
        await copy_store(store, target)
        assert await copied.keys() == [replaced, other]


async def test_a_budget_lets_state_and_what_is_kept_pass() -> None:
    limits = TokenBudgetConfig(max_tokens=20, action="reject")
    async with AsyncTract.open(config=TractConfig(token_budget=limits)) as tract:
        said = await tract.user("word " * 10, key="a")
        await tract.state("word " * 1_000)

        assert await tract.user("word " * 10, key="a", on_key="keep", expected_head=None) == said
        async with tract.batch() as batch:
            kept = batch.commit(
                {"content_type": "output", "text": "x " * 99}, key="a", on_key="keep"
            )
            batch.annotate(kept, "pinned")
        assert batch.commits[0] == said


async def test_types_are_registered_at_opening(db_path: Path) -> None:
    types: dict[str, type[BaseModel] | ContentType] = {
        "plan": ContentType(Plan, priority="pinned"),
        "step": ContentType(Step, state=True),
    }
    async with AsyncTract.open(db_path, tract_id="agent", content_types=types) as tract:
        plan, step = await tract.commit(Plan(text="do it")), await tract.commit(Step(number=1))
        edited = await tract.commit(
            Plan(text="do more"), operation="edit", edit_target=plan.commit_hash
        )
        assert step.operation is CommitOperation.STATE
        assert await tract.get_content(plan.commit_hash) == Plan(text="do it")
        assert [entry.priority for entry in await tract.entries()] == [Priority.PINNED]
        assert (await tract.verify()).faults == ()

    plain: dict[str, type[BaseModel]] = {"plan": Plan, "step": Step}
    async with AsyncTract.open(db_path, tract_id="agent", content_types=plain) as tract:
        [entry] = await tract.entries()
        assert (entry.priority, entry.edited_by) == (Priority.PINNED, edited.commit_hash)
        assert [each.content for each in (await tract.compile()).messages] == ["do more"]
        assert await tract.get_content(step.commit_hash) == Step(number=1)


def test_a_type_that_cannot_be_registered_opens_nothing(db_path: Path) -> None:
    for name, kind in (
        ("state", ContentType(Plan)),
        ("dialogue", ContentType(Plan)),
        ("merge", ContentType(Plan)),
        ("plan", ContentType(int)),  # type: ignore[arg-type]
    ):
        with pytest.raises(ValueError, match="content type"):
            TractStore.open(db_path, content_types={name: kind})
    with pytest.raises(ValueError, match="no priority"):
        ContentType(Plan, state=True, priority="pinned")
    with pytest.raises(ValueError, match="urgent"):
        ContentType(Plan, priority="urgent")  # type: ignore[arg-type]

    assert not db_path.exists()


async def test_a_type_is_registered_in_one_way(store: TractStore) -> None:
    store.register_content_type("plan", Plan, priority="skip")
    store.register_content_type("plan", Plan, priority=Priority.SKIP, redact=True)

    with pytest.raises(ValueError, match="exists already"):
        store.register_content_type("plan", Plan)
    await store.tract("agent").commit(Plan(text="hidden"))
    assert (await store.tract("agent").compile()).to_dicts() == []


async def test_state_is_not_redacted_unless_asked() -> None:
    types = {"plan": ContentType(Plan, redact=False)}
    secret = {"api_key": "sk-secret"}
    async with AsyncTract.open(content_types=types) as tract:
        kept = await tract.state(secret, metadata=secret)
        own = await tract.commit(Plan(text="x"), metadata=secret)
        hidden = await tract.commit(StateContent(payload=1), metadata=secret, redact=True)
        said = await tract.user("x", metadata=secret)

        assert kept.metadata == own.metadata == secret
        assert hidden.metadata == said.metadata != secret


async def test_a_stream_has_a_key(store: TractStore) -> None:
    tract = store.tract("agent")
    async with tract.stream(key="a") as stream:
        await stream.write("one")
    with pytest.raises(KeyExistsError):
        async with tract.stream(key="a"):
            raise AssertionError
    async with tract.stream(key="a", on_key="keep") as kept:
        await kept.write("two")
    async with tract.stream(key="a", on_key="replace") as replaced:
        await replaced.write("three")

    assert kept.commit_info == stream.commit_info
    assert await tract.get_by_keys(["a"]) == {"a": replaced.commit_info}


async def test_a_stream_whose_key_was_taken_meanwhile_is_not_lost(store: TractStore) -> None:
    tract = store.tract("agent")

    async def overtaken() -> None:
        async with tract.stream(key="a") as stream:
            await stream.write("one")
            await tract.user("faster", key="a")

    with pytest.raises(KeyExistsError):
        await overtaken()

    [left] = await store.recover_streams()
    with pytest.raises(KeyExistsError):
        await left.commit()
    [made] = await left.commit(on_key="replace")
    assert await tract.get_by_keys(["a"]) == {"a": made}
    assert await store.recover_streams() == []


@pytest.mark.parametrize("key", ["", "x" * 1025, "a\0b", "\ud800", 3, b"a"])
async def test_a_key_that_cannot_be_one_is_refused(tract: AsyncTract, key: Any) -> None:
    with pytest.raises(ContentValidationError):
        await tract.user("x", key=key)
    with pytest.raises(ContentValidationError):
        await tract.get_by_keys([key])
    with pytest.raises(ContentValidationError):
        await tract.user("x", key="a", on_key=key)
    with pytest.raises(ContentValidationError):
        await tract.get_by_keys("a key alone")

    assert await tract.head() is None
