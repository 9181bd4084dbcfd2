"""Faults in requests to the Responses API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from providers.mutations.table import Request, Table, first, lists, put

TABLE = Table()
PREFIXED = Table()
Item = dict[str, Any]


def _items(request: Request, *kinds: str) -> Iterator[Item]:
    given = request.get("input")
    for item in list(given) if isinstance(given, list) else ():
        if item.get("type", "message") in kinds:
            yield item


def _own(request: Request) -> Iterator[Item]:
    """Items whose partners must be in the request, too."""
    elsewhere = any(request.get(key) for key in ("previous_response_id", "conversation"))
    return iter(()) if elsewhere else _items(request, "function_call")


def _parts(request: Request, kind: str) -> Iterator[Item]:
    for key in ("content", "output"):
        for content in lists(request, "input", key):
            yield from (part for part in content if part.get("type") == kind)


def _images(request: Request) -> Iterator[Item]:
    return (part for part in _parts(request, "input_image") if not part.get("file_id"))


def _add(request: Request, **item: Any) -> bool:
    if isinstance(request.get("input"), list):
        request["input"].append(item)
        return True
    return False


@TABLE.breaks("call-without-result")
def drop_an_output(request: Request) -> bool:
    outputs = {item["call_id"]: item for item in _items(request, "function_call_output")}
    found = (outputs[c["call_id"]] for c in _own(request) if c["call_id"] in outputs)
    return first(found, lambda output: request["input"].remove(output))


@TABLE.breaks("result-without-call")
def drop_a_call(request: Request) -> bool:
    return first(_own(request), lambda call: request["input"].remove(call))


@TABLE.breaks("result-without-call")
def output_before_its_call(request: Request) -> bool:
    def moved(call: Item) -> None:
        request["input"].remove(call)
        request["input"].append(call)

    return first(_own(request), moved)


@TABLE.breaks("result-without-call")
def one_output_twice(request: Request) -> bool:
    def again(call: Item) -> None:
        _add(request, type="function_call_output", call_id=call["call_id"], output="again")

    return first(_own(request), again)


@TABLE.breaks("program")
def program_without_its_fingerprint(request: Request) -> bool:
    return first(_items(request, "program"), put(fingerprint=""))


@TABLE.breaks("program-output")
def output_of_a_program_that_still_runs(request: Request) -> bool:
    return first(_items(request, "program_output"), put(status="in_progress"))


@TABLE.breaks("caller")
def call_of_a_program_that_is_not_there(request: Request) -> bool:
    caller = {"type": "program", "caller_id": "prog_other"}
    return first(_own(request), put(caller=caller))


@TABLE.breaks("call-without-result")
def program_that_was_cut_off(request: Request) -> bool:
    found = _items(request, "program_output")
    return first(found, lambda output: request["input"].remove(output))


@TABLE.breaks("duplicate-id")
def one_item_twice(request: Request) -> bool:
    found = (item for item in _items(request, "reasoning", "message") if item.get("id"))
    return first(found, lambda item: request["input"].append(dict(item)))


@TABLE.breaks("duplicate-call-id")
def one_call_twice(request: Request) -> bool:
    return first(_own(request), lambda call: request["input"].append({**call, "id": None}))


@TABLE.breaks("id-pattern")
def id_too_long(request: Request) -> bool:
    return first((i for i in _items(request, "reasoning") if i.get("id")), put(id="rs_" * 22))


@TABLE.breaks("id-pattern")
def empty_id(request: Request) -> bool:
    return first(_items(request, "function_call"), put(id=""))


@PREFIXED.breaks("id-prefix")
def id_of_another_api(request: Request) -> bool:
    return first(_items(request, "function_call"), put(id="toolu_1"))


@TABLE.breaks("call-id")
def call_id_too_long(request: Request) -> bool:
    return first(_items(request, "function_call"), put(call_id="x" * 65))


@TABLE.breaks("tool-name")
def call_of_a_tool_with_a_dot_in_its_name(request: Request) -> bool:
    return first(_items(request, "function_call"), put(name="fs.read file"))


@TABLE.breaks("tool-name")
def tool_with_a_space_in_its_name(request: Request) -> bool:
    tools = (tool for tool in request.get("tools") or () if tool["type"] == "function")
    return first(tools, put(name="read file"))


@TABLE.breaks("arguments")
def arguments_as_an_object(request: Request) -> bool:
    return first(_items(request, "function_call"), put(arguments={}))


@TABLE.breaks("output")
def output_as_an_object(request: Request) -> bool:
    return first(_items(request, "function_call_output"), put(output={"temperature": 21}))


@TABLE.breaks("reasoning-alone")
def reasoning_without_what_follows(request: Request) -> bool:
    return _add(request, type="reasoning", id="rs_1", summary=[], encrypted_content="c2ln")


@TABLE.breaks("reasoning-alone")
def user_speaks_behind_the_reasoning(request: Request) -> bool:
    def between(item: Item) -> None:
        place = request["input"].index(item) + 1
        request["input"].insert(place, {"role": "user", "content": "?"})

    return first(_items(request, "reasoning"), between)


@TABLE.breaks("reasoning-summary")
def reasoning_without_a_summary(request: Request) -> bool:
    return first(_items(request, "reasoning"), lambda item: item.pop("summary"))


@TABLE.breaks("signature")
def empty_encrypted_reasoning(request: Request) -> bool:
    return first(_items(request, "reasoning"), put(encrypted_content=""))


@TABLE.breaks("signature")
def compaction_without_its_content(request: Request) -> bool:
    return first(_items(request, "compaction"), put(encrypted_content=None))


@TABLE.breaks("role")
def role_of_another_api(request: Request) -> bool:
    return first(_items(request, "message"), put(role="tool"))


@TABLE.breaks("part-type")
def assistant_with_the_users_parts(request: Request) -> bool:
    return _add(request, role="assistant", content=[{"type": "input_text", "text": "hi"}])


@TABLE.breaks("part-type")
def part_of_chat_completions(request: Request) -> bool:
    return _add(request, role="user", content=[{"type": "text", "text": "hi"}])


@TABLE.breaks("part-type")
def output_with_a_part_of_chat_completions(request: Request) -> bool:
    output = [{"type": "text", "text": "21"}]
    return first(_items(request, "function_call_output"), put(output=output))


@TABLE.breaks("content")
def message_without_content(request: Request) -> bool:
    return _add(request, role="user", content=None)


@TABLE.breaks("content")
def text_part_without_text(request: Request) -> bool:
    return _add(request, role="user", content=[{"type": "input_text"}])


@TABLE.breaks("not-empty")
def no_input(request: Request) -> bool:
    elsewhere = any(request.get(key) for key in ("previous_response_id", "conversation"))
    request["input"] = []
    return not elsewhere


@TABLE.breaks("item-type")
def item_of_another_api(request: Request) -> bool:
    return _add(request, type="tool_use", id="toolu_1", name="f", input={})


@TABLE.breaks("url")
def image_without_its_data_url(request: Request) -> bool:
    return first(_images(request), put(image_url="AAAA"))


@TABLE.breaks("media-type")
def image_of_no_web_format(request: Request) -> bool:
    url = "data:image/tiff;base64,AAAA"
    return first(_images(request), put(image_url=url))


@TABLE.breaks("media-type")
def file_of_no_text(request: Request) -> bool:
    files = (part for part in _parts(request, "input_file") if part.get("file_data"))
    return first(files, put(file_data="data:application/zip;base64,AAAA"))


@TABLE.breaks("base64")
def file_that_was_cut(request: Request) -> bool:
    files = (part for part in _parts(request, "input_file") if part.get("file_data"))
    return first(files, put(file_data="data:application/pdf;base64,AAA"))
