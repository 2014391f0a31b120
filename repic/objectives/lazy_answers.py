"""How well VLT is answered without looking: by one fixed box for all photos.

Boxes are shares of width and height, float (n, 4) as x1, y1, x2, y2 in [0, 1]; the IoU is the same
as in pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from repic.config import SPLITS
from repic.objectives.candidate_crops import AT_ONCE, CandidateCrops
from repic.objectives.query_view import QueryView, box_in_view

Boxes = NDArray[np.float64]

STEPS = (0.1, 0.05, 0.02, 0.01)
"""Steps of the search for the best box, in shares of the photo."""

MOST_ROWS = 2_000
"""Rows that the best box is searched on."""

LEAST_ROWS = 90
MOST_LEFT_OUT = 0.4
"""Limits of `choose_rows`: of all splits together, and the share of a split."""

FEWEST_ROWS = 20
"""Rows of train below which a box that answers them says little about photos in general."""

ROUNDS = 60
"""Most turns of `choose_crops`."""

HIT = 0.5
TOO_HIGH = 0.45
"""A mean IoU above this means that a model can earn much of the reward without looking."""


@dataclass(frozen=True)
class LazyAnswer:
    """Score of the best fixed box on the VLT rows of a split.

    Attributes:
        box: The box with the highest mean IoU on rows of train, as shares of width and height.
        mean_iou: On the rows of this split.
        hits: Share of the rows of this split with an IoU of at least 0.5.
    """

    split: str
    rows: int
    box: tuple[float, float, float, float]
    mean_iou: float
    hits: float

    @property
    def too_high(self) -> bool:
        """Whether not looking pays too well."""
        return self.mean_iou > TOO_HIGH


def measure(rows: Iterable[Mapping[str, Any]]) -> list[LazyAnswer]:
    """The best fixed box of the VLT rows of train, applied to each split that has VLT rows.

    Args:
        rows: Rows of the examples table, with objective, split, box and images.

    Returns:
        One score per split; none without VLT rows in train.
    """
    found: dict[str, list[tuple[float, ...]]] = {split: [] for split in SPLITS}
    for row in rows:
        if row["objective"] == "vlt":
            view = QueryView.of(row)
            share = box_in_view(row).scale(1 / view.width, 1 / view.height)
            found[row["split"]].append(tuple(share.as_list()))
    if not found["train"]:
        return []
    box = best_box(np.array(found["train"]))
    corners = (float(box[0]), float(box[1]), float(box[2]), float(box[3]))
    scores = []
    for split, boxes in found.items():
        if boxes:
            values = ious(np.array(boxes), box)
            hits = float((values >= HIT).mean())
            scores.append(LazyAnswer(split, len(boxes), corners, float(values.mean()), hits))
    return scores


def need_crops(whole: Boxes, splits: Sequence[str], most: float) -> bool:
    """Whether a fixed box answers boxes in whole photos too well; see `choose_crops`.

    With fewer than `FEWEST_ROWS` rows of train all photos stay whole.

    Args:
        most: Highest mean IoU; 1 keeps all photos whole.
    """
    train = np.flatnonzero(np.array(splits) == "train")
    return most < 1 and len(train) >= FEWEST_ROWS and _score(whole, train)[1] > most


def choose_crops(views: CandidateCrops, splits: Sequence[str], most: float) -> NDArray[np.int64]:
    """Which view of its photo each row shows, int (n,), so that no fixed box answers many rows.

    In turns, the best fixed box of the rows of train is found, and the third of all rows that it
    answers best change to the view in which the boxes found so far answer them worst. This is
    fictitious play (Brown, 1951) of the one who asks against the one who does not look. It ends as
    soon as the best box has at most the given mean IoU, on train and on all rows, so rows that are
    well spread stay whole; after `ROUNDS` turns, the best choice so far is taken.

    Args:
        views: Of each row.
        splits: Of all rows.
        most: Highest mean IoU.

    Returns:
        Numbers of views, 0 for the whole photo.
    """
    train = np.flatnonzero(np.array(splits) == "train")
    answered = np.zeros(views.shares.shape[:2])
    rows, picks = np.arange(len(answered)), np.zeros(len(answered), np.int64)
    best, least = picks, 1.0
    for _ in range(ROUNDS):
        shown = views.shares[rows, picks]
        box, score = _score(shown, train)
        if score < least:
            best, least = picks.copy(), score
        if score <= most:
            break
        for start in range(0, len(rows), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            values = ious(views.shares[part].reshape(-1, 4), box)
            answered[part] += values.reshape(answered[part].shape)
        values = np.where(views.count > 1, ious(shown, box), -1.0)
        worst = np.argsort(-values, kind="stable")[: max(1, len(rows) // 3)]
        picks[worst] = answered[worst].argmin(axis=1)
    return best


def _score(boxes: Boxes, train: NDArray[np.int64]) -> tuple[Boxes, float]:
    """The best fixed box of train, and its mean IoU there or over all rows, whichever is more."""
    box = best_box(boxes[train])
    values = ious(boxes, box)
    return box, max(float(values[train].mean()), float(values.mean()))


def choose_rows(boxes: Boxes, splits: Sequence[str], most: float) -> NDArray[np.bool_]:
    """Which rows to keep, bool (n,), so that the best fixed box has at most this mean IoU.

    The box is that of the kept rows of train. The rows that it answers best are left out, of each
    split, but never more than 40 % of them, since a model must see central objects too, and never
    so many that fewer than 90 rows are left of all: a small collection needs them more.

    Args:
        boxes: Of all rows.
        splits: Of all rows.
        most: Highest mean IoU; 1 keeps all rows.
    """
    of, kept = np.array(splits), np.ones(len(boxes), bool)
    train = np.flatnonzero(of == "train")
    share = min(MOST_LEFT_OUT, 1 - LEAST_ROWS / max(len(boxes), LEAST_ROWS))
    if most >= 1 or not share or not len(train):
        return kept
    at_once = max(1, len(train) // 60)  # the best box changes with the rows that are left
    for left_out in range(0, int(len(train) * share), at_once):
        rows = train[kept[train]]
        values = ious(boxes[rows], best_box(boxes[rows]))
        if values.mean() <= most:
            break
        more = min(at_once, int(len(train) * share) - left_out)
        kept[rows[np.argsort(-values, kind="stable")[:more]]] = False
    values = ious(boxes, best_box(boxes[train[kept[train]]]))
    for split in set(splits) - {"train"}:
        rows = np.flatnonzero(of == split)
        order = rows[np.argsort(-values[rows], kind="stable")]
        for row in order[: int(len(rows) * share)]:
            if values[rows[kept[rows]]].mean() <= most:
                break
            kept[row] = False
    return kept


def best_box(boxes: Boxes) -> Boxes:
    """The box, float (4,), with the highest mean IoU with all boxes, found by steps of 0.01.

    The search starts from the median box; the same boxes give the same result in any order.
    """
    boxes = boxes[np.lexsort(boxes.T)]
    boxes = boxes[:: -(-len(boxes) // MOST_ROWS)]
    best = np.median(boxes, axis=0)
    score = ious(boxes, best).mean()
    for step in STEPS:
        improved = True
        while improved:
            improved = False
            for move in (*np.eye(4), *-np.eye(4), *_BOTH):
                other = np.clip(best + step * move, 0, 1)
                if (value := ious(boxes, other).mean()) > score + 1e-12:
                    best, score, improved = other, value, True
    return best


_BOTH = np.array([[1, 0, 1, 0], [-1, 0, -1, 0], [0, 1, 0, 1], [0, -1, 0, -1],
                  [1, 0, -1, 0], [-1, 0, 1, 0], [0, 1, 0, -1], [0, -1, 0, 1],
                  [1, 1, -1, -1], [-1, -1, 1, 1]])  # fmt: skip
"""Moves of two or four sides: shift, and shrink or grow around the centre."""


def ious(boxes: Boxes, box: Boxes) -> Boxes:
    """IoU of each box with one box, float (n,)."""
    low, high = np.maximum(boxes[:, :2], box[:2]), np.minimum(boxes[:, 2:], box[2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=1)
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    area = np.prod(np.clip(box[2:] - box[:2], 0, None))
    return shared / np.maximum(areas + area - shared, 1e-12)
