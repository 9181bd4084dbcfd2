"""Deltas: what each event of a stream adds to the reply, whichever API it came from.

A delta is a tuple of JSON values, so that a stream can be saved as it arrives and built again from
what was saved, in another process. A reply is built in one JSON object, its root:

- `("set", path, value)` sets a value;
- `("text", path, text)` appends to a string;
- `("push", path, value)` appends to a list;
- `("merge", path, object)` sets the fields of an object that are not null.

A path is a list of keys and indices from the root. What is missing on the way is made: objects for
keys, lists for indices, filled up with nulls. Each format lays out its root as it likes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["Delta", "Path", "apply", "compacted", "mended"]

Path = Sequence[str | int]
Delta = Sequence[Any]
"""`(verb, path, value)`."""


def apply(root: dict[str, Any], deltas: Iterable[Delta]) -> bool:
    """Add *deltas* to *root*, in order; return False if some contradict what is there.

    Those are left out, so that they do not cost the rest: an API may append to what it said was a
    number.
    """
    fit = True
    for verb, path, value in deltas:
        *way, last = path
        place: Any = root
        try:
            for step, following in zip(way, path[1:], strict=True):
                place = _entered(place, step, list if isinstance(following, int) else dict)
            _VERBS[verb](place, last, value)
        except (AttributeError, LookupError, TypeError):
            fit = False
    return fit


def compacted(deltas: Iterable[Delta]) -> list[Delta]:
    """Return deltas that build the same root; adjacent texts of one place are one."""
    runs: list[tuple[Delta, list[str]]] = []
    for delta in deltas:
        if runs and delta[0] == "text" == runs[-1][0][0] and delta[1] == runs[-1][0][1]:
            runs[-1][1].append(delta[2])
        else:
            runs.append((delta, [delta[2]]))
    return [first if len(texts) == 1 else (*first[:2], "".join(texts)) for first, texts in runs]


def mended(text: str) -> str:
    """Return *text* with surrogate pairs rejoined that were split; lone ones become U+FFFD."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def _entered(place: Any, step: str | int, kind: type) -> Any:
    """Return what is at *step*, made if it is missing."""
    if isinstance(step, int):
        place += [None] * (step + 1 - len(place))
    elif step not in place:
        place[step] = None
    if place[step] is None:
        place[step] = kind()
    return place[step]


def _set(place: Any, last: str | int, value: Any) -> None:
    if isinstance(last, int):
        place += [None] * (last + 1 - len(place))
    place[last] = value


def _text(place: Any, last: str | int, value: str) -> None:
    # `+=` would add the letters to a list.
    place[last] = _entered(place, last, str) + value


def _push(place: Any, last: str | int, value: Any) -> None:
    _entered(place, last, list).append(value)


def _merge(place: Any, last: str | int, value: dict[str, Any]) -> None:
    _entered(place, last, dict).update({k: v for k, v in value.items() if v is not None})


_VERBS = {"merge": _merge, "push": _push, "set": _set, "text": _text}
