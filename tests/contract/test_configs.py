"""Queries by config: which commits are found, in which order, with and without an index.

The meaning of the operators is tested through the public surface, in `test_conditions.py`.
"""

from __future__ import annotations

from typing import Any

import pytest

from support.drafts import MAIN, OTHER_BRANCH, OTHER_TRACT, draft, edit
from support.repositories import UNKNOWN, Repositories, hashes, say
from tract import CommitNotFoundError, QueryError, config
from tract.history.canonical import canonical_json
from tract.storage.repositories import BranchName, CommitRow


async def recorded(store: Repositories, branch: BranchName, *configs: object) -> list[CommitRow]:
    """Commit one text per config; None commits without one."""
    stored = [None if each is None else canonical_json(each) for each in configs]
    return await store.commits.write(
        branch, [draft(str(number), config=each) for number, each in enumerate(stored)]
    )


async def test_configs_are_queried_within_the_tract_oldest_first(store: Repositories) -> None:
    hot, _, hotter = await recorded(store, MAIN, {"t": 0.9}, None, {"t": 1})
    [beside] = await recorded(store, OTHER_BRANCH, {"t": 2})
    await recorded(store, OTHER_TRACT, {"t": 1})
    found = [hot, hotter, beside]

    assert await store.commits.get_by_config("agent", "t", ">", 0.5) == found
    assert await store.queries.query(MAIN, [config("t") > 0.5]) == found
    for limit in (0, 1, 2, 3, 4):
        some = await store.commits.get_by_config("agent", "t", ">", 0.5, limit=limit)
        assert some == found[:limit]
        assert await store.queries.query(MAIN, [config("t") > 0.5], limit=limit) == some
    assert await store.commits.get_by_config("nobody", "t", ">", 0.5) == []


async def test_commits_after_one_and_before_another_are_found_and_counted(
    store: Repositories,
) -> None:
    records = await recorded(store, MAIN, *({"n": number} for number in range(6)))
    [beside] = await recorded(store, OTHER_BRANCH, {"n": 6})
    await recorded(store, OTHER_TRACT, {"n": 3})
    asked = [config("n") > 1]
    first, last = records[0].commit_hash, records[-1].commit_hash

    assert await store.queries.count(MAIN, asked) == 5
    assert await store.queries.count(MAIN, []) == 7
    assert await store.queries.count(OTHER_BRANCH, asked, branch_only=True) == 1
    assert await store.queries.count(BranchName("nobody", "main"), []) == 0
    for branch_only in (True, False):
        bounds: Any = {"after": first, "before": last, "branch_only": branch_only}
        assert await store.queries.query(MAIN, asked, **bounds) == records[2:5]
        assert await store.queries.count(MAIN, asked, **bounds) == 3
        newest = await store.queries.query(MAIN, asked, **bounds, newest=True, limit=2)
        assert newest == [records[4], records[3]]
        held = await store.queries.query_contents(MAIN, asked, **bounds, newest=True, limit=2)
        named = [row.commit_hash for row in newest]
        stored = await store.blobs.get_many(MAIN.tract_id, named)
        assert held == list(zip(newest, stored, strict=True))
    assert await store.queries.query(MAIN, [], after=last) == [beside]


async def test_what_bounds_a_query_must_be_a_commit_of_the_tract(store: Repositories) -> None:
    await recorded(store, MAIN, {"n": 1})
    [theirs] = await recorded(store, OTHER_TRACT, {"n": 1})
    wrong: list[Any] = [{"after": theirs.commit_hash}, {"before": UNKNOWN}]
    for bounds in wrong:
        with pytest.raises(CommitNotFoundError):
            await store.queries.query(MAIN, [], **bounds)
        with pytest.raises(CommitNotFoundError):
            await store.queries.query_contents(MAIN, [], **bounds)
        with pytest.raises(CommitNotFoundError):
            await store.queries.count(MAIN, [], **bounds)


async def test_a_path_leads_into_a_config(store: Repositories) -> None:
    records = await recorded(store, MAIN, *({"p": {"x": number}} for number in range(5)))
    await recorded(store, OTHER_TRACT, {"p": {"x": 3}})

    assert await store.commits.get_by_config("agent", "p.x", ">=", 2, limit=2) == records[2:4]
    assert await store.commits.get_by_config("agent", ("p", "x"), "not in", [0, 1]) == records[2:]


@pytest.mark.parametrize(
    ("field", "operator", "value"),
    [("p", "LIKE", "x"), ("", "=", 1), (("a", -1), "=", 1), ("p", "in", 5), ("p", ">", [1])],
)
async def test_a_condition_that_cannot_be_used_is_refused(
    store: Repositories, field: str, operator: str, value: object
) -> None:
    with pytest.raises(QueryError):
        await store.commits.get_by_config("agent", field, operator, value)


