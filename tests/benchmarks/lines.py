"""Every line of the table, and where it must stand on a machine with two cores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module

from benchmarks import (
    branches,
    commits,
    compactions,
    depth,
    fresh,
    graphs,
    queries,
    searching,
    small,
    stalls,
    stores,
    telemetry,
    turns,
)
from benchmarks.backends import Backend
from benchmarks.model import (
    LIMIT,
    OURS,
    SQLALCHEMY_SESSION,
    SQLITE_SAVER,
    SQLITE_SESSION,
    Bar,
    Line,
    Measure,
    Row,
)
from benchmarks.ours import Ours
from benchmarks.peers_langgraph import SaverBackend
from benchmarks.peers_openai import AlchemyBackend, SqliteBackend
from benchmarks.peers_pydantic_ai import CONVERSATIONS
from benchmarks.scale import SCALE
from benchmarks.sessions import SESSIONS
from support.frameworks import lacking
from tract import TractConfig

__all__ = ["LINES", "NOTES"]

_OURS = Ours()
_OURS_FULL = Ours(TractConfig(durability="full"))
_SESSIONS: tuple[Backend, ...] = (SqliteBackend(), AlchemyBackend())
_PEERS: tuple[Backend, ...] = (*_SESSIONS, SaverBackend())
_CACHE_CONSTANT = 32

NOTES = (
    "The limit is plain sqlite3 doing the least that the same work needs; where a line says "
    "otherwise, its note tells what stands there.",
    "The peers keep messages and nothing else: no hashes, no token counts, no history of edits, no "
    "generation config for each call. Where a session has no figure it cannot do the work.",
    "The peers run with what they set themselves: SQLite's default synchronous=FULL, which waits "
    "for the disk at every commit. AsyncTract's default is NORMAL, as the limit's: a killed "
    "process loses nothing, a power cut may take the newest commits. The row with "
    "durability='full' compares like with like, and has no mark.",
    "AsyncSqliteSaver keeps the whole list of messages in every checkpoint, so what it writes grows "
    "with the square of the history; hence no figure for the disk. One checkpoint a message is "
    "less than a running graph writes.",
)


def _for_all(
    limit: Measure | None, measure: Callable[[Backend], Measure], peers: tuple[Backend, ...]
) -> Mapping[str, Measure]:
    measures: dict[str, Measure] = {LIMIT: limit} if limit is not None else {}
    measures[OURS] = measure(_OURS)
    measures.update((peer.name, measure(peer)) for peer in peers)
    return measures


def _of_limit(factor: float, *, at_least: bool = False) -> tuple[Bar, ...]:
    return (Bar(factor, LIMIT, at_least=at_least),)


_TURN_BARS = (
    Bar(3, SQLITE_SESSION, at_least=True),
    Bar(10, SQLALCHEMY_SESSION, at_least=True),
    Bar(3, SQLITE_SAVER, at_least=True),
)
_WRITING = (
    Line(
        "commits.one_task",
        (Row("commits.one_task", "commits, one task", "/s", _of_limit(0.2, at_least=True)),),
        _for_all(commits.plain_singly, commits.one_task, _PEERS),
        "Limit: one transaction at a time. SQLAlchemySession and AsyncSqliteSaver store a tenth as "
        "many.",
    ),
    Line(
        "commits.many_tracts",
        (
            Row(
                "commits.many_tracts",
                "commits, 64 tasks on 64 tracts",
                "/s",
                _of_limit(0.13, at_least=True),
            ),
        ),
        _for_all(
            commits.plain_batches("commits.many_tracts", one_tract=False),
            commits.many_branches,
            _PEERS,
        ),
        "Limit: batches of 64. SQLAlchemySession and AsyncSqliteSaver store a tenth as many.",
    ),
    Line(
        "commits.one_branch",
        (
            Row(
                "commits.one_branch",
                "commits, 64 tasks on one branch",
                "/s",
                _of_limit(0.1, at_least=True),
            ),
        ),
        _for_all(
            commits.plain_batches("commits.one_branch", one_tract=True),
            commits.one_branch,
            _PEERS,
        ),
        "Limit: batches of 64. SQLAlchemySession and AsyncSqliteSaver store a tenth as many.",
    ),
)
_TURNS = (
    Line(
        "turns.one_task",
        (Row("turns.one_task", "turns, one task, history of 0 to 1,000", "/s", _TURN_BARS),),
        _for_all(turns.plain_turns, turns.one_conversation, _PEERS),
    ),
    Line(
        "turns.full",
        (Row("turns.full", "the same with durability='full'", "/s"),),
        {
            OURS: turns.one_conversation(_OURS_FULL, "turns.full"),
            SQLITE_SESSION: turns.one_conversation(_SESSIONS[0], "turns.full"),
        },
    ),
    Line(
        "turns.many_tasks",
        (
            Row(
                "turns.many_tasks",
                "turns, 32 tasks with 50 each, one database",
                "/s",
                (Bar(3, SQLITE_SESSION, at_least=True),),
            ),
        ),
        _for_all(turns.plain_conversations, turns.many_conversations, _PEERS),
        "Limit: one conversation after the other.",
    ),
    Line(
        "replay",
        (Row("replay", "replay of airline.jsonl, 100 agents at once", "messages/s"),),
        _for_all(turns.plain_replay, turns.replay, _PEERS),
        "Limit: one agent after the other.",
    ),
)
_DEPTH = (
    Line(
        "compile.again",
        (
            Row("compile.again", "compile again at a head of 10,000 commits", "µs", _of_limit(3)),
            Row("read.again", "the same as provider messages", "µs"),
        ),
        _for_all(depth.awaited_select, depth.again, _PEERS),
        "Limit: one awaited aiosqlite SELECT of one row. What compile() returns makes its lists when "
        "they are asked for; the peers return theirs made. The row with provider messages has all "
        "of them do the same.",
    ),
    Line(
        "depth",
        (
            Row("depth.growth", "commit + compile at depth 20,000 by 200", "x", (Bar(2),)),
            Row("depth.cost", "commit + compile at depth 20,000", "µs"),
            Row("depth.read.growth", "commit + provider messages at depth 20,000 by 200", "x"),
            Row("depth.read.cost", "commit + provider messages at depth 20,000", "µs"),
        ),
        _for_all(depth.plain_growing, depth.growing, _PEERS),
        "Limit: a commit, and reading the new row, in every row. A list of 20,000 provider messages "
        "has to be made, by whomever.",
    ),
    Line(
        "edit",
        (
            Row(
                "edit.growth",
                "commit + compile after an early edit, depth 10,000, by that without",
                "x",
                (Bar(5),),
            ),
            Row("edit.cost", "commit + compile after an early edit, depth 10,000", "µs"),
        ),
        {OURS: depth.after_an_edit},
        "The edit itself is not in it, and costs about as much as a commit. The peers have no edits.",
    ),
    Line(
        "compile.first",
        (
            Row(
                "compile.first",
                "first compile of 10,000 commits, fresh process",
                "ms",
                _of_limit(4),
            ),
            Row("read.first", "the same as provider messages", "ms"),
        ),
        _for_all(fresh.plain_first_load(_OURS), fresh.first_load, _PEERS),
        "With opening the database, without imports. Limit: fetching the same rows and parsing "
        "the JSON of their contents.",
    ),
)
_QUERIES = (
    Line(
        "query.scan",
        (Row("query.scan", "query_by_config, 50 of 50,000 commits", "ms", _of_limit(3)),),
        {LIMIT: queries.plain_scan("query.scan"), OURS: queries.query},
        "Limit: a scan of the same rows with json_extract. The peers keep no configs.",
    ),
    Line(
        "query.indexed",
        (Row("query.indexed", "the same with an index on the model", "ms", _of_limit(0.2)),),
        {LIMIT: queries.plain_scan("query.indexed"), OURS: queries.indexed_query},
        "Limit: the same scan, without an index.",
    ),
)
_RESOURCES = (
    Line(
        "stall",
        (
            Row("stall.longest", "event loop, longest stall", "ms", (Bar(20),)),
            Row("stall.p99", "event loop, 99th percentile", "ms", (Bar(5),)),
        ),
        _for_all(stalls.idle, stalls.stall, _PEERS),
        "64 agents commit and compile, one commits a document of 2 MB; what is imported is set "
        "apart from the garbage collector, as in every line, and the tokenizer is loaded. The "
        "percentile is one of turns, not of time. Limit: a loop with nothing to do. "
        "SQLAlchemySession and AsyncSqliteSaver have a quarter of the rounds.",
    ),
    Line(
        "stall.heap",
        (
            Row("stall.longest.heap", "event loop, longest stall, with a large heap", "ms"),
            Row("stall.p99.heap", "event loop, 99th percentile, with a large heap", "ms"),
        ),
        {OURS: stalls.stall_of_a_large_heap(_OURS)},
        "The same with nothing set apart: a full collection looks at what every package that was "
        "imported has made, ours and the peers'.",
    ),
    Line(
        "stall.prune",
        (
            Row("stall.prune", "event loop, longest stall of a prune", "ms", (Bar(20),)),
            Row("wait.prune", "longest wait of a commit beside it", "ms"),
        ),
        {OURS: stalls.stall_of_a_prune},
        "100,000 commits that no context shows: half of them entries that are skipped with a reason, "
        "half on a branch that was deleted. A task of the same loop commits to another tract of the "
        "file meanwhile.",
    ),
    Line(
        "memory.open",
        (Row("memory.open", "memory, 100,000 commits compiled", "x text", (Bar(5),)),),
        _for_all(fresh.plain_opened(_OURS), fresh.opened, _PEERS),
        "Growth of the resident set at its peak. What stands at the limit is no least, but the same "
        "rows and the JSON of their contents, parsed, all at once.",
    ),
    Line(
        "memory.crowd",
        (
            Row(
                "memory.crowd",
                "memory beyond cache_max_bytes, 1,000 tracts of 200 commits",
                "MB",
                (Bar(_CACHE_CONSTANT),),
            ),
            Row("memory.crowd_half", "the same after half of the tracts", "MB"),
        ),
        {OURS: fresh.crowd},
        "The constant that the bound allows for is ours: threads, connections, page caches.",
    ),
    Line(
        "disk",
        (Row("disk", "disk per commit after a checkpoint", "bytes", (Bar(900),)),),
        _for_all(commits.plain_bytes, commits.bytes_per_commit, _SESSIONS),
    ),
    Line(
        "import",
        (Row("import", "import", "ms", _of_limit(1.5)),),
        {
            LIMIT: fresh.import_time("sqlalchemy.ext.asyncio", "pydantic"),
            OURS: fresh.import_time("tract"),
            **{peer.name: fresh.import_time(peer.module) for peer in _PEERS},
        },
        "Limit: importing sqlalchemy.ext.asyncio and pydantic.",
    ),
)
_BRANCHES = (
    Line(
        "fork",
        (
            Row("fork.growth", "fork at depth 10,000, by a commit", "x", (Bar(2),)),
            Row("fork.cost", "fork at depth 10,000", "µs"),
        ),
        {OURS: branches.fork},
        "The peers have no branches.",
    ),
    Line(
        "merge",
        (Row("merge", "merge of 10 commits into 10 others, depth 10,000", "ms", (Bar(5),)),),
        {OURS: branches.merge},
    ),
    Line(
        "small",
        (
            Row(
                "small.compile",
                "first compile of 22 commits beside 50,000 of another branch, by that alone",
                "x",
                (Bar(5),),
            ),
            Row("small.log", "log(5) likewise", "x", (Bar(5),)),
            Row("small.rest", "the dearest of at_time, diff, edit, merge, reset", "x", (Bar(5),)),
        ),
        {OURS: small.small},
        "The last two of the 22 come after the others. Alone: in a tract that has no others.",
    ),
    Line(
        "stream",
        (
            Row(
                "stream.growth",
                "stream of 1,000 deltas, less 2 µs a delta, by a commit",
                "x",
                (Bar(3),),
            ),
            Row("stream.cost", "stream of 1,000 deltas", "µs"),
        ),
        {OURS: branches.stream},
        "The commit is of the same text at once. The peers have no streams.",
    ),
    Line(
        "watch",
        (
            Row(
                "watch.beside",
                "speed of a writer that keeps to itself, with 200 watchers, by that without",
                "x",
                (Bar(0.9, at_least=True),),
            ),
            Row("watch.upon", "the same with all of them watching its branch", "x"),
        ),
        {OURS: branches.watch},
        "The watchers run in the same event loop, and 200 of them get every commit. The peers "
        "cannot be watched.",
    ),
)
_STORES = (
    Line(
        "keys",
        (
            Row(
                "keys.lookup",
                "a commit by its key among 100,000, by that by hash",
                "x",
                (Bar(1.5),),
            ),
            Row("keys.cost", "a commit by its key", "µs"),
            Row("keys.newest", "the newest 10 keys of a prefix that 100,000 have", "ms", (Bar(5),)),
        ),
        {OURS: stores.keys},
        "The peers have no keys.",
    ),
    Line(
        "listing",
        (
            Row("listing", "the newest 50 of 10,000 tracts", "ms", (Bar(50),)),
            Row("listing.info", "info() of that store", "ms", (Bar(50),)),
        ),
        {OURS: stores.listing},
    ),
    Line(
        "entries",
        (
            Row("entries", "the 500 entries of a context, as after each turn", "ms", (Bar(3),)),
            Row("entries.newest", "the newest 10 of them", "ms", (Bar(0.5),)),
            Row("entries.first", "the 500 when they are first listed", "ms"),
        ),
        {OURS: stores.entries},
    ),
    Line(
        "reached_by",
        (Row("reached_by", "the branches, 50, of 50 commits of 100,000", "ms", (Bar(50),)),),
        {OURS: stores.reached_by},
    ),
    Line(
        "copy",
        (Row("copy", "copy_tract of 200 turns", "ms", (Bar(50),)),),
        {OURS: stores.copy},
    ),
    Line(
        "erase",
        (
            Row("erase", "erase of 100 of 100,000 commits", "ms"),
            Row("erase.stall", "event loop meanwhile, longest stall", "ms", (Bar(20),)),
        ),
        {OURS: stores.erase},
        "The erased contents have been compiled. The log is emptied, too; there is no vacuum.",
    ),
    *searching.lines(_OURS),
    *graphs.lines(),
    *compactions.lines(),
    *telemetry.lines(),
    Line(
        "own_loop",
        (
            Row(
                "own_loop",
                "commits with own_loop, one task, by those without",
                "x",
                (Bar(0.5, at_least=True),),
            ),
        ),
        {OURS: stores.own_loop},
    ),
)
_ADK: tuple[Line, ...] = (
    () if lacking("google.adk") else import_module("benchmarks.peers_adk").LINES
)
LINES: tuple[Line, ...] = (
    *(*_WRITING, *_TURNS, *_DEPTH, *_BRANCHES, *_QUERIES, *_STORES, *_RESOURCES),
    *(*SCALE, *SESSIONS, *CONVERSATIONS, *_ADK),
)
