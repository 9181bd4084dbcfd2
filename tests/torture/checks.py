"""What must hold of a store after any fault."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from torture.model import Place, Report
from tract import AsyncTract, CommitInfo, NullTokenCounter, TractError, TractStore

__all__ = ["COUNTER", "check_chain", "check_commits", "check_tract", "check_usable", "is_kept"]

COUNTER = NullTokenCounter()
"""Faults are not about tokens; their stores count none."""


async def is_kept(tract: AsyncTract, commit_hash: str) -> bool:
    """Tell whether the tract has a commit, and its content can be read."""
    try:
        info = await tract.get_commit(commit_hash)
        await tract.get_content(commit_hash)
    except TractError:
        return False
    return info is not None and info.commit_hash == commit_hash


async def check_commits(report: Report, tract: AsyncTract, hashes: Iterable[str]) -> None:
    """Look for acknowledged commits; those gone from the branch, or unreadable, are lost."""
    hashes = list(hashes)
    report.acknowledged += len(hashes)
    there = {info.commit_hash for info in await tract.log(None)}
    missing = [item for item in hashes if item not in there or not await is_kept(tract, item)]
    report.check_kept(len(missing), f"of {tract!r}: {missing[:5]}")


def check_chain(report: Report, newest_first: list[CommitInfo]) -> None:
    """Check that commits are one line in which time strictly increases."""
    parents = [info.parent_hash for info in newest_first]
    hashes = [info.commit_hash for info in newest_first]
    times = [info.created_at for info in newest_first]
    report.check(parents == [*hashes[1:], None][: len(hashes)], "the commits are not one line")
    report.check(all(newer > older for newer, older in pairwise(times)), "time does not increase")


async def check_tract(report: Report, tract: AsyncTract) -> None:
    """Check that a tract verifies clean, compiles, and takes another commit on top."""
    try:
        log = await tract.log(None)
        verified = await tract.verify()
        info = await tract.user("goes on")
        context = await tract.compile()
        head = log[0].commit_hash if log else None
        alone = len(await tract.branches()) < 2  # else others have commits of their own
        count = verified.checked if alone else min(verified.checked, len(log))
        sound = (len(log), (), head, info.commit_hash)
        found = (count, verified.faults, info.parent_hash, context.head_hash)
        report.check_usable(found == sound, f"{tract!r}: {found}, not {sound}")
    except TractError as error:
        report.check_usable(False, f"{tract!r}: {error!r}")


async def check_usable(report: Report, place: Place, acknowledged: dict[str, list[str]]) -> None:
    """Open the store at *place* anew, look for its acknowledged commits by tract, and use it."""
    try:
        async with TractStore.open(place, tokenizer=COUNTER) as store:
            for tract_id in sorted({*acknowledged, *await store.tract_ids()}):
                tract = store.tract(tract_id)
                await check_commits(report, tract, acknowledged.get(tract_id, []))
                check_chain(report, await tract.log(None))
                await check_tract(report, tract)
    except TractError as error:
        report.check_usable(False, f"{place}: {error!r}")
