"""What callers give as contents, in all the forms that the SDK takes, as JSON values."""

from __future__ import annotations

import base64
import enum
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

from tract.exceptions import ContentValidationError
from tract.formats.format import Json, as_json
from tract.formats.google_genai.kinds import data_of, field, key_of
from tract.formats.google_genai.replies import part_as_sent
from tract.history.canonical import canonical_json

__all__ = ["given_contents", "given_instruction", "given_tools"]

_CONTENT = {"parts", "role"}


def given_contents(contents: object, path: str = "contents") -> list[Json]:
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


def given_instruction(instruction: object, path: str = "system_instruction") -> Any:
    """Return a system instruction as JSON: a text, a content, a part, or a list of those."""
    plain = _plain(instruction, path)
    if not isinstance(plain, (str, dict, list)):
        raise _refused(instruction, path)
    canonical_json(plain, path, surrogates=True)
    return plain


def given_tools(tools: object, path: str = "tools") -> list[Json]:
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
