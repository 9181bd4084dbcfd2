"""Branches to merge, and what other callers may do to one while a merge is computed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from support.counters import WordCounter
from support.drafts import ticking
from support.opening import with_clock
from support.probes import probe
from support.saying import texts
from tract import (
    AsyncTract,
    BudgetAction,
    CommitOperation,
    DialogueContent,
    MergeKind,
    Priority,
    TokenBudgetConfig,
    TractConfig,
    TractStore,
)

__all__ = [
    "EDIT",
    "HARMLESS",
    "HINDERING",
    "SQUASH",
    "Interruption",
    "Meanwhile",
    "everything",
    "many",
    "opened",
    "prepared",
    "texts",
]

EDIT = CommitOperation.EDIT
SQUASH = DialogueContent(role="user", text="squashed")
Meanwhile = Callable[[AsyncTract], Awaitable[Any]]


async def opened(path: Path | str, budget: int | None = None) -> TractStore:
    """Open a store with a ticking clock, so that two stores can make the same hashes."""
    config = TractConfig()
    if budget is not None:
        limit = TokenBudgetConfig(max_tokens=budget, action=BudgetAction.REJECT)
        config = TractConfig(token_budget=limit)
    return await with_clock(path, ticking(), config=config, tokenizer=WordCounter())


async def prepared(store: TractStore) -> AsyncTract:
    """Make branches that share two entries and have one each of their own; return `main`.

    `fork` has edited `b`.
    """
    main = store.tract("t")
    for text in "ab":
        await main.user(text)
        await main.tag(text)
    for tract, text in (
        (await main.fork("fork"), "theirs"),
        (await main.fork("third"), "third"),
        (main, "ours"),
    ):
        await tract.user(text)
        await tract.tag(text)
    await main.on("fork").user("B", operation=EDIT, edit_target="b")
    return main


class Interruption:
    """Something that is done once, just before the next merge, or compaction, is written.

    With another *verb*, it is done before what the engine of commits writes by that.
    """

    def __init__(
        self,
        store: TractStore,
        meanwhile: Callable[[], Awaitable[Any]],
        verb: str = "write_on",
    ) -> None:
        self.happened = False
        self.attempts = 0
        """How often what was interrupted was about to be written."""
        engine = probe(store).parts.commits
        write: Callable[..., Awaitable[Any]] = getattr(engine, verb)

        async def interrupted(*given: Any, **options: Any) -> Any:
            if not self.happened:
                self.happened = True
                await meanwhile()
                self.attempts = 0
            self.attempts += 1
            return await write(*given, **options)

        setattr(engine, verb, interrupted)


async def everything(store: TractStore) -> list[Any]:
    """Return all that a store returns of its tract, including the hashes."""
    main = store.tract("t")
    branches = await main.branches()
    handles = [store.tract("t", branch=branch.name) for branch in branches]
    return [
        branches,
        await main.reflog(),
        await main.origins(),
        await main.verify(),
        [await handle.log(None) for handle in handles],
        [await handle.compile() for handle in handles],
    ]


async def many(main: AsyncTract) -> None:
    for number in range(30):
        await main.user(str(number))


async def edit_own(main: AsyncTract) -> None:
    new = await main.user("new")
    for target in ("ours", new.commit_hash):
        await main.user("edited", operation=EDIT, edit_target=target)
        await main.annotate(target, Priority.SKIP)


async def merge_third(main: AsyncTract) -> None:
    third = main.on("third")
    await third.user("edited there", operation=EDIT, edit_target="third")
    assert (await main.merge("third")).kind is MergeKind.MERGE


async def edit_shared(main: AsyncTract) -> None:
    await main.user("edited", operation=EDIT, edit_target="a")


async def recreate(main: AsyncTract) -> None:
    """Recreate the branch with the same head."""
    other = await main.fork("again")
    await other.delete_branch("main", force=True)
    await other.fork("main")


HARMLESS: dict[str, Meanwhile] = {
    "commits": many,
    "edits of entries that are ours alone": edit_own,
    "a merge of another branch": merge_third,
    "a branch made anew": recreate,
    "an edit of an entry that is not changed there": edit_shared,
    "an annotation of such an entry": lambda main: main.annotate("a", Priority.PINNED),
}


async def edit_changed(main: AsyncTract) -> None:
    await main.user("edited", operation=EDIT, edit_target="b")


async def merge_an_edit(main: AsyncTract) -> None:
    """Merge a branch on which another caller has changed the entry."""
    third = main.on("third")
    await third.user("edited", operation=EDIT, edit_target="b")
    await main.merge("third")


HINDERING: dict[str, Meanwhile] = {
    "an edit of the same entry": edit_changed,
    "an annotation of it": lambda main: main.annotate("b", Priority.PINNED),
    "a merge with such an edit": merge_an_edit,
    "the same merge": lambda main: main.merge("fork"),
    "the same squash": lambda main: main.merge("fork", squash=SQUASH),
    "a reset": lambda main: main.reset("a"),
}


ALL = HARMLESS | HINDERING
