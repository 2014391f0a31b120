"""Metrics of the held-out measurement, on known detections and vectors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from repic.images.coordinates import Box
from repic.models.detectors import Detection
from repic.sample.identities import CATEGORIES, RESERVED
from repic.sample.world import World
from tools.sample_models import holdout
from tools.sample_models.holdout import ScoredDetection


@dataclass
class FixedDetector:
    """A detector with fixed answers."""

    answers: list[list[Detection]]
    fingerprint: str = ""
    vocabulary: tuple[str, ...] = CATEGORIES

    def detect(self, images: object) -> list[list[Detection]]:
        return self.answers


def test_average_precision_of_a_worked_example() -> None:
    scored = [
        ScoredDetection("mug", 0.9, True),
        ScoredDetection("mug", 0.8, False),
        ScoredDetection("mug", 0.7, True),
        ScoredDetection("car", 0.9, False),
    ]
    # mug: precision 1 up to a recall of 1/3, 2/3 up to 2/3, 0 after it; car: never right.
    mug = (1 + 2 / 3) / 3
    value = holdout.mean_average_precision(scored, {"mug": 3, "car": 1, "hat": 0})
    assert value == pytest.approx(mug / 2)


def test_perfect_boxes_score_one_and_doubles_do_not_count_twice() -> None:
    photo = World(96).photo(RESERVED[:2], 1)
    detections = [Detection(o.box, o.identity.category, 0.9) for o in photo.objects]
    detections.append(Detection(photo.objects[0].box, photo.objects[0].identity.category, 0.5))
    scored = holdout.score(photo, detections)
    assert [s.right for s in scored] == [True, True, False]
    wrong_label = [Detection(photo.objects[0].box, "nothing", 0.9)]
    far = [Detection(Box(0, 0, 1, 1), photo.objects[0].identity.category, 0.9)]
    assert not any(s.right for s in holdout.score(photo, [*wrong_label, *far]))


def test_nearest_asks_with_every_crop_but_the_first_of_each_identity() -> None:
    vectors = np.eye(3, dtype=np.float32)[[0, 1, 0, 1, 1]]
    assert holdout.nearest(vectors, np.array([0, 1, 0, 1, 0])) == pytest.approx(2 / 3)


def test_gallery_is_of_families_that_share_category_and_colour() -> None:
    chosen = holdout.gallery()
    assert len(chosen) == len(set(chosen)) == holdout.GALLERY
    families: dict[tuple[str, str], int] = {}
    for one in chosen:
        families[one.category, one.colour] = families.get((one.category, one.colour), 0) + 1
    assert len(families) < holdout.GALLERY / 4
    assert set(chosen) <= set(RESERVED)


def test_photos_show_each_identity_often_enough_in_hard_places() -> None:
    chosen = holdout.gallery(count=12)
    photos = holdout.photos(chosen, views=3)
    identities = [o.identity for photo in photos for o in photo.objects]
    assert min(identities.count(one) for one in chosen) >= 3
    assert {photo.background for photo in photos} <= set(holdout.HARD_PLACES)
    assert len(photos) == len({photo.image.tobytes() for photo in photos})
