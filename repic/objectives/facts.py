"""Whether a caption says what is known of its photo: the part of content that can be checked.

Known are the true caption and the phrases and labels of the photo's objects, but for what the
prompt gave away. A caption alone is one true description among many and no yardstick: only a photo
whose source gives both, a caption and expressions of its objects, is checked. Words that describe
other photos are false here. What is neither counts for nothing, so detail beyond the known is free.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from repic.objectives.words import stem, stems

LEAST = 3
"""Facts that are enough, where the true caption has no more than five."""

ENOUGH = 0.6
"""Share of the true caption's facts that is enough."""

CHANCE = 0.5
"""Share of that from which on facts count: single words are guessed by those who see nothing."""

PRICE = 2
"""True words that a false one costs: a list of all that there might be must not pay."""


@dataclass(frozen=True)
class Facts:
    """What can be checked.

    Attributes:
        true: Stems of words that are true of the photo and not given by the prompt.
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
    scene = row.get("scene") or ()
    if not any(thing["phrases"] for thing in scene):
        return None
    if not row["caption"] and not row.get("elsewhere"):
        return None
    return _facts(
        row["caption"] or "",
        tuple(text for thing in scene for text in (thing["label"], *thing["phrases"])),
        tuple(r["info"] for r in row["references"]),
        tuple(row.get("elsewhere") or ()),
        tuple(r["name"] for r in row["references"]),
    )


@lru_cache(maxsize=1024)
def _facts(
    caption: str,
    phrases: tuple[str, ...],
    infos: tuple[str, ...],
    elsewhere: tuple[str, ...],
    names: tuple[str, ...],
) -> Facts | None:
    given = stems(" ".join(infos)) | stems(" ".join(names))
    told = stems(caption) - given
    true = told.union(*map(stems, phrases)) - given
    if not true:
        return None
    enough = max(min(len(told), LEAST), round(ENOUGH * len(told))) or min(len(true), LEAST)
    return Facts(true, frozenset(map(stem, elsewhere)) - true - given, enough)
