"""The gold answer of a row, and the parts of its caption that paraphrases and attacks reuse."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from repic.captions.noun_phrases import with_article, without_article
from repic.captions.tokens import plain_words
from repic.images.coordinates import Convention
from repic.objectives.base import Row, answer_of
from repic.objectives.identify import KIND as WHICH

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
    if row["objective"] != "ict" or row["kind"] == WHICH:
        return answer_of(row, convention)
    return row["caption"]


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


def reference_names(row: Row, present: bool) -> list[str]:
    """Names of the references that are present in the query, or of those that are absent."""
    return [r["name"] for r in row["references"] if r["present"] == present]


def general_caption(names: Sequence[str], words: Sequence[str] = ()) -> str:
    """A sentence with enough content of its own, which fits almost any photo.

    Args:
        names: Names to use, as `<Ann>`.
        words: What else to mention.
    """
    scene = ", ".join(words) or "wide open ground, distant trees and the soft morning light"
    return (
        f"This picture clearly shows {' and '.join([*names, scene])}, and the quiet "
        "surroundings leave much room for every detail."
    )
