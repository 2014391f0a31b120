"""Retrieval of references: detector -> crops -> encoder -> nearest concepts.

The paper takes the nearest K references for every photo in which the detector finds a box, and none
elsewhere. Ours takes the nearest reference of each crop if its cosine reaches a threshold; without
a box, the photo is the crop. The threshold is calibrated on the references alone, so that
another view of the same concept passes and the nearest other concept does not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from repic.config import NoBox
from repic.evaluation.suites.base import Concept, ImageRegion, Suite
from repic.images.coordinates import Box
from repic.images.decode import open_image
from repic.models.devices import batched

if TYPE_CHECKING:
    from repic.models.detectors.base import Detector
    from repic.models.encoder import Encoder, Vectors

KEPT = 5
"""Nearest concepts kept per crop."""

FALSE_ACCEPTS = 0.05
"""Share of references that may pass as another concept, if no concept has two views."""

STEPS = 41
"""Points of a threshold curve."""

_PHOTOS_PER_BATCH = 64

Boxes = list[tuple[Box, str, float]]
"""Box, label and confidence of what is found in a photo."""


@dataclass(frozen=True)
class Match:
    """A concept and its cosine to a crop, rounded to four decimals."""

    name: str
    similarity: float


@dataclass(frozen=True)
class DetectedCrop:
    """A detected box and its nearest concepts, nearest first."""

    box: tuple[float, float, float, float]
    label: str
    confidence: float
    nearest: tuple[Match, ...]


@dataclass(frozen=True)
class MatchCounts:
    """Retrieval in one photo at one threshold.

    Attributes:
        hits: Concepts in the photo that are retrieved.
        present: Concepts in the photo.
        false_accepts: Crops whose nearest absent concept reaches the threshold.
        chances: Crops with an absent concept among their nearest.
        retrieved: Names retrieved.
    """

    hits: int
    present: int
    false_accepts: int
    chances: int
    retrieved: int


@dataclass(frozen=True)
class ThresholdPoint:
    """Retrieval over all photos at one threshold.

    Attributes:
        hits: Share of the concepts in photos that are retrieved.
        false_accepts: Share of crops that would get a name if no concept in the photo were known.
        right: Share of the names retrieved that are in the photo; None if none is retrieved.
    """

    threshold: float
    hits: float
    false_accepts: float
    right: float | None


class Gallery:
    """The references of a suite as vectors."""

    def __init__(self, suite: Suite, encoder: Encoder) -> None:
        views = [(c.name, view) for c in suite.concepts for view in c.views]
        self.names = [concept.name for concept in suite.concepts]
        self._owners = np.array([self.names.index(name) for name, _ in views])
        self._vectors = encoder.encode_images([_open(view) for _, view in views])

    def similarities(self, vectors: Vectors) -> np.ndarray:
        """Cosine of each vector to the nearest view of each concept, float (n, concepts)."""
        cosines = vectors @ self._vectors.T
        return np.stack(
            [cosines[:, self._owners == k].max(axis=1) for k in range(len(self.names))], axis=1
        )

    def threshold(self) -> float:
        """The cosine that best separates views of one concept from other concepts.

        Best by balanced accuracy. If no concept has two views: the cosine that a share of
        `FALSE_ACCEPTS` of the references reaches with its nearest other concept.
        """
        cosines = self._vectors @ self._vectors.T
        same = self._owners[:, None] == self._owners[None, :]
        other = np.where(same, -1.0, cosines).max(axis=1)
        np.fill_diagonal(same, False)
        own = np.where(same, cosines, -1.0).max(axis=1)[same.any(axis=1)]
        if not len(own):
            return round(float(np.quantile(other, 1 - FALSE_ACCEPTS)), 4)
        levels = np.unique(np.concatenate([own, other]))
        accuracy = [(own >= level).mean() + (other < level).mean() for level in levels]
        return round(float(levels[int(np.argmax(accuracy))]), 4)


def cropped(concepts: Sequence[Concept], detector: Detector) -> tuple[Concept, ...]:
    """References as a data set has them: the main object of each, or all if nothing is found.

    Raises:
        ImageRefused, OSError: A photo cannot be read.
    """
    return tuple(
        replace(concept, views=tuple(_main_object(view, detector) for view in concept.views))
        for concept in concepts
    )


def _main_object(view: ImageRegion, detector: Detector) -> ImageRegion:
    [found] = detector.detect([_open(view)])
    if not found:
        return view
    main = max(found, key=lambda detection: detection.confidence * detection.box.area)
    box = main.box.shift(view.crop[0], view.crop[1])
    return replace(view, crop=(box.x1, box.y1, box.x2, box.y2))


def search(
    suite: Suite,
    detector: Detector,
    encoder: Encoder,
    gallery: Gallery,
    margin: float = 0.0,
    no_box: NoBox = "whole-photo",
) -> dict[str, list[DetectedCrop]]:
    """image_id -> crops, highest confidence first.

    Args:
        margin: By how much a crop is enlarged on each side, as a share of its size.
        no_box: Where nothing is detected, the photo is the only crop, or there is none.

    Raises:
        ImageRefused, OSError: A photo cannot be read.
    """
    queries = {query.photo.image_id: query for query in suite.queries}
    crops: dict[str, list[DetectedCrop]] = {}
    for batch in batched(queries.values(), _PHOTOS_PER_BATCH):
        photos = [_open(query.photo) for query in batch]
        boxes: list[Boxes] = [
            [(d.box, d.label, d.confidence) for d in detections] or _undetected(photo, no_box)
            for photo, detections in zip(photos, detector.detect(photos), strict=True)
        ]
        pictures = list(_pictures(photos, boxes, margin))
        found = gallery.similarities(encoder.encode_images(pictures)) if pictures else ()
        similarities = iter(found)
        for query, photo_boxes in zip(batch, boxes, strict=True):
            crops[query.photo.image_id] = [
                DetectedCrop(
                    (box.x1, box.y1, box.x2, box.y2),
                    label,
                    round(confidence, 4),
                    _nearest(next(similarities), gallery.names, query.among),
                )
                for box, label, confidence in photo_boxes
            ]
    return crops


def _pictures(photos: Sequence[Any], boxes: Sequence[Boxes], margin: float) -> Iterator[Any]:
    for photo, photo_boxes in zip(photos, boxes, strict=True):
        for box, _, _ in photo_boxes:
            yield photo.crop(_enlarged(box, margin, photo.size))


def _undetected(photo: Any, no_box: NoBox) -> Boxes:
    if no_box == "no-reference":
        return []
    return [(Box(0.0, 0.0, float(photo.width), float(photo.height)), "", 0.0)]


def _open(region: ImageRegion) -> Any:
    full = (0.0, 0.0, float(region.width), float(region.height))
    return open_image(region.uri, None if region.crop == full else Box(*region.crop))


def _enlarged(box: Box, margin: float, size: tuple[int, int]) -> tuple[int, int, int, int]:
    right, down = margin * (box.x2 - box.x1), margin * (box.y2 - box.y1)
    left, top = max(0, int(box.x1 - right)), max(0, int(box.y1 - down))
    x2, y2 = min(size[0], round(box.x2 + right)), min(size[1], round(box.y2 + down))
    return left, top, max(left + 1, x2), max(top + 1, y2)


def _nearest(
    similarities: np.ndarray, names: Sequence[str], among: Sequence[str]
) -> tuple[Match, ...]:
    allowed = set(among)
    order = [k for k in np.argsort(-similarities, kind="stable") if names[k] in allowed]
    return tuple(Match(names[k], round(float(similarities[k]), 4)) for k in order[:KEPT])


def names_above(crops: Sequence[DetectedCrop], threshold: float) -> list[str]:
    """Names of the crops' nearest concepts that reach the threshold, nearest first."""
    best: dict[str, float] = {}
    for crop in crops:
        for match in crop.nearest[:1]:
            if match.similarity >= threshold:
                best[match.name] = max(match.similarity, best.get(match.name, -1.0))
    return sorted(best, key=lambda name: (-best[name], name))


