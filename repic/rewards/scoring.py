"""The score of a completion, whatever the objective of its row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from repic.coordinates import QWEN3_VL, Convention
from repic.objectives import OBJECTIVES
from repic.objectives.base import Mode, Reward

NEEDED: dict[str, tuple[str, ...]] = {
    "oct": ("answer",),
    "vlt": ("images", "box"),
    "ict": ("kind", "prompt", "answer", "references", "caption"),
}
"""Columns that a row needs to be scored; `scene` and `elsewhere`, where they are there, say more."""

_FIELDS = {
    "images": ("width", "height"),
    "prompt": ("text",),
    "references": ("name", "info", "present"),
    "scene": ("name", "box", "label", "phrases"),
}


class RowError(ValueError):
    """A row that cannot be scored; the message says what it lacks."""


def score(
    completion: str,
    row: Mapping[str, Any],
    mode: Mode = "strict",
    convention: Convention = QWEN3_VL,
) -> Reward:
    """What a completion earns; a pure function of its arguments, bounded to 0..1.

    Args:
        row: A row of the examples table, or the columns `NEEDED` of one.
        convention: How the model writes boxes; only VLT reads one.

    Raises:
        RowError: never for what a build made; the row has no known objective or lacks a column.
    """
    objective = OBJECTIVES.get(row.get("objective", ""))
    if objective is None:
        raise RowError(f"objective {row.get('objective')!r} is none of {', '.join(OBJECTIVES)}")
    return objective.reward(completion, row, mode, convention)


def check_row(row: Any) -> None:
    """Check a row that does not come from a store before scoring it.

    Raises:
        RowError: it is no object, or lacks a column or a field, or one has the wrong form.
    """
    if not isinstance(row, dict):
        raise RowError("the row is no JSON object")
    needed = NEEDED.get(row.get("objective", "")) if isinstance(row.get("objective"), str) else None
    if needed is None:
        raise RowError(f"objective {row.get('objective')!r} is none of {', '.join(NEEDED)}")
    if missing := [name for name in needed if name not in row]:
        raise RowError(f"a row of {row['objective']} needs {', '.join(missing)}")
    for column, fields in _FIELDS.items():
        entries = row.get(column)
        if entries is None and column not in needed:
            continue
        if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
            raise RowError(f"{column} is no list of objects")
        if any(name not in entry for entry in entries for name in fields):
            raise RowError(f"an entry of {column} lacks one of {', '.join(fields)}")
    if "images" in needed:
        _check_picture(row)
    texts = [row[name] for name in ("answer", "kind") if name in needed]
    texts += [b["text"] for b in row.get("prompt", ()) if "prompt" in needed]
    if "references" in needed:
        texts += [text for r in row["references"] for text in (r["name"], r["info"])]
        texts += [row["caption"]] if row["caption"] is not None else []
    if not all(isinstance(text, str) for text in texts):
        raise RowError("a text of the row is no string")


def _check_picture(row: Mapping[str, Any]) -> None:
    if not row["images"]:
        raise RowError("images has no entry; its last one is the query")
    size = row["images"][-1]
    numbers = [size["width"], size["height"], *(row["box"] if isinstance(row["box"], list) else ())]
    is_right = all(isinstance(n, (int, float)) and not isinstance(n, bool) for n in numbers)
    if not is_right or len(numbers) != 6 or min(numbers[:2]) < 1:
        raise RowError("the box is no list of four numbers, or the query has no size in pixels")
