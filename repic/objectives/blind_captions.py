"""What a caption earns by naming people without looking, in rows where only names are known.

The reward of such a row depends on its names alone. A policy that ignores the photo still knows how
many names are given, and for each number can name everybody or nobody. If that earns more than
always naming nobody, too few rows have absent names.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from repic.captions.facts import fact_words
from repic.config import SPLITS
from repic.objectives import identify
from repic.objectives.balance import set_f1_of_all
from repic.objectives.caption_reward import labels_to_say

AnyRow = TypeVar("AnyRow", bound=Mapping[str, Any])

TOO_HIGH = 0.05
"""Gain of not looking over naming nobody that is warned about."""

WHICH_SHARE = 0.15
"""Share of `which` rows in the suggestion: their answer cannot be had without looking."""

MIXED_PER_PRESENT = 2
"""Mixed rows per row with only present names, in the suggestion."""


@dataclass(frozen=True)
class BlindCaptions:
    """Captions of a split that do not look.

    Attributes:
        rows: Caption rows of the split.
        checked: Number of those whose content is checked by facts.
        labelled: Number of the others in which only the label of an object is known.
        nobody: Mean reward of naming nobody, over the rows that are not checked.
        everybody: Mean reward of naming everybody.
        best: Mean reward of the better of the two for each number of references.
    """

    split: str
    rows: int
    checked: int
    labelled: int
    nobody: float
    everybody: float
    best: float

    @property
    def too_high(self) -> bool:
        """Whether not looking pays."""
        return self.best - self.nobody > TOO_HIGH


def measure(rows: Iterable[Mapping[str, Any]]) -> list[BlindCaptions]:
    """One result per split that has caption rows without a check of their content."""
    by_split: dict[str, list[Mapping[str, Any]]] = {split: [] for split in SPLITS}
    for row in captions(rows):
        by_split[row["split"]].append(row)
    results = []
    for split, of_split in by_split.items():
        if open_rows := unchecked(of_split):
            checked = len(of_split) - len(open_rows)
            labelled = sum(bool(labels_to_say(row)) for row in open_rows)
            rewards = _rewards(open_rows)
            results.append(BlindCaptions(split, len(of_split), checked, labelled, *rewards))
    return results


def captions(rows: Iterable[AnyRow]) -> list[AnyRow]:
    """The caption rows."""
    return [r for r in rows if r["objective"] == "ict" and r["kind"] != identify.KIND]


def unchecked(rows: Iterable[AnyRow]) -> list[AnyRow]:
    """The caption rows in which no facts are known to check the content by."""
    return [row for row in captions(rows) if not fact_words(row)[0]]


def _rewards(
    rows: Sequence[Mapping[str, Any]], weight: Mapping[str, float] | None = None
) -> tuple[float, float, float]:
    """Mean rewards of naming nobody, everybody, and the better for each number of references.

    Args:
        weight: Weight of a row by its kind; 1 if None.
    """
    nobody: dict[int, float] = defaultdict(float)
    everybody: dict[int, float] = defaultdict(float)
    total = 0.0
    for row in rows:
        number, times = len(row["references"]), weight[row["kind"]] if weight else 1
        nobody[number] += times * (not _present(row))
        everybody[number] += times * set_f1_of_all(_present(row), number)
        total += times
    best = sum(max(nobody[number], everybody[number]) for number in nobody)
    return sum(nobody.values()) / total, sum(everybody.values()) / total, best / total


def _present(row: Mapping[str, Any]) -> int:
    return sum(reference["present"] for reference in row["references"])


def suggested_shares(rows: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Shares of the kinds of ICT rows with which not looking gains little over naming nobody.

    They have as few absent rows as possible, and `MIXED_PER_PRESENT` mixed rows for each with only
    present names.
    """
    of_captions = captions(rows)
    counts = Counter(row["kind"] for row in of_captions)
    present_kinds = [kind for kind in ("single", "multi") if counts[kind]] or ["single"]
    for percent in range(20, 80):
        absent, rest = percent / 100, 1 - percent / 100
        each = rest / (1 + MIXED_PER_PRESENT) / len(present_kinds)
        shares = dict.fromkeys(present_kinds, each)
        shares |= {"absent": absent, "mixed": rest - sum(shares.values())}
        weight = {kind: share / counts[kind] for kind, share in shares.items() if counts[kind]}
        nobody, _, best = _rewards([row for row in of_captions if row["kind"] in weight], weight)
        if best - nobody <= TOO_HIGH:
            break
    rounded = {kind: round(share * (1 - WHICH_SHARE), 2) for kind, share in shares.items()}
    return {**rounded, identify.KIND: WHICH_SHARE}
