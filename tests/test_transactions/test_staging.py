"""Transactions: what is staged on branches and tracts lands together, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.opening import COUNTER
from tract import (
    AsyncTract,
    BranchExistsError,
    CommitNotFoundError,
    ContentValidationError,
    EditTargetError,
    ErasedContent,
    FreeformContent,
    HeadMovedError,
    KeyExistsError,
    MetadataChangedError,
    Priority,
    StagedBranch,
    StateContent,
    StoreClosedError,
    StoreReadOnlyError,
    TokenUsage,
    TractError,
    TractStore,
    Transaction,
)


async def texts(tract: AsyncTract) -> list[str]:
    return [
        str(each["content"]) for each in (await tract.compile(aggregate_same_role=False)).to_dicts()
    ]


async def run(tx: Transaction, body: Callable[[Transaction], object]) -> None:
    async with tx:
        body(tx)


async def test_two_tracts_land_together(store: TractStore) -> None:
    a, b = store.tract("a"), store.tract("b")
    before = await b.user("before")
    async with store.transaction() as tx:
        asked = tx.on(a).user("question", metadata={"k": 1}, message="m")
        told = tx.on(b).assistant("answer", name="x")
        ruled = tx.on(a).system("rule")
        assert await a.log() == []
        with pytest.raises(TractError, match="leave its `async with` block first"):
            _ = asked.info

    assert tx.commits == [asked.info, told.info, ruled.info]
    assert asked.info == await a.get_commit(asked.info.commit_hash)
    assert (asked.info.message, asked.info.metadata) == ("m", {"k": 1})
    assert told.info.parent_hash == before.commit_hash
    assert ruled.info.parent_hash == asked.info.commit_hash == asked.reference
    assert (await texts(a), await texts(b)) == (["question", "rule"], ["before", "answer"])
    assert [(await each.verify()).faults for each in (a, b)] == [(), ()]


async def test_others_commit_while_the_block_runs_and_come_first(store: TractStore) -> None:
    a, b = store.tract("a"), store.tract("b")
    async with store.transaction() as tx, store.transaction() as other:
        tx.on(a).user("third")
        tx.on(b).user("second")
        other.on(b).user("first")
        other.on(a).user("second")
        await asyncio.wait_for(a.user("first"), 20)

    assert (await texts(a), await texts(b)) == (["first", "second", "third"], ["first", "second"])


async def test_an_empty_transaction_writes_nothing(store: TractStore) -> None:
    async with store.transaction() as tx:
        tx.on(store.tract("a"))

    assert (tx.commits, tx.receipts) == ([], [])
    assert await store.tract_ids() == []


async def test_a_block_that_raises_writes_nothing(store: TractStore) -> None:
    def body(tx: Transaction) -> None:
        tx.on(store.tract("a")).user("x")
        raise KeyError

    with pytest.raises(KeyError):
        await run(store.transaction(), body)

    assert await store.tract_ids() == []


async def test_branches_tags_resets_and_commits_follow_each_other(store: TractStore) -> None:
    main = store.tract("t")
    first = await main.user("a")
    await main.user("b")
    await main.fork("old")
    await main.tag("gone")
    async with store.transaction() as tx:
        on_main = tx.on(main)
        on_main.user("c")
        draft = on_main.fork("draft")
        staged = draft.user("d")
        draft.user("e")
        draft.reset(staged, reason="too much")
        draft.tag("v1")
        on_main.tag("v0", first.commit_hash)
        on_main.fork("empty", at_commit=None).user("fresh")
        on_main.delete_branch("old")
        on_main.delete_tag("gone")
        late = on_main.fork("late", at_commit=staged)
        late.user("f")

    assert await texts(main) == ["a", "b", "c"]
    assert await texts(main.on("draft")) == ["a", "b", "c", "d"]
    assert await texts(main.on("late")) == ["a", "b", "c", "d", "f"]
    assert await texts(main.on("empty")) == ["fresh"]
    assert [(each.name, each.target_hash) for each in await main.tags()] == [
        ("v0", first.commit_hash),
        ("v1", staged.info.commit_hash),
    ]
    assert [each.name for each in await main.branches()] == ["draft", "empty", "late", "main"]
    moves = [(each.branch, each.action, each.note) for each in await main.reflog()]
    assert ("draft", "reset", "too much") in moves
    assert ("draft", "fork", "from main") in moves
    assert ("old", "delete", None) in moves
    assert (await main.verify()).faults == ()


async def test_edits_priorities_and_usage_refer_to_staged_commits(store: TractStore) -> None:
    a, b = store.tract("a"), store.tract("b")
    old = await a.user("old")
    async with store.transaction() as tx:
        entry = tx.on(a).user("draft")
        tx.on(b).user("elsewhere")
        tx.on(a).user("final", operation="edit", edit_target=entry)
        tx.on(a).annotate(old.commit_hash, Priority.SKIP, reason="stale")
        tx.on(a).annotate(entry, "pinned")
        tx.on(a).record_usage(TokenUsage(100, 10, 110))
        tx.on(b).record_usage({"prompt_tokens": 7, "completion_tokens": 1})
        tx.on(b).record_usage(None)
        tx.on(a).record_usage({"prompt_tokens": 3, "completion_tokens": 1}, head_hash=entry)

    assert await texts(a) == ["final"]
    assert (await a.get_annotations(entry.info.commit_hash))[0].priority is Priority.PINNED
    assert (await a.compile()).token_source == "api:100+10"
    assert (await b.compile()).token_source == "api:7+1"
    assert (await a.compile(at_commit=entry.info.commit_hash)).token_source == "api:3+1"


async def test_a_state_holds_the_hashes_of_what_is_staged_with_it(store: TractStore) -> None:
    """The agent's messages and its checkpoint, in a tract of its own."""
    thread, log = store.tract("thread"), store.tract("log")
    filler = ["x" * 100] * 1000
    async with store.transaction() as tx:
        said = [tx.on(thread).user(text) for text in "abc"]
        small = tx.on(log).state(
            {"messages": said, "at": {"last": [said[-1]]}, "raw": b"\x00"}, key="1"
        )
        large = tx.on(log).state({"messages": (*said, small), "filler": filler}, key="2")
        by_text = tx.on(log).state(f"up to {said[0].reference}!")

    hashes = [each.info.commit_hash for each in said]
    contents = await log.get_contents([each.info.commit_hash for each in (small, large, by_text)])
    payloads = [each.payload for each in contents if isinstance(each, StateContent)]
    assert payloads == [
        {"messages": hashes, "at": {"last": [hashes[-1]]}, "raw": b"\x00"},
        {"messages": [*hashes, small.info.commit_hash], "filler": filler},
        f"up to {hashes[0]}!",
    ]
    assert (await log.get_by_keys(["2"]))["2"] == large.info
    assert (await log.verify()).faults == ()


