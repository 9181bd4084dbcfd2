"""The content types: what a commit may hold.

Each type is a frozen pydantic model with a `content_type`; `Content` is their union. Strings are
validated strictly (bytes and numbers are errors) and unknown fields are refused, so a typo is
an error and not a loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, Strict

from tract.models.base import Value
from tract.protocols.parts import MediaPart, Part

__all__ = [
    "ArtifactContent",
    "Attachment",
    "Content",
    "ContentModel",
    "DialogueContent",
    "FreeformContent",
    "InstructionContent",
    "MessageContent",
    "NativeContent",
    "OutputContent",
    "ReasoningContent",
    "StateContent",
    "ToolIOContent",
    "ToolsContent",
]


class ContentModel(Value):
    """Base of the built-in content types: frozen, strict, no unknown fields."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)


class InstructionContent(ContentModel):
    """What the model is told to be and do; a system message, PINNED by default."""

    content_type: Literal["instruction"] = "instruction"
    text: str


class DialogueContent(ContentModel):
    """Something said by one side of the conversation, optionally by name."""

    content_type: Literal["dialogue"] = "dialogue"
    role: Literal["user", "assistant", "system"]
    text: str
    name: str | None = None


class ToolIOContent(ContentModel):
    """A tool's call or its result.

    For a call, `payload` holds the arguments. A string is kept byte for byte, because
    re-serialising it would break prompt caching; anything else becomes its canonical JSON.
    `call_id` ties a result to its call, and `status` is the result's outcome.
    """

    content_type: Literal["tool_io"] = "tool_io"
    tool_name: str
    direction: Literal["call", "result"]
    payload: Any
    status: Literal["success", "error"] | None = None
    call_id: str | None = None


class ReasoningContent(ContentModel):
    """A model's thinking, kept as an assistant's message."""

    content_type: Literal["reasoning"] = "reasoning"
    text: str


class ArtifactContent(ContentModel):
    """Something made along the way: code, a document, a plan.

    It is shown as the assistant's, unless *role* says otherwise: what was retrieved for the model
    to read is not what the model said.
    """

    content_type: Literal["artifact"] = "artifact"
    artifact_type: str
    content: str
    language: str | None = None
    role: str | None = None


class OutputContent(ContentModel):
    """A final result."""

    content_type: Literal["output"] = "output"
    text: str
    format: Literal["text", "markdown", "json"] = "text"


class FreeformContent(ContentModel):
    """Any JSON value; a string is shown as it is, anything else as its canonical JSON.

    It is shown as the assistant's, unless *role* says otherwise.
    """

    content_type: Literal["freeform"] = "freeform"
    payload: Any
    role: str | None = None


class MessageContent(ContentModel):
    """A message of parts, for any API: text beside images, tool results that hold images."""

    model_config: ClassVar[ConfigDict] = ConfigDict(strict=False)  # its parts may be dicts

    content_type: Literal["message"] = "message"
    role: Annotated[str, Strict()]
    parts: tuple[Part, ...]
    name: Annotated[str, Strict()] | None = None


class NativeContent(ContentModel):
    """An item of an API, kept as it came: a message, an output item, a content.

    `api` is `openai.chat`, `openai.responses`, `anthropic.messages` or `google.generate_content`.
    The item compiles back for that API equal in value. For another one, the parts that it
    consists of are translated. What a request gives beside its list of messages is the fragment of
    the request that holds it: `{"system": …}`, `{"instructions": …}`, `{"systemInstruction": …}`.
    """

    content_type: Literal["native"] = "native"
    api: str
    item: dict[str, Any]


class ToolsContent(ContentModel):
    """The tools that the model has from here on, which replace those of before.

    Each is a definition as an API takes it, kept as it came. `api` names that API.
    """

    content_type: Literal["tools"] = "tools"
    api: str
    tools: list[dict[str, Any]]


class StateContent(ContentModel):
    """A program's state, such as a checkpoint: kept in the history, and never shown to a model.

    `payload` is any JSON value, and may hold `bytes` wherever it could hold a string. They are
    stored as attachments, and come back as bytes.
    """

    content_type: Literal["state"] = "state"
    payload: Any


Content = Annotated[
    InstructionContent
    | DialogueContent
    | ToolIOContent
    | ReasoningContent
    | ArtifactContent
    | OutputContent
    | FreeformContent
    | MessageContent
    | NativeContent
    | ToolsContent
    | StateContent,
    Field(discriminator="content_type"),
]
"""Any built-in content, told apart by `content_type`."""


_Kind = Literal["image", "audio", "video", "document"]
_KINDS: dict[str, _Kind] = {"image": "image", "audio": "audio", "video": "video"}


@dataclass(frozen=True, slots=True)
class Attachment:
    """Bytes that a tract was given; contents refer to them by their hash.

    `size` is in bytes. `width` and `height` are in pixels, for images whose header says them.
    """

    sha256: str
    media_type: str
    size: int
    width: int | None = None
    height: int | None = None

    def part(
        self,
        kind: Literal["image", "audio", "video", "document"] | None = None,
        *,
        name: str | None = None,
    ) -> MediaPart:
        """Return a part of a message that refers to the bytes; the media type implies the *kind*.

        Args:
            kind: what the bytes are; what is neither image, audio nor video is a document.
            name: a file name or a title.
        """
        implied: _Kind = _KINDS.get(self.media_type.partition("/")[0].lower(), "document")
        return MediaPart(
            kind=kind or implied,
            media_type=self.media_type,
            attachment=self.sha256,
            name=name,
            width=self.width,
            height=self.height,
        )
