"""What a resolution commits: its content, with the config and the metadata that go with that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pytest
from pydantic import BaseModel

from support.rows import row_counts
from tract import (
    AsyncTract,
    CommitInfo,
    CommitOperation,
    ContentValidationError,
    DialogueContent,
    MergeConflict,
    NullTokenCounter,
    OnConflict,
    OutputContent,
    Priority,
    Resolution,
    TractStore,
)

COUNTER = NullTokenCounter()
EDIT = CommitOperation.EDIT
JUDGED = DialogueContent(role="assistant", text="judged")


class Sides(NamedTuple):
    main: AsyncTract
    fork: AsyncTract
    entry: str


async def parted(
    store: TractStore, configs: tuple[Any, Any, Any] = ({"of": "base"}, {"of": "o"}, {"of": "t"})
) -> Sides:
    """Make two branches that have edited one entry."""
    base, ours, theirs = configs
    main = store.tract("t")
    entry = (await main.assistant("base", generation_config=base)).commit_hash
    fork = await main.fork("fork")
    for tract, text, config in ((main, "ours", ours), (fork, "theirs", theirs)):
        edit: dict[str, Any] = {"operation": EDIT, "edit_target": entry}
        await tract.assistant(text, generation_config=config, **edit)
    return Sides(main, fork, entry)


async def shown(tract: AsyncTract) -> tuple[str | None, dict[str, Any]]:
    context = await tract.compile()
    [message], [config] = context.messages, context.generation_configs
    return message.content, config


WAYS: dict[str, tuple[OnConflict, tuple[str, dict[str, Any]]]] = {
    "ours": ("ours", ("ours", {"of": "o"})),
    "theirs": ("theirs", ("theirs", {"of": "t"})),
    "-> ours": (lambda _: "ours", ("ours", {"of": "o"})),
    "-> theirs": (lambda _: "theirs", ("theirs", {"of": "t"})),
    "-> base": (lambda _: "base", ("base", {"of": "base"})),
    "-> conflict.ours": (lambda conflict: conflict.ours, ("ours", {"of": "o"})),
    "-> conflict.theirs": (lambda conflict: conflict.theirs, ("theirs", {"of": "t"})),
    "-> conflict.base": (lambda conflict: conflict.base or "ours", ("base", {"of": "base"})),
    "-> a dict of theirs": (lambda conflict: dict(conflict.theirs), ("theirs", {"of": "t"})),  # type: ignore[arg-type]
    "-> a new text": (lambda _: JUDGED, ("judged", {})),
    "-> a new text and its config": (
        lambda _: Resolution(JUDGED, generation_config={"of": "judge"}),
        ("judged", {"of": "judge"}),
    ),
    "-> ours under another config": (
        lambda conflict: Resolution(dict(conflict.ours), generation_config={"of": "judge"}),  # type: ignore[arg-type]
        ("ours", {"of": "judge"}),
    ),
    "-> ours under none": (
        lambda _: Resolution({**dict(JUDGED), "text": "ours"}, generation_config={}),
        ("ours", {}),
    ),
    "-> ours in a resolution": (
        lambda _: Resolution({**dict(JUDGED), "text": "ours"}),
        ("ours", {"of": "o"}),
    ),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("sync", [True, False], ids=["sync", "async"])
async def test_a_config_goes_with_the_content_that_it_belongs_to(
    store: TractStore, way: str, sync: bool
) -> None:
    main, *_ = await parted(store)
    decide, expected = WAYS[way]

    async def later(conflict: MergeConflict) -> Any:
        await asyncio.sleep(0)
        assert callable(decide)
        return decide(conflict)

    await main.merge("fork", on_conflict=decide if sync or isinstance(decide, str) else later)

    assert await shown(main) == expected


@pytest.mark.parametrize("side", ["ours", "theirs", "base"])
async def test_a_side_without_a_config_leaves_none(store: TractStore, side: str) -> None:
    """Not even the one that an edit without a config inherits."""
    configs = tuple(None if name == side else {"of": name} for name in ("base", "ours", "theirs"))
    main, *_ = await parted(store, (configs[0], configs[1], configs[2]))
    inherited = {"of": "base"} if side != "base" else {}
    await main.merge("fork", on_conflict=lambda conflict: getattr(conflict, side))

    assert await shown(main) == (side, inherited)


async def test_a_conflict_shows_the_configs_of_all_three(store: TractStore) -> None:
    main, fork, entry = await parted(store, (None, {"of": "o"}, {"of": "t", "stop": ["a"]}))
    for tract, priority in ((main, Priority.PINNED), (fork, Priority.SKIP)):
        await tract.annotate(entry, priority)
    told: list[MergeConflict] = []

    def decide(conflict: MergeConflict) -> Literal["theirs"]:
        told.append(conflict)
        return "theirs"

    await main.merge("fork", on_conflict=decide)
    content, priority_ = ((each.base_config, each.ours_config, each.theirs_config) for each in told)

    assert content == ({}, {"of": "o"}, {"of": "t", "stop": ["a"]})
    assert priority_ == ({}, {}, {})


async def test_crossed_merges_leave_no_base_and_no_config_of_it(store: TractStore) -> None:
    main, fork, _ = await parted(store)
    await main.fork("was")
    await main.merge("fork", on_conflict="theirs")
    await fork.merge("was", on_conflict="theirs")
    told: list[MergeConflict] = []

    def decide(conflict: MergeConflict) -> Any:
        told.append(conflict)
        return "base"

    with pytest.raises(ContentValidationError, match="no single base"):
        await main.merge("fork", on_conflict=decide)
    assert [(each.base, each.base_config) for each in told] == [(None, None)]
    assert await shown(main) == ("theirs", {"of": "t"})


async def test_what_a_function_does_to_a_conflict_reaches_nothing(store: TractStore) -> None:
    main, *_ = await parted(store)

    def decide(conflict: MergeConflict) -> Any:
        conflict.ours_config["of"] = "spoilt"
        assert conflict.base_config is not None
        conflict.base_config.clear()
        return conflict.ours

    await main.merge("fork", on_conflict=decide)
    assert await shown(main) == ("ours", {"of": "o"})
    assert (await main.compile(at_commit="fork")).generation_configs == [{"of": "t"}]


@pytest.mark.parametrize("size", [10, 100_000])
async def test_what_a_function_returned_may_be_changed_at_once(
    store: TractStore, size: int
) -> None:
    main, *_ = await parted(store)
    content = {"content_type": "dialogue", "role": "assistant", "text": "x" * size}
    config: dict[str, Any] = {"stop": ["a"]}
    metadata: dict[str, Any] = {"by": ["judge"]}

    def spoil() -> None:
        content["text"] = "spoilt"
        config["stop"].append("spoilt")
        metadata["by"].clear()

    async def decide(_: MergeConflict) -> Resolution:
        asyncio.get_running_loop().call_soon(spoil)
        return Resolution(content, generation_config=config, metadata=metadata)

    await main.merge("fork", on_conflict=decide)
    assert content["text"] == "spoilt"
    assert await shown(main) == ("x" * size, {"stop": ["a"]})
    assert (await newest(main)).metadata == {"by": ["judge"]}


async def newest(tract: AsyncTract) -> CommitInfo:
    return (await tract.log(1))[0]


async def test_a_resolution_commits_its_config_and_metadata_without_secrets(
    store: TractStore,
) -> None:
    main, _, entry = await parted(store)
    resolution = Resolution(
        JUDGED,
        generation_config={"model": "judge", "api_key": "sk-1"},
        metadata={"votes": [1, 2], "authorization": "Bearer x"},
    )
    await main.merge("fork", on_conflict=lambda _: resolution)
    commit = await newest(main)

    assert (commit.operation, commit.edit_target, commit.message) == ("edit", entry, "merge")
    assert commit.generation_config == {"model": "judge", "api_key": "[redacted]"}
    assert commit.metadata == {"votes": [1, 2], "authorization": "[redacted]"}


BAD: dict[str, tuple[Any, str]] = {
    "config": (
        Resolution(JUDGED, generation_config={"t": [float("nan")]}),
        "generation_config.t[0]",
    ),
    "metadata": (Resolution(JUDGED, metadata={"a": b""}), "metadata.a"),
    "no object": (Resolution(JUDGED, metadata=[1]), "metadata"),  # type: ignore[arg-type]
    "content": (Resolution({"content_type": "dialogue", "role": "nobody", "text": "x"}), "role"),
    "a word": (Resolution("ours"), ""),  # type: ignore[arg-type]
    "a resolution": (Resolution(Resolution(JUDGED)), ""),  # type: ignore[arg-type]
    "a priority": (Priority.SKIP, ""),
}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("squash", [False, True], ids=["merged", "squashed"])
async def test_what_cannot_be_stored_is_told_and_nothing_is_written(
    store: TractStore, db_path: Path, bad: str, squash: bool
) -> None:
    main, *_ = await parted(store)
    before = row_counts(db_path), await main.head()
    value, path = BAD[bad]
    options: dict[str, Any] = {"squash": value} if squash else {"on_conflict": lambda _: value}

    with pytest.raises(ContentValidationError) as told:
        await main.merge("fork", **options)
    assert told.value.path.startswith(path)
    assert (row_counts(db_path), await main.head()) == before


@pytest.mark.parametrize("answer", [None, "Ours", "some text", 5, b"ours", Priority.SKIP], ids=repr)
async def test_an_answer_that_decides_nothing_is_told_as_the_functions(
    store: TractStore, answer: Any
) -> None:
    """The caller's own content is not to blame, and there may be many entries."""
    main, _, entry = await parted(store)

    with pytest.raises(ContentValidationError) as told:
        await main.merge("fork", on_conflict=lambda _: answer)
    assert told.value.path == "on_conflict"
    for part in (entry, type(answer).__name__, "'ours', 'theirs' or 'base'", "Resolution"):
        assert part in str(told.value)


