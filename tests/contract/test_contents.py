"""Many contents at once, in the order in which their commits are named."""

from __future__ import annotations

import pytest

from support.drafts import MAIN, OTHER_TRACT, draft
from support.repositories import MALFORMED, UNKNOWN, Repositories, say
from tract import CommitNotFoundError


async def test_contents_come_in_the_order_in_which_they_are_named(store: Repositories) -> None:
    texts = [str(number) for number in range(150)]
    made = await say(store, MAIN, *texts)
    await store.tags.tag(MAIN, "v1", made[7])
    named = [*reversed(made), "v1", made[3], made[5][:20]]
    found = await store.blobs.get_many(MAIN.tract_id, named)

    wanted = [*reversed(texts), "7", "3", "5"]
    assert [each.data for each in found] == [draft(text).data for text in wanted]
    assert found[-2].commit_hash == made[3]
    assert await store.blobs.get_many(MAIN.tract_id, []) == []


async def test_a_content_that_is_lost_is_none_and_one_of_another_tract_not_found(
    store: Repositories,
) -> None:
    [kept, lost] = await say(store, MAIN, "kept", "lost")
    await store.damage.lose_blob(draft("lost").content_hash)
    found = await store.blobs.get_many(MAIN.tract_id, [kept, lost])

    assert [each.data for each in found] == [draft("kept").data, None]
    for name in (UNKNOWN, *MALFORMED):
        with pytest.raises(CommitNotFoundError):
            await store.blobs.get_many(MAIN.tract_id, [kept, name])
    with pytest.raises(CommitNotFoundError):
        await store.blobs.get_many(OTHER_TRACT.tract_id, [kept])
