"""`search()`: the contents that have certain words, and what became of them."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from support.opening import COUNTER
from tract import (
    ArtifactContent,
    AsyncTract,
    BranchNotFoundError,
    CommitInfo,
    DialogueContent,
    ErasedContent,
    FreeformContent,
    InstructionContent,
    MediaPart,
    MessageContent,
    NativeContent,
    Priority,
    QueryError,
    SearchHit,
    SearchStatus,
    StoreClosedError,
    StoreCorruptError,
    StoreReadOnlyError,
    TextPart,
    ToolIOContent,
    TractStore,
    copy_store,
)
from tract.storage.sqlite.errors import translate


def hashes(hits: list[SearchHit]) -> list[str]:
    return [hit.commit.commit_hash for hit in hits]


def said(text: str) -> DialogueContent:
    return DialogueContent(role="user", text=text)


async def found(tract: AsyncTract, text: str, **options: Any) -> list[str]:
    """Return the snippets of the hits, sorted."""
    return sorted(hit.snippet for hit in await tract.search(text, **options))


@pytest.fixture
async def tract(store: TractStore) -> AsyncTract:
    await store.enable_search()
    return store.tract("t")


async def test_a_search_says_how_to_switch_it_on(store: TractStore) -> None:
    await store.tract("t").user("words")
    for search in (store.search("words"), store.tract("t").search("words")):
        with pytest.raises(QueryError, match="enable_search"):
            await search


async def test_an_empty_store_and_an_empty_tract_have_no_hits(
    store: TractStore, tract: AsyncTract
) -> None:
    assert await store.search("word") == []
    assert await tract.search("word", branch_only=True) == []
    await store.tract("other").user("word")
    assert await tract.search("word") == []
    assert len(await store.search("word")) == 1


async def test_a_hit_has_its_commit_a_snippet_and_the_places_of_the_words(
    tract: AsyncTract,
) -> None:
    said = await tract.user("Where is the northernmost library?", metadata={"a": 1})

    [hit] = await tract.search("LIBRARY northern*")

    assert hit.commit == said
    assert hit.tract_id == "t"
    assert [hit.snippet[start:end] for start, end in hit.marks] == ["northernmost", "library"]
    assert hit.status is SearchStatus.SHOWN
    assert hit.rank > 0


async def test_a_snippet_of_a_long_text_is_where_most_of_the_words_are(tract: AsyncTract) -> None:
    await tract.user("one " * 500 + "here are two and one together " + "none " * 500)

    [hit] = await tract.search("one two")

    assert "two and one together" in hit.snippet
    assert len(hit.snippet) < 250
    assert {hit.snippet[start:end] for start, end in hit.marks} == {"one", "two"}


TEXTS = [
    "the quick brown fox",
    "a quick fox, brown and quickly",
    "Crème brûlée in Tromsø",
    "get_weather for NOR-WAY",
    "図書館はどこですか",
    "ЁЛКА и Straße",
    "don't say 100% or C++",
    "हिन्दी में लिखो",
    "nul \u0001 and \t tab",
    "שלום עולם",
    "한국어 텍스트",
    "👩 family 🇳🇴",
    "ไทยภาษา",
]
QUERIES: dict[str, list[int]] = {
    "quick fox": [0, 1],
    "quick  fox brown": [0, 1],
    '"quick brown"': [0],
    '"quick fox"': [1],
    '"brown quick"': [],
    "quick*": [0, 1],
    "quickl*": [1],
    '"quick brown"* fox': [0],
    '"quick bro"*': [0],
    "qui": [],
    "q*": [0, 1],
    '"brown f"*': [0],
    "שלו*": [9],
    "한*": [10],
    "family 👩": [11],
    "ไท*": [12],
    "creme BRULEE": [2],
    "Crème": [2],
    "cre\u0300me": [2],
    "tromso": [],  # an ø is a letter of its own
    "tromsø": [2],
    "weather": [3],
    "get_weather": [3],
    "weather_get": [],
    "nor-way": [3],
    "図書館": [4],
    "書館": [4],
    "館図": [],
    "елка STRASSE": [5],
    "ёлка straße": [5],
    "don't": [6],
    "100%": [6],
    "c++": [6],
    "हिन्दी": [7],
    "हिन्": [],
    "tab nul": [8],
    "\uff51\uff55\uff49\uff43\uff4b": [0, 1],
    'quick "': [0, 1],
    '"quick brown': [0],
    "fox OR brûlée": [],
    "NOT quick": [],
    "quick AND fox": [1],  # a word like any other, in capitals or not
    "NEAR(quick fox, 2)": [],
    "words:quick": [],
    "^quick": [0, 1],
    "quick + fox": [0, 1],
    "(quick) -fox": [0, 1],
    "{quick} : fox": [0, 1],
    "quick;--fox": [1],
    "'quick' \\fox": [0, 1],
    "quick\0fox": [1],
    "quick \ud800fox": [0, 1],
    "quick & fox | !brown": [0, 1],
    "quick <-> fox:*": [0, 1],
}


@pytest.mark.parametrize("query", QUERIES, ids=ascii)
async def test_words_phrases_and_beginnings_are_found_on_every_engine(
    tract: AsyncTract, query: str
) -> None:
    made = [await tract.user(text) for text in TEXTS]

    hits = await tract.search(query)

    assert sorted(hashes(hits)) == sorted(made[at].commit_hash for at in QUERIES[query])
    assert all(hit.marks for hit in hits)


@pytest.mark.parametrize("query", ["", " ", "*", '"', '""', '"*"', "?!", "\0", "\ud800", "\u0301"])
async def test_a_query_without_a_word_is_refused_with_what_to_do(
    tract: AsyncTract, query: str
) -> None:
    with pytest.raises(QueryError, match="letters or digits"):
        await tract.search(query)


MANY = " ".join(f"w{number}" for number in range(65))


@pytest.mark.parametrize("query", [None, 1, b"word", ["word"], MANY, MANY.replace(" ", "_")])
async def test_what_is_no_query_is_refused(tract: AsyncTract, query: Any) -> None:
    with pytest.raises(QueryError):
        await tract.search(query)


@pytest.mark.parametrize("after", [1, "", "x", "1:2:3", "1:2:3:-4", f"1:2:3:{2**70}", "1:2:x:4"])
async def test_what_is_no_cursor_is_refused(tract: AsyncTract, after: Any) -> None:
    with pytest.raises(ValueError, match="cursor"):
        await tract.search("word", after=after)


def test_no_characters_raise_anything_but_a_query_error(tmp_path: Path) -> None:
    """Random mixtures of all that FTS5, `tsquery` and SQL give a meaning to."""
    pieces = [
        *"'\"*()+-^:&|!<>{}[]\\%_;,.\0\ud800é図",
        "AND",
        "OR",
        "NEAR",
        "word",
        " ",
        "--",
        "/*",
    ]
    rng = random.Random(7)

    async def ask() -> None:
        async with TractStore.open(tmp_path / "a.db", tokenizer=COUNTER) as store:
            await store.enable_search()
            tract = store.tract("t")
            await tract.user("word and near")
            for _ in range(300):
                query = "".join(rng.choices(pieces, k=rng.randrange(1, 12)))
                try:
                    await tract.search(query)
                except QueryError:
                    continue

    asyncio.run(ask())


class Ticket(BaseModel):
    title: str
    labels: list[str]
    number: int


CONTENTS: dict[str, BaseModel | dict[str, Any]] = {
    "dialogue": DialogueContent(role="user", text="xyzzy"),
    "instruction": InstructionContent(text="xyzzy"),
    "artifact": ArtifactContent(artifact_type="code", content="def xyzzy(): pass"),
    "freeform text": FreeformContent(payload="xyzzy"),
    "freeform": FreeformContent(payload={"a": ["b\nxyzzy", 1]}),
    "call": ToolIOContent(
        tool_name="look", direction="call", payload={"at": "a\nxyzzy"}, call_id="1"
    ),
    "call in text": ToolIOContent(
        tool_name="look", direction="call", payload='{"at": "\\u0078yzzy"}', call_id="1"
    ),
    "tool": ToolIOContent(tool_name="xyzzy", direction="call", payload={}, call_id="1"),
    "result": ToolIOContent(
        tool_name="look", direction="result", payload="xyzzy", status="success", call_id="1"
    ),
    "parts": MessageContent(
        role="user",
        parts=(TextPart(text="xyzzy"), MediaPart(kind="image", data=b"1", media_type="image/png")),
    ),
    "native": NativeContent(
        api="anthropic.messages",
        item={"role": "assistant", "content": [{"type": "text", "text": "xyzzy"}]},
    ),
    "native call": NativeContent(
        api="openai.chat",
        item={
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "1",
                    "type": "function",
                    "function": {"name": "f", "arguments": '{"q": "xyzzy"}'},
                }
            ],
        },
    ),
    "unknown block": NativeContent(
        api="anthropic.messages",
        item={"role": "assistant", "content": [{"type": "later", "what": {"it": "xyzzy"}}]},
    ),
    "own type": {"content_type": "ticket", "title": "t", "labels": ["xyzzy"], "number": 3},
}


@pytest.mark.parametrize("kind", CONTENTS)
async def test_what_a_model_reads_is_found_in_every_type_of_content(
    store: TractStore, tract: AsyncTract, kind: str
) -> None:
    store.register_content_type("ticket", Ticket)
    made = await tract.commit(CONTENTS[kind])

    assert hashes(await tract.search("xyzzy")) == [made.commit_hash]


async def test_states_annotations_tools_and_encoded_data_are_not_found(
    store: TractStore, tract: AsyncTract
) -> None:
    store.register_content_type("memo", Ticket, state=True)
    said = await tract.user("harmless " + "xyzzy/0123" * 40)
    await tract.state({"of": "xyzzy"})
    await tract.commit({"content_type": "memo", "title": "xyzzy", "labels": [], "number": 1})
    await tract.annotate(said.commit_hash, "pinned", reason="xyzzy")
    await tract.tools([{"type": "function", "function": {"name": "xyzzy"}}])

    assert await tract.search("xyzzy") == []
    assert hashes(await tract.search("harmless")) == [said.commit_hash]


async def test_lone_surrogates_and_control_characters_hide_no_words(tract: AsyncTract) -> None:
    item = {"role": "user", "content": "before \ud800 be\u0001tween \udfff after"}
    made = await tract.commit(NativeContent(api="openai.chat", item=item))

    for word in ("before", "after", '"before be tween"'):
        assert hashes(await tract.search(word)) == [made.commit_hash]


async def test_hits_tell_what_became_of_them(store: TractStore, tract: AsyncTract) -> None:
    shown = await tract.user("word shown")
    hidden = await tract.user("word hidden")
    await tract.annotate(hidden.commit_hash, Priority.SKIP)
    old = await tract.user("word old")
    edit = DialogueContent(role="user", text="word new")
    new = await tract.commit(edit, operation="edit", edit_target=old.commit_hash)
    skipped = await tract.user("nothing")
    of_skipped = await tract.commit(
        DialogueContent(role="user", text="word skipped"),
        operation="edit",
        edit_target=skipped.commit_hash,
    )
    await tract.annotate(skipped.commit_hash, Priority.SKIP)
    side = await tract.fork("side")
    elsewhere = await side.user("word elsewhere")
    await side.annotate(shown.commit_hash, Priority.SKIP)
    lost = await tract.user("word lost")
    await tract.reset(of_skipped.commit_hash)

    statuses = {hit.commit.commit_hash: hit.status for hit in await tract.search("word")}
    there = {hit.commit.commit_hash: hit.status for hit in await side.search("word")}
    on_branch = {hit.commit.commit_hash for hit in await tract.search("word", branch_only=True)}
    in_store = {hit.commit.commit_hash: hit.status for hit in await store.search("word")}

    assert (
        statuses
        == in_store
        == {
            shown.commit_hash: SearchStatus.SHOWN,
            hidden.commit_hash: SearchStatus.HIDDEN,
            old.commit_hash: SearchStatus.EDITED,
            new.commit_hash: SearchStatus.SHOWN,
            of_skipped.commit_hash: SearchStatus.SHOWN,  # the SKIP was reset
            elsewhere.commit_hash: SearchStatus.UNREACHABLE,
            lost.commit_hash: SearchStatus.UNREACHABLE,
        }
    )
    assert there[shown.commit_hash] is SearchStatus.HIDDEN
    assert there[of_skipped.commit_hash] is SearchStatus.HIDDEN
    assert there[elsewhere.commit_hash] is SearchStatus.SHOWN
    assert on_branch == {
        key for key, status in statuses.items() if status is not SearchStatus.UNREACHABLE
    }


async def test_a_type_whose_entries_begin_skipped_is_hidden(store: TractStore) -> None:
    store.register_content_type("ticket", Ticket, priority="skip")
    await store.enable_search()
    tract = store.tract("t")
    made = await tract.commit(CONTENTS["own type"])

    assert [hit.status for hit in await tract.search("xyzzy")] == [SearchStatus.HIDDEN]
    await tract.annotate(made.commit_hash, "normal")
    assert [hit.status for hit in await tract.search("xyzzy")] == [SearchStatus.SHOWN]


async def test_an_entry_whose_edit_was_erased_is_edited(tract: AsyncTract) -> None:
    old = await tract.user("word")
    edit = DialogueContent(role="user", text="other word")
    new = await tract.commit(edit, operation="edit", edit_target=old.commit_hash)
    await tract.erase([new.commit_hash], reason="asked")

    assert [(hit.commit.commit_hash, hit.status) for hit in await tract.search("word")] == [
        (old.commit_hash, SearchStatus.EDITED)
    ]


async def test_a_branch_that_does_not_exist_is_an_error_or_has_nothing(tract: AsyncTract) -> None:
    await tract.user("word")
    with pytest.raises(BranchNotFoundError):
        await tract.on("nowhere").search("word", branch_only=True)


async def test_a_rank_depends_on_the_content_alone(store: TractStore, tract: AsyncTract) -> None:
    await tract.user("word and word")
    await tract.user("word and much else")
    before = [(hit.snippet, hit.rank) for hit in await tract.search("word")]
    for number in range(30):
        await store.tract(f"other-{number}").user(f"word {number}")

    assert [(hit.snippet, hit.rank) for hit in await tract.search("word")] == before
    assert [text for text, _ in before] == ["word and word", "word and much else"]
    assert before[0][1] > before[1][1]


@pytest.mark.parametrize("size", [1, 7, 250])
async def test_pages_have_each_hit_once_whatever_is_committed_meanwhile(
    tract: AsyncTract, size: int
) -> None:
    texts = [
        f"word {'word ' * (number % 5)} n{number}" for number in range(450 if size > 1 else 30)
    ]
    async with tract.batch() as batch:
        for text in texts:
            batch.commit(said(text))
    whole = await tract.search("word", limit=None)
    paged: list[SearchHit] = []
    while page := await tract.search("word", limit=size, after=paged[-1].cursor if paged else None):
        paged += page
        await tract.user("another word")

    assert len(whole) == len(texts)
    assert hashes(paged) == hashes(whole)


async def test_the_limit_bounds_the_hits(tract: AsyncTract) -> None:
    for number in range(25):
        await tract.user(f"word {number}")

    assert len(await tract.search("word")) == 20
    assert await tract.search("word", limit=0) == []
    assert len(await tract.search("word", limit=3, branch_only=True)) == 3
    with pytest.raises(ValueError, match="limit"):
        await tract.search("word", limit=-1)


async def test_an_index_covers_what_was_there_before_and_what_comes_later(
    store: TractStore,
) -> None:
    tract = store.tract("t")
    await tract.user("early word")
    async with tract.batch() as batch:
        for number in range(700):
            batch.commit(said(f"early n{number}"))
    told: list[int] = []

    assert await store.enable_search(progress=told.append) == 701
    await tract.user("late word")

    assert told[-1] == 701
    assert len(told) > 1
    assert await found(tract, "word") == ["early word", "late word"]
    assert await store.enable_search() == 0
    assert len(await tract.search("early", limit=None)) == 701


async def test_a_store_without_search_has_nothing_of_it_that_a_commit_could_cost(
    db_path: Path,
) -> None:
    def of_search() -> set[str]:
        with closing(sqlite3.connect(db_path)) as raw:
            rows = raw.execute("SELECT name, type, sql FROM sqlite_master").fetchall()
        return {name for name, kind, sql in rows if kind == "trigger" or "search" in f"{name}{sql}"}

    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        await store.tract("t").user("word")
        before = of_search()
        await store.enable_search()
        between = of_search()
        await store.disable_search()

        assert between
        assert before == of_search() == set()


async def test_switching_off_drops_the_index_and_may_be_repeated(store: TractStore) -> None:
    tract = store.tract("t")
    await store.disable_search()
    await store.enable_search()
    await tract.user("word")
    await store.disable_search()
    await store.disable_search()
    await tract.user("another word")

    with pytest.raises(QueryError):
        await tract.search("word")
    assert await store.enable_search() == 2
    assert len(await tract.search("word")) == 2


async def test_an_index_survives_reopening(target: Path | str) -> None:
    async with TractStore.open(target, tokenizer=COUNTER) as store:
        await store.enable_search()
        await store.tract("t").user("first word")
    async with TractStore.open(target, tokenizer=COUNTER) as store:
        await store.tract("t").user("second word")
        assert await found(store.tract("t"), "word") == ["first word", "second word"]


async def test_stores_may_switch_it_on_and_off_at_once(target: Path | str) -> None:
    async with (
        TractStore.open(target, tokenizer=COUNTER) as one,
        TractStore.open(target, tokenizer=COUNTER) as two,
    ):
        await one.tract("t").user("word")
        assert sum(await asyncio.gather(one.enable_search(), two.enable_search())) >= 1
        assert len(await two.search("word")) == 1
        for _ in range(3):
            changes = one.enable_search(rebuild=True), two.disable_search()
            told = await asyncio.gather(
                *changes, *(each.search("word") for each in (one, two)), return_exceptions=True
            )
            failed = [each for each in told if isinstance(each, BaseException)]
            assert all(isinstance(each, QueryError) for each in failed), failed
        await asyncio.gather(one.disable_search(), two.disable_search())
        with pytest.raises(QueryError):
            await two.search("word")
        await asyncio.gather(*(store.enable_search(rebuild=True) for store in (one, two)))
        assert len(await one.search("word")) == 1


async def test_pruned_contents_are_not_found(store: TractStore, tract: AsyncTract) -> None:
    gone = await tract.user("word gone")
    await tract.user("word stays")
    await tract.annotate(gone.commit_hash, Priority.SKIP)
    assert len(await tract.search("word")) == 2

    await tract.prune(keep=0, reason="asked")
    await store.collect()

    assert await found(tract, "word") == ["word stays"]
    await tract.user("word new")
    assert await found(store.tract("t"), "wo*") == ["word new", "word stays"]


async def test_another_store_finds_what_this_one_has_committed(target: Path | str) -> None:
    async with (
        TractStore.open(target, tokenizer=COUNTER) as one,
        TractStore.open(target, tokenizer=COUNTER) as two,
    ):
        await two.enable_search()
        for number in range(5):
            await one.tract("t").user(f"word {number}")
            both = one.tract("t").search("word"), two.tract("t").search("word")
            assert [len(each) for each in await asyncio.gather(*both)] == [number + 1] * 2


async def test_searches_and_commits_of_many_tasks_do_not_disturb_each_other(
    store: TractStore, tract: AsyncTract
) -> None:
    async def work(name: str) -> None:
        own = store.tract(name)
        for number in range(15):
            await own.user(f"word {name} {number}")
            assert len(await own.search("word", limit=None)) == number + 1

    await asyncio.gather(*(work(f"t{number}") for number in range(4)))

    assert len(await store.search("word", limit=None)) == 60


async def test_a_search_that_is_cancelled_leaves_a_sound_index(
    store: TractStore, tract: AsyncTract
) -> None:
    async with tract.batch() as batch:
        for number in range(1500):
            batch.commit(said(f"word {number}"))
    for delay in (0, 0.001, 0.01, 0.03):
        searching = asyncio.create_task(tract.search("word"))
        await asyncio.sleep(delay)
        searching.cancel()
        await asyncio.gather(searching, return_exceptions=True)

    assert len(await tract.search("word", limit=None)) == 1500


async def test_what_a_progress_raises_ends_the_call_and_the_next_goes_on(
    store: TractStore,
) -> None:
    async with store.tract("t").batch() as batch:
        for number in range(1200):
            batch.commit(said(f"word {number}"))

    def stop(_: int) -> None:
        raise KeyError

    with pytest.raises(KeyError):
        await store.enable_search(progress=stop)
    assert 0 < await store.enable_search() < 1200
    assert len(await store.search("word", limit=None)) == 1200


async def test_a_closed_store_refuses(store: TractStore) -> None:
    await store.enable_search()
    await store.aclose()
    for call in (store.search("a"), store.enable_search(), store.disable_search()):
        with pytest.raises(StoreClosedError):
            await call


async def test_erased_contents_are_not_found(store: TractStore, tract: AsyncTract) -> None:
    gone = await tract.user("word gone")
    await tract.user("word stays")
    theirs = await store.tract("other").user("word gone")
    assert len(await store.search("word")) == 3

    await tract.erase([gone.commit_hash], reason="asked")

    assert await found(tract, "word") == ["word stays"]
    assert hashes(await store.search("gone")) == [theirs.commit_hash]
    again = await tract.user("word gone")
    assert hashes(await tract.search("gone")) == [again.commit_hash]


async def test_an_erased_tract_is_not_found_and_may_begin_anew(
    store: TractStore, tract: AsyncTract
) -> None:
    await tract.user("word gone")
    await store.tract("other").user("word stays")
    assert len(await store.search("word")) == 2
    await store.tract("t").user("word not indexed yet")

    await store.erase_tract("t", reason="asked")

    assert [hit.tract_id for hit in await store.search("word")] == ["other"]
    await tract.user("word anew")
    assert await found(tract, "word") == ["word anew"]


async def test_copied_and_imported_tracts_are_found(
    store: TractStore, tract: AsyncTract, tmp_path: Path
) -> None:
    await tract.user("word")
    copied = await store.copy_tract("t", "u")
    await store.export(tmp_path / "a.tract")
    assert len(await copied.search("word")) == 1

    async with TractStore.open(tokenizer=COUNTER) as other:
        await other.enable_search()
        await other.import_(tmp_path / "a.tract")
        assert len(await other.search("word")) == 2
    async with TractStore.open(tokenizer=COUNTER) as other:
        await copy_store(store, other)
        with pytest.raises(QueryError):  # an index is not copied
            await other.search("word")


async def test_a_rebuilt_index_finds_the_same(store: TractStore, tract: AsyncTract) -> None:
    for number in range(30):
        await tract.user(f"word {number}")
    before = await tract.search("word", limit=None)
    gone = await tract.user("word gone")
    await tract.erase([gone.commit_hash], reason="asked")

    assert await store.enable_search(rebuild=True) == 31
    after = await tract.search("word", limit=None)

    assert hashes(after) == hashes(before)


async def test_a_damaged_or_missing_index_says_how_to_rebuild_it(db_path: Path) -> None:
    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        await store.enable_search()
        tract = store.tract("t")
        await tract.user("word")
        await tract.search("word")
        for damage in (
            "DELETE FROM search_0_data",
            "DROP TABLE search_docs; DROP TRIGGER search_note",
            "UPDATE _tract_meta SET value = '0' WHERE key = 'search'",
        ):
            with closing(sqlite3.connect(db_path)) as raw:
                raw.executescript(damage)
            with pytest.raises((StoreCorruptError, QueryError), match="rebuild=True"):
                await tract.search("word")
            assert await store.enable_search(rebuild=True) == 1
            assert len(await tract.search("word")) == 1
        assert not (await tract.verify()).faults


async def test_a_store_that_is_read_only_is_searched_as_far_as_it_is_indexed(
    db_path: Path,
) -> None:
    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        await store.enable_search()
        await store.tract("t").user("first word")
        await store.search("word")
        await store.tract("t").user("second word")
    async with TractStore.open(f"file:{db_path}?mode=ro", tokenizer=COUNTER) as store:
        assert await found(store.tract("t"), "word") == ["first word"]
        for call in (store.enable_search(), store.disable_search()):
            with pytest.raises(StoreReadOnlyError):
                await call


async def test_a_backup_has_the_index_and_the_file_may_be_vacuumed(
    db_path: Path, tmp_path: Path
) -> None:
    async with TractStore.open(db_path, tokenizer=COUNTER) as store:
        await store.enable_search()
        for number in range(20):
            await store.tract("gone").user(f"word {number}")
            await store.tract("t").user(f"word {number}")
        await store.search("word")
        await store.erase_tract("gone", reason="asked")
        await store.backup(tmp_path / "copy.db")
    with closing(sqlite3.connect(tmp_path / "copy.db")) as raw:
        raw.execute("VACUUM")
    async with TractStore.open(tmp_path / "copy.db", tokenizer=COUNTER) as copy:
        assert len(await copy.search("word", limit=None)) == 20


async def test_statuses_after_merges_are_those_of_the_compiled_context(
    store: TractStore, tract: AsyncTract
) -> None:
    """Edits of one entry, made on both sides of a merge, count in the order of the history."""
    entry = await tract.user("word 0")
    side = await tract.fork("side")
    await side.annotate(entry.commit_hash, "skip")
    await asyncio.sleep(0.002)
    edit = DialogueContent(role="user", text="word 1")
    await tract.commit(edit, operation="edit", edit_target=entry.commit_hash)
    await tract.merge("side", on_conflict="theirs")

    await check(tract, ["word"], {})
    assert {hit.status for hit in await tract.search("word")} == {
        SearchStatus.HIDDEN,
        SearchStatus.EDITED,
    }


# A naive search to compare with -------------------------------------------------------------------

WORDS = ["ab", "abc", "b", "bc", "c", "ca"]


async def statuses(tract: AsyncTract) -> dict[str, SearchStatus]:
    """Return what became of the commits of a branch, from its context alone."""
    found: dict[str, SearchStatus] = {}
    for info in await tract.log(None):
        if info.operation in ("append", "edit"):
            found[info.commit_hash] = SearchStatus.EDITED
    for entry in await tract.entries(include_skipped=True):
        hidden = entry.priority is Priority.SKIP
        status = SearchStatus.HIDDEN if hidden else SearchStatus.SHOWN
        found[entry.edited_by or entry.commit_hash] = status
    return found


def meets(text: str, query: str) -> bool:
    """Return True if a text of plain words meets a query of one term, the naive way."""
    padded = f" {text} "
    if query.startswith('"'):
        return f" {query.strip(chr(34))} " in padded
    return f" {query[:-1]}" in padded if query.endswith("*") else f" {query} " in padded


async def check(tract: AsyncTract, queries: list[str], texts: dict[str, str]) -> None:
    """Compare searches with the naive one; without *texts*, only statuses."""
    expected = await statuses(tract)
    for query in queries:
        hits = await tract.search(query, limit=None)
        for hit in hits:
            known = expected.get(hit.commit.commit_hash, SearchStatus.UNREACHABLE)
            assert hit.status is known, (query, hit)
        own = await tract.search(query, limit=None, branch_only=True)
        assert {*hashes(own)} == {*hashes(hits)} & expected.keys()
        if texts:
            assert {*hashes(hits)} == {key for key, text in texts.items() if meets(text, query)}
        assert len({*hashes(hits)}) == len(hits)


async def step(
    rng: random.Random, tract: AsyncTract, entries: list[CommitInfo], texts: dict[str, str]
) -> AsyncTract:
    """Do something random, and return the handle to go on with."""
    text = " ".join(rng.choices(WORDS, k=rng.randrange(1, 5)))
    what = rng.random()
    reached = {info.commit_hash for info in await tract.log(None)}
    here = [each for each in entries if each.commit_hash in reached]
    if what < 0.4 or not here:
        made = await tract.user(text)
        entries.append(made)
        texts[made.commit_hash] = text
    elif what < 0.6:
        edit = DialogueContent(role="user", text=text)
        target = rng.choice(here).commit_hash
        made = await tract.commit(edit, operation="edit", edit_target=target)
        texts[made.commit_hash] = text
    elif what < 0.72:
        priority = rng.choice([*Priority])
        await tract.annotate(rng.choice(here).commit_hash, priority)
    elif what < 0.78:
        await tract.erase([rng.choice(here).commit_hash], reason="asked")
    elif what < 0.86:
        return await tract.fork(f"b{rng.randrange(10**9)}")
    elif what < 0.94:
        names = [branch.name for branch in await tract.branches() if branch.name != tract.branch]
        if names:
            await tract.merge(rng.choice(names), on_conflict=rng.choice(["ours", "theirs"]))
    else:
        await tract.reset(rng.choice(here).commit_hash)
    return tract


async def left(tract: AsyncTract, texts: dict[str, str]) -> dict[str, str]:
    """Return the texts that were not erased."""
    contents = await tract.get_contents(texts)
    return {
        key: text
        for (key, text), content in zip(texts.items(), contents, strict=True)
        if not isinstance(content, ErasedContent)
    }


@pytest.mark.parametrize("seed", range(4))
async def test_random_histories_are_searched_as_a_naive_search_would(
    store: TractStore, seed: int
) -> None:
    rng = random.Random(seed)
    await store.enable_search()
    tract, other = store.tract("t"), store.tract("other")
    texts: dict[str, str] = {}
    entries: list[CommitInfo] = []
    for number in range(60):
        tract = await step(rng, tract, entries, texts)
        if number % 10 == 0:
            await other.user(" ".join(rng.choices(WORDS, k=4)))
        if number % 6 == 5:
            there = await left(tract, texts)
            queries = [rng.choice(WORDS), f"{rng.choice(WORDS)[:1]}*"]
            queries.append(f'"{rng.choice(WORDS)} {rng.choice(WORDS)}"')
            await check(tract, queries, there)
    await check(tract, WORDS, await left(tract, texts))


@pytest.mark.sqlite
def test_a_sqlite_without_fts5_is_named_as_such() -> None:
    error = translate(sqlite3.OperationalError("no such module: fts5"), "a.db")

    assert "has no FTS5" in str(error)
