"""Scores of short answers, and a test between two models.

- recognition: recall (yes where the concept is in the photo), specificity (no where it is not), and
  `weighted`, their mean: the weighted accuracy of Yo'LLaVA (arXiv 2406.09400), which gives both
  kinds the same weight however many there are. MC-LLaVA calls specificity "no recall".
- vqa: accuracy.
- unread: share of answers that are neither a letter nor yes or no; they count as wrong. Yo'LLaVA's
  script leaves such answers out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from repic.errors import CaptionError
from repic.evaluation.intervals import (
    Array,
    Difference,
    Estimate,
    PhotoSums,
    paired_test,
    ratios,
    sum_by_photo,
)

Row = Mapping[str, Any]
ALL = "all"

RECOGNITION = ("recall", "specificity", "weighted", "accuracy", "unread")
VQA = ("accuracy", "unread")


def estimates(rows: Sequence[Row]) -> dict[str, dict[str, Estimate]]:
    """Part -> score -> estimate, all parts together first.

    Args:
        rows: Of the `answers` table, of one task.
    """
    parts = sorted({row["part"] for row in rows}, reverse=True)
    selected = {ALL: rows} if len(parts) != 1 else {}
    selected |= {part: [row for row in rows if row["part"] == part] for part in parts}
    return {part: _estimates(of_part) for part, of_part in selected.items()}


def _estimates(rows: Sequence[Row]) -> dict[str, Estimate]:
    sums = _sums(rows)
    if rows[0]["task"] == "vqa":
        return dict(zip(VQA, sums.estimates(["question"] * 2), strict=True))
    yes, no, answered, _ = sums.units
    units = ("question (answer yes)", "question (answer no)", *("question",) * 3)
    found = sums.estimates(units, (yes, no, answered, answered, answered))
    return dict(zip(RECOGNITION, found, strict=True))


def _sums(rows: Sequence[Row]) -> PhotoSums:
    if rows[0]["task"] == "vqa":
        counts = ((r["image_id"], (r["correct"], r["read"] is None), (1.0, 1.0)) for r in rows)
        return sum_by_photo(counts, 2)
    return sum_by_photo(map(_recognition, rows), 4, _weighted)


def _recognition(row: Row) -> tuple[str, tuple[float, ...], tuple[float, ...]]:
    """Correct answers to yes and to no questions, correct and unread ones of all."""
    correct, is_yes = float(row["correct"]), row["expected"] == "yes"
    top = (correct * is_yes, correct * (not is_yes), correct, float(row["read"] is None))
    return row["image_id"], top, (float(is_yes), float(not is_yes), 1.0, 1.0)


def _weighted(sums: Array) -> Array:
    """Recall, specificity, their mean, accuracy, share of unread answers."""
    recall, specificity, accuracy, unread = np.moveaxis(ratios(sums), -1, 0)
    mean = (recall + specificity) / 2
    return np.stack([recall, specificity, mean, accuracy, unread], axis=-1)


def compare(first: Sequence[Row], second: Sequence[Row]) -> dict[str, Difference]:
    """Score -> second minus first, on the questions of both; paired by photo.

    Raises:
        CaptionError: the two share no question.
    """
    by_question = [{row["question_id"]: row for row in rows} for rows in (first, second)]
    common = sorted(by_question[0].keys() & by_question[1].keys())
    if not common:
        raise CaptionError(
            "the two versions share no question: ask both models about the same suite, with the "
            "same task, seed and layout"
        )
    sums = [_sums([rows[key] for key in common]) for rows in by_question]
    names = VQA if first[0]["task"] == "vqa" else RECOGNITION
    return dict(zip(names, paired_test(sums[0], sums[1]), strict=True))
