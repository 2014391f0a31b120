"""Whether a caption says what is known of its photo: the part of content that can be checked.

What counts are the row's `telling` words, true of the photo and of few others, but for those that
the prompt gave away; its `elsewhere` words are false. All other words count for nothing, so detail
beyond the known is free. See `repic.objectives.scene` for where the words come from.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from repic.captions.tokens import stem, stems

LEAST = 3
"""Facts that are enough, where the true caption has no more than five."""

ENOUGH = 0.6
"""Share of the true caption's facts that is enough."""

CHANCE = 2 / 3
"""Share of that from which on facts count: two words of three are guessed without a look."""

PRICE = 3
"""True words that a false one costs: a list of all that there might be must not pay."""


@dataclass(frozen=True)
class Facts:
    """What can be checked.

    Attributes:
        true: Stems of words that tell the photo from others and are not given by the prompt.
        false: Stems of words that describe other photos, and nothing known of this one.
        enough: How many true ones are enough.
    """

    true: frozenset[str]
    false: frozenset[str]
    enough: int

    def score(self, words: Collection[str]) -> float:
        """0 to 1: true words less `PRICE` per false one, over `enough`, from `CHANCE` upwards."""
        said = frozenset(map(stem, words))
        net = (len(said & self.true) - PRICE * len(said & self.false)) / self.enough
        return min(1.0, max(0.0, (net - CHANCE) / (1 - CHANCE)))


def facts_of(row: Mapping[str, Any]) -> Facts | None:
    """What can be checked in captions of a row; None where nothing can."""
    if not row.get("telling"):
        return None
    return _facts(
        row["caption"] or "",
        tuple(row["telling"]),
        tuple(row.get("elsewhere") or ()),
        tuple(r["info"] for r in row["references"]),
        tuple(r["name"] for r in row["references"]),
    )


@lru_cache(maxsize=1024)
def _facts(
    caption: str,
    telling: tuple[str, ...],
    elsewhere: tuple[str, ...],
    infos: tuple[str, ...],
    names: tuple[str, ...],
) -> Facts | None:
    given = stems(" ".join(infos)) | stems(" ".join(names))
    true = frozenset(map(stem, telling)) - given
    if not true:
        return None
    told = len(true & stems(caption))
    enough = max(min(len(true), LEAST), round(ENOUGH * told))
    return Facts(true, frozenset(map(stem, elsewhere)) - true - given, enough)