async def test_equal_states_of_two_transactions_are_one_content(store: TractStore) -> None:
    log = store.tract("log")
    info = await log.user("a")
    async with store.transaction() as tx:
        kept = tx.on(log).user("b")
        staged = tx.on(log).state([kept])
    plain = await log.state([kept.reference])

    assert plain.content_hash == staged.info.content_hash
    assert info.commit_hash not in (await log.get_content("main")).model_dump()["payload"]


@pytest.mark.parametrize(
    "stage",
    [
        lambda on, name: on.user(f"see {name}"),
        lambda on, name: on.commit(FreeformContent(payload=[name])),
        lambda on, name: on.user("x", metadata={"see": name}),
        lambda on, name: on.user("x", message=name),
        lambda on, name: on.user("x", generation_config={"see": name}),
        lambda on, name: on.user("x", key=name),
        lambda on, name: on.state({name: 1}),
        lambda on, name: on.state([{f'a"{name}"b': 1}]),
    ],
    ids=["text", "payload", "metadata", "message", "config", "key", "member", "part of a member"],
)
async def test_only_the_values_of_a_state_refer_to_staged_commits(
    store: TractStore, stage: Callable[[StagedBranch, str], object]
) -> None:
    tract = store.tract("t")

    def body(tx: Transaction) -> None:
        stage(tx.on(tract), tx.on(tract).user("a").reference)

    with pytest.raises(ContentValidationError, match="staged commit"):
        await run(store.transaction(), body)

    assert await tract.head() is None


async def test_what_looks_like_a_members_name_is_a_value(store: TractStore) -> None:
    tract = store.tract("t")
    async with store.transaction() as tx:
        entry = tx.on(tract).user("a")
        payload = [f'"{entry.reference}":', {"a": f"{entry.reference}\\", "b": 1}]
        tx.on(tract).state(payload)

    named = entry.info.commit_hash
    content = await tract.get_content("main", as_=StateContent)
    assert content.payload == [f'"{named}":', {"a": f"{named}\\", "b": 1}]


