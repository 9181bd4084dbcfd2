"""Budgets and redaction of transactions are those of commits."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from support.counters import WordCounter
from support.probes import probe
from tract import (
    BudgetAction,
    BudgetExceededError,
    DefaultContextCompiler,
    HeadMovedError,
    TokenBudgetConfig,
    TokenBudgetWarning,
    TractConfig,
    TractStore,
    Transaction,
)
from tract.engine.commit.budget import Budget
from tract.engine.commit.drafts import DraftMaker, Given
from tract.engine.commit.engine import CommitEngine
from tract.engine.threads import Threads
from tract.engine.transactions import Placed, TransactionEngine
from tract.storage.repositories import (
    BranchName,
    Change,
    ForkBranch,
    Landed,
    TransactionRepository,
)
from tract.storage.sql.repositories import repositories_over

EMPTY = 3 + 3 + 1
"""Words of a context with one message without text: list, message and role."""


def opened(target: Path | str, action: BudgetAction, **options: Any) -> Any:
    budget = TokenBudgetConfig(max_tokens=EMPTY + 10, action=action, **options)
    return TractStore.open(target, config=TractConfig(token_budget=budget), tokenizer=WordCounter())


def words(number: int) -> str:
    return "word " * number


async def run(store: TractStore, body: Callable[[Transaction], object]) -> None:
    async with store.transaction() as tx:
        body(tx)


async def test_a_transaction_is_rejected_if_one_of_its_branches_would_exceed(
    target: Path | str,
) -> None:
    async with opened(target, BudgetAction.REJECT) as store:
        a, b = store.tract("a"), store.tract("b")
        await b.user(words(6))

        def both(tx: Transaction, number: int) -> None:
            tx.on(a).user(words(10))
            tx.on(b).user(words(number))

        with pytest.raises(BudgetExceededError) as caught:
            await run(store, lambda tx: both(tx, 5))
        assert caught.value.tokens == EMPTY + 11
        assert await a.head() is None
        await run(store, lambda tx: both(tx, 4))

        assert [(await each.compile()).token_count for each in (a, b)] == [EMPTY + 10] * 2


async def test_branches_are_checked_as_they_are_at_the_end(target: Path | str) -> None:
    """Their edits, forks and resets included."""
    async with opened(target, BudgetAction.REJECT) as store:
        main = store.tract("t")
        first = await main.user(words(6))
        for body in (
            lambda tx: tx.on(main).fork("x").user(words(5)),
            lambda tx: tx.on(main).fork("x", at_commit=first.commit_hash).user(words(5)),
            lambda tx: tx.on(main).fork("x", at_commit=tx.on(main).user(words(4))).user(words(1)),
            lambda tx: [tx.on(main).reset(None), tx.on(main).user(words(11))],
        ):
            with pytest.raises(BudgetExceededError):
                await run(store, body)
        async with store.transaction() as tx:
            on = tx.on(main)
            entry = on.user(words(60))
            on.user(words(3), operation="edit", edit_target=entry)
            on.fork("reset").reset(first.commit_hash)
            tx.on(main.on("reset")).user(words(4))
            on.fork("empty", at_commit=None).user(words(10))

        for name, tokens in (("main", 9), ("reset", 10), ("empty", 10)):
            assert (await main.on(name).compile()).token_count == EMPTY + tokens


async def test_a_deleted_branch_begins_anew(target: Path | str) -> None:
    async with opened(target, BudgetAction.REJECT) as store:
        main = store.tract("t")
        await main.user(words(1))
        await (await main.fork("x")).user(words(8))
        async with store.transaction() as tx:
            tx.on(main).delete_branch("x", force=True)
            tx.on(store.tract("t", branch="x")).user(words(10))

        assert (await main.on("x").compile()).token_count == EMPTY + 10


async def test_callbacks_and_warnings_come_for_each_branch(target: Path | str) -> None:
    told: list[tuple[int, int]] = []
    async with opened(
        target, BudgetAction.CALLBACK, callback=lambda *tokens: told.append(tokens)
    ) as store:
        async with store.transaction() as tx:
            for number, name in enumerate("abc", 9):
                tx.on(store.tract(name)).user(words(number))
        assert told == [(EMPTY + 11, EMPTY + 10)]
        async with store.transaction() as tx:
            for name in "ab":
                tx.on(store.tract(name)).user(words(9))

    assert told[1:] == [(EMPTY + 18, EMPTY + 10), (EMPTY + 19, EMPTY + 10)]
    async with opened(target, BudgetAction.WARN) as store:
        with pytest.warns(TokenBudgetWarning) as caught:
            async with store.transaction() as tx:
                tx.on(store.tract("d")).user(words(11))

    assert [each.filename for each in caught] == [__file__]


async def test_other_stores_may_move_the_heads_that_were_checked(target: Path | str) -> None:
    async with (
        opened(target, BudgetAction.REJECT) as store,
        opened(target, BudgetAction.REJECT) as other,
    ):
        a, b = store.tract("a"), store.tract("b")
        head = (await a.user("x")).commit_hash
        await b.compile()
        await other.tract("b").user(words(6))
        await other.tract("a").user("y")
        with pytest.raises(BudgetExceededError):
            await run(store, lambda tx: [tx.on(a).user("z"), tx.on(b).user(words(5))])
        with pytest.raises(HeadMovedError):
            await run(store, lambda tx: [tx.on(a, expected_head=head), tx.on(b).user("z")])
        with pytest.raises(HeadMovedError):
            await run(store, lambda tx: tx.on(a, expected_head=head).user("z"))
        await run(store, lambda tx: [tx.on(a, expected_head="main").user("z"), tx.on(b).user("z")])

        assert len(await a.log(None)) == 3


async def test_what_is_kept_under_its_key_costs_nothing(target: Path | str) -> None:
    async with opened(target, BudgetAction.REJECT) as store:
        a, b = store.tract("a"), store.tract("b")
        for _ in range(2):
            async with store.transaction() as tx:
                said = tx.on(a, expected_head=None).user(words(9), key="k", on_key="keep")
                tx.on(b).user(words(1))
                tx.on(b).annotate(tx.on(b).user("x"), "skip")
                tx.on(a).user("more", operation="edit", edit_target=said, key="l", on_key="keep")

        assert len(await a.log(None)) == 2
        assert len(await b.log(None)) == 6


async def test_secrets_are_redacted_as_in_a_commit(target: Path | str) -> None:
    secret = {"api_key": "sk-secret", "model": "m"}
    async with TractStore.open(target, tokenizer=WordCounter()) as store:
        tract = store.tract("t")
        async with store.transaction() as tx:
            hidden = tx.on(tract).user("a", generation_config=secret, metadata=secret)
            shown = tx.on(tract).user("b", generation_config=secret, redact=False)
        plain = await tract.user("c", generation_config=secret)

    assert (
        hidden.info.generation_config == hidden.info.metadata == plain.generation_config != secret
    )
    assert shown.info.generation_config == secret


async def test_no_warning_comes_within_the_budget(target: Path | str) -> None:
    async with opened(target, BudgetAction.WARN) as store:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            async with store.transaction() as tx:
                tx.on(store.tract("a")).user(words(10))
                tx.on(store.tract("b")).state(["x"] * 100)


async def test_transactions_of_many_stores_do_not_exceed_together(target: Path | str) -> None:
    async with (
        opened(target, BudgetAction.REJECT) as store,
        opened(target, BudgetAction.REJECT) as other,
    ):

        def more(tx: Transaction, each: TractStore) -> None:
            tx.on(each.tract("b")).state("x")
            entry = tx.on(each.tract("a")).user(words(1))
            tx.on(each.tract("a")).user(words(2), operation="edit", edit_target=entry)

        outcomes = await asyncio.gather(
            *(run(each, partial(more, each=each)) for _ in range(8) for each in (store, other)),
            return_exceptions=True,
        )
        context = await store.tract("a").compile()

        assert EMPTY < context.token_count <= EMPTY + 10
        refused = sum(isinstance(outcome, BudgetExceededError) for outcome in outcomes)
        assert len(await store.tract("a").log(None)) == 2 * (16 - refused)
        assert len(await store.tract("b").log(None)) == 16 - refused


class Late(TransactionRepository):
    """Lets something happen just before the first transaction is written."""

    def __init__(
        self, inner: TransactionRepository, meanwhile: Callable[[], Awaitable[Any]]
    ) -> None:
        self.inner = inner
        self.meanwhile: Callable[[], Awaitable[Any]] | None = meanwhile
        self.attempts = 0

    async def write(
        self, changes: Sequence[Change], expected: Sequence[tuple[BranchName, str | None]] = ()
    ) -> Landed:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            await meanwhile()
        self.attempts += 1
        return await self.inner.write(changes, expected)


@pytest.mark.parametrize(("number", "fits"), [(9, False), (4, True)])
async def test_a_transaction_is_checked_again_if_a_head_has_moved_meanwhile(
    target: Path | str, number: int, fits: bool
) -> None:
    """Be it that of a branch which it forks."""
    async with TractStore.open(target, tokenizer=WordCounter()) as store:
        await check_again(store, number, fits=fits)


async def check_again(store: TractStore, number: int, *, fits: bool) -> None:
    parts = probe(store).parts
    storage = repositories_over(parts.database)
    limits = TokenBudgetConfig(max_tokens=EMPTY + 10, action=BudgetAction.REJECT)
    budget = Budget(storage.commits, parts.contexts, limits)
    main, counter = store.tract("t"), WordCounter()
    late = Late(storage.transactions, lambda: main.user(words(number), metadata={"by": "another"}))
    commits = CommitEngine(
        storage.commits,
        storage.keys,
        storage.comparisons,
        parts.contexts,
        DraftMaker(DefaultContextCompiler(counter), 10_000, None),
        Threads(),
    )
    engine = TransactionEngine(
        late, storage.refs, commits, parts.contexts, parts.eraser, Threads(), budget
    )
    given = commits.stage(Given({"content_type": "dialogue", "role": "user", "text": words(5)}))
    on_main, new = BranchName("t", "main"), BranchName("t", "new")
    landing = engine.land([ForkBranch(on_main, "new"), Placed(new, given)], [], b"")
    if fits:
        [info], _ = await landing
        assert info.parent_hash == await main.head()
    else:
        with pytest.raises(BudgetExceededError):
            await landing

    assert late.attempts == 1 + fits
