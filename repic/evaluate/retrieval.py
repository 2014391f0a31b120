"""Who is in a photo, by crops: detector -> crops -> encoder -> nearest references.

The paper takes the nearest K, whoever is there. Ours takes a crop's nearest reference where its
cosine is at least a threshold, and nobody else. The threshold is calibrated on the references
alone: another view of the same concept should pass and the nearest other concept should not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from repic.evaluate.suites import Suite, View
from repic.images.coordinates import Box
from repic.images.decode import open_image

if TYPE_CHECKING:
    from repic.models.detectors.base import Detector
    from repic.models.encoder import Encoder, Vectors

KEPT = 5
"""Nearest concepts that are kept of each crop."""

FALSE_ACCEPTS = 0.05
"""Share of references that may pass as somebody else, where no concept has two views."""

STEPS = 41
"""Points of a threshold curve."""

_BATCH = 64


@dataclass(frozen=True)
class Near:
    """A concept and its cosine to a crop, rounded to four decimals."""

    name: str
    similarity: float


@dataclass(frozen=True)
class Crop:
    """A box that the detector drew, and the concepts nearest to it, the nearest first."""

    box: tuple[float, float, float, float]
    label: str
    confidence: float
    nearest: tuple[Near, ...]


@dataclass(frozen=True)
class Point:
    """Retrieval at one threshold; see `quality`.

    Attributes:
        hits: Share of those in a photo that are found.
        false_accepts: Share of crops that would get a name if nobody in the photo were known.
        right: Share of the names found that are in the photo; None where none is found.
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
        """Cosine to the nearest view of each concept, float (n, concepts)."""
        cosines = vectors @ self._vectors.T
        return np.stack(
            [cosines[:, self._owners == k].max(axis=1) for k in range(len(self.names))], axis=1
        )

    def threshold(self) -> float:
        """Where views of one concept and views of others part best (balanced accuracy).

        Where no concept has two views: the cosine that a share of `FALSE_ACCEPTS` of the
        references reaches with its nearest other concept.
        """
        cosines = self._vectors @ self._vectors.T
        same = self._owners[:, None] == self._owners[None, :]
        alien = np.where(same, -1.0, cosines).max(axis=1)
        np.fill_diagonal(same, False)
        own = np.where(same, cosines, -1.0).max(axis=1)[same.any(axis=1)]
        if not len(own):
            return round(float(np.quantile(alien, 1 - FALSE_ACCEPTS)), 4)
        levels = np.unique(np.concatenate([own, alien]))
        accuracy = [(own >= level).mean() + (alien < level).mean() for level in levels]
        return round(float(levels[int(np.argmax(accuracy))]), 4)


def search(
    suite: Suite, detector: Detector, encoder: Encoder, gallery: Gallery, margin: float = 0.0
) -> dict[str, list[Crop]]:
    """image_id -> crops, the surest first; a photo without a box is one crop of all of it.

    Args:
        margin: By which a crop is grown on each side, in shares of its size.

    Raises:
        ImageRefused, OSError: a photo cannot be read.
    """
    queries = {query.photo.image_id: query for query in suite.queries}
    found: dict[str, list[Crop]] = {}
    ids = list(queries)
    for start in range(0, len(ids), _BATCH):
        batch = [queries[key] for key in ids[start : start + _BATCH]]
        photos = [_open(query.photo) for query in batch]
        drawn = detector.detect(photos)
        boxes: list[list[tuple[Box, str, float]]] = [
            [(d.box, d.label, d.confidence) for d in detections]
            or [(Box(0.0, 0.0, float(photo.width), float(photo.height)), "", 0.0)]
            for photo, detections in zip(photos, drawn, strict=True)
        ]
        cut = [
            photo.crop(_grown(box, margin, photo.size))
            for photo, own in zip(photos, boxes, strict=True)
            for box, _, _ in own
        ]
        near = gallery.similarities(encoder.encode_images(cut))
        place = 0
        for query, own in zip(batch, boxes, strict=True):
            found[query.photo.image_id] = [
                Crop(
                    (box.x1, box.y1, box.x2, box.y2),
                    label,
                    round(confidence, 4),
                    _nearest(near[place + n], gallery.names, query.among),
                )
                for n, (box, label, confidence) in enumerate(own)
            ]
            place += len(own)
    return found


