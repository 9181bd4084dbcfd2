"""`edit_entries`: popping, clearing and rewinding a conversation in one transaction."""

from __future__ import annotations

import pytest

from tract import (
    AsyncTract,
    CommitNotFoundError,
    ContentValidationError,
    DialogueContent,
    EditTargetError,
    HeadMovedError,
)

ANSWER = DialogueContent(role="assistant", text="answer")


async def texts(tract: AsyncTract) -> list[str]:
    context = await tract.compile(aggregate_same_role=False)
    return [str(each["content"]) for each in context.to_dicts()]


async def said(tract: AsyncTract, *all_of: str) -> list[str]:
    return [(await tract.user(text)).commit_hash for text in all_of]


async def test_the_newest_entry_is_popped(main: AsyncTract) -> None:
    await said(main, "a", "b")
    (last,) = await main.entries(newest=True, limit=1)
    made = await main.edit_entries(
        skip=[last.commit_hash], reason="popped", expected_head=await main.head()
    )

    assert await texts(main) == ["a"]
    assert [info.operation for info in made] == ["annotate"]
    assert [each.reason for each in await main.get_annotations(last.commit_hash)] == ["popped"]


async def test_a_conversation_is_cleared_and_goes_on(main: AsyncTract) -> None:
    await said(main, *"abc")
    entries = await main.entries()
    made = await main.edit_entries(skip=(each.commit_hash for each in entries), append=[ANSWER])

    assert await texts(main) == ["answer"]
    assert [info.edit_target for info in made] == [*(each.commit_hash for each in entries), None]
    assert made[-1].commit_hash == await main.head()


async def test_what_was_skipped_comes_back(main: AsyncTract) -> None:
    a, b = await said(main, "a", "b")
    await main.edit_entries(skip=[a, b])
    await main.annotate(b, "normal")

    assert await texts(main) == ["b"]


async def test_an_entry_that_is_named_twice_is_skipped_once(main: AsyncTract) -> None:
    (a,) = await said(main, "a")

    assert len(await main.edit_entries(skip=[a, a])) == 1


async def test_nothing_to_do_writes_nothing(main: AsyncTract) -> None:
    (a,) = await said(main, "a")

    assert await main.edit_entries() == []
    assert await main.edit_entries(expected_head=a) == []
    with pytest.raises(HeadMovedError):
        await main.edit_entries(expected_head=None)
    assert await main.head() == a


async def test_it_is_all_or_nothing(main: AsyncTract) -> None:
    a, b = await said(main, "a", "b")
    annotation = await main.annotate(b, "pinned")
    head = await main.head()
    with pytest.raises(HeadMovedError):
        await main.edit_entries(skip=[a], expected_head=b)
    with pytest.raises(CommitNotFoundError):
        await main.edit_entries(skip=[a, "0" * 64], append=[ANSWER])
    with pytest.raises(EditTargetError):
        await main.edit_entries(skip=[a, annotation.commit_hash])
    with pytest.raises(ContentValidationError):
        await main.edit_entries(skip=[a], append=[{"content_type": "dialogue"}])
    with pytest.raises(ContentValidationError, match="list of hashes"):
        await main.edit_entries(skip=a)
    for content in (ANSWER, ANSWER.model_dump(), "text"):
        with pytest.raises(ContentValidationError, match="list of contents"):
            await main.edit_entries(append=content)  # type: ignore[arg-type]  # refused

    assert await main.head() == head
    assert await texts(main) == ["a", "b"]
