"""The table of operations agrees with what the verbs do."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.counters import WordCounter
from tract import AsyncTract, CommitInfo, CommitOperation, ContentValidationError, EditTargetError
from tract.models.operations import OPERATIONS, Effect

EVERY = [*CommitOperation]


async def made(tract: AsyncTract) -> dict[CommitOperation, CommitInfo]:
    """Make a commit of each operation and return them."""
    entry = await tract.user("one")
    said = {"content_type": "dialogue", "role": "user", "text": "one two"}
    await tract.commit(said, operation="edit", edit_target=entry.commit_hash)
    await tract.annotate(entry.commit_hash, "pinned")
    other = await tract.fork("other")
    await other.user("there")
    await tract.user("here")
    await tract.merge("other")
    await tract.state({"step": 1})
    done = await tract.compact(lambda request: "the summary", keep_recent=0)
    assert done is not None
    await tract.expand(done.commit_hash)
    return {info.operation: info for info in await tract.log(None)}


def test_every_operation_is_in_the_table() -> None:
    assert OPERATIONS.keys() == {*CommitOperation}


@pytest.mark.parametrize("operation", EVERY)
async def test_what_is_no_entry_is_nobodys_target(operation: CommitOperation) -> None:
    async with AsyncTract.open(tokenizer=WordCounter()) as tract:
        target = (await made(tract))[operation].commit_hash
        if OPERATIONS[operation].is_entry:
            await tract.annotate(target, "skip")
            return
        with pytest.raises(EditTargetError, match=f"{operation.upper()}, not an entry"):
            await tract.annotate(target, "skip")


@pytest.mark.parametrize("operation", EVERY)
async def test_only_what_is_shown_has_tokens(
    operation: CommitOperation, target: Path | str
) -> None:
    async with AsyncTract.open(target, tokenizer=WordCounter()) as tract:
        info = (await made(tract))[operation]

    assert (info.token_count > 0) == OPERATIONS[operation].is_shown


@pytest.mark.parametrize("operation", EVERY)
async def test_commit_makes_what_the_table_says_and_names_the_verb_of_the_rest(
    operation: CommitOperation,
) -> None:
    rule = OPERATIONS[operation]
    async with AsyncTract.open(tokenizer=WordCounter()) as tract:
        target = (await tract.user("x")).commit_hash if rule.needs_target else None
        said = {"content_type": "dialogue", "role": "user", "text": "y"}
        call = tract.commit(said, operation=operation, edit_target=target)
        if operation is CommitOperation.STATE:
            with pytest.raises(ContentValidationError, match=r"`state\(\)`"):
                await call
            return
        if rule.made_by == "commit":
            assert (await call).operation is operation
            return
        with pytest.raises(ContentValidationError, match=rf"made by `{rule.made_by}\(\)`"):
            await call


@pytest.mark.parametrize("operation", EVERY)
async def test_every_entry_is_in_the_context_once(
    operation: CommitOperation, target: Path | str
) -> None:
    async with AsyncTract.open(target, tokenizer=WordCounter()) as tract:
        commit_hash = (await made(tract))[operation].commit_hash
        context = await tract.compile()

    assert context.commit_hashes.count(commit_hash) == (OPERATIONS[operation].effect is Effect.ADD)