def nearest_names(crops: Sequence[DetectedCrop], k: int, among: Sequence[str]) -> list[str]:
    """The K names nearest to any crop, filled up from `among`; none without a crop."""
    if not crops:
        return []
    best: dict[str, float] = {}
    for crop in crops:
        for match in crop.nearest:
            best[match.name] = max(match.similarity, best.get(match.name, -1.0))
    order = sorted(best, key=lambda name: (-best[name], name))
    return [*order, *(name for name in among if name not in best)][:k]


def count_matches(
    present: Sequence[str],
    crops: Sequence[DetectedCrop],
    threshold: float,
    others: Sequence[str] = (),
) -> MatchCounts:
    """Retrieval in one photo.

    False accepts are counted as if the concepts in the photo were not in the database: by the
    nearest other concept of each crop. Crops without one are left out.

    Args:
        present: Names in the photo.
        others: Further names in the photo; retrieving one is neither a hit nor a false accept.
    """
    names, in_photo = names_above(crops, threshold), {*present, *others}
    absent = [
        similarity
        for crop in crops
        if (
            similarity := next((m.similarity for m in crop.nearest if m.name not in in_photo), None)
        )
        is not None
    ]
    return MatchCounts(
        len(set(names) & set(present)),
        len(present),
        sum(similarity >= threshold for similarity in absent),
        len(absent),
        len(names),
    )


def threshold_curve(
    suite: Suite, crops: Mapping[str, Sequence[DetectedCrop]]
) -> list[ThresholdPoint]:
    """Retrieval at `STEPS` thresholds from the lowest to the highest nearest cosine.

    Args:
        crops: image_id -> crops; see `search`.
    """
    best = [
        match.similarity
        for photo_crops in crops.values()
        for crop in photo_crops
        for match in crop.nearest[:1]
    ]
    low, high = (min(best), max(best)) if best else (0.0, 1.0)
    thresholds = [round(float(t), 4) for t in np.linspace(low, high, STEPS)]
    return [_point(suite, crops, threshold) for threshold in thresholds]


def _point(
    suite: Suite, crops: Mapping[str, Sequence[DetectedCrop]], threshold: float
) -> ThresholdPoint:
    counts = [
        count_matches(query.concepts, crops[query.photo.image_id], threshold, query.others)
        for query in suite.queries
    ]
    hits, present = sum(c.hits for c in counts), sum(c.present for c in counts)
    false, chances = sum(c.false_accepts for c in counts), sum(c.chances for c in counts)
    retrieved = sum(c.retrieved for c in counts)
    return ThresholdPoint(
        threshold,
        hits / present if present else 0.0,
        false / chances if chances else 0.0,
        hits / retrieved if retrieved else None,
    )
