"""What captions earn that name people without looking, where nothing but names is known.

The reward of such a row is that of its names. Whoever does not look knows their number only, and
can name everybody or nobody for each number. This pays if it earns more than naming nobody does:
then there are too few rows in which the names are absent.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from repic.captions.facts import fact_words
from repic.config import SPLITS
from repic.objectives import identify

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
        rows: Caption rows of the split, and those of them whose content can be checked by facts.
        checked: Number of those whose content is checked by facts.
        nobody: Mean reward of naming nobody, over the rows that are not checked.
        everybody: Mean reward of naming everybody.
        best: Mean reward of the better of the two for each number of references.
    """

    split: str
    rows: int
    checked: int
    nobody: float
    everybody: float
    best: float

    @property
    def too_high(self) -> bool:
        """Whether not looking pays."""
        return self.best - self.nobody > TOO_HIGH


def measure(rows: Iterable[Mapping[str, Any]]) -> list[BlindCaptions]:
    """One result per split that has caption rows without a check of their content."""
    captions: dict[str, list[Mapping[str, Any]]] = {split: [] for split in SPLITS}
    for row in rows:
        if row["objective"] == "ict" and row["kind"] != identify.KIND:
            captions[row["split"]].append(row)
    results = []
    for split, of_split in captions.items():
        unchecked = [row for row in of_split if not fact_words(row)[0]]
        if unchecked:
            checked = len(of_split) - len(unchecked)
            results.append(BlindCaptions(split, len(of_split), checked, *_rewards(unchecked)))
    return results


def _rewards(rows: Sequence[Mapping[str, Any]]) -> tuple[float, float, float]:
    nobody = [float(not _present(row)) for row in rows]
    everybody = [_naming_everybody(row) for row in rows]
    by_number: dict[int, list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
        by_number[len(row["references"])].append(index)
    best = sum(
        max(sum(nobody[i] for i in indices), sum(everybody[i] for i in indices))
        for indices in by_number.values()
    )
    return fmean(nobody), fmean(everybody), best / len(rows)


def _present(row: Mapping[str, Any]) -> int:
    return sum(reference["present"] for reference in row["references"])


def _naming_everybody(row: Mapping[str, Any]) -> float:
    """The set-F1 of all names."""
    present = _present(row)
    return 2 * present / (present + len(row["references"])) if present else 0.0


def suggested_shares(rows: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Shares of the kinds of ICT rows with which naming everybody earns as little as nobody.

    Mixed rows are `MIXED_PER_PRESENT` times as many as rows with only present names, and the share
    of absent rows is as large as the reward of naming everybody in the others.
    """
    captions = [r for r in rows if r["objective"] == "ict" and r["kind"] != identify.KIND]
    kinds = Counter(row["kind"] for row in captions)
    mixed = [_naming_everybody(row) for row in captions if row["kind"] == "mixed"]
    reward = (1 + MIXED_PER_PRESENT * (fmean(mixed) if mixed else 0.5)) / (1 + MIXED_PER_PRESENT)
    absent = reward / (1 + reward)
    present = (1 - absent) / (1 + MIXED_PER_PRESENT)
    present_kinds = [kind for kind in ("single", "multi") if kinds[kind]] or ["single"]
    shares = {kind: present / len(present_kinds) for kind in present_kinds}
    shares |= {"absent": absent, "mixed": present * MIXED_PER_PRESENT}
    rounded = {kind: round(share * (1 - WHICH_SHARE), 2) for kind, share in shares.items()}
    return {**rounded, identify.KIND: WHICH_SHARE}
