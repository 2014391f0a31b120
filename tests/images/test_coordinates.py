"""Boxes and the notations of the model families."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from repic.images.coordinates import (
    INTERNVL,
    NORMALIZED,
    QWEN2_VL,
    QWEN3_VL,
    Box,
    BoxError,
    Convention,
    ConventionError,
    ResizedGrid,
)
from repic.images.model_families import convention_for, qwen25_vl


class Processor:
    """The published settings of Qwen2.5-VL-7B-Instruct, without transformers."""

    patch_size = 14
    merge_size = 2
    size = {"shortest_edge": 3_136, "longest_edge": 1_003_520}  # noqa: RUF012


QWEN25_VL = qwen25_vl(Processor())
ALL = [QWEN2_VL, QWEN25_VL, QWEN3_VL, INTERNVL, NORMALIZED]
sides = st.integers(28, 6_000)


def test_box_measures() -> None:
    box = Box.of([10, 20, 30, 60])
    assert (box.width, box.height, box.area) == (20, 40, 800)
    assert box.as_list() == [10, 20, 30, 60]
    assert box.iou(box) == 1
    assert box.iou(Box(30, 60, 40, 70)) == 0
    assert box.iou(Box(10, 20, 30, 40)) == pytest.approx(0.5)
    assert Box(-5, 3.456, 50, 90).clip(40, 80).round(1) == Box(0, 3.5, 40, 80)
    assert Box(5, 5, 1, 1).area == 0
    with pytest.raises(ValueError, match="unpack"):
        Box.of([1, 2, 3])


GOLDEN = [
    (QWEN2_VL, "<|box_start|>(100,200),(500,800)<|box_end|>"),
    (QWEN25_VL, '{"bbox_2d": [64, 95, 322, 381]}'),
    (QWEN3_VL, '{"bbox_2d": [100, 200, 500, 800]}'),
    (INTERNVL, "<box>[[100, 200, 500, 800]]</box>"),
    (NORMALIZED, "[0.1000, 0.2000, 0.5000, 0.8000]"),
]


@pytest.mark.parametrize(("convention", "text"), GOLDEN, ids=lambda v: getattr(v, "name", ""))
def test_each_family_writes_as_published(convention: Convention, text: str) -> None:
    # 640 x 480 becomes 644 x 476 for Qwen2.5-VL: the nearest multiples of 28.
    box = Box(64, 96, 320, 384)
    assert convention.render(box, 640, 480) == text
    read = convention.parse(text, 640, 480)
    assert read.as_list() == pytest.approx(box.as_list(), abs=0.5)


@given(sides, sides, st.integers(3_136, 50_000), st.integers(60_000, 13_000_000))
def test_resize_is_that_of_transformers(width: int, height: int, low: int, high: int) -> None:
    from transformers.models.qwen2_vl import image_processing_qwen2_vl as smart

    assume(max(width, height) <= 200 * min(width, height))
    theirs = smart.smart_resize(height, width, factor=28, min_pixels=low, max_pixels=high)
    assert ResizedGrid(28, low, high)(width, height) == (theirs[1], theirs[0])


def test_settings_come_from_the_real_processor() -> None:
    import transformers

    processor = transformers.Qwen2VLImageProcessor(min_pixels=3_136, max_pixels=50_176)
    convention = convention_for("qwen2_5_vl", processor)
    assert convention.grid == ResizedGrid(28, 3_136, 50_176)
    across, down = convention.grid(640, 480)
    assert across * down <= 50_176


def test_too_narrow_a_picture_is_refused() -> None:
    with pytest.raises(ValueError, match="too narrow"):
        QWEN25_VL.render(Box(0, 0, 10, 1), 5_000, 10)


@given(data=st.data(), width=sides, height=sides, convention=st.sampled_from(ALL))
def test_round_trip_is_within_half_a_unit(
    data: st.DataObject, width: int, height: int, convention: Convention
) -> None:
    assume(max(width, height) <= 200 * min(width, height))
    xs = sorted(data.draw(st.lists(st.floats(0, width), min_size=2, max_size=2)))
    ys = sorted(data.draw(st.lists(st.floats(0, height), min_size=2, max_size=2)))
    box = Box(xs[0], ys[0], xs[1], ys[1])
    read = convention.parse(convention.render(box, width, height), width, height)
    across, down = (side * 10**convention.decimals for side in convention.grid(width, height))
    for before, after, extent, scale in (
        (box.x1, read.x1, box.width, across / width),
        (box.x2, read.x2, box.width, across / width),
        (box.y1, read.y1, box.height, down / height),
        (box.y2, read.y2, box.height, down / height),
    ):
        # A side below one unit is written as one unit, since an empty box is not valid.
        allowed = 0.5 if extent * scale >= 1.001 else 1.5
        assert abs(before - after) * scale <= allowed + 1e-6


READ = [
    (QWEN3_VL, "[100, 200, 500, 800]"),
    (QWEN3_VL, "  [ 100 ,200,500.0 , 800.00 ]\n"),
    (QWEN3_VL, "100, 200, 500, 800"),
    (QWEN3_VL, "(100, 200, 500, 800)"),
    (QWEN3_VL, "(100,200),(500,800)"),
    (QWEN3_VL, '```json\n[{"bbox_2d": [100, 200, 500, 800], "label": "a dog"}]\n```'),
    (QWEN3_VL, '{"label": "dog 2", "bbox": [100, 200, 500, 800]}'),
    (QWEN3_VL, '{"bbox_2d": [[100, 200, 500, 800]]}'),
    (QWEN3_VL, "The dog is at [100, 200, 500, 800]."),
    (QWEN3_VL, 'Sure! {"bbox_2d": [100, 200, 500, 800]}'),
    (QWEN3_VL, "[[100, 200, 500, 800], [100, 200, 500, 800]]"),
    (QWEN2_VL, "<|object_ref_start|>a<|object_ref_end|><|box_start|>(100,200),(500,800)"),
    (QWEN2_VL, '{"bbox_2d": [100, 200, 500, 800]}'),
    (INTERNVL, "<ref>the dog</ref><box>[[100, 200, 500, 800]]</box>"),
    (INTERNVL, "[[100,200,500,800]]"),
    (NORMALIZED, "[0.1, 0.2, 0.5, 0.8]"),
    (NORMALIZED, "[.1, 0.2, 0.5, 0.8]"),
    (NORMALIZED, "0.1 0.2 0.5 0.8"),
    (QWEN3_VL, "The box of dog 2 in picture 1 is [100, 200, 500, 800]."),
    (QWEN3_VL, '{"bbox_2d": [100, 200, 500, 800], "label": "dog", "score": 0.9}'),
    (QWEN3_VL, '{"objects": [{"bbox_2d": [100, 200, 500, 800], "label": "dog"}]}'),
    (QWEN3_VL, '{"the dog": [100, 200, 500, 800]}'),
    (QWEN3_VL, '{"bbox_2d": "[100, 200, 500, 800]"}'),
    (QWEN3_VL, '{"result": {"box": [100 ,200 , 500,800.0000], "label": "dog", "score": 0.9}}'),
    (INTERNVL, "<ref>the dog with number 10</ref><box>[[100, 200, 500, 800]]</box>"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("convention", "text"), READ, ids=lambda v: v if isinstance(v, str) else ""
)
def test_reads_leniently(convention: Convention, text: str) -> None:
    read = convention.parse(text, 1_000, 500)
    assert read.as_list() == pytest.approx([100, 100, 500, 400])


REFUSED = [
    (QWEN3_VL, "", "missing"),
    (QWEN3_VL, "on the left", "missing"),
    (QWEN3_VL, '{"label": "dog"}', "missing"),
    (QWEN3_VL, "[1, 2, 3, 4] or [1, 2, 3, 5]", "several"),
    (QWEN3_VL, '[{"bbox_2d": [1, 2, 3, 4]}, {"bbox_2d": [5, 6, 7, 8]}]', "several"),
    (QWEN3_VL, '{"bbox_2d": [1, 2, 3, 4], "bbox": [1, 2, 3, 4]}', "several"),
    (QWEN3_VL, '{"bbox_2d": [1, 2, 3, 4]} [5, 6, 7, 8]', "several"),
    (QWEN3_VL, "[" * 500, "several"),
    (QWEN3_VL, "[1, 2, 3, 4] or 5, 6, 7, 8", "several"),
    (QWEN3_VL, "[1, 2, 3, 4], else x1=5 y1=6 x2=7 y2=8", "several"),
    (QWEN3_VL, '{"bbox_2d": [1, 2, 3, 4], "other": [5, 6, 7, 8]}', "several"),
    (QWEN3_VL, '{"bbox_2d": [1, 2, 3, 4], "label": "or [5, 6, 7, 8]"}', "several"),
    (QWEN3_VL, '{"bbox_2d": [1, 2, 3, 4], "label": "or 5, 6, 7, 8"}', "several"),
    (INTERNVL, "<ref>5, 6, 7, 8</ref><box>[[1, 2, 3, 4]]</box>", "several"),
    (INTERNVL, "<ref>[5, 6, 7, 8]</ref><box>[[1, 2, 3, 4]]</box>", "several"),
    (QWEN3_VL, f'{{"bbox_2d": [1, 2, 3, 4], "label": "{"x" * 100}"}}', "padded"),
    (QWEN3_VL, "1, 2, 3, 4, 5", "missing"),
    (QWEN3_VL, "dog 2 1 2 3 4", "missing"),
    (QWEN3_VL, "1, 2, 3, 4 or 5, 6, 7, 8", "missing"),
    (QWEN3_VL, "[1, 2, 3]", "count"),
    (QWEN3_VL, "[1, 2, 3, 4, 5]", "count"),
    (QWEN3_VL, "[1, 2, 3, 4] and [5, 6]", "count"),
    (QWEN3_VL, '{"bbox_2d": [1, 2, 3]}', "count"),
    (QWEN3_VL, '{"bbox_2d": [1, 2, 3, 4], "bbox_2d": [5, 6, 7, 8]}', "duplicate-key"),
    (QWEN3_VL, '{"bbox_2d": [1, 2, NaN, 4]}', "not-finite"),
    (QWEN3_VL, '{"bbox_2d": [1, 2, Infinity, 4]}', "not-finite"),
    (QWEN3_VL, '{"bbox_2d": [1, 2, 1e400, 4]}', "not-finite"),
    (QWEN3_VL, f'{{"bbox_2d": [1, 2, {"9" * 400}, 4]}}', "not-finite"),
    (QWEN3_VL, "[nan, 2, 3, 4]", "not-finite"),
    (QWEN3_VL, "[1e400, 2, 3, 4]", "not-finite"),
    (QWEN3_VL, '{"bbox_2d": ["1", "2", "3", "4"]}', "malformed"),
    (QWEN3_VL, '{"bbox_2d": [true, 2, 3, 4]}', "malformed"),
    (QWEN3_VL, '{"bbox_2d": [1, 2, 3, 4}', "malformed"),
    (QWEN3_VL, '{"bbox_2d": {"x": 1}}', "malformed"),
    (QWEN3_VL, '{"bbox_2d": "the left half"}', "malformed"),
    (QWEN3_VL, '{"Bbox_2d": [1, 2, 3, 4]}', "malformed"),
    (QWEN3_VL, '{"objects": []}', "count"),
    (QWEN3_VL, '{"objects": [{"bbox_2d": [1, 2, 3, 4]}, {"bbox_2d": [5, 6, 7, 8]}]}', "several"),
    (QWEN3_VL, '{"bbox_2d": [1, 2, 3, 4], "score": -1}', "denied"),
    (QWEN3_VL, '{"bbox_2d": [1, 2, 3, 4], "found": false}', "denied"),
    (QWEN3_VL, "[500, 200, 100, 800]", "inverted"),
    (QWEN3_VL, "[100, 200, 100, 800]", "empty"),
    (QWEN3_VL, "[100, 200, 500, 1001]", "outside"),
    (QWEN3_VL, "[-1, 200, 500, 800]", "outside"),
    (QWEN3_VL, "[0.1, 0.2, 0.5, 0.8]", "convention"),
    (QWEN25_VL, "[0.1, 0.2, 0.5, 0.8]", "convention"),
    (QWEN25_VL, "<box>[[1, 2, 3, 4]]</box>", "convention"),
    (QWEN25_VL, "[10, 20, 1100, 200]", "outside"),
    (NORMALIZED, "[100, 200, 500, 800]", "outside"),
    (NORMALIZED, "<|box_start|>(0,0),(1,1)<|box_end|>", "convention"),
    (QWEN3_VL, "x" * 101 + " [100, 200, 500, 800]", "padded"),
    (QWEN3_VL, "x" * 5_000 + " [100, 200, 500, 800]", "long"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("convention", "text", "reason"), REFUSED, ids=lambda v: v[:30] if isinstance(v, str) else ""
)
def test_refuses_what_is_ambiguous(convention: Convention, text: str, reason: str) -> None:
    with pytest.raises(BoxError) as caught:
        convention.parse(text, 1_000, 500)
    assert caught.value.reason == reason


@given(
    st.one_of(
        st.text(max_size=300), st.text('[](){}<>|0123456789.,-einfaNbox_2d": `', max_size=80)
    ),
    st.sampled_from(ALL),
)
def test_any_text_gives_a_box_inside_or_a_reason(text: str, convention: Convention) -> None:
    try:
        box = convention.parse(text, 640, 480)
    except BoxError:
        return
    assert all(map(math.isfinite, box.as_list()))
    assert 0 <= box.x1 < box.x2 <= 640
    assert 0 <= box.y1 < box.y2 <= 480


class TestConventionFor:
    def test_names_and_types(self) -> None:
        assert convention_for("qwen2_vl") is QWEN2_VL
        assert convention_for("Qwen3VLForConditionalGeneration") is QWEN3_VL
        assert convention_for("internvl_chat") is INTERNVL
        assert convention_for("qwen2_5_vl", Processor()) == QWEN25_VL

    def test_real_classes_and_configs(self) -> None:
        import transformers

        assert convention_for(transformers.Qwen2VLForConditionalGeneration) is QWEN2_VL
        assert convention_for(transformers.Qwen3VLConfig()) is QWEN3_VL
        assert convention_for(transformers.InternVLForConditionalGeneration) is INTERNVL

        class Mine(transformers.Qwen3VLForConditionalGeneration):
            pass

        assert convention_for(Mine) is QWEN3_VL

    def test_unknown_family_names_the_remedy(self) -> None:
        with pytest.raises(ConventionError, match=r"known: internvl.*Convention of your own"):
            convention_for("llava")

    def test_absolute_pixels_need_the_processor(self) -> None:
        with pytest.raises(ConventionError, match="pass its processor"):
            convention_for("Qwen2_5_VLForConditionalGeneration")
