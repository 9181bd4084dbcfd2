"""Measures the lines, everything in turn, and shows and keeps what came out."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from time import perf_counter

from benchmarks.lines import LINES, NOTES
from benchmarks.machine import describe
from benchmarks.model import SUBJECTS, Line, NotThereError, Workspace
from benchmarks.postgres.lines import NOTES as POSTGRES_NOTES
from benchmarks.postgres.lines import lines_of
from benchmarks.postgres.servers import benchmark_database
from benchmarks.results import Report, RowResult
from benchmarks.runs import judged
from benchmarks.stock import Stock
from benchmarks.table import markdown, show
from benchmarks.timing import settle
from benchmarks.workload import FULL, QUICK, Sizes
from support.markdown import POSTGRES, SQLITE, write_measured
from support.postgres.proxy import running

__all__ = ["main"]

_DELAY = 0.0005  # seconds a round trip


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark as the command line says."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.judge:
        try:
            sys.stdout.write(judged(options.judge))
        except (OSError, ValueError) as error:
            parser.error(str(error))
        return
    _refuse_what_would_be_lost(parser, options)
    sizes = QUICK if options.quick else FULL
    if options.repetitions is not None:
        sizes = replace(sizes, repetitions=options.repetitions)
    notes = NOTES if options.url is None else POSTGRES_NOTES
    report = Report(describe(), "quick" if options.quick else "full", sizes.repetitions, [], notes)
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder, _lines(options.url) as lines:
        stock = Stock(Path(folder), sizes)
        for line in lines:
            if not options.only or line.name in options.only:
                report.rows.extend(_measured(line, stock, sizes))
                _keep(report, options.json)  # a run that is stopped loses little
    if options.markdown is not None:
        of = SQLITE if options.url is None else POSTGRES
        write_measured(options.markdown, markdown(report), of)
    show(report)


@contextmanager
def _lines(url: str | None) -> Iterator[Sequence[Line]]:
    """Yield the lines about files, or those about the server at a URL, with a database for them."""
    if url is None:
        yield LINES
        return
    with benchmark_database(url) as near, running(near, delay=_DELAY) as far:
        yield lines_of(near, far)


def _refuse_what_would_be_lost(
    parser: argparse.ArgumentParser, options: argparse.Namespace
) -> None:
    """Refuse options that a run could not make good, before it takes its time."""
    if options.repetitions is not None and options.repetitions < 1:
        parser.error("--repetitions takes a number from 1 on")
    if options.markdown is not None and (options.quick or options.only):
        parser.error("--markdown writes the whole table: not with --quick or --only")
    for path in (options.json, options.markdown):
        if path is not None and not path.parent.is_dir():
            parser.error(f"there is no folder {path.parent}")
    if options.markdown is not None and not options.markdown.is_file():
        parser.error(f"there is no page {options.markdown}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, once, no judgement")
    parser.add_argument(
        "--url",
        metavar="URL",
        help="measure the lines about PostgreSQL, in a new database of the server at postgresql://…, "
        "and again with 0.5 ms a round trip; those have names that begin with `far.`",
    )
    parser.add_argument("--repetitions", type=int, metavar="N", help="measure N times, not 5")
    parser.add_argument("--json", type=Path, metavar="PATH", help="keep every sample here")
    parser.add_argument(
        "--markdown", type=Path, metavar="PATH", help="write the table here, between its marks"
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=[*dict.fromkeys(line.name for line in (*LINES, *lines_of("", "")))],
        metavar="LINE",
        help="measure this line; may be given several times. Lines: %(choices)s",
    )
    parser.add_argument(
        "--judge",
        type=Path,
        nargs="+",
        metavar="PATH",
        help="measure nothing; tell how the bars stand in the runs kept there, and their median",
    )
    return parser


def _measured(line: Line, stock: Stock, sizes: Sizes) -> list[RowResult]:
    """Measure a line's subjects in turn, as often as asked for.

    A first round with small sizes is not counted: it loads vocabularies and bytecode.
    """
    results = [RowResult(line, row) for row in line.rows]
    if sizes.repetitions > 1:
        with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
            warm = [RowResult(line, row) for row in line.rows]
            _repeat(
                line, warm, Stock(Path(folder), QUICK), QUICK, f"{line.name} 0/{sizes.repetitions}"
            )
    for number in range(sizes.repetitions):
        _repeat(line, results, stock, sizes, f"{line.name} {number + 1}/{sizes.repetitions}")
    return results


def _repeat(
    line: Line, results: Sequence[RowResult], stock: Stock, sizes: Sizes, progress: str
) -> None:
    start = perf_counter()
    for subject in SUBJECTS:
        measure = line.measures.get(subject)
        if measure is None:
            continue
        try:
            with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
                settle()
                sample = measure(Workspace(Path(folder), sizes, stock))
        except NotThereError as error:
            for result in results:
                result.missing[subject] = str(error)
            continue
        for result in results:
            result.samples.setdefault(subject, []).append(sample[result.row.key])
    sys.stderr.write(f"{progress}: {perf_counter() - start:.1f} s\n")


def _keep(report: Report, path: Path | None) -> None:
    if path is not None:
        text = json.dumps(report.plain(), indent=2, ensure_ascii=False)
        path.write_text(text + "\n", encoding="utf-8")