async def test_a_resolution_is_no_priority(store: TractStore) -> None:
    main, fork, entry = await parted(store)
    for tract, priority in ((main, Priority.PINNED), (fork, Priority.SKIP)):
        await tract.annotate(entry, priority)

    with pytest.raises(ContentValidationError, match="priority"):
        await main.merge("fork", on_conflict=lambda _: Resolution(JUDGED))


async def test_a_squash_takes_a_config_and_metadata(store: TractStore) -> None:
    main = store.tract("t")
    await main.user("a")
    fork = await main.fork("fork")
    await fork.user("b")
    config, metadata = {"model": "writer"}, {"by": ["writer"]}
    squash = Resolution(OutputContent(text="summary"), generation_config=config, metadata=metadata)
    merging = asyncio.create_task(main.merge("fork", squash=squash))
    await asyncio.sleep(0)
    config["model"] = "spoilt"
    metadata["by"].clear()
    result = await merging
    commit = await newest(main)

    assert (commit.commit_hash, commit.operation) == (result.head_hash, "append")
    assert (commit.generation_config, commit.metadata) == ({"model": "writer"}, {"by": ["writer"]})
    [origin] = await main.origins(commit.commit_hash)
    assert origin.source_hash == await fork.head()


class Note(BaseModel):
    text: str


