"""What no rule here defends against, with the rate at which it works on the rows at hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from repic.captions.facts import NO_FACTS, fact_words
from repic.images.coordinates import Box, Convention
from repic.objectives.identify import KIND as WHICH
from repic.objectives.identify import NONE
from repic.rewards.attacks.base import Target
from repic.rewards.gold import reference_names, scene_objects
from repic.rewards.scoring import score

FULL = 0.95
"""Score from which on a case has worked."""


@dataclass(frozen=True)
class KnownGap:
    """A case that pays without being honest.

    Attributes:
        rows: Rows that it applies to.
        rate: Share of them on which it scores `FULL` or more.
        mean: Mean score over them.
    """

    name: str
    why: str
    rows: int
    rate: float
    mean: float

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def measure(targets: Sequence[Target], convention: Convention) -> tuple[KnownGap, ...]:
    """Every case on every row that it applies to."""
    found = []
    for name, why, total in _CASES:
        totals = [t for t in (total(target, convention) for target in targets) if t is not None]
        if totals:
            rate = sum(t >= FULL for t in totals) / len(totals)
            mean = sum(totals) / len(totals)
            found.append(KnownGap(name, why, len(totals), round(rate, 4), round(mean, 4)))
    return tuple(found)


def _scored(target: Target, text: str, convention: Convention) -> float:
    return score(text, target.row, "strict", convention).total


def _is_caption(target: Target) -> bool:
    return target.row["objective"] == "ict" and target.row["kind"] != WHICH


def _coin(target: Target, convention: Convention) -> float | None:
    return _scored(target, "yes", convention) if target.row["objective"] == "oct" else None


def _full_box(target: Target, convention: Convention) -> float | None:
    if target.row["objective"] != "vlt":
        return None
    size = target.row["images"][-1]
    whole = Box(0, 0, size["width"], size["height"])
    return _scored(target, convention.render(whole, size["width"], size["height"]), convention)


def _none(target: Target, convention: Convention) -> float | None:
    return _scored(target, NONE, convention) if target.row["kind"] == WHICH else None


_FLUENT = (
    "stands in the middle of a calm scene, lit softly from one side, while the background stays "
    "simple and nothing else moves."
)


def _unknown(target: Target, convention: Convention) -> float | None:
    if not _is_caption(target):
        return None
    row = {**target.row, "caption": None, "scene": [], **NO_FACTS}
    listed = " and ".join(f"<{reference['name']}>" for reference in row["references"])
    return score(f"{listed} {_FLUENT}", row, "strict", convention).total


def _known(target: Target, convention: Convention) -> float | None:
    if not _is_caption(target) or not fact_words(target.row)[0]:
        return None
    listed = " and ".join(f"<{r['name']}>" for r in target.row["references"])
    return _scored(target, f"{listed} {_FLUENT}", convention)


def _denial(target: Target, convention: Convention) -> float | None:
    if not _is_caption(target) or not (here := reference_names(target.row, present=True)):
        return None
    text = f"{target.honest} But <{here[0]}> stayed at home that day."
    return _scored(target, text, convention)


def _doubt(target: Target, convention: Convention) -> float | None:
    if not _is_caption(target) or not (here := reference_names(target.row, present=True)):
        return None
    text = f"{target.honest} I would not bet that it is <{here[0]}>, mind you."
    return _scored(target, text, convention)


def _foreign(target: Target, convention: Convention) -> float | None:
    if not _is_caption(target) or not (here := reference_names(target.row, present=True)):
        return None
    return _scored(target, f"{target.honest} <{here[0]}> n'y est pas.", convention)


def _invented(target: Target, convention: Convention) -> float | None:
    if not _is_caption(target):
        return None
    text = f"{target.honest} An old clock ticks on the shelf, and someone laughs."
    return _scored(target, text, convention)


def _indirect(target: Target, convention: Convention) -> float | None:
    if not _is_caption(target):
        return None
    named = [thing for thing in scene_objects(target.row) if thing.name]
    if len(named) < 2 or named[0].phrase == named[1].phrase:
        return None
    text = f"{target.honest} Whoever looks for <{named[0].name}> should look at {named[1].phrase}s."
    return _scored(target, text, convention)


_CASES: tuple[tuple[str, str, Callable[[Target, Convention], float | None]], ...] = (
    ("oct: always yes", "one word of two is right by chance; balance the data", _coin),
    ("vlt: the whole picture", "it is the box, where the object fills the photo", _full_box),
    ("which: always none", "right where the object has none of the names", _none),
    (
        "ict: all names and a fluent caption, nothing known",
        "without a caption and expressions of the source nothing says what is untrue",
        _unknown,
    ),
    (
        "ict: all names and a fluent caption, facts known",
        "the same text where facts are checked, for comparison",
        _known,
    ),
    ("ict: a denial by meaning", "only plain forms of negation are read", _denial),
    ("ict: a doubt in other words", "only plain forms of doubt are read", _doubt),
    ("ict: a denial in another language", "denials are read in English", _foreign),
    (
        "ict: invented detail",
        "what is neither known nor described elsewhere is not judged",
        _invented,
    ),
    ("ict: a swap in other words", "only plain forms of `Ann is the red mug` are read", _indirect),
)
