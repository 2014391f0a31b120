"""The gold answer of a row, and the parts of its caption that paraphrases and attacks reuse."""

from __future__ import annotations

import re
from dataclasses import dataclass

from repic.captions.noun_phrases import with_article, without_article
from repic.captions.tokens import plain_words
from repic.images.coordinates import Convention
from repic.objectives import objective_of
from repic.objectives.base import Row

_LOCATION = re.compile(r"\b(?:on|against|in front of) (?:an? )?\w+(?: \w+)?(?=\.$| there is)", re.I)
_POSITION = re.compile(r"\b(?:left|right|upper|lower)\w*\b")


@dataclass(frozen=True)
class SceneObject:
    """An object of the query: its name, if the row gives one, and a phrase without article."""

    name: str | None
    phrase: str

    @property
    def with_article(self) -> str:
        """`a red mug`, `an orange fish`."""
        return with_article(self.phrase)


def gold_answer(row: Row, convention: Convention) -> str | None:
    """The true answer, in its canonical form; None for a caption row without a true caption."""
    return objective_of(row["objective"]).gold(row, convention)


def scene_objects(row: Row) -> list[SceneObject]:
    """The objects of the query, each by its longest phrase.

    Empty if an object has only phrases that name its position, which other objects may share.
    """
    objects = []
    for entry in row["scene"]:
        phrases = [text for text in entry["phrases"] if not _POSITION.search(text)]
        if not phrases:
            return []
        phrase = max(phrases, key=lambda text: len(plain_words(text)))
        objects.append(SceneObject(entry["name"], without_article(phrase.strip())))
    return objects


def location_phrase(row: Row) -> str:
    """The location in the caption, such as `on a wooden floor`; empty if it names none."""
    match = _LOCATION.search(row["caption"] or "")
    return match.group()[:1].lower() + match.group()[1:] if match else ""
