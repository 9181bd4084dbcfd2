"""Lists of messages: what becomes of entries when a list changes, and lists that are remembered."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from langchain_core.messages import BaseMessage

from tract.integrations.langgraph.messages import LangChainContent
from tract.integrations.langgraph.values import Element, Packer, all_match

__all__ = ["Change", "Lists", "change_of"]

_MOST_CHARACTERS = 64_000_000


class Change(NamedTuple):
    """How a list comes from another: entries of that are skipped or edited, and others appended."""

    elements: list[Element]
    """The whole list; new ones come last."""
    skipped: list[str]
    edited: list[tuple[str, LangChainContent]]
    kept: int
    """How many of them are not new."""

    @property
    def appends_only(self) -> bool:
        """Whether the other list is the beginning of this one."""
        return not self.skipped and not self.edited


def change_of(before: Sequence[Element], messages: Sequence[BaseMessage], packer: Packer) -> Change:
    """Return how *messages* come from the list *before*, compared one by one."""
    if len(before) <= len(messages) and all_match(before, messages[: len(before)]):
        added = [Element.of(message, packer) for message in messages[len(before) :]]
        return Change([*before, *added], [], [], len(before))
    made: list[Element] = []
    skipped: list[str] = []
    edited: list[tuple[str, LangChainContent]] = []
    at = 0
    for element in before:
        if at < len(messages) and element.matches(messages[at], packer):
            made.append(element)
        elif at < len(messages) and element.id is not None and element.id == messages[at].id:
            content = packer.content(messages[at])
            edited.append((element.commit, content))
            made.append(Element(content, element.commit))
        else:
            skipped.append(element.commit)
            continue
        at += 1
    made += [Element.of(message, packer) for message in messages[at:]]
    return Change(made, skipped, edited, at)


class Lists:
    """The lists of the eras that were used last, for any thread, up to a number of characters."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str], list[Element]] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def get(self, thread: str, era: str, count: int) -> list[Element] | None:
        """Return the first *count* elements of an era, if so many are known.

        A thread and its copy have eras of one name.
        """
        with self._lock:
            found = self._known.get((thread, era))
            if found is None or len(found) < count:
                return None
            self._known.move_to_end((thread, era))
            return found[:count]

    def put(self, thread: str, era: str, elements: list[Element]) -> None:
        """Remember the first elements of an era."""
        with self._lock:
            known = self._known.get((thread, era), [])
            if len(known) >= len(elements):
                return
            self._size += _size(elements[len(known) :])
            self._known[thread, era] = elements
            self._known.move_to_end((thread, era))
            while self._size > _MOST_CHARACTERS:
                self._size -= _size(self._known.popitem(last=False)[1])

    def forget(self, thread: str) -> None:
        """Forget the lists of a thread."""
        with self._lock:
            for key in [key for key in self._known if key[0] == thread]:
                self._size -= _size(self._known.pop(key))


def _size(elements: Sequence[Element]) -> int:
    return sum(each.size for each in elements)
