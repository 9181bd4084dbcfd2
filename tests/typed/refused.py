"""Mistakes that type checkers have to refuse; nothing here runs.

Each is marked with what mypy calls it. Both checkers complain of a mark where there is no mistake.
"""

from __future__ import annotations

from tract import (
    AsyncTract,
    BaseTokenCounter,
    CommitInfo,
    DialogueContent,
    MergeConflict,
    TokenBudgetConfig,
    ToolIOContent,
    TractConfig,
    config,
    from_openai,
)


async def opening() -> None:
    AsyncTract.open(17)  # type: ignore[arg-type]
    AsyncTract.open("context.db", branch="aside")  # type: ignore[call-arg]
    AsyncTract.open("context.db").user("not awaited")  # type: ignore[attr-defined]
    AsyncTract.open(tokenizer=BaseTokenCounter)  # type: ignore[arg-type]


async def committing(tract: AsyncTract) -> None:
    await tract.user(b"bytes")  # type: ignore[arg-type]
    await tract.user("x", operation="squash")  # type: ignore[arg-type]
    await tract.user("x", operation="annotate")  # type: ignore[arg-type]
    await tract.user("x", temperature=0.7)  # type: ignore[call-arg]
    await tract.user("x", generation_config=[("model", "gpt-4o")])  # type: ignore[arg-type]
    await tract.user("x", metadata="trace")  # type: ignore[arg-type]
    await tract.commit("text")  # type: ignore[arg-type]
    await tract.commit(DialogueContent(role="tool", text="x"))  # type: ignore[arg-type]
    await tract.commit(ToolIOContent(tool_name="f", payload={}))  # type: ignore[call-arg]
    await tract.annotate("h", "high")  # type: ignore[arg-type]
    async with tract.batch() as batch:
        batch.annotate("h", "PINNED")  # type: ignore[arg-type]


async def reading(tract: AsyncTract) -> None:
    print((await tract.get_content("h")).text)  # type: ignore[attr-defined]
    print((await tract.get_content("h", as_=ToolIOContent)).text)  # type: ignore[attr-defined]
    await tract.get_content("h", as_="dialogue")  # type: ignore[call-overload]
    await tract.query(config("model"))  # type: ignore[call-overload]
    await tract.query_by_config(["model"], "=", "gpt-4o")  # type: ignore[arg-type]
    await tract.record_usage(120)  # type: ignore[arg-type]
    from_openai("Capital of Norway?")  # type: ignore[arg-type]
    from_openai([b"x"])  # type: ignore[list-item]


async def merging(tract: AsyncTract) -> None:
    await tract.merge("x", on_conflict="mine")  # type: ignore[arg-type]
    await tract.merge("x", on_conflict=_any_side)  # type: ignore[arg-type]
    await tract.merge("x", on_conflict=_of_a_commit)  # type: ignore[arg-type]
    await tract.merge("x", squash="done")  # type: ignore[arg-type]


async def _any_side(conflict: MergeConflict) -> str:
    return "ours" if conflict.base is None else "the newer one"


def _of_a_commit(commit: CommitInfo) -> DialogueContent:
    return DialogueContent(role="user", text=commit.commit_hash)


def _make_room(tokens: int) -> None:
    print(tokens)


def configuring() -> None:
    TokenBudgetConfig(max_tokens=5, action="shrink")  # type: ignore[arg-type]
    TokenBudgetConfig(5)  # type: ignore[call-arg]
    TokenBudgetConfig(max_tokens=5, action="callback", callback=_make_room)  # type: ignore[arg-type]
    TractConfig(durability="paranoid")  # type: ignore[arg-type]
