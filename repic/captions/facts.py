"""Checks which known facts about a photo a caption states.

The row's `distinctive_words`, except those that the prompt gives away, are true; its
`distractor_words` are false. Other words count neither way, so a caption may add details. See
`repic.objectives.scene` for how the words are chosen.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from repic.captions.tokens import content_stems, stem
from repic.captions.vocabulary import GENERAL, SAME

_SAME = {stem(word): stem(first) for first, words in SAME.items() for word in words}
"""Stem -> one stem for all words for the same thing."""

FORMER_NAMES = {"distinctive_words": "telling", "distractor_words": "elsewhere"}
"""Columns of examples before version 9 of their stage; stores and files still have them."""

NO_FACTS: dict[str, list[str]] = {name: [] for name in FORMER_NAMES}
"""Columns of a row of which no facts are known."""

LEAST = 3
"""Facts that are enough if the true caption has at most five."""

SHORT = 6
"""Facts that are enough for a caption that has no others, if more are known."""

ENOUGH = 0.6
"""Share of the true caption's facts that is enough."""

CHANCE = 2 / 3
"""Share of `Facts.enough` that scores 0: two words of three can be guessed without the image."""

PRICE = 3
"""True words that a false one costs, so that listing every likely word does not pay."""


@dataclass(frozen=True)
class Facts:
    """What can be checked in captions of one row.

    Attributes:
        true: Stems of words that distinguish the photo and are not given by the prompt; one stem
            stands for all words for the same thing.
        false: Stems of words that describe other photos and nothing known in this one.
        enough: Number of true stems that earns the full score.
    """

    true: frozenset[str]
    false: frozenset[str]
    enough: int

    def score(self, words: Collection[str]) -> float:
        """Score of a caption's words, 0 to 1.

        True words minus `PRICE` per false word, over `enough`, rescaled from `CHANCE`..1 to 0..1.
        Of a caption with fewer words that can be checked, those are enough, at least `SHORT`.
        """
        stems = frozenset(map(_meaning, words))
        true, false = len(stems & self.true), len(stems & self.false)
        net = (true - PRICE * false) / min(self.enough, max(SHORT, true + false))
        return min(1.0, max(0.0, (net - CHANCE) / (1 - CHANCE)))


@lru_cache(maxsize=1 << 14)
def _meaning(word: str) -> str:
    return _SAME.get(stem(word), stem(word))


def meanings(stems: Iterable[str]) -> frozenset[str]:
    """Stems, where one stands for all words for the same thing."""
    return frozenset(_SAME.get(stem, stem) for stem in stems)


def fact_words(row: Mapping[str, Any]) -> tuple[Sequence[str], Sequence[str]]:
    """The `distinctive_words` and `distractor_words` of a row, also under their former names."""
    distinctive, distractors = (
        row.get(former) if row.get(name) is None else row[name]
        for name, former in FORMER_NAMES.items()
    )
    return distinctive or (), distractors or ()


def checkable_facts(row: Mapping[str, Any]) -> Facts | None:
    """What can be checked in captions of a row; None if the row has no `distinctive_words`."""
    distinctive, distractors = fact_words(row)
    if not distinctive:
        return None
    return _facts(
        row["caption"] or "",
        tuple(distinctive),
        tuple(distractors),
        tuple(r["info"] for r in row["references"]),
        tuple(r["name"] for r in row["references"]),
    )


@lru_cache(maxsize=1024)
def _facts(
    caption: str,
    distinctive: tuple[str, ...],
    distractors: tuple[str, ...],
    infos: tuple[str, ...],
    names: tuple[str, ...],
) -> Facts | None:
    free = meanings(content_stems(" ".join((*infos, *names)))) | general_meanings()
    true = _meanings_of(distinctive) - free
    if not true:
        return None
    in_caption = len(true & meanings(content_stems(caption)))
    enough = max(min(len(true), LEAST), round(ENOUGH * in_caption))
    return Facts(true, _meanings_of(distractors) - true - free, enough)


@lru_cache(maxsize=1024)
def _meanings_of(words: tuple[str, ...]) -> frozenset[str]:
    """The same for all rows of a photo, whatever their names."""
    return meanings(map(stem, words))


@cache
def general_meanings() -> frozenset[str]:
    """Of words that are no fact by themselves, such as `floor`."""
    return meanings(map(stem, GENERAL))
