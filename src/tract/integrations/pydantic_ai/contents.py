"""What commits hold: entries and records of pydantic-ai, as its own JSON.

JSON is kept as text, so that the arguments of a tool call keep the order of their members, and a
field that only a later release knows stays. `render_version` changes with the messages.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter
from pydantic_ai.conversation_store import ConversationEntry, ConversationRecord

from tract.integrations.pydantic_ai.messages import messages_of
from tract.models.config import ContentType
from tract.protocols import Message
from tract.protocols.parts import Native

__all__ = [
    "CONTENT_TYPES",
    "ENTRIES",
    "ENTRY",
    "RECORDS",
    "PydanticAIEntry",
    "PydanticAIRecord",
]

ENTRY = "pydantic_ai.entry"
_RECORD = "pydantic_ai.record"
_AS_THEIRS = ConfigDict(  # as `ModelMessagesTypeAdapter` has it, and NaN stays NaN
    ser_json_bytes="base64", val_json_bytes="base64", ser_json_inf_nan="constants"
)

ENTRIES: TypeAdapter[list[ConversationEntry]] = TypeAdapter(
    list[ConversationEntry], config=_AS_THEIRS
)
RECORDS: TypeAdapter[list[ConversationRecord]] = TypeAdapter(
    list[ConversationRecord], config=_AS_THEIRS
)


class PydanticAIEntry(BaseModel):
    """A `ConversationEntry`."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)
    render_version: ClassVar[int] = 1

    content_type: Literal["pydantic_ai.entry"] = "pydantic_ai.entry"
    entry: str

    def to_messages(self) -> list[Message]:
        """Return what a model gets; the first message carries the entry itself."""
        return messages_of(self.entry, Native(ENTRY, self.entry))


class PydanticAIRecord(BaseModel):
    """A `ConversationRecord`."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    content_type: Literal["pydantic_ai.record"] = "pydantic_ai.record"
    record: str


CONTENT_TYPES: Mapping[str, ContentType] = {
    ENTRY: ContentType(PydanticAIEntry),
    _RECORD: ContentType(PydanticAIRecord, state=True),
}
"""Register these in a program that reads a store without a `TractConversationStore`."""
