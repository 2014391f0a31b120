"""Cutting the main object out by its colours."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from repic.models import grabcut
from tests.timing import is_within

CENTER = np.exp(-((np.mgrid[-1:1:24j, -1:1:24j] ** 2).sum(axis=0) * 4)).astype(np.float32)


def disc(x: float, y: float, radius: float, size: int = 300) -> Image.Image:
    """A red disc with noise on a green background with noise."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:size, :size]
    inside = (columns - x) ** 2 + (rows - y) ** 2 <= radius**2
    pixels = np.where(inside[..., None], (200, 40, 40), (60, 140, 70))
    return Image.fromarray((pixels + rng.integers(-20, 20, pixels.shape)).astype(np.uint8))


def test_a_coarse_map_becomes_a_tight_box() -> None:
    cutout = grabcut.main_object(disc(160, 140, 80), CENTER)
    np.testing.assert_allclose(cutout.box, [80, 60, 240, 220], atol=4)
    assert cutout.mask.mean() == pytest.approx(np.pi * 80**2 / 300**2, rel=0.05)


def test_the_same_photo_gives_the_same_pixels() -> None:
    """Whatever other code drew from OpenCV's generator, and with any number of threads."""
    import cv2

    noise = Image.fromarray(np.random.default_rng(1).integers(0, 255, (90, 120, 3), np.uint8))
    first = grabcut.main_object(noise, CENTER)
    for seed in (1, 2):
        cv2.setRNGSeed(seed)
        cv2.setNumThreads(4)
        again = grabcut.main_object(noise, CENTER)
        np.testing.assert_array_equal(again.mask, first.mask)
        np.testing.assert_array_equal(again.box, first.box)


@pytest.mark.parametrize("size", [(1, 1), (900, 9), (9, 900), (300, 300)])
@pytest.mark.parametrize("evidence", [CENTER, np.zeros((3, 3), np.float32), -CENTER])
def test_any_photo_and_map_give_a_box_inside(size: tuple[int, int], evidence: np.ndarray) -> None:
    left, top, right, bottom = grabcut.main_object(Image.new("RGB", size, "gray"), evidence).box
    assert 0 <= left < right <= size[0]
    assert 0 <= top < bottom <= size[1]


@pytest.mark.parametrize("colours", [(128, 128), (128, 200), (255, 255), (0, 255)])
def test_areas_of_one_colour_take_no_longer_than_photos(colours: tuple[int, int]) -> None:
    pixels = np.full((300, 300, 3), colours[0], np.uint8)
    pixels[:, 150:] = colours[1]
    # Without noise: more than a minute.
    assert is_within(5, lambda: grabcut.main_object(Image.fromarray(pixels), CENTER))


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=20))
@settings(max_examples=50)
def test_a_normalized_map_is_between_0_and_1(values: list[float]) -> None:
    normalized = grabcut.normalized(np.array(values, np.float32))
    assert normalized.min() >= 0
    assert normalized.max() <= 1 + 1e-6
