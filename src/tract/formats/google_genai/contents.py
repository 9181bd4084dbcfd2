"""Contents of the API as the contents to commit."""

from __future__ import annotations

import base64
import enum
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from tract.exceptions import ContentValidationError
from tract.formats.common.shorts import Short, answered, called, instructed, said, shortened
from tract.formats.format import Json, as_json
from tract.formats.google_genai.kinds import API, data_of, field, is_fragment, key_of
from tract.formats.google_genai.replies import part_as_sent
from tract.formats.google_genai.writing import write
from tract.history.canonical import canonical_json
from tract.models.content import ContentModel, ToolsContent

__all__ = ["contents", "from_google"]

_CONTENT = {"parts", "role"}


def from_google(
    contents: object,
    *,
    system_instruction: object = None,
    tools: object = None,
) -> list[ContentModel]:
    """Return the contents to commit for the arguments of google-genai's `generate_content`.

    The system instruction comes first, then the tools, then one content for each of *contents*, or
    its short form where that says the same. All that the SDK takes is taken: texts, parts and
    contents, as dicts or as its own objects, alone or in a list. Dicts come back as they are given,
    in camel case or in snake case; objects become the JSON that the API itself uses.

    Raises:
        ContentValidationError: an item is none of those, or holds what JSON cannot. Its `path`
            says where, such as `contents[3].parts[0]`.
    """
    made: list[ContentModel] = []
    if system_instruction is not None:
        made += _contents([{"systemInstruction": _given_instruction(system_instruction)}])
    if tools is not None:
        made.append(ToolsContent(api=API, tools=_given_tools(tools)))
    return made + _contents(_given_contents(contents))


def contents(items: Sequence[Json]) -> list[ContentModel]:
    """Return the contents to commit for *items*, in order."""
    return shortened(items, API, write, _short, _arguments)


_contents = contents


def _arguments(item: Json) -> Json:
    if not is_fragment(item):
        return {"contents": [item]}
    return {"contents": [], "config": {"system_instruction": item.get("systemInstruction")}}


def _short(item: Json) -> Short | None:
    """Return the short content that may say the same as *item*."""
    if is_fragment(item):
        return instructed(item.get("systemInstruction"))
    parts = item.get("parts")
    part = parts[0] if isinstance(parts, list) and len(parts) == 1 else None
    if not isinstance(part, dict) or len(part) != 1:
        return None
    match item.get("role"), next(iter(part)):
        case "user", "text" if part["text"]:  # an empty text of another origin is not sent
            return said("user", part["text"])
        case "model", "text" if part["text"]:
            return said("assistant", part["text"])
        case "model", "functionCall":
            return _called(part["functionCall"])
        case "user", "functionResponse":
            return _answered(part["functionResponse"])
    return None


def _called(call: Any) -> Short | None:
    if not isinstance(call, dict) or not isinstance(call.get("args"), dict):
        return None
    return called(call.get("id"), call.get("name"), call["args"])


def _answered(result: Any) -> Short | None:
    response = result.get("response") if isinstance(result, dict) else None
    if not isinstance(response, dict) or len(response) != 1:
        return None
    failed = "error" in response
    text = response.get("error" if failed else "output")
    return answered(result.get("id"), result.get("name"), text, failed=failed)


def _given_contents(contents: object, path: str = "contents") -> list[Json]:
    """Return contents as JSON objects.

    Dicts stay as they are. Texts and parts become contents the way the SDK sends them: those that
    follow each other are one content, of the model if they call functions, else of the user.

    Raises:
        ContentValidationError: one is none of what the SDK takes, or holds what JSON cannot.
    """
    if not isinstance(contents, (list, tuple)):
        if isinstance(contents, Iterable) and not _is_one(contents):
            contents = list(contents)
        else:
            contents = [contents]
    found = [_given(each, f"{path}[{index}]") for index, each in enumerate(contents)]
    items: list[Json] = []
    for side, run in groupby(found, key=_side):
        given = [item for item, _ in run]
        items += given if side is None else [{"role": side, "parts": given}]
    return items