class LongerNote(BaseModel):
    text: str
    author: str = "unknown"


async def notes(store: TractStore) -> AsyncTract:
    """Make two branches that have edited a note."""
    store.register_content_type("note", Note)
    main = store.tract("n")
    note = await main.commit(
        {"content_type": "note", "text": "base"}, generation_config={"of": "base"}
    )
    for tract in (main, await main.fork("fork")):
        await tract.commit(
            {"content_type": "note", "text": tract.branch},
            operation=EDIT,
            edit_target=note.commit_hash,
            generation_config={"of": tract.branch},
        )
    return main


async def test_a_content_whose_model_has_grown_since_is_still_that_sides(
    target: Path | str,
) -> None:
    async with TractStore.open(target, tokenizer=COUNTER) as store:
        await notes(store)
    async with TractStore.open(target, tokenizer=COUNTER) as store:
        store.register_content_type("note", LongerNote)
        main = store.tract("n")
        await main.merge("fork", on_conflict=lambda conflict: conflict.ours)

        assert (await main.compile()).generation_configs == [{"of": "main"}]


async def test_a_side_that_a_function_has_changed_is_a_new_content(store: TractStore) -> None:
    main = await notes(store)

    def decide(conflict: MergeConflict) -> Any:
        assert isinstance(conflict.ours, Note)
        conflict.ours.text = "changed"
        return conflict.ours

    await main.merge("fork", on_conflict=decide)
    head = await main.head()
    assert head is not None
    assert await main.get_content(head) == Note(text="changed")
    assert (await main.compile()).generation_configs == [{}]


async def test_a_resolution_compares_by_value_and_stays_as_it_is() -> None:
    resolution = Resolution(JUDGED, metadata={"a": 1})

    assert resolution == Resolution(JUDGED, metadata={"a": 1}) != Resolution(JUDGED)
    with pytest.raises(AttributeError):
        resolution.metadata = None  # type: ignore[misc]


def _takes(way: OnConflict) -> OnConflict:
    return way


def test_type_checkers_take_every_way_to_decide() -> None:
    """It is they that check this one, strictly: sync or async, a word, a content, or several."""

    async def word(conflict: MergeConflict) -> Literal["ours", "theirs"]:
        return "ours"

    async def either(conflict: MergeConflict) -> DialogueContent | Literal["ours"]:
        return "ours"

    def resolved(conflict: MergeConflict) -> Resolution | Priority:
        return Resolution(JUDGED)

    async def mapping(conflict: MergeConflict) -> dict[str, str]:
        return {}

    ways: list[Callable[[MergeConflict], Any] | OnConflict] = [
        _takes(word),
        _takes(either),
        _takes(resolved),
        _takes(mapping),
        _takes("raise"),
        _takes(lambda conflict: conflict.ours),
        _takes(lambda conflict: "base"),
    ]

    assert len(ways) == 7