async def test_a_list_that_is_changed_after_the_call_changes_no_answer(
    store: Repositories,
) -> None:
    records = await recorded(store, MAIN, {"t": 1}, {"t": 2})
    values = [1]
    asked = store.commits.get_by_config("agent", "t", "in", values)
    found = await asked
    values.append(2)

    assert found == records[:1]


async def test_all_conditions_must_be_met_and_none_is_met_by_all(store: Repositories) -> None:
    records = await recorded(store, MAIN, {"n": 1}, {"n": 2}, {"n": 3}, None)
    beside = await recorded(store, OTHER_BRANCH, {"n": 2})

    met = await store.queries.query(MAIN, [config("n") > 1, config("n") < 3])
    assert met == [records[1], *beside]
    assert await store.queries.query(MAIN, [config("n") > 1, config("n") < 1]) == []
    assert await store.queries.query(MAIN, []) == [*records, *beside]
    assert await store.queries.query(MAIN, [], limit=2) == records[:2]


async def test_of_a_branch_only_its_own_history_is_queried(store: Repositories) -> None:
    shared = await recorded(store, MAIN, {"n": 1}, {"n": 0})
    await store.refs.fork(MAIN, OTHER_BRANCH.branch)
    ours = await recorded(store, MAIN, {"n": 1})
    theirs = await recorded(store, OTHER_BRANCH, {"n": 1})
    asked = [config("n") == 1]

    for limit in (None, 0, 1, 2, 5):
        for branch, own in ((MAIN, ours), (OTHER_BRANCH, theirs)):
            found = await store.queries.query(branch, asked, branch_only=True, limit=limit)
            assert found == [shared[0], *own][:limit]
    assert await store.queries.query(MAIN, [], branch_only=True) == [*shared, *ours]
    assert await store.queries.query(BranchName("agent", "never"), [], branch_only=True) == []


@pytest.mark.parametrize("beside", [0, 100, pytest.param(300 * 30, marks=pytest.mark.long)])
async def test_a_query_of_a_long_branch_finds_the_same_whatever_its_share_of_the_tract(
    store: Repositories, beside: int
) -> None:
    configs = [{"t": 0}, {"t": 1}, None]
    written = await recorded(store, MAIN, *(configs[number % 3] for number in range(200)))
    await recorded(store, OTHER_BRANCH, *[{"t": 1}] * beside)
    written += await recorded(store, MAIN, *(configs[number % 3] for number in range(200, 300)))

    async def found(*values: int, limit: int | None = None) -> list[CommitRow]:
        conditions = [config("t") == value for value in values]
        return await store.queries.query(MAIN, conditions, branch_only=True, limit=limit)

    ones = [record for record in written if record.generation_config_json == '{"t":1}']
    assert await found(1) == ones
    assert await found(1, limit=2) == ones[:2]
    assert await found(2) == []
    assert await found() == written
    await store.commits.create_config_index("t")
    assert await found(1) == ones


async def test_an_index_changes_no_answer_before_or_after_it(store: Repositories) -> None:
    before = await recorded(store, MAIN, {"t": 1}, {"t": "1"}, {"t": True}, None, {"t": 1})
    await recorded(store, OTHER_TRACT, {"t": 1})
    asked = [1, "1", True]
    unindexed = [await store.commits.get_by_config("agent", "t", "=", value) for value in asked]
    for _ in range(2):
        await store.commits.create_config_index("t")
    indexed = [await store.commits.get_by_config("agent", "t", "=", value) for value in asked]
    after = await recorded(store, MAIN, {"t": 1})

    assert unindexed == indexed == [[before[0], before[4]], [before[1]], [before[2]]]
    found = await store.commits.get_by_config("agent", "t", "=", 1)
    assert found == [before[0], before[4], *after]


@pytest.mark.parametrize("field", ['q"uote', "back\\slash", "line\nbreak", "", ("a", -1), 5])
async def test_a_field_that_cannot_be_indexed_is_refused(store: Repositories, field: str) -> None:
    with pytest.raises(QueryError):
        await store.commits.create_config_index(field)


async def test_edits_are_found_by_configs_of_their_own(store: Repositories) -> None:
    [entry] = await say(store, MAIN, "a")
    change = edit("b", entry)._replace(generation_config_json='{"t":1}')
    made = await store.commits.write(MAIN, [change])

    found = await store.commits.get_by_config("agent", "t", "=", 1)
    assert hashes(found) == hashes(made)
