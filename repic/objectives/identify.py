"""Which name is at this box: rows of ICT that ask for nothing but the binding.

Two or more named references, the query, and a box in it. The answer is the one name of what is
there, or `none` where it has none of them. `{box}` in the prompt is written for the model's family
when the row is used (see `repic.objectives.base.prompt_of`), since no two write boxes alike.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any

from repic.captions.tokens import strip_answer
from repic.objectives.base import Reward, templates

KIND = "which"
NONE = "none"
MAX_ANSWER = 200
"""Longest answer that is read, in characters."""

TEMPLATES = templates(
    "which",
    (
        "Whose name belongs to the object at {box} in the last picture? Answer only with that "
        "name, or with none.",
        "Look at {box} in the last picture. Which of the names above is it? Say only the name, or "
        "none if it is none of them.",
        "Who or what is inside {box} in this picture? Give one of the names above, or none, and "
        "nothing else.",
        "One of those above may be at {box} in the final picture. Answer with its name alone, or "
        "with none.",
        "Name what the box {box} in the last picture holds. One name from above, or none, is all.",
        "Match the box {box} of this picture to the pictures above. Answer with one name, or none.",
        "Is any of those above at {box} in this picture? Reply with its name only, or with none.",
        "Tell me the name of the one in {box}. If it was not shown above, say none. No other word.",
    ),
)


def answer(name: str | None) -> str:
    """The `answer` column: `<Name>`, or `none`."""
    return f"<{name}>" if name is not None else NONE


def parse(completion: str, names: list[str]) -> str | None:
    """The answer as the column has it, or None if the completion is not one name alone.

    White space, case (but no other spelling of a letter), the brackets, and one full stop or
    exclamation mark are free.
    """
    if len(completion) > MAX_ANSWER:
        return None
    said = strip_answer(completion)
    if said.startswith("<") and said.endswith(">"):
        said = said[1:-1].strip(" ")
        if said.lower() == NONE:
            return None
    said = unicodedata.normalize("NFC", said).lower()
    if said == NONE:
        return NONE
    for name in names:
        if said == unicodedata.normalize("NFC", name).lower():
            return answer(name)
    return None


def reward(completion: str, row: Mapping[str, Any]) -> Reward:
    """1 for the right name, or for `none` where that is right, and nothing else; else 0."""
    said = parse(completion, [reference["name"] for reference in row["references"]])
    right = float(said == row["answer"])
    reason = "malformed" if said is None else "right" if right else "wrong_name"
    return Reward(right, {"correct": right, "format": float(said is not None)}, reason, said)
