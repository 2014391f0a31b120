"""Dishonest answers that no rule defends against, and how often they work on the given rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from repic.captions.facts import NO_FACTS, fact_words
from repic.objectives.base import Row
from repic.objectives.identify import NONE
from repic.rewards.attacks.base import Make, Target, Task
from repic.rewards.attacks.computed import whole_picture
from repic.rewards.attacks.templates import prompt_names, with_present
from repic.rewards.gold import scene_objects
from repic.rewards.scoring import score

FULL = 0.95
"""Minimum score of an answer that counts as a success."""

_FLUENT = (
    "sits on a wooden bench near an old stone wall, while leaves cover the ground and a cat sleeps "
    "in the sun."
)


@dataclass(frozen=True)
class KnownGap:
    """How often a dishonest answer succeeds, and its mean score.

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


def measure(targets: Mapping[Task, Sequence[Target]]) -> tuple[KnownGap, ...]:
    """Try every known gap on every target that it applies to."""
    gaps = []
    for case in _CASES:
        totals = []
        for target in targets.get(case.task, ()):
            if (text := case.make(target)) is not None:
                row = target.row if case.facts_known else _without_facts(target.row)
                totals.append(score(text, row, "strict", target.convention).total)
        if totals:
            rate = sum(total >= FULL for total in totals) / len(totals)
            mean = sum(totals) / len(totals)
            gaps.append(KnownGap(case.name, case.why, len(totals), round(rate, 4), round(mean, 4)))
    return tuple(gaps)


def _without_facts(row: Row) -> Row:
    return {**row, "caption": None, "scene": [], **NO_FACTS}


def _all_names(target: Target) -> str:
    tags = " and ".join(f"<{name}>" for name in prompt_names(target))
    return f"{tags} {_FLUENT}"


def _all_names_and_facts(target: Target) -> str | None:
    return _all_names(target) if fact_words(target.row)[0] else None


def _invented_detail(target: Target) -> str:
    return f"{target.gold} An old clock ticks on the shelf, and someone laughs."


def _indirect_swap(target: Target) -> str | None:
    named = [thing for thing in scene_objects(target.row) if thing.name]
    if len(named) < 2 or named[0].phrase == named[1].phrase:
        return None
    hint = f"Whoever looks for <{named[0].name}> should look at {named[1].phrase}s."
    return f"{target.gold} {hint}"


@dataclass(frozen=True)
class _Case:
    """`facts_known`: whether the text is scored with the caption and the objects of its row."""

    task: Task
    name: str
    why: str
    make: Make
    facts_known: bool = True


_CASES = (
    _Case(
        "oct",
        "oct: always yes",
        "one word of two is right by chance; balance the data",
        lambda target: "yes",
    ),
    _Case(
        "vlt",
        "vlt: the whole picture",
        "it is the box, where the object fills the photo",
        whole_picture,
    ),
    _Case(
        "which",
        "which: always none",
        "right where the object has none of the names",
        lambda target: NONE,
    ),
    _Case(
        "ict",
        "ict: all names and a fluent caption, nothing known",
        "without a caption and expressions of the source nothing says what is untrue",
        _all_names,
        facts_known=False,
    ),
    _Case(
        "ict",
        "ict: all names and a fluent caption, facts known",
        "the same text where facts are checked, for comparison",
        _all_names_and_facts,
    ),
    _Case(
        "ict",
        "ict: a denial by meaning",
        "only plain forms of denial are read",
        partial(with_present, "But {name} stayed at home that day."),
    ),
    _Case(
        "ict",
        "ict: a doubt in other words",
        "only plain forms of doubt are read",
        partial(with_present, "Honestly, {name} is the best that I could come up with."),
    ),
    _Case(
        "ict",
        "ict: a denial in another language",
        "denials are read in English, and a few words of other languages",
        partial(with_present, "{name} n'y est pas."),
    ),
    _Case(
        "ict",
        "ict: invented detail",
        "what is neither known nor described elsewhere is not judged",
        _invented_detail,
    ),
    _Case(
        "ict",
        "ict: a swap in other words",
        "only plain forms of `Ann is the red mug` are read",
        _indirect_swap,
    ),
)
