"""VLT without looking: the best fixed box, and the rows that are left out because of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repic.config import ExampleSettings, VltSettings
from repic.images.coordinates import NORMALIZED, QWEN3_VL, Box
from repic.objectives import lazy_answers
from repic.objectives.base import answer_of
from repic.objectives.candidate_crops import CandidateCrops
from repic.objectives.lazy_answers import (
    best_box,
    choose_crops,
    choose_rows,
    ious,
    measure,
    need_crops,
)
from repic.objectives.query_view import QueryView, box_in_view
from repic.objectives.vlt import Vlt
from repic.rewards.server.protocol import row_message
from tests.objectives.tables import Build, image_row, object_row

side = st.tuples(st.integers(0, 90), st.integers(1, 10)).map(lambda s: (s[0] / 100, sum(s) / 100))
boxes_of = st.lists(st.tuples(side, side).map(lambda s: (s[0][0], s[1][0], s[0][1], s[1][1])))


def scattered(count: int, central: float, seed: int = 0) -> np.ndarray:
    """Random boxes, of which a share is near the centre."""
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 0.5, (count, 2))
    boxes = np.hstack([low, low + rng.uniform(0.1, 0.5, (count, 2))])
    middle = np.array([0.2, 0.2, 0.8, 0.8]) + rng.normal(0, 0.03, (count, 4))
    return np.where(rng.random((count, 1)) < central, middle, boxes)


@given(boxes_of)
def test_the_iou_is_that_of_boxes_in_pixels(found: list[tuple[float, ...]]) -> None:
    boxes = np.array(found).reshape(-1, 4)
    fixed = Box(10, 20, 60, 70)
    values = ious(boxes, np.array([0.1, 0.2, 0.6, 0.7]))
    assert values == pytest.approx([Box.of(list(100 * b)).iou(fixed) for b in boxes])


def test_the_best_box_is_at_least_as_good_as_any_of_a_grid() -> None:
    boxes = scattered(60, 0.5)
    best = ious(boxes, best_box(boxes)).mean()
    edges = np.linspace(0, 1, 11)
    grid = [(a, b, c, d) for a in edges for b in edges for c in edges for d in edges if a < c]
    assert best >= max(ious(boxes, np.array(g)).mean() for g in grid if g[1] < g[3]) - 0.005
    assert (best_box(boxes[::-1]) == best_box(boxes)).all()


def test_the_rows_that_a_fixed_box_answers_best_are_left_out() -> None:
    boxes = np.vstack([scattered(300, 0.6), scattered(40, 0.8, seed=1)])
    splits = ["train"] * 300 + ["test"] * 40
    kept = choose_rows(boxes, splits, 0.45)
    train, test = boxes[:300][kept[:300]], boxes[300:][kept[300:]]
    fixed = best_box(train)
    assert ious(boxes[:300], best_box(boxes[:300])).mean() > 0.47
    assert ious(train, fixed).mean() <= 0.45
    assert ious(test, fixed).mean() <= 0.45 or len(test) == 24
    assert len(train) > 200
    assert (choose_rows(boxes, splits, 0.45) == kept).all()
    assert choose_rows(boxes, splits, 1.0).all()


@given(boxes_of, st.floats(0.01, 1))
def test_at_most_two_fifths_are_left_out(found: list[tuple[float, ...]], most: float) -> None:
    boxes = np.array(found * 40).reshape(-1, 4)
    splits = [("train", "train", "test", "validation")[i % 4] for i in range(len(boxes))]
    kept = choose_rows(boxes, splits, most)
    assert kept.sum() >= min(90, len(boxes))
    for split in set(splits):
        chosen = kept[[s == split for s in splits]]
        assert chosen.sum() >= 0.6 * len(chosen)


def test_few_rows_are_all_kept() -> None:
    alike = np.tile([0.2, 0.2, 0.8, 0.8], (100, 1))
    assert choose_rows(alike[:90], ["train"] * 90, 0.1).all()
    assert choose_rows(alike, ["train"] * 100, 0.1).sum() in (90, 91)
    assert choose_rows(np.empty((0, 4)), [], 0.1).shape == (0,)


def row(split: str, box: list[float], width: int = 200, objective: str = "vlt") -> dict[str, Any]:
    images = [{"width": 1, "height": 1}, {"width": width, "height": 100}]
    return {"objective": objective, "split": split, "box": box, "images": images}


def test_the_box_of_train_is_scored_on_each_split() -> None:
    rows = [row("train", [50, 0, 150, 50])] * 5 + [row("train", [100, 0, 300, 50], width=400)] * 5
    rows += [row("test", [50, 0, 150, 100]), row("test", [160, 60, 170, 70])]
    rows += [row("test", [0, 0, 9, 9], objective="oct")]
    train, test = measure(rows)
    assert (train.split, train.rows, test.split, test.rows) == ("train", 10, "test", 2)
    assert train.box == pytest.approx((0.25, 0, 0.75, 0.5))
    assert (train.mean_iou, train.hits, train.too_high) == (pytest.approx(1), 1, True)
    assert (test.mean_iou, test.hits, test.too_high) == (pytest.approx(0.25), 0.5, False)
    assert measure(rows[10:]) == []


def _build(count: int = 160) -> Build:
    """Photos with one object each, half of them in the middle."""
    photos = [image_row(str(i)) for i in range(count)]
    spots = [(0, 0, 60, 60), (300, 200, 420, 380)]
    objects = []
    for i in range(count):
        x1, y1, x2, y2 = (100, 100, 300, 300) if i % 2 else spots[i // 2 % 2]
        place = {"x1": x1, "y1": y1, "x2": x2, "y2": y2}
        objects.append(object_row(str(i), str(i), **place))
    return Build(photos, objects, [])


def _rows(build: Build, most: float, crops: bool) -> tuple[list[dict[str, Any]], int]:
    settings = ExampleSettings(vlt=VltSettings(max_lazy_iou=most, crops=crops))
    rows, summary = build.examples("vlt", settings)
    return rows, summary.refused["a_fixed_box_answers_it"]


def _is_whole(row: dict[str, Any]) -> bool:
    query = row["images"][-1]
    return query["crop"] == [0, 0, query["width"], query["height"]]


def test_without_crops_vlt_leaves_out_what_a_fixed_box_answers() -> None:
    assert _rows(_build(), 1.0, crops=False)[1] == 0
    rows, left_out = _rows(_build(), 0.45, crops=False)
    assert all(map(_is_whole, rows))
    assert len(rows) + left_out == 160
    assert 0 < left_out <= 160 * lazy_answers.MOST_LEFT_OUT
    assert measure(rows)[0].mean_iou <= 0.45


def test_with_crops_vlt_keeps_more_rows() -> None:
    rows, left_out = _rows(_build(), 0.35, crops=True)
    whole, others = _rows(_build(), 0.35, crops=False)
    assert left_out < others
    assert not all(map(_is_whole, rows))
    assert measure(rows)[0].mean_iou < measure(whole)[0].mean_iou + 1e-9
    assert rows == _rows(_build(), 0.35, crops=True)[0]


def test_photos_stay_whole_where_no_fixed_box_answers_them() -> None:
    rows, left_out = _rows(_build(), 0.9, crops=True)
    assert all(map(_is_whole, rows))
    assert left_out == 0


def test_a_crop_changes_the_view_and_not_the_place_of_the_box() -> None:
    rows, _ = _rows(_build(), 0.3, crops=True)
    cropped = [row for row in rows if not _is_whole(row)]
    assert cropped
    for row in cropped:
        view, crop = QueryView.of(row), row["images"][-1]["crop"]
        box = Box.of(row["box"])
        x1, y1, x2, y2 = crop
        assert x1 <= box.x1 < box.x2 <= x2
        assert y1 <= box.y1 < box.y2 <= y2
        assert (view.width, view.height) == (x2 - x1, y2 - y1)
        for convention in (QWEN3_VL, NORMALIZED):
            right = answer_of(row, convention)
            assert Vlt().reward(right, row, "strict", convention).total > 0.9
            other = convention.render(box, row["images"][-1]["width"], row["images"][-1]["height"])
            if box.iou(box_in_view(row)) < 0.5:
                assert Vlt().reward(other, row, "strict", convention).total < 0.9
        message = row_message(row)
        assert message["images"][-1] == {"width": view.width, "height": view.height}
        assert message["box"] == box_in_view(row).as_list()
        remote = Vlt().reward(answer_of(row, QWEN3_VL), message, "strict", QWEN3_VL)
        own = Vlt().reward(answer_of(row, QWEN3_VL), row, "strict", QWEN3_VL)
        assert remote.total == pytest.approx(own.total)


@given(boxes_of, st.floats(0.01, 1))
def test_a_view_is_one_of_those_that_are_offered(
    found: list[tuple[float, ...]], most: float
) -> None:
    boxes = np.array(found).reshape(-1, 4)
    splits = [("train", "test")[i % 2] for i in range(len(boxes))]
    count = 1 + np.arange(len(boxes)) % 2
    halves = np.where(count[:, None] > 1, boxes * [0.5, 1, 0.5, 1], boxes)
    views = CandidateCrops(count, np.zeros((len(boxes), 2, 4)), np.stack([boxes, halves], axis=1))
    if need_crops(boxes, splits, most):
        picks = choose_crops(views, splits, most)
        assert (picks < count).all()
        shown = views.shares[np.arange(len(boxes)), picks]
        train = [i for i, split in enumerate(splits) if split == "train"]
        before = ious(boxes[train], best_box(boxes[train])).mean()
        after = ious(shown[train], best_box(shown[train])).mean()
        assert after <= max(before, most, ious(boxes, best_box(boxes[train])).mean()) + 1e-9
