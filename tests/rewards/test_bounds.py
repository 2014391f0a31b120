"""The largest rows that are scored."""

from __future__ import annotations

from typing import Any

import pytest

from repic.rewards.bounds import (
    MAX_ENTRIES,
    MAX_NAME,
    MAX_PHRASES,
    MAX_SIDE,
    MAX_TEXT,
    excess,
)


def row_of(column: str, size: int) -> dict[str, Any]:
    """A row of which one thing has this size."""
    if column == "side":
        return {"images": [{"width": 1, "height": 1}, {"width": 9, "height": size}]}
    if column == "name":
        return {"references": [{"name": "x" * size, "info": ""}]}
    if column == "phrases":
        return {"scene": [{"name": None, "phrases": ["a mug"] * size}]}
    if column == "texts":
        texts = ["x" * (size // 2), "x" * (size - size // 2)]
        return {"caption": texts[0], "prompt": [{"text": texts[1]}]}
    entry = {"name": "x", "phrases": [], "width": 1, "height": 1}
    return {column: [entry] * size}


LIMITS = {
    "side": MAX_SIDE,
    "name": MAX_NAME,
    "phrases": MAX_PHRASES,
    "texts": MAX_TEXT,
    **MAX_ENTRIES,
}


@pytest.mark.parametrize(("column", "most"), LIMITS.items(), ids=LIMITS)
def test_a_row_within_the_bounds_is_scored_and_one_beyond_is_not(column: str, most: int) -> None:
    assert excess(row_of(column, most)) == ""
    said = excess(row_of(column, most + 1))
    assert f"more than {most} " in said
    assert column in said or column == "name"
