"""What compactions hide, chunk by chunk, as a list of entries would have it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from support.counters import WordCounter
from tract.engine.compile.entries import CHUNK_SIZE, Entries, Entry
from tract.engine.compile.hiding import Hides, hidden, restored
from tract.engine.compile.tally import joined_tokens, tokens_of
from tract.models.annotations import Priority
from tract.protocols import Message

COUNTER = WordCounter()
SIZE = 4 * CHUNK_SIZE + 5


def entry(name: str, role: str = "user") -> Entry:
    return Entry(name, Message(role, f"text {name}"), 2, 5, None, Priority.NORMAL, nbytes=7)


def cleared(entry: Entry, placeholder: str) -> Entry:
    return entry._replace(message=Message(entry.message.role, placeholder))


def hides(first: int, last: int, *, but: int = -1, clears: int = -1) -> Hides:
    return Hides(
        frozenset(f"{at}" for at in range(first, last) if at != but),
        frozenset({f"{clears}"}),
        "cleared",
        has_summary=True,
    )


@st.composite
def compactions(draw: st.DrawFn) -> list[Hides]:
    at = st.integers(0, SIZE)
    return [
        hides(draw(at), draw(at), but=draw(at), clears=draw(at))
        for _ in range(draw(st.integers(1, 4)))
    ]


def listed(entries: list[Entry], summary: Entry, what: Hides) -> list[Entry]:
    """Return a list of entries after a compaction, entry by entry."""
    by, after, place = summary.commit_hash, list[Entry](), None
    for each in entries:
        if each.commit_hash in what.hides and each.hidden_by is None:
            place = len(after) if place is None else place
            each = each._replace(hidden_by=by)
        elif each.commit_hash in what.clears and each.hidden_by is None and not each.cleared:
            each = cleared(each, what.placeholder)._replace(cleared=(by, each))
        after.append(each)
    if place is None:
        return [*after, summary._replace(hidden_by=by)]
    return [*after[:place], summary, *after[place:]]


@given(compactions(), st.integers(0, 3), st.lists(st.sampled_from(["user", "assistant"])))
def test_compactions_hide_what_they_name_and_undone_show_it_as_it_was(
    made: list[Hides], undone: int, roles: list[str]
) -> None:
    roles = [*roles, "user", "assistant", "user", "user"]
    model = [entry(f"{at}", roles[at % len(roles)]) for at in range(SIZE)]
    whole = entries = Entries().extended(model)
    for number, what in enumerate(made):
        summary = entry(f"s{number}")._replace(is_summary=True)
        entries = hidden(entries, summary, what, cleared)
        model = listed(model, summary, what)

        assert [*entries] == model
        shown = [each for each in model if each.visible]
        assert [*entries.shown()] == shown
        assert [entries.find(each.commit_hash) for each in model] == [*range(len(model))]
        assert [entries[at] for at in range(len(model))] == model
        assert joined_tokens(entries.shown_chunks, COUNTER) == tokens_of(shown, None, None, COUNTER)
    for number in reversed(range(len(made))):
        entries = restored(entries, f"s{number}")

    assert [*entries.shown()] == [*whole]


def test_a_compaction_and_its_undoing_make_no_chunk_that_is_hidden_whole_anew() -> None:
    entries = Entries().extended([entry(f"{at}") for at in range(SIZE)])
    after = hidden(entries, entry("s")._replace(is_summary=True), hides(1, SIZE), cleared)

    before = {id(chunk) for chunk in entries.full}
    again = restored(after, "s")
    assert sum(id(chunk) in before for chunk in again.full) == len(entries.full) - 1
