"""Short commits for the fold: the hash of number 3 is `h3`."""

from __future__ import annotations

import json

from tract import CommitStep


def append(
    number: int, text: str = "two words", role: str = "user", config: str | None = None
) -> CommitStep:
    fields = {"role": role, "text": text, "name": None}
    data = json.dumps(fields).encode()
    tokens = len(text.split())
    return CommitStep(f"h{number}", "append", None, "dialogue", data, tokens, "words", config)


def edit(number: int, target: int, text: str, config: str | None = None) -> CommitStep:
    return append(number, text, config=config)._replace(operation="edit", edit_target=f"h{target}")


def annotate(number: int, target: int, priority: str) -> CommitStep:
    data = json.dumps({"priority": priority}).encode()
    return CommitStep(f"h{number}", "annotate", f"h{target}", "annotation", data, 0, "", None)
