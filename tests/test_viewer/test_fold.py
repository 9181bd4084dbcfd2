"""The page's own fold and diff say what the library's do, at every commit."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from support.counters import WordCounter
from support.viewing import everything, in_thread
from tract import AsyncTract, DialogueContent, EntryChange, EntryInfo, ToolIOContent, TractStore
from tract.viewer import write_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser

Entries = list[list[Any]]


async def at_random(store: TractStore, seed: int) -> None:
    """Do to a tract whatever changes a context, on branches that are merged again."""
    choose = random.Random(seed)
    trip = store.tract("trip")
    await trip.system("You plan trips.")
    handles = [trip]
    for step in range(40):
        branch = choose.choice(handles)
        await _step(choose, branch, handles, step)
    for other in handles[1:]:
        await trip.merge(other.branch, on_conflict=choose.choice(["ours", "theirs"]))


async def _step(
    choose: random.Random, branch: AsyncTract, handles: list[AsyncTract], step: int
) -> None:
    entries = await branch.entries(include_skipped=True)
    target = choose.choice(entries).commit_hash
    match choose.randrange(8):
        case 0 | 1:
            await branch.user(f"Question {step}?")
        case 2:
            call = ToolIOContent(
                tool_name="timetable", direction="call", payload={}, call_id=f"c{step}"
            )
            await branch.commit(call)
            update = {"direction": "result", "payload": f"noon {step}"}
            await branch.commit(call.model_copy(update=update))
        case 3 if choose.choice(entries).content_type != "tool_io":
            text = DialogueContent(role="user", text=f"Edit {step}")
            await branch.commit(text, operation="edit", edit_target=target)
        case 4:
            await branch.annotate(target, choose.choice(["skip", "normal", "pinned"]))
        case 5 if len(handles) < 4:
            handles.append(await branch.fork(f"b{step}"))
        case 6:
            await branch.compact(lambda _: f"Summary {step}", keep_recent=choose.randrange(2))
        case _:
            await _undo_or_clear(choose, branch)


async def _undo_or_clear(choose: random.Random, branch: AsyncTract) -> None:
    in_force = [each for each in await branch.compactions() if not each.undone]
    if in_force and choose.random() < 0.5:
        await branch.expand(choose.choice(in_force).commit_hash)
    else:
        await branch.clear_tool_results(keep=choose.randrange(2))


async def _known(path: Path, seed: int | None) -> tuple[dict[str, Entries], dict[str, list[str]]]:
    """Write a page; return the entries at every commit, and what differs from the first parent."""
    async with TractStore.open(tokenizer=WordCounter()) as store:
        await (everything(store) if seed is None else at_random(store, seed))
        await write_page(store, path, tract_ids=["trip"])
        trip = store.tract("trip")
        entries: dict[str, Entries] = {}
        differing: dict[str, list[str]] = {}
        for commit in await trip.query():
            at = commit.commit_hash
            found = await trip.entries(at_commit=at, include_skipped=True)
            entries[at] = [_told(each) for each in found]
            diff = await trip.diff(commit.parent_hash, at)
            differing[at] = [
                each.commit_hash for each in diff.entries if EntryChange.ADDED in each.changes
            ]
        return entries, differing


def _told(entry: EntryInfo) -> list[Any]:
    shown = entry.edited_by or entry.commit_hash
    erased = entry.content_type == "erased"
    return [entry.commit_hash, shown, entry.hidden_by, entry.priority.value, erased]


@pytest.mark.parametrize("seed", [None, *range(6)])
def test_the_entries_that_the_page_folds_are_those_of_the_store(
    browser: Browser, tmp_path: Path, seed: int | None
) -> None:
    from support.browser import visit  # noqa: PLC0415

    path = tmp_path / "page.html"
    entries, differing = in_thread(_known(path, seed))
    with visit(browser, path.as_uri()) as opened:
        folded = opened.page.evaluate(FOLDED, path.read_text(encoding="utf-8"))

    assert folded.keys() == entries.keys()
    for at, told in folded.items():
        assert told["entries"] == entries[at], at
    assert {at: told["added"] for at, told in folded.items()} == differing


# The page has removed the blocks that it has read; this puts all of them back.
FOLDED = """async (html) => {
  for (const [, id, text] of html.matchAll(/<script type="application\\/json" id="(data-[\\w-]+)">(.*)<\\/script>/g)) {
    document.getElementById(id)?.remove();
    const block = Object.assign(document.createElement("script"), { type: "application/json", id });
    block.textContent = text;
    document.body.append(block);
  }
  const blocks = new modules["embedded.js"].PageSource();
  await blocks.tracts();
  const told = {};
  const rows = [];
  for (let before = null, more = true; more; before = rows.at(-1).hash) {
    const page = await blocks.commits("trip", { before });
    rows.push(...page.commits);
    more = page.more;
  }
  const at = async (hash) => (hash ? (await blocks.point("trip", hash)).entries : []);
  for (const { hash, parents } of rows) {
    const entries = await at(hash);
    const changes = modules["panels/diff.js"].differences(await at(parents[0]), entries);
    told[hash] = {
      entries: entries.map((each) => [each.hash, each.shown, each.hidden_by, each.priority, each.erased]),
      added: changes.filter((each) => each.changes.includes("added")).map((each) => each.now.hash),
    };
  }
  return told;
}"""
