"""Token counters: the formula for message lists, and tiktoken's vocabulary behind it."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeGuard

import tiktoken

from tract.engine.tokens.media import media_tokens
from tract.engine.tokens.vocabulary import encoding_names, load_encoding, loaded_encoding
from tract.protocols import Message, TokenCounter
from tract.protocols.parts import MediaPart

__all__ = [
    "UNTRUSTED",
    "BaseTokenCounter",
    "NullTokenCounter",
    "TiktokenCounter",
    "counter_source",
    "is_a_sum",
]

UNTRUSTED: Final = "counter:"
"""The prefix of sources that are only a class name: the class may count otherwise by now."""

DEFAULT_ENCODING: Final = "o200k_base"

PROVEN_ENCODINGS: Final = frozenset({"cl100k_base", "o200k_base", "o200k_harmony"})
"""Encodings for which `ONE_TOKEN_ROLES` and `joins_cleanly` were proven to hold."""

ONE_TOKEN_ROLES: Final = frozenset({"system", "user", "assistant", "tool"})
"""Roles that are one token each in the proven encodings, and need no vocabulary."""

SAFE_CHARS: Final = 200_000
"""Texts of up to this length never make tiktoken's regular expressions overflow their stack."""

_MEMO_SIZE = 1024
_MEMO_CHARS = 64

# Where a text can be cut without changing its tokens: see `TiktokenCounter.joins_cleanly` for
# the line break. No piece continues across a space that follows a non-whitespace character,
# either: in the proven patterns, whitespace other than line breaks only starts a piece or forms
# one of its own. U+180E was whitespace in earlier versions of Unicode.
_CUT = r"(?:(?<=\n)(?=[^\s/\u180e])|(?<=\S)(?= ))"
_NEXT_CUT = re.compile(_CUT)
_LAST_CUT = re.compile(r"(?s:.+)" + _CUT)


class BaseTokenCounter(ABC):
    """Base of counters that count a message list as the sum over its messages.

    A message costs `tokens_per_message`, its role, its content, its name plus `tokens_per_name` if
    it has one, and the name and arguments of each tool call. The list costs `tokens_for_reply` on
    top. A counter may be called from several threads at a time.

    A subclass that changes how texts are counted does not inherit `joins_cleanly` and `source`.
    Unless it defines them too, `joins_cleanly` is always False, and `source` is `counter:` and the
    class name. Later openings reuse stored counts only if `source` is defined.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        own = vars(cls)  # defaults for the class are assigned below, for which checks are silenced
        if own.keys() & {"count_text", "count_body", "count_media", "_count_word"}:
            if "joins_cleanly" not in own:
                cls.joins_cleanly = BaseTokenCounter.joins_cleanly  # type: ignore[method-assign]
            if "source" not in own:
                cls.source = property(_name_of_class)  # type: ignore[method-assign,assignment]

    tokens_per_message: int = 3
    tokens_per_name: int = 1
    tokens_for_reply: int = 3

    @property
    @abstractmethod
    def source(self) -> str:
        """The counter's name in `token_source`."""

    @abstractmethod
    def count_text(self, text: str) -> int:
        """Return the tokens of *text*; special tokens in it count as plain text."""

    @property
    def ready(self) -> bool:
        """Whether counting can start without loading anything."""
        return True

    def load(self) -> None:  # noqa: B027  (most counters have nothing to load)
        """Load what counting needs. This blocks; calling it again does nothing."""

    def joins_cleanly(self, text: str) -> bool:
        r"""Whether *text* adds its own tokens after any blank line.

        True promises that `count_text(a + "\n\n" + text)` is
        `count_text(a + "\n\n") + count_text(text)` for every string *a*. False promises nothing.
        """
        return False

    def count_overhead(self, role: str, name: str | None) -> int:
        """Return the tokens of a message apart from its content and tool calls."""
        tokens = self.tokens_per_message + self._count_word(role)
        if name is not None:
            tokens += self._count_word(name) + self.tokens_per_name
        return tokens

    def count_body(self, message: Message) -> int:
        """Return the tokens of a message's content and of its tool calls."""
        tokens = 0 if message.content is None else self.count_text(message.content)
        for call in message.tool_calls:
            tokens += self._count_word(call.name) + self.count_text(call.arguments)
        return tokens

    def count_media(self, part: MediaPart, api: str | None = None) -> int | None:
        """Return the tokens of media that are sent to *api*; None if they cannot be counted.

        By default, an image of known size costs what its provider's published formula says: that
        of Anthropic or Google for their APIs, otherwise OpenAI's.
        """
        return media_tokens(part, api)

    def count_messages(self, messages: Sequence[dict[str, Any]]) -> int:
        """Return the tokens of messages in the shape of `Message.to_dict()`.

        An empty list counts 0, because there is no call without messages.
        """
        if not messages:
            return 0
        return self.tokens_for_reply + sum(map(self._count_message, messages))

    def _count_message(self, message: dict[str, Any]) -> int:
        tokens = self.count_overhead(message["role"], message.get("name"))
        content = message.get("content")
        if content is not None:
            tokens += self.count_text(content)
        for call in message.get("tool_calls") or ():
            function = call["function"]
            tokens += self._count_word(function["name"]) + self.count_text(function["arguments"])
        return tokens

    def _count_word(self, text: str) -> int:
        """Count a role or a name; these recur, so a counter may cache them."""
        return self.count_text(text)


