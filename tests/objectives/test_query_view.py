"""What a question shows of its photo: crops show most of the object."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from repic.images.coordinates import Box
from repic.images.decode import open_image
from repic.images.uris import file_uri
from repic.objectives.candidate_crops import (
    MAX_AREA_SHARE,
    MIN_PIXELS,
    MIN_VISIBLE,
    CandidateCrops,
    visible,
)
from repic.objectives.query_view import QueryView

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
    offered = CandidateCrops.of(np.array([box.as_list()]), np.array([size]), [seed])
    whole = [0, 0, width, height]
    assert offered.crops[0, 0].tolist() == whole
    assert (offered.crops[0, offered.count[0] :] == whole).all()
    assert (offered.shares >= 0).all()
    assert (offered.shares <= 1 + 1e-9).all()
    for crop in (Box.of(crop) for crop in offered.crops[0, 1 : offered.count[0]]):
        assert 0 <= crop.x1 < crop.x2 <= width
        assert 0 <= crop.y1 < crop.y2 <= height
        assert min(crop.width, crop.height) >= MIN_PIXELS
        seen = visible(box, crop)
        assert seen.area >= MIN_VISIBLE * box.area * (1 - 1e-9)
        assert seen.area <= MAX_AREA_SHARE * crop.area


def test_without_random_numbers_there_is_the_whole_photo_only() -> None:
    found = CandidateCrops.of(np.array([[10.0, 10, 50, 50]]), np.array([[200, 100]]), [None])
    assert found.count.tolist() == [1]
    assert found.shares[0, 0].tolist() == [0.05, 0.1, 0.25, 0.5]


def _row(crop: list[float] | None) -> dict[str, Any]:
    picture: dict[str, Any] = {"width": 200, "height": 100}
    return {"images": [picture if crop is None else {**picture, "crop": crop}]}


def test_a_view_is_what_is_decoded(tmp_path: Path) -> None:
    photo = tmp_path / "a.png"
    Image.new("RGB", (200, 100)).save(photo)
    for crop in ([0, 0, 200, 100], [10.4, 20, 60.2, 500], [-3, 0.5, 7.5, 99.2]):
        view = QueryView.of(_row(crop))
        picture = open_image(file_uri(photo), Box.of(crop))
        assert (view.width, view.height) == picture.size
    assert (
        QueryView.of(_row(None))
        == QueryView.of(_row([0, 0, 200, 100]))
        == QueryView(0, 0, 200, 100)
    )
    assert QueryView.of(_row([10.4, 20, 60.2, 500])) == QueryView(10, 20, 51, 80)


@given(shares, st.sampled_from([1.0, 0.3]))
def test_a_box_goes_into_a_view_and_back(corners: tuple[float, ...], scale: float) -> None:
    view = QueryView(10, 20, round(80 * scale), round(60 * scale), (scale, scale))
    (x1, x2), (y1, y2) = sorted(corners[:2]), sorted(corners[2:])
    box = Box(10 + 80 * x1, 20 + 60 * y1, 10 + 80 * x2, 20 + 60 * y2)
    assert view.to_photo(view.to_view(box)).as_list() == pytest.approx(box.as_list())
