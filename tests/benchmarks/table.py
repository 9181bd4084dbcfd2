"""The report as a table: for a terminal, as plain text, as Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.results import Figure, Report, RowResult, Verdict

__all__ = ["markdown", "plain_text", "show"]


def show(report: Report) -> None:
    """Print the report: a table on a terminal, plain text elsewhere."""
    console = Console()
    if not console.is_terminal:
        console.file.write(plain_text(report))
        return
    console.print(", ".join(_about(report)))
    console.print(_table(report))
    for note in _notes(report):
        console.print(f"- {note}", markup=False)


def plain_text(report: Report) -> str:
    """Return the report as lines of text."""
    lines = [*_about(report), ""]
    for result in report.rows:
        lines.append(f"{result.row.title} ({result.row.unit})")
        lines.extend(
            f"  {name:<18} {_cell(result, name)}" for name in report.subjects if _cell(result, name)
        )
        lines.extend(
            f"  {'must be':<18} {verdict.text}{_value(verdict)}: {_word(verdict)}"
            for verdict in result.verdicts(judged=report.judged)
        )
    return "\n".join([*lines, "", *(f"- {note}" for note in _notes(report)), ""])


def markdown(report: Report) -> str:
    """Return the report as a Markdown table with the machine above and the notes below."""
    lines = [f"- {item}" for item in _about(report)]
    header = _header(report)
    lines += ["", _row(header), _row(["---"] * len(header))]
    for result in report.rows:
        cells = [_cell(result, name) for name in report.subjects]
        bars, words = _judgement(report, result, "<br>")
        lines.append(_row([_title(result), *cells, bars, words]))
    return "\n".join([*lines, "", *(f"- {note}" for note in _notes(report)), ""])


def _table(report: Report) -> Table:
    table = Table(box=box.SIMPLE, pad_edge=False)
    for name in _header(report):
        table.add_column(name, overflow="fold")
    for result in report.rows:
        cells = [_cell(result, name, "\n") for name in report.subjects]
        bars, words = _judgement(report, result, "\n")
        table.add_row(_title(result), *cells, bars, words)
    return table


def _header(report: Report) -> list[str]:
    return ["line", *report.subjects, "must be", "holds"]


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _about(report: Report) -> Iterator[str]:
    machine = report.machine
    yield f"{machine['processor']}, {machine['cores']} cores, {machine['system']}"
    small = report.mode == "quick"
    sizes = "small sizes, the titles name the full ones" if small else "full sizes"
    yield f"{machine['date']}, load {machine['load']} before, {report.mode} mode: {sizes}"
    names = list(machine)[list(machine).index("python") :]
    yield ", ".join(f"{name} {machine[name]}" for name in names)
    yield f"median of {report.repetitions}, smallest and largest in brackets, our ratio after /"


def _notes(report: Report) -> Iterator[str]:
    yield from report.notes
    for result in report.rows:
        if result.line.note and result.row is result.line.rows[0]:
            yield f"{result.row.title}: {result.line.note}"


def _title(result: RowResult) -> str:
    return f"{result.row.title}, {result.row.unit}"


def _cell(result: RowResult, subject: str, separator: str = " ") -> str:
    figure = result.figure(subject)
    if figure is None:
        return result.missing.get(subject, "")
    ratio = result.ratio(subject)
    parts = [_number(figure.middle), _spread(figure)]
    if ratio is not None:
        parts.append(f"/ {ratio:.3g}")
    return separator.join(part for part in parts if part)


def _spread(figure: Figure) -> str:
    if len(figure.samples) == 1:
        return ""
    return f"({_number(figure.low)} to {_number(figure.high)})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _judgement(report: Report, result: RowResult, separator: str) -> tuple[str, str]:
    verdicts = result.verdicts(judged=report.judged)
    return (
        separator.join(verdict.text for verdict in verdicts),
        separator.join(f"{_word(verdict)}{_value(verdict)}" for verdict in verdicts),
    )


def _value(verdict: Verdict) -> str:
    return "" if verdict.value is None else f" ({verdict.value:.3g})"


def _word(verdict: Verdict) -> str:
    return {True: "yes", False: "NO", None: "not judged"}[verdict.holds]
