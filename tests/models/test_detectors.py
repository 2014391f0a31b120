"""Shared parts of the detectors: letterboxes, suppression, descriptions, refused settings."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from repic.config import DetectorSettings, RuntimeSettings
from repic.errors import ConfigError, DeviceError, WeightsError
from repic.images.coordinates import Box
from repic.models import detectors
from repic.models.detectors.base import Candidates, Padding, letterbox, non_max_suppression
from repic.models.devices import ResolvedRuntime

RUNTIME = RuntimeSettings(device="cpu")
SIDES = st.integers(1, 400)
ALL = DetectorSettings(confidence=0, min_area_share=0)


@given(SIDES, SIDES, st.booleans(), st.data())
def test_a_frame_gives_back_what_was_put_in(
    width: int, height: int, centred: bool, data: st.DataObject
) -> None:
    square, box = letterbox(Image.new("RGB", (width, height)), 64, Padding(centred, (9, 9, 9)))
    share = st.floats(0, 1)
    points = np.array([[data.draw(share) * width, data.draw(share) * height]] * 2).reshape(1, 4)
    scale, offset = np.array([box.scale_x, box.scale_y] * 2), [box.left, box.top] * 2
    inside = points * scale + offset
    assert square.shape == (64, 64, 3)
    assert (inside >= -1e-9).all()
    assert (inside <= 64 + 1e-9).all()
    np.testing.assert_allclose(box.restore(inside), points, atol=1e-6)


def test_a_frame_keeps_the_aspect_and_pads_the_rest() -> None:
    square, box = letterbox(Image.new("RGB", (200, 100), (255, 0, 0)), 64, Padding(True, (1, 2, 3)))
    assert (box.left, box.top) == (0, 16)
    assert (square[16:48] == (255, 0, 0)).all()
    assert (square[:16] == (1, 2, 3)).all()
    assert (square[48:] == (1, 2, 3)).all()


def kept(
    rows: list[tuple[float, float, float, float, float, int]], settings: DetectorSettings = ALL
) -> list[detectors.Detection]:
    values = np.array(rows, dtype=np.float32).reshape(-1, 6)
    candidates = Candidates(values[:, :4], values[:, 4], values[:, 5].astype(int))
    return non_max_suppression(candidates, (100, 80), ("dog", "cat"), settings)


def test_boxes_are_clipped_rounded_and_sorted() -> None:
    detections = kept([(-5, 1.23456, 30, 40, 0.512345, 0), (60, 60, 130, 90, 0.9, 1)])
    assert detections == [
        detectors.Detection(Box(60, 60, 100, 80), "cat", 0.9),
        detectors.Detection(Box(0, 1.23, 30, 40), "dog", 0.5123),
    ]


def test_boxes_without_an_inside_are_dropped() -> None:
    assert kept([(10, 10, 10, 40, 0.9, 0), (120, 10, 140, 40, 0.9, 0), (30, 9, 20, 12, 1, 0)]) == []


def test_doubles_go_only_within_a_label() -> None:
    rows = [(10, 10, 50, 50, 0.9, 0), (11, 10, 50, 50, 0.8, 0), (11, 10, 50, 50, 0.7, 1)]
    assert [(d.label, d.confidence) for d in kept(rows)] == [("dog", 0.9), ("cat", 0.7)]


def test_limits_of_the_settings() -> None:
    rows = [(x, 0.0, x + 9.0, 9.0, 0.2 + x / 200, 0) for x in range(0, 90, 10)]
    assert len(kept(rows)) == 9
    assert len(kept(rows, ALL.model_copy(update={"max_objects": 2}))) == 2
    assert all(d.confidence >= 0.4 for d in kept(rows, ALL.model_copy(update={"confidence": 0.4})))
    assert kept(rows, ALL.model_copy(update={"min_area_share": 0.5})) == []


@given(st.permutations(range(6)))
def test_order_of_candidates_does_not_matter(order: list[int]) -> None:
    rows = [(10.0 + 8 * (i % 3), 10, 40.0 + i, 60, 0.5 + (i % 2) / 4, i % 2) for i in range(6)]
    assert kept([rows[i] for i in order]) == kept(rows)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"kind": "yolo"}, ConfigError, "detector.checkpoint"),
        ({"kind": "yoloe", "checkpoint": "x.pt"}, ConfigError, "detector.vocabulary"),
        ({"kind": "transformers", "checkpoint": "x"}, ConfigError, "detector.vocabulary"),
        ({"kind": "yolo", "checkpoint": "nowhere.pt"}, WeightsError, "put it into"),
        ({"kind": "annotation"}, ConfigError, "annotation"),
    ],
    ids=str,
)
def test_impossible_settings_say_what_to_do(
    settings: dict, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        detectors.load(DetectorSettings(**settings), RUNTIME)


def test_annotation_has_a_description_all_the_same() -> None:
    assert detectors.describe(DetectorSettings(kind="annotation"), RUNTIME)["kind"] == "annotation"


@pytest.mark.parametrize(
    "change", [{"confidence": 0.1}, {"max_objects": 3}, {"min_area_share": 0.1}], ids=str
)
def test_a_limit_is_part_of_the_description(change: dict) -> None:
    settings = DetectorSettings()
    changed = settings.model_copy(update=change)
    assert detectors.describe(settings, RUNTIME) != detectors.describe(changed, RUNTIME)


def test_which_of_several_gpus_is_not_part_of_the_description() -> None:
    first, second = (ResolvedRuntime.of(RuntimeSettings(device=f"cuda:{i}")) for i in range(2))
    assert first.precision == "bfloat16"
    assert first.describe() == second.describe()


def test_a_gpu_that_is_not_there_is_refused() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert ResolvedRuntime.of(RuntimeSettings()).device in {"cpu", "mps"}
    for device in ("cuda", "cuda:7"):
        with pytest.raises(DeviceError, match=r"runtime\.device=cpu"):
            ResolvedRuntime.of(RuntimeSettings(device=device)).prepare()
    with pytest.raises(DeviceError, match="is not a device"):
        ResolvedRuntime.of(RuntimeSettings(device="gpu")).prepare()
