"""The `which` rows of ICT: identify the object in a box by name.

A row has two or more named references, the query, and a box in it. The answer is the name of the
object in the box, or `none` if it has none of the names. `{box}` in the prompt is written in the
convention of the model family when the row is used; see `repic.objectives.base.prompt_of`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from repic.images.coordinates import Convention
from repic.objectives.base import Reward, templates
from repic.objectives.short_answers import framed

KIND = "which"
NONE = "none"
_NONE = re.compile(r"none(?: of (?:the above|(?:the names|these|those|them)(?: above)?))?|no one")
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
    """The answer as in the `answer` column, or None if the completion is not exactly one name.

    Case (but no look-alike letters), brackets, and what `repic.objectives.short_answers` names are
    ignored. Names are read before the words for `none`.
    """
    if len(completion) > MAX_ANSWER:
        return None
    text = framed(completion)
    if text.startswith("<") and text.endswith(">"):
        text = text[1:-1].strip(" ")
        if text.lower() == NONE:
            return None
    text = unicodedata.normalize("NFC", text).lower()
    for name in names:
        if text == unicodedata.normalize("NFC", name).lower():
            return answer(name)
    return NONE if _NONE.fullmatch(text) else None


def reward(completion: str, row: Mapping[str, Any]) -> Reward:
    """1 for only the right name (or `none`, if that is right), else 0."""
    parsed = parse(completion, [reference["name"] for reference in row["references"]])
    right = float(parsed == row["answer"])
    reason = "malformed" if parsed is None else "right" if right else "wrong_name"
    return Reward(right, {"correct": right, "format": float(parsed is not None)}, reason, parsed)


def blind(row: Mapping[str, Any], convention: Convention) -> dict[str, str]:
    """Answers that ignore the photo, by label: none, or the name at one position."""
    names = (f"<{reference['name']}>" for reference in row["references"])
    positions = {f"name {number}": name for number, name in enumerate(names, 1)}
    return {NONE: NONE, **positions}
