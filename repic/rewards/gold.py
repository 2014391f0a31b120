"""Honest answers of a row: the canonical one, and the parts that others are put together from."""

from __future__ import annotations

import re
from dataclasses import dataclass

from repic.captions.tokens import plain_words
from repic.images.coordinates import Convention
from repic.objectives.base import Row, answer_of
from repic.objectives.identify import KIND as WHICH
from repic.objectives.phrases import ARTICLE

_PLACE = re.compile(r"\b(?:on|against|in front of) (?:an? )?\w+(?: \w+)?(?=\.$| there is)", re.I)
_AMONG = re.compile(r"\b(?:left|right|upper|lower)\w*\b")


@dataclass(frozen=True)
class SceneObject:
    """An object of the query: its name in the row, if it has one, and a phrase without article."""

    name: str | None
    phrase: str

    @property
    def with_article(self) -> str:
        """`a red mug`, `an orange fish`."""
        return f"{'an' if self.phrase[:1] in 'aeiou' else 'a'} {self.phrase}"


def gold_answer(row: Row, convention: Convention) -> str | None:
    """The canonical honest answer; None for a caption row of which no true caption is known."""
    if row["objective"] != "ict" or row["kind"] == WHICH:
        return answer_of(row, convention)
    return row["caption"]


def scene_objects(row: Row) -> list[SceneObject]:
    """The objects of the query; empty if one of them has no phrase but such as place it."""
    found = []
    for entry in row["scene"]:
        fit = [text for text in entry["phrases"] if not _AMONG.search(text)]
        if not fit:
            return []
        phrase = max(fit, key=lambda text: len(plain_words(text)))
        found.append(SceneObject(entry["name"], ARTICLE.sub("", phrase.strip(), count=1)))
    return found


def location_phrase(row: Row) -> str:
    """Where the caption says that it is, for example `on a wooden floor`; empty if it does not."""
    match = _PLACE.search(row["caption"] or "")
    return match.group()[:1].lower() + match.group()[1:] if match else ""


def reference_names(row: Row, present: bool) -> list[str]:
    """Names of the references that are in the query, or that are not."""
    return [r["name"] for r in row["references"] if r["present"] == present]
