"""Faults in requests to Gemini's generateContent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from providers.mutations.table import Request, Table, first, lists, put

TABLE = Table()
SIGNING = Table()
Part = dict[str, Any]


def _parts(request: Request, *keys: str) -> Iterator[Part]:
    for parts in lists(request, "contents", "parts"):
        yield from (part for part in parts if any(key in part for key in keys))


def _calls(request: Request) -> Iterator[Part]:
    for part in _parts(request, "functionCall", "function_call"):
        yield part.get("functionCall") or part["function_call"]


def _results(request: Request) -> Iterator[Part]:
    for part in _parts(request, "functionResponse", "function_response"):
        yield part.get("functionResponse") or part["function_response"]


def _contents_of(request: Request, *keys: str) -> Iterator[tuple[int, list[Part]]]:
    for n, content in enumerate(request["contents"]):
        if any(key in part for part in content["parts"] for key in keys):
            yield n, content["parts"]


def _media(request: Request, *keys: str) -> Iterator[Part]:
    for part in _parts(request, *keys):
        yield next(part[key] for key in keys if key in part)


@TABLE.breaks("call-without-result")
def drop_a_result(request: Request) -> bool:
    found = _contents_of(request, "functionResponse", "function_response")
    return first(found, lambda pair: pair[1].pop())


@TABLE.breaks("call-without-result")
def one_result_twice(request: Request) -> bool:
    found = _contents_of(request, "functionResponse", "function_response")
    return first(found, lambda pair: pair[1].append(dict(pair[1][0])))


@TABLE.breaks("call-without-result")
def model_speaks_before_the_result(request: Request) -> bool:
    late = [{"role": "user", "parts": [{"text": "?"}]}, {"role": "model", "parts": [{"text": "!"}]}]

    def between(pair: tuple[int, list[Part]]) -> None:
        request["contents"][pair[0] : pair[0]] = late

    return first(_contents_of(request, "functionResponse", "function_response"), between)


@TABLE.breaks("result-without-call")
def drop_the_calls(request: Request) -> bool:
    called = [pair[0] for pair in _contents_of(request, "functionCall", "function_call")]
    for n in reversed(called):
        del request["contents"][n]
    return called != []


@TABLE.breaks("result-order")
def results_in_another_order(request: Request) -> bool:
    found = _contents_of(request, "functionResponse")
    several = (
        parts
        for _, parts in found
        if len({part["functionResponse"]["name"] for part in parts if "functionResponse" in part})
        > 1
    )
    return first(several, list.reverse)


@TABLE.breaks("result-order")
def result_of_another_function(request: Request) -> bool:
    return first(_results(request), put(name="another"))


@TABLE.breaks("result-order")
def result_with_another_id(request: Request) -> bool:
    def with_ids(call: Part) -> None:
        call["id"] = "call_1"
        next(_results(request))["id"] = "call_2"

    return any(_results(request)) and first(_calls(request), with_ids)


@TABLE.breaks("results-alone")
def text_beside_a_result(request: Request) -> bool:
    found = _contents_of(request, "functionResponse", "function_response")
    return first(found, lambda pair: pair[1].append({"text": "And now?"}))


@TABLE.breaks("call-turn")
def conversation_starts_with_a_call(request: Request) -> bool:
    found = _contents_of(request, "functionCall", "function_call")

    def cut(pair: tuple[int, list[Part]]) -> None:
        del request["contents"][: pair[0]]

    return first(found, cut)


@TABLE.breaks("role")
def role_of_another_api(request: Request) -> bool:
    return first(iter(request["contents"]), put(role="assistant"))


@TABLE.breaks("role")
def user_calls_a_function(request: Request) -> bool:
    found = _contents_of(request, "functionCall", "function_call")
    return first(found, lambda pair: request["contents"][pair[0]].update(role="user"))


@TABLE.breaks("last-role")
def model_speaks_last(request: Request) -> bool:
    request["contents"].append({"role": "model", "parts": [{"text": "Well"}]})
    return True


@TABLE.breaks("not-empty")
def no_contents(request: Request) -> bool:
    request["contents"] = []
    return True


@TABLE.breaks("not-empty")
def content_without_parts(request: Request) -> bool:
    return first(iter(request["contents"]), put(parts=[]))


@TABLE.breaks("part-data")
def empty_part(request: Request) -> bool:
    return first(lists(request, "contents", "parts"), lambda parts: parts.append({}))


@TABLE.breaks("part-data")
def part_with_two_data(request: Request) -> bool:
    return first(_parts(request, "functionCall", "function_call"), put(text="hi"))


@TABLE.breaks("blank-text")
def blank_system_instruction(request: Request) -> bool:
    request["systemInstruction"] = {"parts": [{"text": ""}]}
    return True


@TABLE.breaks("tool-name")
def call_with_a_space_in_its_name(request: Request) -> bool:
    return first(_calls(request), put(name="read file"))


@TABLE.breaks("tool-name")
def function_whose_name_begins_with_a_digit(request: Request) -> bool:
    return first(_declarations(request), lambda declared: declared[0].update(name="2nd"))


@TABLE.breaks("duplicate-tool")
def one_function_twice(request: Request) -> bool:
    return first(_declarations(request), lambda declared: declared.append(dict(declared[0])))


def _declarations(request: Request) -> Iterator[list[Part]]:
    for key in ("functionDeclarations", "function_declarations"):
        yield from lists(request, "tools", key)


@TABLE.breaks("arguments")
def arguments_as_text(request: Request) -> bool:
    return first(_calls(request), put(args="{}"))


@TABLE.breaks("arguments")
def response_as_text(request: Request) -> bool:
    return first(_results(request), put(response="21"))


@TABLE.breaks("media-type")
def media_of_no_type(request: Request) -> bool:
    found = _media(request, "inlineData", "inline_data")
    return first(found, put(mimeType="png"))


@TABLE.breaks("base64")
def media_as_a_data_url(request: Request) -> bool:
    found = _media(request, "inlineData", "inline_data")
    return first(found, put(data="data:image/png;base64,AAAA"))


@TABLE.breaks("media-source")
def file_from_nowhere(request: Request) -> bool:
    return first(_media(request, "fileData", "file_data"), put(fileUri="", file_uri=""))


@TABLE.breaks("base64")
def cut_signature(request: Request) -> bool:
    def cut(part: Part) -> None:
        key = "thoughtSignature" if "thoughtSignature" in part else "thought_signature"
        part[key] = part[key][:-1]

    return first(_parts(request, "thoughtSignature", "thought_signature"), cut)


@SIGNING.breaks("signature")
def stripped_signature(request: Request) -> bool:
    current = [n for n, _ in _contents_of(request, "functionCall", "function_call")][-1:]
    if not current or current[0] != len(request["contents"]) - 2:
        return False
    part = request["contents"][current[0]]["parts"][0]
    return bool(part.pop("thoughtSignature", None) or part.pop("thought_signature", None))
