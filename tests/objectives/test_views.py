"""Views of a photo: crops show most of the object, and the answer in them is its visible part."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repic.images.coordinates import Box
from repic.objectives.base import SeededRandom
from repic.objectives.view import View
from repic.objectives.views import MAX_AREA_SHARE, MIN_PIXELS, MIN_VISIBLE, PhotoViews, visible

size = st.tuples(st.integers(8, 900), st.integers(8, 900))
shares = st.tuples(*[st.floats(0, 1)] * 4)


@given(size, shares, st.integers(0, 99))
def test_a_crop_shows_most_of_the_object(
    size: tuple[int, int], corners: tuple[float, ...], seed: int
) -> None:
    width, height = size
    (x1, x2), (y1, y2) = sorted(corners[:2]), sorted(corners[2:])
    box = Box(x1 * width, y1 * height, (x2 * 0.9 + 0.1) * width, (y2 * 0.9 + 0.1) * height)
    box = box if box.area > 0 else Box(0, 0, width, height)
    views = PhotoViews.of(box, width, height, SeededRandom(seed))
    assert views.crops[0] is None
    assert len(views.crops) == len(views.shares)
    assert (views.shares >= 0).all()
    assert (views.shares <= 1 + 1e-9).all()
    for crop in filter(None, views.crops):
        assert 0 <= crop.x1 < crop.x2 <= width
        assert 0 <= crop.y1 < crop.y2 <= height
        assert min(crop.width, crop.height) >= MIN_PIXELS
        seen = visible(box, crop)
        assert seen.area >= MIN_VISIBLE * box.area * (1 - 1e-9)
        assert seen.area <= MAX_AREA_SHARE * crop.area


def test_without_random_numbers_there_is_the_whole_photo_only() -> None:
    assert PhotoViews.of(Box(10, 10, 50, 50), 200, 100, None).crops == (None,)


def _row(crop: list[float] | None) -> dict[str, Any]:
    picture: dict[str, Any] = {"width": 200, "height": 100}
    return {"images": [picture if crop is None else {**picture, "crop": crop}]}


def test_a_view_is_what_is_decoded() -> None:
    assert View.of(_row(None)) == View.of(_row([0, 0, 200, 100])) == View(0, 0, 200, 100)
    assert View.of(_row([10.4, 20, 60.2, 500])) == View(10, 20, 51, 80)


@given(shares)
def test_a_box_goes_into_a_view_and_back(corners: tuple[float, ...]) -> None:
    view = View(10, 20, 80, 60)
    (x1, x2), (y1, y2) = sorted(corners[:2]), sorted(corners[2:])
    box = Box(10 + 80 * x1, 20 + 60 * y1, 10 + 80 * x2, 20 + 60 * y2)
    assert view.unseen(view.seen(box)).as_list() == pytest.approx(box.as_list())
