"""The kinds of items and content blocks that the Responses API has."""

from __future__ import annotations

import re
from typing import Any, Final

from tract.formats.format import Json, Rules

__all__ = [
    "ANSWERED_BY",
    "API",
    "BLOCKS",
    "CLIENT_TOOLS",
    "FROM_THE_MODEL",
    "INPUT_BLOCKS",
    "ITEMS",
    "OUTPUTS",
    "PREFIXES",
    "ROLES",
    "RULES",
    "SERVER_TOOLS",
    "is_for_client",
    "is_fragment",
    "is_from_the_model",
    "kind_of",
]

API: Final = "openai.responses"

# "Invalid 'input[95].call_id': string too long. Expected a string with maximum length 64"
RULES = Rules(id_refused=re.compile(r"(?!)"))
"""An id of a call may have any characters."""

ROLES = frozenset({"assistant", "developer", "system", "user"})
INPUT_BLOCKS = frozenset({"input_audio", "input_file", "input_image", "input_text"})
BLOCKS = INPUT_BLOCKS | {"output_text", "reasoning_text", "refusal", "summary_text", "text"}

CLIENT_TOOLS = {
    "apply_patch_call": "apply_patch",
    "computer_call": "computer",
    "shell_call": "shell",
    "tool_search_call": "tool_search",
}
"""Calls of the API's own tools that the caller runs, or may run, and the names of the tools."""

SERVER_TOOLS = {
    "code_interpreter_call": "code_interpreter",
    "file_search_call": "file_search",
    "image_generation_call": "image_generation",
    "local_shell_call": "local_shell",
    "mcp_call": "mcp",
    "program": "program",
    "web_search_call": "web_search",
}
"""Calls that nobody answers in a request, or whose answer does not say by `call_id` what it is of."""

ANSWERED_BY: dict[str, tuple[str, ...]] = {
    "apply_patch_call": ("apply_patch_call_output",),
    "computer_call": ("computer_call_output",),
    "custom_tool_call": ("custom_tool_call_output",),
    "function_call": ("function_call_output",),
    "shell_call": ("shell_call_output",),
    "tool_search_call": ("tool_search_output", "function_call_output"),
}
"""What answers each call, by `call_id`; the first is what the API's own tools answer with."""

OUTPUTS: frozenset[str] = frozenset(
    output for outputs in ANSWERED_BY.values() for output in outputs
)

# "Invalid 'input[91].id': 'fc_…'. Expected an ID that begins with 'ctc'."
PREFIXES = {
    "code_interpreter_call": "ci",
    "compaction": "cmp",
    "custom_tool_call": "ctc",
    "file_search_call": "fs",
    "function_call": "fc",
    "image_generation_call": "ig",
    "mcp_call": "mcp",
    "mcp_list_tools": "mcpl",
    "message": "msg",
    "reasoning": "rs",
    "tool_search_call": "tsc",
    "tool_search_output": "tso",
    "web_search_call": "ws",
}
"""How ids begin that OpenAI gave."""

FROM_THE_MODEL: frozenset[str] = frozenset(
    {
        *ANSWERED_BY,
        *SERVER_TOOLS,
        "compaction",
        "mcp_approval_request",
        "mcp_list_tools",
        "reasoning",
    }
)
"""Items that the model makes, beside its messages."""

ITEMS: frozenset[str] = (
    FROM_THE_MODEL
    | OUTPUTS
    | {
        "additional_tools",
        "compaction_trigger",
        "configuration_update",
        "item_reference",
        "local_shell_call_output",
        "mcp_approval_response",
        "message",
        "program_output",
    }
)


def kind_of(item: Json) -> str:
    """Return an item's type; messages and references may go without."""
    kind = item.get("type")
    if isinstance(kind, str):
        return kind
    return "message" if "role" in item or "content" in item else "item_reference"


def is_fragment(item: Json) -> bool:
    """Return True if *item* is what a request gives beside its input."""
    return item.keys() == {"instructions"}


def is_from_the_model(item: Json) -> bool:
    """Return True if the model made an item, or may have made it."""
    kind = kind_of(item)
    return kind in FROM_THE_MODEL or (kind == "message" and item.get("role") == "assistant")


def is_for_client(item: Json, call_id: Any) -> bool:
    """Return True if a tool search is one that the caller runs; others always are."""
    is_search = kind_of(item) in ("tool_search_call", "tool_search_output")
    return not is_search or (item.get("execution") != "server" and isinstance(call_id, str))