async def test_staging_takes_a_copy(store: TractStore) -> None:
    payload: dict[str, Any] = {"deep": [1]}
    tract = store.tract("t")
    async with store.transaction() as tx:
        tx.on(tract).state(payload)
        tx.on(tract).commit(FreeformContent(payload=payload))
        payload["deep"].append(2)

    for content in await tract.get_contents([info.commit_hash for info in tx.commits]):
        assert content.model_dump()["payload"] == {"deep": [1]}


@pytest.mark.parametrize(
    ("fail", "error"),
    [
        (
            lambda tx, s: tx.on(s.tract("b")).user("x", operation="edit", edit_target="0" * 64),
            EditTargetError,
        ),
        (lambda tx, s: tx.on(s.tract("b")).annotate("0" * 64, "skip"), CommitNotFoundError),
        (lambda tx, s: tx.on(s.tract("b")).user("x", key="taken"), KeyExistsError),
        (lambda tx, s: tx.on(s.tract("b")).fork("main"), BranchExistsError),
        (
            lambda tx, s: tx.on(s.tract("b")).tag("t", tx.on(s.tract("a")).user("x")),
            CommitNotFoundError,
        ),
        (lambda tx, s: tx.on(s.tract("b")).erase(["0" * 64], reason="r"), CommitNotFoundError),
        (lambda tx, s: tx.on(s.tract("empty")).record_usage(TokenUsage(1, 1, 2)), TractError),
    ],
    ids=["edit", "annotation", "key", "fork", "tag", "erasure", "usage"],
)
async def test_a_change_that_fails_fails_alone_with_its_transaction(
    store: TractStore, fail: Callable[[Transaction, TractStore], object], error: type[Exception]
) -> None:
    """Heads and contexts that were known before are right afterwards."""
    a, b = store.tract("a"), store.tract("b")
    await b.user("there", key="taken")
    heads = [await a.head(), await b.head()]

    def body(tx: Transaction) -> None:
        tx.on(a).user("never")
        fail(tx, store)

    others = asyncio.gather(*(store.tract("others").user(str(n)) for n in range(5)))
    with pytest.raises(error):
        await run(store.transaction(), body)
    await others

    assert [await a.head(), await b.head()] == heads
    assert (await texts(a), await texts(b)) == ([], ["there"])
    assert len(await store.tract("others").log(None)) == 5
    await a.user("goes on")
    assert await texts(a) == ["goes on"]


async def test_heads_that_other_stores_moved_are_not_the_expected_ones(
    target: Path | str,
) -> None:
    async with (
        TractStore.open(target, tokenizer=COUNTER) as store,
        TractStore.open(target, tokenizer=COUNTER) as other,
    ):
        a, b = store.tract("a"), store.tract("b")
        known = [(await a.user("a")).commit_hash, (await b.user("b")).commit_hash]
        moved = await other.tract("b").user("theirs")
        for expect in (
            lambda tx: [tx.on(a, expected_head=known[0]), tx.on(b, expected_head=known[1])],
            lambda tx: tx.on(b).user("x", expected_head=known[1]),
            lambda tx: tx.on(b).state({}, expected_head=None),
        ):

            def body(tx: Transaction, expect: Callable[[Transaction], object] = expect) -> None:
                tx.on(a).user("never")
                expect(tx)

            with pytest.raises(HeadMovedError) as caught:
                await run(store.transaction(), body)
            assert caught.value.actual == moved.commit_hash
        async with store.transaction() as tx:
            tx.on(a, expected_head=known[0]).user("now")
            tx.on(b, expected_head=moved.commit_hash).user("now")
            tx.on(b).user("x", expected_head="main")

        assert await texts(other.tract("a")) == ["a", "now"]
        assert await texts(other.tract("b")) == ["b", "theirs", "now", "x"]


async def test_a_transaction_with_keys_can_be_repeated(target: Path | str) -> None:
    """Even after reopening, and whatever head it expected."""

    async def once(store: TractStore) -> list[Any]:
        a, b = store.tract("a"), store.tract("b")
        async with store.transaction() as tx:
            said = tx.on(a, expected_head=None).user("x", key="1", on_key="keep")
            tx.on(b).state([said], key="1", on_key="keep", expected_head=None)
        return tx.commits

    async with TractStore.open(target, tokenizer=COUNTER) as store:
        first = await once(store)
        assert await once(store) == first
    async with TractStore.open(target, tokenizer=COUNTER) as store:
        assert await once(store) == first
        assert await store.tract("b").get_content("main") == StateContent(
            payload=[first[0].commit_hash]
        )