def _open(view: View) -> Any:
    whole = (0.0, 0.0, float(view.width), float(view.height))
    return open_image(view.uri, None if view.crop == whole else Box(*view.crop))


def _grown(box: Box, margin: float, size: tuple[int, int]) -> tuple[int, int, int, int]:
    right, down = margin * (box.x2 - box.x1), margin * (box.y2 - box.y1)
    left, top = max(0, int(box.x1 - right)), max(0, int(box.y1 - down))
    x2, y2 = min(size[0], round(box.x2 + right)), min(size[1], round(box.y2 + down))
    return left, top, max(left + 1, x2), max(top + 1, y2)


def _nearest(similar: np.ndarray, names: Sequence[str], among: Sequence[str]) -> tuple[Near, ...]:
    allowed = set(among)
    order = [k for k in np.argsort(-similar, kind="stable") if names[k] in allowed]
    return tuple(Near(names[k], round(float(similar[k]), 4)) for k in order[:KEPT])


def accepted(crops: Sequence[Crop], threshold: float) -> list[str]:
    """Names of the nearest references that reach the threshold, the surest first, each once."""
    best: dict[str, float] = {}
    for crop in crops:
        for near in crop.nearest[:1]:
            if near.similarity >= threshold:
                best[near.name] = max(near.similarity, best.get(near.name, -1.0))
    return sorted(best, key=lambda name: (-best[name], name))


def forced(crops: Sequence[Crop], k: int, among: Sequence[str]) -> list[str]:
    """The K names that any crop is nearest to; as many as there are, never fewer."""
    best: dict[str, float] = {}
    for crop in crops:
        for near in crop.nearest:
            best[near.name] = max(near.similarity, best.get(near.name, -1.0))
    order = sorted(best, key=lambda name: (-best[name], name))
    return [*order, *(name for name in among if name not in best)][:k]


def quality(
    suite: Suite, found: Mapping[str, Sequence[Crop]], thresholds: Sequence[float]
) -> list[Point]:
    """How retrieval fares at each threshold, whatever a model makes of it.

    False accepts are counted as if those in the photo were in no database: of each crop the nearest
    reference of somebody else. Crops that are near to nobody else are left out.
    """
    points = []
    for threshold in thresholds:
        counts = np.sum(
            [
                counted(q.concepts, found[q.photo.image_id], threshold, q.others)
                for q in suite.queries
            ],
            axis=0,
        )
        hits, present, false, strangers, names = (int(n) for n in counts)
        points.append(
            Point(
                float(threshold),
                hits / present if present else 0.0,
                false / strangers if strangers else 0.0,
                hits / names if names else None,
            )
        )
    return points


def counted(
    present: Sequence[str],
    crops: Sequence[Crop],
    threshold: float,
    others: Sequence[str] = (),
) -> tuple[int, int, int, int, int]:
    """Of one photo: found ones, those there, false accepts, chances for them, names given.

    Args:
        others: More who are there; who is found as one of them is no false accept.
    """
    names, there = accepted(crops, threshold), {*present, *others}
    aliens = [
        alien
        for crop in crops
        if (alien := next((n.similarity for n in crop.nearest if n.name not in there), None))
        is not None
    ]
    return (
        len(set(names) & set(present)),
        len(present),
        sum(alien >= threshold for alien in aliens),
        len(aliens),
        len(names),
    )


def curve(suite: Suite, found: Mapping[str, Sequence[Crop]]) -> list[Point]:
    """`quality` over the thresholds that matter: from the lowest best cosine to the highest."""
    best = [
        near.similarity for crops in found.values() for crop in crops for near in crop.nearest[:1]
    ]
    low, high = (min(best), max(best)) if best else (0.0, 1.0)
    return quality(suite, found, [round(float(t), 4) for t in np.linspace(low, high, STEPS)])
