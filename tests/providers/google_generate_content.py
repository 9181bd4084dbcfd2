"""What Gemini's generateContent refuses of a request's contents, system instruction and tools.

The rules are from ai.google.dev ("Function calling", "Thought signatures", API reference) and
from the API's own error messages, which the comments quote. Recorded requests that were answered
with success pass; so an empty text is no fault.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from providers.rules import (
    Json,
    at,
    base64_text,
    broken,
    is_blank,
    json_object,
    key,
    matching,
    problem,
)

# "Invalid function name. Must start with a letter or an underscore. Must be alphameric (a-z, A-Z,
# 0-9), underscores (_), dots (.), colons (:), or dashes (-), with a maximum length of 64."
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,63}")
_MEDIA_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+(?:\s*;.*)?")
# Gemini 3 and later: "Function call is missing a thought_signature in functionCall parts."
_SIGNING = re.compile(r"(?:models/)?gemini-(?:[3-9]|\d\d)(?!.*image)")

_DATA = (
    "text",
    "inlineData",
    "functionCall",
    "functionResponse",
    "fileData",
    "executableCode",
    "codeExecutionResult",
    "toolCall",
    "toolResponse",
)


class Part(NamedTuple):
    """A part, its fields named as in JSON; the API takes `function_call` for `functionCall`."""

    path: str
    fields: Json


def problems(request: Json, *, model: str = "") -> list[str]:
    """Return what the API would refuse *request* for, each with its JSON path and rule.

    The model is in the URL, not in the request; that of Gemini 3 and later wants signatures.
    """
    rules = (_shape, _system, _parts, _pairs, _results_alone, _names, _media)
    signed = (_signatures,) if _SIGNING.match(model) else ()
    return broken(request, (*rules, *signed))


def camel(fields: Json) -> dict[str, Any]:
    """Return one object with its own keys in camel case, as JSON has them."""
    return {re.sub(r"_([a-z])", lambda m: m[1].upper(), name): fields[name] for name in fields}


Content = tuple[str, str, list[Part]]


def contents(request: Json) -> list[Content]:
    """Return the path, the role and the parts of each content."""
    return [
        (
            path,
            str(content.get("role", "user")),
            [Part(where, camel(part)) for where, part in at(f"{path}.parts", content.get("parts"))],
        )
        for path, content in at("contents", request.get("contents"))
    ]


def turns(request: Json) -> list[Content]:
    """Return the contents, joined where one role speaks again."""
    joined: list[Content] = []
    for path, role, parts in contents(request):
        if joined and joined[-1][1] == role:
            joined[-1][2].extend(parts)
        else:
            joined.append((path, role, parts))
    return joined


def current_turn(request: Json) -> list[Content]:
    """Return the contents since the user last said something that answers no call."""
    listed = contents(request)
    asked = [n for n, (_, role, parts) in enumerate(listed) if role == "user" and _asks(parts)]
    return listed[asked[-1] if asked else 0 :]


def _of(parts: list[Part], name: str) -> list[tuple[str, Json]]:
    return [
        (f"{part.path}.{name}", json_object(part.fields[name]))
        for part in parts
        if name in part.fields
    ]


def _shape(request: Json) -> Iterator[str]:
    listed = contents(request)
    if not listed:
        yield problem("contents", "not-empty", "contents is not specified")
    for path, role, parts in listed:
        if role not in ("user", "model"):
            # "Please use a valid role: user, model."
            yield problem(f"{path}.role", "role", f"{role!r} is not a role of this API")
        if not parts:
            # "contents.parts must not be empty"
            yield problem(f"{path}.parts", "not-empty", "contents.parts must not be empty")
    if listed and listed[-1][1] != "user":
        # A request "whose history ends on a model turn" is rejected (crewAIInc/crewAI#6973).
        yield problem(listed[-1][0], "last-role", "contents end with the user")


def _system(request: Json) -> Iterator[str]:
    given = camel(request).get("systemInstruction")
    for where, part in at("systemInstruction.parts", json_object(given).get("parts")):
        if is_blank(part.get("text")):
            yield problem(where, "blank-text", "a system instruction has text")


def _parts(request: Json) -> Iterator[str]:
    for _, _, parts in contents(request):
        for path, fields in parts:
            data = [each for each in _DATA if fields.get(each) is not None]
            if len(data) != 1:
                # "parts[0].data: required oneof field 'data' must have one initialized field"
                yield problem(path, "part-data", f"one data field is required, not {data}")
            if "thoughtSignature" in fields:
                where = f"{path}.thoughtSignature"
                yield from base64_text(where, fields["thoughtSignature"], url_safe=True)


def _pairs(request: Json) -> Iterator[str]:
    """The responses are in the turn behind the calls: as many, in their order."""
    listed = turns(request)
    nothing: Content = ("", "", [])
    for before, here, after in zip(
        [nothing, *listed], listed, [*listed[1:], nothing], strict=False
    ):
        calls, results = _of(here[2], "functionCall"), _of(here[2], "functionResponse")
        if calls:
            yield from _called(here, before, calls, _of(after[2], "functionResponse"))
        if results:
            yield from _answered(here, _of(before[2], "functionCall"), results)


_Found = list[tuple[str, Json]]


def _results_alone(request: Json) -> Iterator[str]:
    """What else the user says stands in a content of its own, behind that of the responses.

    The function-response turn must "contain only the function response" (anomalyco/opencode#43479).
    """
    for path, _, parts in contents(request):
        if _of(parts, "functionResponse") and len(parts) != len(_of(parts, "functionResponse")):
            yield problem(path, "results-alone", "a content of responses has responses only")


def _called(here: Content, before: Content, calls: _Found, answers: _Found) -> Iterator[str]:
    if here[1] != "model":
        yield problem(here[0], "role", "only the model calls functions")
    if before[1] != "user":
        # "Please ensure that function call turn comes immediately after a user turn or after a
        # function response turn."
        yield problem(here[0], "call-turn", "a call turn follows a user turn")
    if len(answers) != len(calls):
        # "Please ensure that the number of function response parts is equal to the number of
        # function call parts of the function call turn."
        why = f"{len(answers)} responses to {len(calls)} calls"
        yield problem(here[0], "call-without-result", why)


def _answered(here: Content, calls: _Found, results: _Found) -> Iterator[str]:
    if here[1] != "user":
        yield problem(here[0], "role", "functions are answered by the user")
    if not calls:
        # "Please ensure that function response turn comes immediately after a function call turn."
        yield problem(here[0], "result-without-call", "no call in the turn before")
    for (_, call), (path, result) in zip(calls, results, strict=False):
        named = call.get("name") == result.get("name")
        ids = call.get("id"), result.get("id")
        if not named or (None not in ids and ids[0] != ids[1]):
            yield problem(path, "result-order", f"the call there is {call.get('name')!r}")


def _names(request: Json) -> Iterator[str]:
    for _, _, parts in contents(request):
        for kind, given in (("functionCall", "args"), ("functionResponse", "response")):
            for path, called in _of(parts, kind):
                yield from matching(f"{path}.name", "tool-name", called.get("name"), _NAME)
                if not isinstance(called.get(given, {}), dict):
                    yield problem(f"{path}.{given}", "arguments", "a JSON object")
    names: list[tuple[str, Any]] = []
    for path, tool in at("tools", request.get("tools")):
        declared = camel(tool).get("functionDeclarations")
        names += [(f"{where}.name", f.get("name")) for where, f in at(f"{path}.declared", declared)]
    for path, name in names:
        yield from matching(path, "tool-name", name, _NAME)
    if len({key(name) for _, name in names}) < len(names):
        # "Duplicate function declaration found: …"
        yield problem("tools", "duplicate-tool", "a function is declared twice")


def _media(request: Json) -> Iterator[str]:
    for _, _, parts in contents(request):
        for path, blob in map(_with_camel, _of(parts, "inlineData")):
            yield from matching(f"{path}.mimeType", "media-type", blob.get("mimeType"), _MEDIA_TYPE)
            yield from base64_text(f"{path}.data", blob.get("data"), url_safe=True)
        for path, file in map(_with_camel, _of(parts, "fileData")):
            if is_blank(file.get("fileUri")):
                yield problem(path, "media-source", "a file has its fileUri")


def _with_camel(found: tuple[str, Json]) -> tuple[str, Json]:
    return found[0], camel(found[1])


def _signatures(request: Json) -> Iterator[str]:
    """In the current turn, the first call of each step has its signature.

    "The first functionCall part in each step of the current turn must include its
    thought_signature"; parallel calls behind the first have none.
    """
    for _, _, parts in current_turn(request):
        called = [part for part in parts if "functionCall" in part.fields]
        if called and is_blank(called[0].fields.get("thoughtSignature")):
            yield problem(called[0].path, "signature", "this call is missing a thought_signature")


def _asks(parts: list[Part]) -> bool:
    return not _of(parts, "functionResponse")