async def test_an_edit_and_an_erasure_land_together(target: Path | str) -> None:
    async with (
        TractStore.open(target, tokenizer=COUNTER) as store,
        TractStore.open(target, tokenizer=COUNTER) as other,
    ):
        a, b = store.tract("a"), store.tract("b")
        secret = await a.user("the secret", key="k")
        kept = await b.user("kept")
        assert await texts(other.tract("a")) == ["the secret"]
        async with store.transaction() as tx:
            tx.on(a).user("redacted", operation="edit", edit_target=secret.commit_hash)
            tx.on(a).erase([secret.commit_hash], reason="asked")
            tx.on(b).user("noted", key="k")

        [receipt] = tx.receipts
        assert (receipt.tract_id, receipt.commits, receipt.reason) == (
            "a",
            (secret.commit_hash,),
            "asked",
        )
        for each in (store, other):
            assert await texts(each.tract("a")) == ["redacted"]
            assert isinstance(await each.tract("a").get_content(secret.commit_hash), ErasedContent)
            assert await texts(each.tract("b")) == ["kept", "noted"]
        assert await a.get_by_keys(["k"]) == {}
        async with store.transaction() as unwritten:
            staged: Any = unwritten.on(a).user("x")
            with pytest.raises(TractError, match="do not stage it"):
                unwritten.on(a).erase([staged], reason="r")
        with pytest.raises(ContentValidationError, match="list of hashes"):
            await run(store.transaction(), lambda tx: tx.on(b).erase(kept.commit_hash, reason="r"))


async def test_metadata_land_with_the_commits_that_they_tell_of(target: Path | str) -> None:
    """In the order of staging, and only if they are what was expected."""
    async with TractStore.open(target, tokenizer=COUNTER) as store:
        a, b = store.tract("a"), store.tract("b")
        async with store.transaction() as tx:
            given = {"seen": 1}
            tx.on(a).set_info(title="A", metadata=given, expected_metadata=None)
            given["seen"] = 2
            tx.on(a).user("x")
            tx.on(a).set_info(
                metadata={"api_key": "k"}, expected_metadata={"seen": 1}, redact=False
            )
        async with b.batch() as batch:
            batch.set_info(metadata={"api_key": "k"})
        before = await a.info()
        for stage in (
            lambda on: on.set_info(metadata={}, expected_metadata={"seen": 1}),
            lambda on: on.set_info(title="B", expected_metadata=None),
        ):

            def body(tx: Transaction, stage: Callable[[StagedBranch], object] = stage) -> None:
                tx.on(b).user("never")
                stage(tx.on(a))

            with pytest.raises(MetadataChangedError):
                await run(store.transaction(), body)

        info, other = await a.info(), await b.info()
        assert info is not None
        assert info == before
        assert (info.title, info.metadata, info.commits) == ("A", {"api_key": "k"}, 1)
        assert other is not None
        assert (other.metadata, other.commits) == ({"api_key": "[redacted]"}, 0)
        with pytest.raises(ValueError, match="title or metadata"):
            await run(store.transaction(), lambda tx: tx.on(a).set_info())


async def test_watchers_of_every_branch_see_what_arrives(target: Path | str) -> None:
    """In this store and in another one."""
    async with (
        TractStore.open(target, tokenizer=COUNTER) as store,
        TractStore.open(target, tokenizer=COUNTER) as other,
    ):
        a, b = store.tract("a"), store.tract("b")
        await a.user("before")
        await a.fork("draft")
        watches = [
            tract.watch(after="head" if tract.tract_id == "a" else None)
            for each in (store, other)
            for tract in (each.tract("a"), each.tract("a", branch="draft"), each.tract("b"))
        ]
        waiting = [asyncio.create_task(anext(watch)) for watch in watches]
        await asyncio.sleep(0.05)
        async with store.transaction() as tx:
            staged = [tx.on(each).user("x") for each in (a, a.on("draft"), b)]
        seen = await asyncio.wait_for(asyncio.gather(*waiting), 20)

        assert seen == [each.info for each in staged] * 2


