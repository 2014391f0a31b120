"""Boxes of a source on photos that have another size or orientation than it says."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repic.images.coordinates import Box
from repic.pipeline.scan import ScannedPhoto
from repic.pipeline.stages.images import _image_row, _misfit
from repic.sources.base import Annotation, SourcePhoto
from tests.sources.libraries import stored_corners

FACTS = {"width": 200, "height": 100, "format": "JPEG", "orientation": 1, "phash": "0" * 16}


def _boxes(drawn_on: tuple[int, int] | None, box: Box, **facts: int) -> list[list[float]]:
    photo = SourcePhoto("file:///a.jpg", "coco", annotations=(Annotation(box, "dog"),))
    scanned = ScannedPhoto("id", "sha", replace(photo, drawn_on=drawn_on))
    row = _image_row(scanned, FACTS | facts, "id")
    return [annotation["box"] for annotation in row["annotations"]]


@pytest.mark.parametrize("drawn_on", [None, (200, 100)])
def test_a_box_drawn_on_the_file_stays(drawn_on: tuple[int, int] | None) -> None:
    assert _boxes(drawn_on, Box(10, 20, 30, 40)) == [[10, 20, 30, 40]]


@given(st.integers(1, 40))
def test_a_box_is_scaled_with_its_photo(factor: int) -> None:
    drawn = Box(10, 20, 30, 40).scale(factor / 4, factor / 4)
    size = (50 * factor, 25 * factor)
    assert _boxes(size, drawn) == [pytest.approx([10, 20, 30, 40])]


def test_rounding_of_a_side_is_no_other_shape() -> None:
    assert len(_boxes((100, 67), Box(1, 1, 50, 50), width=448, height=299)) == 1


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_a_box_drawn_on_the_stored_photo_turns_with_it(orientation: int) -> None:
    x1, y1, x2, y2 = stored_corners((0.05, 0.2, 0.15, 0.4), orientation)
    for scale in (1, 3):
        drawn = Box(x1 * 100, y1 * 200, x2 * 100, y2 * 200).scale(scale, scale)
        boxes = _boxes((100 * scale, 200 * scale), drawn, orientation=orientation)
        assert boxes == [pytest.approx([10, 20, 30, 40])]


@pytest.mark.parametrize("size", [(100, 200), (300, 100), (200, 150)])
def test_boxes_of_another_shape_are_refused(size: tuple[int, int]) -> None:
    assert _boxes(size, Box(10, 20, 30, 40)) == []
    photo = SourcePhoto("file:///a.jpg", "coco", annotations=(Annotation(Box(1, 2, 3, 4), ""),))
    assert _misfit(replace(photo, drawn_on=size), FACTS)