class TiktokenCounter(BaseTokenCounter):
    """Counts as OpenAI's models do, with one of tiktoken's encodings.

    Creating a counter loads nothing: the first count or `load()` loads the vocabulary. Tiktoken
    cannot encode a stretch of more than `SAFE_CHARS` characters without a space or line break, so
    such texts are counted in parts.

    Args:
        encoding_name: the name of the encoding; `o200k_base` if neither argument is given.
        model: the name of a model, whose encoding is used.

    Raises:
        ValueError: the encoding or model is unknown, or both are given.
        TokenizerUnavailableError: when counting or loading, the vocabulary is not available.
    """

    def __init__(self, encoding_name: str | None = None, *, model: str | None = None) -> None:
        if encoding_name is not None and model is not None:
            raise ValueError("Give either `encoding_name` or `model`, not both.")
        if model is not None:
            encoding_name = _encoding_of(model)
        elif encoding_name is None:
            encoding_name = DEFAULT_ENCODING
        if encoding_name not in encoding_names():
            raise ValueError(
                f"Unknown encoding: {encoding_name!r}. Use one of: {', '.join(encoding_names())}."
            )
        self.encoding_name = encoding_name
        self._proven = encoding_name in PROVEN_ENCODINGS
        self._words = dict.fromkeys(ONE_TOKEN_ROLES, 1) if self._proven else {}
        self._encoding: tiktoken.Encoding | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.encoding_name!r})"

    @property
    def source(self) -> str:
        return f"tiktoken:{self.encoding_name}"

    @property
    def ready(self) -> bool:
        return self._encoding is not None or loaded_encoding(self.encoding_name) is not None

    def load(self) -> None:
        self._load()

    def _load(self) -> tiktoken.Encoding:
        self._encoding = encoding = load_encoding(self.encoding_name)
        return encoding

    def count_text(self, text: str) -> int:
        encoding = self._encoding or self._load()
        if len(text) <= SAFE_CHARS:
            return len(encoding.encode_ordinary(text))
        parts = _parts(text) if self._proven else (text,)
        return sum(_count_part(encoding, part) for part in parts)

    def joins_cleanly(self, text: str) -> bool:
        r"""Whether *text* adds its own tokens after any blank line.

        It does in the proven encodings if its first character c is neither whitespace nor a
        slash. Tiktoken cuts a text into pieces by a pattern, from left to right, and encodes
        each piece by itself. No pattern looks back. So it is enough that `s = a + "\n\n"` has the
        same pieces, the last one ending where s ends, if c follows. The alternatives of a
        pattern, tried at any place in s:

        - Words, contractions and digits contain no line break: they end inside s, before its
          last line break, whatever follows.
        - Punctuation takes the line breaks after it, and slashes in o200k: if those are the
          last of s, it ends with s, as c is neither.
        - `\s*[\r\n]+` and `\s*[\r\n]` reach the last line break of a run of whitespace. The run
          at the end of s ends with one, and not with c, so they end with s. In cl100k
          `\s++$` comes first and takes the same run when s is all there is.
        - `\s+(?!\S)`, `\s+` and `\s` get only runs without a line break, which end inside s and
          are followed by a character of s.

        The answer depends on the first character only, so it also holds for *text* with anything
        appended. It is False for the empty text, after which a second blank line could follow.
        """
        return self._proven and text != "" and not (text[0].isspace() or text[0] in "/\u180e")

    def _count_word(self, text: str) -> int:
        tokens = self._words.get(text)
        if tokens is None:
            tokens = self.count_text(text)
            if len(text) <= _MEMO_CHARS and len(self._words) < _MEMO_SIZE:
                self._words[text] = tokens
        return tokens


