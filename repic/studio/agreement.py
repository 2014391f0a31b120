"""How far two reviewers agree on the pairs that both decided."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

from repic.studio.decisions import ByReviewer

SHOWN = 20
"""Pairs of reviewers, those with most pairs first."""


@dataclass(frozen=True)
class Agreement:
    """Two reviewers on the pairs that both called right or wrong.

    Attributes:
        pairs: How many.
        share: Of pairs on which they agree, 0 to 1.
        kappa: Cohen's kappa, at most 1; None if both gave one and the same answer to all.
    """

    one: str
    other: str
    pairs: int
    share: float
    kappa: float | None


def agreements(decided: Iterable[ByReviewer]) -> list[Agreement]:
    """Agreement of each two reviewers with a pair in common; unsure decisions do not count."""
    counts: dict[tuple[str, str], Counter[tuple[str, str]]] = {}
    for rows in decided:
        sure = {n: r["decision"] for n, r in sorted(rows.items()) if r["decision"] != "unsure"}
        for one, other in combinations(sure, 2):
            counts.setdefault((one, other), Counter())[sure[one], sure[other]] += 1
    found = [_agreement(*names, said) for names, said in counts.items()]
    return sorted(found, key=lambda a: (-a.pairs, a.one, a.other))[:SHOWN]


def _agreement(one: str, other: str, said: Counter[tuple[str, str]]) -> Agreement:
    total = said.total()
    share = sum(count for (a, b), count in said.items() if a == b) / total
    marginals = [Counter[str](), Counter[str]()]
    for answers, count in said.items():
        for marginal, answer in zip(marginals, answers, strict=True):
            marginal[answer] += count
    chance = sum(marginals[0][answer] * marginals[1][answer] for answer in marginals[0]) / total**2
    return Agreement(
        one, other, total, share, None if chance == 1 else (share - chance) / (1 - chance)
    )
