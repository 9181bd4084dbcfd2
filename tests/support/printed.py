"""What the documentation says that its code prints, compared with what it does print.

A comment behind a `print(...)` is its output. `...` in it matches anything, such as a hash.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Callable
from types import CodeType
from typing import Any, TypeGuard

__all__ = ["Printed"]

_NAME = "_print_of_line"


class Printed:
    """The prints of one page's code that have a comment; run the code with `namespace`."""

    def __init__(self) -> None:
        self.namespace: dict[str, Any] = {_NAME: self._printer}
        self._expected: dict[int | None, str] = {}
        self._printed: dict[int | None, list[str]] = {}

    def compiled(self, source: str, filename: str) -> CodeType:
        """Compile a part of the page so that its prints are recorded; `await` is allowed in it."""
        comments = _comments(source)
        tree = ast.parse(source, filename)
        for node in ast.walk(tree):
            if _is_print(node) and (line := node.end_lineno) in comments:
                self._expected[line] = comments[line]
                node.func = ast.Call(ast.Name(_NAME, ast.Load()), [ast.Constant(line)], [])
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        code: CodeType = compile(
            ast.fix_missing_locations(tree), filename, "exec", flags=flags, dont_inherit=True
        )
        return code

    def drifted(self) -> list[str]:
        """Return each comment that differs from its print, with the line and what was printed."""
        return [
            f"line {line}: {comment!r} is said, {printed} printed"
            for line, comment in self._expected.items()
            if not (printed := self._printed.get(line, []))
            or not all(_pattern(comment).fullmatch(text) for text in printed)
        ]

    def _printer(self, line: int) -> Callable[..., None]:
        def note(*values: object, **options: Any) -> None:
            text = io.StringIO()
            print(*values, **{"end": "", **options, "file": text})
            self._printed.setdefault(line, []).append(text.getvalue())

        return note


def _is_print(node: ast.AST) -> TypeGuard[ast.Call]:
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "print"


def _comments(source: str) -> dict[int | None, str]:
    """Return the comments by line, without their `#`."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {
        token.start[0]: token.string.removeprefix("#").strip()
        for token in tokens
        if token.type == tokenize.COMMENT
    }


def _pattern(comment: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, comment.split("..."))), re.DOTALL)
