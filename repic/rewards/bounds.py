"""The largest rows that are scored, for `repic reward score`, the workers and their client.

They are far beyond the rows of a build, and small enough that no answer to a row within them takes
longer than a fraction of a second. Answers need no limit here: each objective has its own, and
takes time linear in what is longer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MAX_SIDE = 1_000_000
"""Pixels of a side of a picture."""

MAX_NAME = 200
"""Characters of a reference's name."""

MAX_TEXT = 200_000
"""Characters of all texts of a row."""

MAX_ENTRIES = {
    "images": 64,
    "pictures": 64,
    "prompt": 256,
    "references": 64,
    "scene": 256,
    "distinctive_words": 2_000,
    "distractor_words": 2_000,
    "telling": 2_000,
    "elsewhere": 2_000,
}
"""Entries of the list columns."""

MAX_PHRASES = 64
"""Phrases of an object of the scene."""


def excess(row: Mapping[str, Any]) -> str:
    """What of a row with valid types is beyond the bounds; empty if nothing is."""
    for column, most in MAX_ENTRIES.items():
        if len(row.get(column) or ()) > most:
            return f"{column} has more than {most} entries"
    if any(len(entry["phrases"]) > MAX_PHRASES for entry in row.get("scene") or ()):
        return f"an entry of scene has more than {MAX_PHRASES} phrases"
    if any(len(entry["name"]) > MAX_NAME for entry in row.get("references") or ()):
        return f"a name has more than {MAX_NAME} characters"
    sides = (entry[side] for entry in row.get("images") or () for side in ("width", "height"))
    if any(side > MAX_SIDE for side in sides):
        return f"a picture has a side of more than {MAX_SIDE} pixels"
    if _characters(row) > MAX_TEXT:
        return f"its texts have more than {MAX_TEXT} characters"
    return ""


def _characters(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(map(_characters, value.values()))
    return sum(map(_characters, value)) if isinstance(value, list | tuple) else 0