def _given_instruction(instruction: object, path: str = "system_instruction") -> Any:
    """Return a system instruction as JSON: a text, a content, a part, or a list of those."""
    plain = _plain(instruction, path)
    if not isinstance(plain, (str, dict, list)):
        raise _refused(instruction, path)
    canonical_json(plain, path, surrogates=True)
    return plain


def _given_tools(tools: object, path: str = "tools") -> list[Json]:
    """Return tool definitions as JSON objects; a single one is a list of one, as the API has it."""
    one = isinstance(tools, Mapping) or hasattr(type(tools), "model_dump")
    listed = [tools] if one or not isinstance(tools, Iterable) else list(tools)
    found = []
    for index, tool in enumerate(listed):
        plain = _plain(tool, f"{path}[{index}]")
        if not isinstance(plain, dict):
            raise ContentValidationError(
                f"a {type(tool).__name__} is not a tool definition; give a dict or a `types.Tool`",
                f"{path}[{index}]",
            )
        canonical_json(plain, f"{path}[{index}]", surrogates=True)
        found.append(plain)
    return found


def _is_one(given: object) -> bool:
    return isinstance(given, (str, bytes, Mapping)) or hasattr(type(given), "model_dump")


def _given(value: object, path: str) -> tuple[Json, bool]:
    """Return what stands in a list of contents, and True if it is a part."""
    if isinstance(value, str):
        plain: Any = {"text": str.__str__(value)}
    elif isinstance(value, (list, tuple)):
        parts = [_given(each, f"{path}[{index}]") for index, each in enumerate(value)]
        if not all(is_part for _, is_part in parts):
            raise ContentValidationError("a list in the list of contents has parts only", path)
        return {"role": "user", "parts": [part for part, _ in parts]}, False
    else:
        plain = _plain(value, path)
    if not isinstance(plain, dict):
        raise _refused(value, path)
    canonical_json(plain, path, surrogates=True)
    return _as_part(plain)


def _as_part(plain: Json) -> tuple[Json, bool]:
    if plain.keys() & _CONTENT or not plain:
        return plain, False
    uri = field(plain, "uri") or field(plain, "fileUri")
    if not data_of(plain) and isinstance(uri, str):  # `types.File` or `types.FileData`
        file = {"fileUri": uri, "mimeType": field(plain, "mimeType")}
        return {"fileData": {key: value for key, value in file.items() if value}}, True
    return plain, bool(data_of(plain))


def _side(given: tuple[Json, bool]) -> str | None:
    """Return whose content a part becomes; None for what is a content already."""
    part, is_part = given
    if not is_part:
        return None
    return "model" if key_of(part, "functionCall") else "user"


def _plain(value: Any, path: str) -> Any:
    """Return *value* with the SDK's objects in it as dicts, and bytes as base64."""
    if isinstance(value, (bytes, bytearray)):
        return base64.urlsafe_b64encode(value).decode("ascii")  # as the SDK sends them
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (list, tuple)):
        return [_plain(each, f"{path}[{index}]") for index, each in enumerate(value)]
    try:
        found = as_json(value)
    except Exception as error:  # a foreign class may raise anything
        problem = f"could not be read ({type(error).__name__}). Use dicts with string keys"
        raise ContentValidationError(problem, path) from error
    if found is None:
        return value
    plain = {key: _plain(each, f"{path}.{key}") for key, each in found.items()}
    return plain if isinstance(value, Mapping) else _of_object(value, plain)


def _of_object(value: object, plain: Json) -> Json:
    """Return an SDK's object without what is not set, but with the role that is its class's own."""
    if isinstance(plain.get("parts"), list):
        plain = {**plain, "parts": [part_as_sent(part) for part in plain["parts"]]}
    role = getattr(value, "role", None)  # `types.ModelContent` has its role as a default
    made: Json = part_as_sent(plain)
    return {**made, "role": role} if isinstance(role, str) else made


def _refused(value: object, path: str) -> ContentValidationError:
    return ContentValidationError(
        f"must be a JSON object, a text or the SDK's own object, not {type(value).__name__}", path
    )
