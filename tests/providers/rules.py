"""What the validators of all APIs share: problems, names, ids and media."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from typing import Any

Json = Mapping[str, Any]
Rule = Callable[[Json], Iterator[str]]

TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
"""OpenAI: "Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'", 64 long at most
(platform.openai.com/docs/api-reference/chat/create, `tools[].function.name`)."""

_DATA_URL = re.compile(r"data:(?P<type>[\w.+-]+/[\w.+-]+);base64,(?P<data>.*)", re.DOTALL)
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_URL_SAFE_BASE64 = re.compile(r"[A-Za-z0-9_-]+={0,2}")


def problem(path: str, rule: str, why: str) -> str:
    """Return a problem as the validators report it: where, which rule, and what it says."""
    return f"{path}: {rule}: {why}"


def rule_of(found: str) -> str:
    """Return the name of the rule that a reported problem breaks."""
    return found.split(": ", 2)[1]


def broken(request: Json, rules: Iterable[Rule]) -> list[str]:
    """Return the problems that *rules* find in *request*."""
    return [found for rule in rules for found in rule(request)]


def json_object(value: Any) -> Json:
    """Return *value* if it is a JSON object, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def among(value: Any, accepted: Container[str]) -> bool:
    """Return True if *value* is a string, and one of the accepted ones."""
    return isinstance(value, str) and value in accepted


def key(value: Any) -> str | None:
    """Return an id to look up by, be it the JSON of what is not a string."""
    return value if isinstance(value, str | None) else json.dumps(value)


def items(value: Any) -> list[Json]:
    """Return the JSON objects in a list; a value that is not a list has none."""
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def at(path: str, value: Any) -> list[tuple[str, Json]]:
    """Return the JSON objects in the list at *path*, each with its own path."""
    listed = value if isinstance(value, list) else []
    return [(f"{path}[{n}]", each) for n, each in enumerate(listed) if isinstance(each, Mapping)]


def is_blank(text: Any) -> bool:
    """Return True if *text* is not a string with something to see in it."""
    return not isinstance(text, str) or not text.strip()


def matching(path: str, rule: str, value: Any, pattern: re.Pattern[str]) -> Iterator[str]:
    """Report a value that is not a string of the form that a provider asks for."""
    if not isinstance(value, str) or not pattern.fullmatch(value):
        yield problem(path, rule, f"{value!r} does not match '^{pattern.pattern}$'")


def unique(found: Iterable[tuple[str, Any]], rule: str) -> Iterator[str]:
    """Report values that more than one path has, at each path after the first."""
    seen: Counter[Any] = Counter()
    for path, value in found:
        seen[key(value)] += 1
        if seen[key(value)] > 1:
            yield problem(path, rule, f"{value!r} is there already")


def base64_text(path: str, data: Any, *, url_safe: bool = False) -> Iterator[str]:
    """Report what is not base64; `url_safe` takes that alphabet, too."""
    alphabets = (_BASE64, _URL_SAFE_BASE64) if url_safe else (_BASE64,)
    whole = isinstance(data, str) and len(data) % 4 == 0
    if not whole or not any(alphabet.fullmatch(data) for alphabet in alphabets):
        yield problem(path, "base64", "the data is not base64")


def media_type(path: str, given: Any, accepted: frozenset[str]) -> Iterator[str]:
    """Report a media type that is not among the accepted ones."""
    if not among(given, accepted):
        yield problem(path, "media-type", f"{given!r} is not one of {sorted(accepted)}")


def media_url(path: str, url: Any, accepted: frozenset[str]) -> Iterator[str]:
    """Report what is neither an http(s) URL nor a base64 data URL of an accepted type."""
    if isinstance(url, str) and url.startswith(("https://", "http://")):
        return
    found = _DATA_URL.fullmatch(url) if isinstance(url, str) else None
    if found is None:
        yield problem(path, "url", f"{str(url)[:40]!r} is neither an http(s) nor a data URL")
        return
    yield from media_type(path, found["type"], accepted)
    yield from base64_text(path, found["data"])