class NullTokenCounter(BaseTokenCounter):
    """Counts nothing: every count is 0."""

    tokens_per_message = 0
    tokens_per_name = 0
    tokens_for_reply = 0
    source = "null"

    def count_text(self, text: str) -> int:
        return 0

    def count_media(self, part: MediaPart, api: str | None = None) -> int | None:
        return 0

    def joins_cleanly(self, text: str) -> bool:
        return True


def counter_source(counter: TokenCounter) -> str:
    """Return a counter's `source` if that can be stored, or a name made of its class."""
    source = getattr(counter, "source", None)
    if isinstance(source, str) and "\0" not in source:
        return source
    return _name_of_class(counter)


def is_a_sum(counter: TokenCounter) -> TypeGuard[BaseTokenCounter]:
    """Return True if a counter's count of a list is the sum that `BaseTokenCounter` defines."""
    return isinstance(counter, BaseTokenCounter) and not any(
        getattr(type(counter), name) is not getattr(BaseTokenCounter, name)
        for name in ("count_messages", "_count_message", "count_body")
    )


def _name_of_class(counter: object) -> str:
    return f"{UNTRUSTED}{type(counter).__name__}"


def _encoding_of(model: str) -> str:
    try:
        return tiktoken.encoding_name_for_model(model)
    except KeyError:
        raise ValueError(
            f"Unknown model: {model!r}. Give its encoding as `encoding_name`, "
            f"one of: {', '.join(encoding_names())}."
        ) from None


def _parts(text: str) -> Iterator[str]:
    """Yield *text* in parts of up to `SAFE_CHARS`, cut only where that changes no token.

    A part without such a place is longer. So a stretch between two such places counts the same,
    whatever surrounds it.
    """
    start = 0
    while len(text) - start > SAFE_CHARS:
        cut = _LAST_CUT.match(text, start, start + SAFE_CHARS + 1) or _NEXT_CUT.search(
            text, start + SAFE_CHARS
        )
        if cut is None:
            break
        yield text[start : cut.end()]
        start = cut.end()
    yield text[start:]


def _count_part(encoding: tiktoken.Encoding, part: str) -> int:
    try:
        # Unlike `encode_ordinary`, this writes no traceback to stderr in newer releases.
        return len(encoding.encode(part, disallowed_special=()))
    except BaseException as error:
        if len(part) <= SAFE_CHARS or not _is_overflow(error):
            raise
    pieces = (part[at : at + SAFE_CHARS] for at in range(0, len(part), SAFE_CHARS))
    return sum(len(encoding.encode_ordinary(piece)) for piece in pieces)


def _is_overflow(error: BaseException) -> bool:
    """Return True if tiktoken overflowed its stack: a ValueError, or in old releases a panic."""
    return isinstance(error, ValueError) or type(error).__name__ == "PanicException"