async def test_a_transaction_stages_only_inside_its_block(store: TractStore) -> None:
    tract = store.tract("t")
    tx = store.transaction()
    with pytest.raises(TractError, match="async with"):
        tx.on(tract)
    async with tx:
        on = tx.on(tract)
        on.user("a")
    for late in (
        lambda: tx.on(tract),
        lambda: on.user("b"),
        lambda: on.state({}),
        lambda: on.annotate(tx.commits[0].commit_hash, "skip"),
        lambda: on.fork("x"),
        lambda: on.reset(None),
        lambda: on.tag("x"),
        lambda: on.delete_tag("x"),
        lambda: on.delete_branch("x"),
        lambda: on.record_usage(None),
        lambda: on.erase([], reason="r"),
        lambda: on.set_info(title="x"),
    ):
        with pytest.raises(TractError, match="async with"):
            late()
    with pytest.raises(TractError, match="used once"):
        async with tx:
            pass

    assert await texts(tract) == ["a"]


async def test_a_commit_of_another_open_transaction_is_none_to_refer_to(store: TractStore) -> None:
    tract = store.tract("t")
    async with store.transaction() as one, store.transaction() as other, tract.batch() as batch:
        staged, batched = one.on(tract).user("a"), batch.user("b")
        for each in (staged, batched):
            with pytest.raises(EditTargetError, match="is not written yet"):
                other.on(tract).annotate(each, "skip")
            with pytest.raises(TractError, match="is not written yet"):
                other.on(tract).tag("t", each)
    async with store.transaction() as later:
        later.on(tract).annotate(staged, "skip")
        later.on(tract).tag("t", batched)

    assert await texts(tract) == ["b"]


async def test_handles_of_other_stores_are_refused(store: TractStore, tmp_path: Path) -> None:
    async with TractStore.open(tmp_path / "other.db", tokenizer=COUNTER) as other:
        closed = store.tract("t")
        await closed.aclose()
        async with store.transaction() as tx:
            for handle in (other.tract("t"), None, "t", store):
                with pytest.raises(TractError, match="own store"):
                    tx.on(handle)  # type: ignore[arg-type]  # refused
            with pytest.raises(StoreClosedError):
                tx.on(closed)
            with pytest.raises(TractError, match="cannot delete itself"):
                tx.on(store.tract("t")).delete_branch("main")
            with pytest.raises(CommitNotFoundError):
                tx.on(store.tract("t")).reset(7)  # type: ignore[arg-type]  # refused

    assert tx.commits == []


async def test_a_closed_store_is_told_before_the_block_or_on_leaving_it(target: Path | str) -> None:
    store = await TractStore.open(target, tokenizer=COUNTER)
    late = store.transaction()

    async def closing() -> None:
        async with store.transaction() as tx:
            tx.on(store.tract("t")).user("a")
            await store.aclose()

    with pytest.raises(StoreClosedError):
        await closing()
    with pytest.raises(StoreClosedError):
        store.transaction()
    with pytest.raises(StoreClosedError):
        async with late:
            pass
    async with TractStore.open(target, tokenizer=COUNTER) as again:
        assert await again.tract_ids() == []


async def test_closing_waits_for_a_transaction_that_is_being_written(target: Path | str) -> None:
    store = await TractStore.open(target, tokenizer=COUNTER)
    tx = store.transaction()

    def body(tx: Transaction) -> None:
        for number in range(300):
            tx.on(store.tract(str(number % 2))).user("x" * 1000)

    writing = asyncio.create_task(run(tx, body))
    await asyncio.sleep(0)
    await store.aclose()
    await writing

    assert len(tx.commits) == 300


async def test_a_read_only_store_is_told_before_the_block(db_path: Path) -> None:
    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        await store.tract("t").user("a")
    async with TractStore.open(f"file:{db_path}?mode=ro", tokenizer=COUNTER) as store:
        with pytest.raises(StoreReadOnlyError):
            async with store.transaction():
                pass


async def test_a_transaction_tells_how_it_stands(store: TractStore) -> None:
    tract = store.tract("t")
    async with store.transaction() as tx:
        staged = tx.on(tract).user("a")
        tx.on(tract).tag("x")

        assert "2 staged" in repr(tx)
        assert "'main' of 't'" in repr(tx.on(tract))
        assert "not landed" in repr(staged)

    assert "1 landed" in repr(tx)


@pytest.mark.unmeasured
async def test_a_large_transaction_stays_in_order(store: TractStore) -> None:
    tracts = [store.tract(str(number)) for number in range(3)]
    async with store.transaction() as tx:
        for number in range(1500):
            tx.on(tracts[number % 3]).commit({"content_type": "freeform", "payload": number})

    for number, tract in enumerate(tracts):
        assert (await tract.compile()).commit_hashes == [
            info.commit_hash for info in tx.commits[number::3]
        ]
