"""A table of small faults: each makes of a valid request one that its provider refuses."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

Request = dict[str, Any]
Apply = Callable[[Request], bool]


class Mutation(NamedTuple):
    """A fault, and the rule that it breaks."""

    rule: str
    name: str
    apply: Apply

    def of(self, request: Request) -> Request | None:
        """Return *request* with the fault; None if it has no place for it."""
        copy: Request = json.loads(json.dumps(request))
        return copy if self.apply(copy) else None


class Table:
    """The faults of one API; as a decorator, it takes one in."""

    def __init__(self) -> None:
        self.mutations: list[Mutation] = []

    def breaks(self, rule: str) -> Callable[[Apply], Apply]:
        """Take in a function that puts the fault into a request, and returns True if it did."""

        def taken(apply: Apply) -> Apply:
            self.mutations.append(Mutation(rule, apply.__name__, apply))
            return apply

        return taken


def first(found: Iterator[Any], change: Callable[[Any], Any]) -> bool:
    """Change the first of what was found; return False if nothing was."""
    for each in found:
        change(each)
        return True
    return False


def put(**fields: Any) -> Callable[[dict[str, Any]], None]:
    """Return a change that sets fields of a JSON object."""
    return lambda found: found.update(fields)


def lists(request: Request, over: str, within: str) -> Iterator[list[Any]]:
    """Yield the lists at `request[over][…][within]`."""
    for each in request.get(over) or ():
        if isinstance(each, dict) and isinstance(each.get(within), list):
            yield each[within]
