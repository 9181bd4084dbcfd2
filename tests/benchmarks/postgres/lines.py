"""Every line about PostgreSQL, and where it must stand on two cores that the server shares."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from benchmarks import commits, depth, searching, stalls, turns
from benchmarks.backends import Backend
from benchmarks.model import (
    LIMIT,
    OURS,
    POSTGRES_SAVER,
    SQLALCHEMY_SESSION,
    Bar,
    Line,
    Measure,
    Row,
)
from benchmarks.postgres import measures, processes
from benchmarks.postgres.backends import AlchemyOnServer, OursOnServer, SaverOnServer

__all__ = ["NOTES", "lines_of"]

NOTES = (
    "The limit is plain asyncpg doing the least that the same work needs, in one task: a commit is "
    "one statement. Where a line says otherwise, its note tells what stands there.",
    "Server, clients and the benchmark share the machine. All commits wait for the server's log "
    "(`synchronous_commit=on`), ours and the peers'.",
    "The peers keep messages and nothing else: no hashes, no token counts, no history of edits, no "
    "generation config for each call.",
    "AsyncPostgresSaver stores the whole list of messages with every checkpoint. One checkpoint a "
    "message is less than a running graph writes.",
)


class Place(NamedTuple):
    """A way to the server: what names and titles of its lines begin and end with, and their bars."""

    url: str
    prefix: str = ""
    suffix: str = ""


def lines_of(url: str, delayed: str) -> tuple[Line, ...]:
    """Return the lines, over *url* and again over *delayed*, where a trip takes 0.5 ms longer."""
    near, far = Place(url), Place(delayed, "far.", ", RTT 0.5 ms")
    of_both = [line for place in (near, far) for line in _lines(place, is_far=place is far)]
    return (*of_both, *_near_lines(near))


def _lines(place: Place, *, is_far: bool) -> tuple[Line, ...]:
    ours = OursOnServer(place.url)
    return (*_writing(place, ours, 0.6 if is_far else 0.4), *_crowds(place, ours),
            *_reading(place, ours), *_turns(place, ours), _watch(place, ours, 60 if is_far else 50))  # fmt: skip


def _line(place: Place, row: Row, measured: dict[str, Measure], note: str = "") -> Line:
    titled = Row(row.key, f"{row.title}{place.suffix}", row.unit, row.bars)
    return Line(f"{place.prefix}{row.key}", (titled,), measured, note)


def _at_least(factor: float, subject: str = LIMIT) -> Bar:
    return Bar(factor, subject, at_least=True)


def _writing(place: Place, ours: OursOnServer, of_limit: float) -> tuple[Line, ...]:
    peers = AlchemyOnServer(place.url), SaverOnServer(place.url)
    less = "The peers store a tenth as many."

    def measured(limit: Measure, measure: Callable[[Backend], Measure]) -> dict[str, Measure]:
        return {LIMIT: limit, **{each.name: measure(each) for each in (ours, *peers)}}

    return (
        _line(
            place,
            Row("commits.one_task", "commits, one task", "/s", (_at_least(of_limit),)),
            measured(measures.plain_singly(place.url), commits.one_task),
            less,
        ),
        _line(
            place,
            Row("commits.many_tracts", "commits, 64 tasks on 64 tracts", "/s", (_at_least(0.4),)),
            measured(
                measures.plain_batches(place.url, "commits.many_tracts", one_tract=False),
                commits.many_branches,
            ),
            f"Limit: batches of 64. {less}",
        ),
        _line(
            place,
            Row("commits.one_branch", "commits, 64 tasks on one branch", "/s", (_at_least(0.5),)),
            measured(
                measures.plain_batches(place.url, "commits.one_branch", one_tract=True),
                commits.one_branch,
            ),
            f"Limit: batches of 64. {less}",
        ),
    )


def _crowds(place: Place, ours: OursOnServer) -> tuple[Line, ...]:
    return (
        _line(
            place,
            Row("commits.crowd", "commits, 8 processes on one branch", "/s", (_at_least(0.5),)),
            {LIMIT: processes.plain_crowd(ours), OURS: processes.crowd(ours)},
            "Limit: lock the branch's row, read its head, write, commit, in 8 processes as well.",
        ),
        _line(
            place,
            Row(
                "commits.two_by_one",
                "commits on tracts of their own, 2 processes with 8 tasks each by 1",
                "x",
                (Bar(1.7, at_least=True),),
            ),
            {OURS: processes.two_by_one(ours)},
        ),
    )


def _reading(place: Place, ours: OursOnServer) -> tuple[Line, ...]:
    return (
        _line(
            place,
            Row("compile.again", "compile again at a head of 10,000 commits", "µs", (_most(2),)),
            {LIMIT: measures.select(place.url), OURS: depth.again(ours)},
            "Limit: one awaited SELECT of one row.",
        ),
        _line(
            place,
            Row("compile.first", "first compile of 10,000 commits", "ms", (_most(4),)),
            {LIMIT: processes.plain_first(ours), OURS: processes.first(ours)},
            "In a fresh process, with connecting, without imports. Limit: fetching the same rows and "
            "parsing the JSON of their contents.",
        ),
        _line(
            place,
            Row("compile.merged", "the same with a merge, by that without", "x", (Bar(2),)),
            {OURS: processes.first(ours, merged=True)},
        ),
    )


def _most(factor: float) -> Bar:
    return Bar(factor, LIMIT)


def _turns(place: Place, ours: OursOnServer) -> tuple[Line, ...]:
    alchemy, saver = AlchemyOnServer(place.url), SaverOnServer(place.url)
    backends: tuple[Backend, ...] = (ours, alchemy, saver)
    long = (_at_least(3, SQLALCHEMY_SESSION), _at_least(5, POSTGRES_SAVER))
    return (
        _line(
            place,
            Row("turns.long", "turns, one task, history of 500", "/s", long),
            {each.name: measures.turns_of_a_long_history(each) for each in backends},
        ),
        _line(
            place,
            Row(
                "turns.many_tasks",
                "turns, 32 tasks with 50 each",
                "/s",
                (_at_least(2, POSTGRES_SAVER),),
            ),
            {each.name: turns.many_conversations(each) for each in backends},
        ),
    )


def _watch(place: Place, ours: OursOnServer, most: float) -> Line:
    return _line(
        place,
        Row("watch.p99", "watch across processes, 99th percentile", "ms", (Bar(most),)),
        {OURS: processes.watch(ours)},
        "From the end of a commit's `await` in one process to its arrival in another.",
    )


def _near_lines(place: Place) -> tuple[Line, ...]:
    """Return the lines that are about the server's work or ours, not about the way between."""
    ours = OursOnServer(place.url)
    return (
        _line(
            place,
            Row("query.scan", "query_by_config, 50 of 50,000 commits", "ms", (_most(3),)),
            {LIMIT: measures.plain_scan(ours, "query.scan"), OURS: measures.query(ours)},
            "Limit: a scan of the same rows with `->>`.",
        ),
        _line(
            place,
            Row("query.indexed", "the same with an index on the model", "ms", (_most(0.2),)),
            {LIMIT: measures.plain_scan(ours, "query.indexed"), OURS: measures.indexed_query(ours)},
            "Limit: the same scan, without an index.",
        ),
        *searching.lines(ours),
        Line(
            "stall",
            (
                Row("stall.longest", "event loop, longest stall", "ms", (Bar(20),)),
                Row("stall.p99", "event loop, 99th percentile", "ms", (Bar(5),)),
            ),
            {LIMIT: stalls.idle, OURS: stalls.stall(ours)},
            "64 agents commit and compile, one commits a document of 2 MB. Limit: a loop with nothing "
            "to do.",
        ),
    )
