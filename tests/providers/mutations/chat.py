"""Faults in requests to Chat Completions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from providers.mutations.table import Request, Table, first, lists, put

TABLE = Table()
MISTRAL = Table()
DEEPSEEK = Table()


def _said(request: Request, role: str) -> Iterator[dict[str, Any]]:
    return (message for message in request["messages"] if message["role"] == role)


def _calls(request: Request) -> Iterator[dict[str, Any]]:
    for calls in lists(request, "messages", "tool_calls"):
        yield from calls


def _parts(request: Request, kind: str) -> Iterator[dict[str, Any]]:
    for content in lists(request, "messages", "content"):
        yield from (part for part in content if part.get("type") == kind)


def _say(request: Request, **message: Any) -> bool:
    request["messages"].append(message)
    return True


@TABLE.breaks("call-without-result")
def drop_a_result(request: Request) -> bool:
    return first(_said(request, "tool"), request["messages"].remove)


@TABLE.breaks("call-without-result")
def user_speaks_before_the_result(request: Request) -> bool:
    def before(result: dict[str, Any]) -> None:
        place = request["messages"].index(result)
        request["messages"].insert(place, {"role": "user", "content": "Still there?"})

    return first(_said(request, "tool"), before)


@TABLE.breaks("result-without-call")
def drop_a_call(request: Request) -> bool:
    return first(lists(request, "messages", "tool_calls"), lambda calls: calls.pop())


@TABLE.breaks("result-without-call")
def result_of_another_call(request: Request) -> bool:
    return first(_said(request, "tool"), put(tool_call_id="call_of_yesterday"))


@TABLE.breaks("duplicate-result")
def one_result_twice(request: Request) -> bool:
    def again(result: dict[str, Any]) -> None:
        request["messages"].insert(request["messages"].index(result), dict(result))

    return first(_said(request, "tool"), again)


@TABLE.breaks("duplicate-id")
def one_id_for_two_calls(request: Request) -> bool:
    def again(calls: list[Any]) -> None:
        calls.append(dict(calls[0]))

    return first((c for c in lists(request, "messages", "tool_calls") if c), again)


@TABLE.breaks("id-pattern")
def id_too_long(request: Request) -> bool:
    return first(_calls(request), put(id="x" * 65))


@TABLE.breaks("id-pattern")
def call_without_id(request: Request) -> bool:
    return first(_calls(request), put(id=None))


@TABLE.breaks("tool-name")
def call_of_a_tool_with_a_dot_in_its_name(request: Request) -> bool:
    return first((call["function"] for call in _calls(request)), put(name="fs.read file"))


@TABLE.breaks("tool-name")
def tool_with_65_letters(request: Request) -> bool:
    tools = (tool["function"] for tool in request.get("tools") or () if "function" in tool)
    return first(tools, put(name="x" * 65))


@TABLE.breaks("tool-name")
def legacy_call_with_a_space_in_its_name(request: Request) -> bool:
    calls = (
        message["function_call"] for message in request["messages"] if "function_call" in message
    )
    return first(calls, put(name="read file"))


@TABLE.breaks("arguments")
def arguments_as_an_object(request: Request) -> bool:
    return first((call["function"] for call in _calls(request)), put(arguments={}))


@TABLE.breaks("call-type")
def call_of_another_api(request: Request) -> bool:
    return first(_calls(request), put(type="tool_use"))


@TABLE.breaks("name-pattern")
def name_with_a_space(request: Request) -> bool:
    return first(_said(request, "user"), put(name="Ann Lee"))


@TABLE.breaks("function-name")
def result_of_an_unnamed_function(request: Request) -> bool:
    return _say(request, role="function", content="21")


@TABLE.breaks("role")
def role_of_another_api(request: Request) -> bool:
    return first(iter(request["messages"]), put(role="model"))


@TABLE.breaks("role")
def user_calls_a_tool(request: Request) -> bool:
    return first(_said(request, "user"), put(tool_calls=[]))


@TABLE.breaks("content")
def assistant_says_nothing(request: Request) -> bool:
    return _say(request, role="assistant", content=None)


@TABLE.breaks("content")
def text_part_without_text(request: Request) -> bool:
    return _say(request, role="user", content=[{"type": "text"}])


@TABLE.breaks("not-empty")
def no_messages(request: Request) -> bool:
    request["messages"] = []
    return True


@TABLE.breaks("not-empty")
def no_calls(request: Request) -> bool:
    return _say(request, role="assistant", content="hi", tool_calls=[])


@TABLE.breaks("not-empty")
def no_parts(request: Request) -> bool:
    return _say(request, role="user", content=[])


@TABLE.breaks("part-type")
def part_of_another_api(request: Request) -> bool:
    return _say(request, role="user", content=[{"type": "input_text", "text": "hi"}])


@TABLE.breaks("part-type")
def result_with_an_image(request: Request) -> bool:
    image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    return first(_said(request, "tool"), put(content=[image]))


@TABLE.breaks("media-type")
def image_of_no_web_format(request: Request) -> bool:
    url = "data:image/tiff;base64,AAAA"
    return first(_parts(request, "image_url"), put(image_url={"url": url}))


@TABLE.breaks("base64")
def image_that_was_cut(request: Request) -> bool:
    url = "data:image/png;base64,AAA"
    return first(_parts(request, "image_url"), put(image_url={"url": url}))


@TABLE.breaks("url")
def image_without_its_data_url(request: Request) -> bool:
    return first(_parts(request, "image_url"), put(image_url={"url": "AAAA"}))


@TABLE.breaks("media-type")
def audio_in_a_format_of_video(request: Request) -> bool:
    audio = {"format": "mp4", "data": "AAAA"}
    return first(_parts(request, "input_audio"), put(input_audio=audio))


@TABLE.breaks("media-source")
def file_with_a_name_alone(request: Request) -> bool:
    return first(_parts(request, "file"), put(file={"filename": "a.pdf"}))


@MISTRAL.breaks("id-pattern")
def id_of_openai(request: Request) -> bool:
    return first(_calls(request), put(id="call_0fypS1hVX"))


@MISTRAL.breaks("role-order")
def user_speaks_after_a_tool(request: Request) -> bool:
    last = request["messages"][-1]["role"] == "tool"
    return last and _say(request, role="user", content="And?")


@MISTRAL.breaks("last-role")
def assistant_speaks_last(request: Request) -> bool:
    return _say(request, role="assistant", content="Well")


@DEEPSEEK.breaks("reasoning-dropped")
def reasoning_of_a_call_dropped(request: Request) -> bool:
    calling = (message for message in request["messages"] if message.get("tool_calls"))
    return first(calling, lambda message: message.pop("reasoning_content", None))
